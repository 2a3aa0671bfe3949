import { basename } from "node:path";
import { carryOutPlan, type Happened, type Plan, readPlan } from "#load/faults/plan.ts";
import { type Ended, latenciesOf } from "#load/generator/drive.ts";
import type { ContenderKey } from "../peers/names.ts";
import { type Arena, inArena } from "../support/arena.ts";
import { type Contender, contenderOf } from "../support/contenders.ts";
import { single } from "../support/figures.ts";
import { sharedClock } from "../support/notes.ts";
import { openLoop, type OpenLoop } from "../support/open-loop.ts";
import { showProgress } from "../support/progress.ts";
import { Proxies } from "../support/proxies.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { binned, recoveredAfterMs } from "../support/timeline.ts";
import { victimsOf } from "../support/victims.ts";
import { planFile, planNames } from "./plans.ts";

export interface FaultsOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly plans?: readonly string[];
  readonly plan?: string;
}

interface Measured {
  readonly plan: string;
  readonly about: string;
  readonly contender: Contender;
  readonly loop: OpenLoop;
  readonly startMs: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly lastMs: number;
  readonly lost: number;
  readonly twice: number;
}

const measured: readonly ContenderKey[] = ["holdfast", "subscribe-200"];
/** What a quick run tries: of everybody, and of the peer. */
const quickPlans = ["store-down", "worker-killed", "dependency-refuses"];
const quickPeerPlans = ["worker-killed"];
const perSecond = 300;
const warmUpMs = 1_000;
const lockDurationMs = 5_000;
const afterMs = 4_000;
const quickPart = 0.5;
const recoveryMaxMs = 60_000;

export async function run(options: FaultsOptions): Promise<number> {
  const { quick = false } = options;
  const report = new Report("faults", options);
  const files = options.plan === undefined ? (options.plans ?? (quick ? quickPlans : planNames())).map(planFile) : [options.plan];
  const all: Measured[] = [];
  await inArena({ lockDurationMs, needsDependencies: true, isForLoads: true }, async (arena) => {
    for (const file of files) {
      const name = basename(file, ".json");
      for (const key of measured) {
        if (quick && key !== "holdfast" && !quickPeerPlans.includes(name)) continue;
        showProgress(`${name}: ${contenderOf(key).name}`);
        all.push(await measure(arena, contenderOf(key), name, inTime(readPlan(file), quick ? quickPart : 1)));
      }
    }
  });
  showProgress("");
  tell(report, all);
  return report.end();
}

/** A plan in a part of its time. */
function inTime(plan: Plan, part: number): Plan {
  const entries = plan.entries.map((entry) => ({
    ...entry,
    atMs: entry.atMs * part,
    lastsMs: entry.lastsMs * part,
    laterMs: entry.laterMs * part,
    everyMs: entry.everyMs * part,
  }));
  return { ...plan, entries };
}

async function measure(arena: Arena, contender: Contender, name: string, plan: Plan): Promise<Measured> {
  const proxies = await Proxies.start();
  try {
    for (const { control } of Object.values(arena.dependencies!)) await control.forget();
    const broker = await proxies.before(arena.broker.connectionString);
    const store = await proxies.before(arena.redis.url);
    const planMs = Math.max(...plan.entries.map(({ atMs, lastsMs, laterMs, times, everyMs }) => atMs + lastsMs + laterMs + (times - 1) * everyMs));
    const lastsMs = warmUpMs + planMs + afterMs;
    let happened: readonly Happened[] = [];
    const loop = await openLoop(arena, contender, {
      load: { events: Math.round((perSecond * lastsMs) / 1_000), arrivals: { kind: "poisson", perSecond }, eventTypes: { sound: 1 } },
      ground: { connectionString: broker.address, redisUrl: store.address, isNotedAtOnce: true, threads: 2, config: { logLevel: "silent" } },
      restMaxMs: recoveryMaxMs,
      meanwhile: async (subject) => {
        await new Promise((resolve) => setTimeout(resolve, warmUpMs));
        happened = await carryOutPlan(plan, victimsOf(arena, subject, { broker, store }), sharedClock);
      },
    });
    const { effectsAgain } = (await arena.dependencies!.sound.control.summary()).notifier;
    const fromMs = Math.min(...happened.map(({ beganMs }) => beganMs));
    const toMs = Math.max(...happened.map(({ endedMs }) => endedMs ?? 0));
    return {
      plan: name,
      about: plan.about,
      contender,
      loop,
      startMs: loop.startMs,
      fromMs,
      toMs,
      lastMs: loop.ended.reduce((latest, { atMs }) => Math.max(latest, atMs), loop.startMs + lastsMs),
      lost: loop.verdict.lost.length,
      twice: effectsAgain,
    };
  } finally {
    await proxies.stop();
  }
}

function recovery({ loop, startMs, fromMs, toMs }: Measured): number | undefined {
  return recoveredAfterMs(loop.ended, { fromMs: startMs + warmUpMs, toMs: fromMs }, toMs);
}

function rateIn(ended: readonly Ended[], fromMs: number, toMs: number): number {
  return (ended.filter(({ atMs }) => atMs >= fromMs && atMs < toMs).length * 1_000) / (toMs - fromMs);
}

function tell(report: Report, all: readonly Measured[]): void {
  const p99 = ({ loop }: Measured, fromMs: number, toMs: number) => single(latenciesOf(loop.drive, loop.ended, fromMs, toMs).at(99), 0);
  report.table({
    name: "faults",
    title: `${perSecond} events a second, each calls a dependency; locks of ${lockDurationMs / 1_000} s; ended/s and 99 % of those meant to be sent before, during and after, ms`,
    columns: {
      plan: "fault",
      name: "",
      before: "ended/s before",
      during: "during",
      after: "after",
      p99Before: "99 % before",
      p99During: "during",
      p99After: "after",
      recovered: "rate back, s after its end",
      lost: "lost",
      twice: "twice",
    },
    rows: all.map((one) => {
      const { plan, contender, loop, startMs, fromMs, toMs, lastMs, lost, twice } = one;
      const back = recovery(one);
      return {
        plan,
        name: contender.name,
        before: single(rateIn(loop.ended, startMs + warmUpMs, fromMs), 0),
        during: single(rateIn(loop.ended, fromMs, Math.max(toMs, fromMs + 1_000)), 0),
        after: single(rateIn(loop.ended, toMs, lastMs), 0),
        p99Before: p99(one, startMs + warmUpMs, fromMs),
        p99During: p99(one, fromMs, Math.max(toMs, fromMs + 1_000)),
        p99After: p99(one, toMs, lastMs),
        recovered: back === undefined ? undefined : single(back / 1_000, 1),
        lost,
        twice,
      };
    }),
  });
  for (const ofPlan of Map.groupBy(all, ({ plan }) => plan).values()) charts(report, ofPlan);
  for (const one of all.filter(({ contender }) => contender.key === "holdfast")) {
    report.guards(
      { what: `${one.plan}: lost`, wrong: one.lost, examples: one.loop.verdict.lost },
      { what: `${one.plan}: settled wrong`, wrong: one.loop.verdict.wrong.length },
      { what: `${one.plan}: done twice`, wrong: one.twice },
    );
    const back = recovery(one);
    report.targets({
      what: `${one.plan}: four fifths of the rate again after`,
      found: single(back === undefined ? Number.POSITIVE_INFINITY : back / 1_000, 1),
      unit: "s",
      bound: { atMost: 60 },
      aim: 10,
    });
  }
}

function charts(report: Report, ofPlan: readonly Measured[]): void {
  const { plan, about } = ofPlan[0]!;
  const shaded = [{ from: (ofPlan[0]!.fromMs - ofPlan[0]!.startMs) / 1_000, to: Math.max(0.1, ofPlan[0]!.toMs - ofPlan[0]!.startMs) / 1_000, title: plan }];
  report.chart({
    kind: "lines",
    title: `${plan}: ended a second. ${about}`,
    unit: "events/s",
    x: { title: "seconds" },
    shaded,
    series: ofPlan.map(({ contender, loop, startMs, lastMs }) => ({
      name: contender.name,
      points: binned(loop.ended, startMs, lastMs, (count, binMs) => (count * 1_000) / binMs),
    })),
  });
  report.chart({
    kind: "lines",
    title: `${plan}: 99th percentile by when an event was meant to be sent`,
    unit: "ms",
    isLog: true,
    x: { title: "seconds" },
    shaded,
    series: ofPlan.map(({ contender, loop, startMs, lastMs }) => ({
      name: contender.name,
      points: binned([], startMs, lastMs, (_, binMs, fromMs) => latenciesOf(loop.drive, loop.ended, fromMs, fromMs + binMs).at(99)).filter(([, ms]) => ms > 0),
    })),
  });
}
