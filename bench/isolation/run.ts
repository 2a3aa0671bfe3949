import { latenciesOf } from "#load/generator/drive.ts";
import type { Latencies } from "#load/generator/latency.ts";
import { carryOutPlan, type Happened, parsePlan } from "#load/faults/plan.ts";
import { generatePlain } from "#load/generator/plain.ts";
import type { ContenderKey } from "../peers/names.ts";
import { type Arena, inArena } from "../support/arena.ts";
import { type Contender, contenderOf } from "../support/contenders.ts";
import { single } from "../support/figures.ts";
import { openLoop, type OpenLoop } from "../support/open-loop.ts";
import { sharedClock } from "../support/notes.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf } from "../support/verdict.ts";
import { calmMs, victimsOf } from "../support/victims.ts";

export interface IsolationOptions extends ReportOptions {
  readonly quick?: boolean;
}

const measured: readonly ContenderKey[] = ["holdfast", "subscribe-200"];
const troubles = [
  { name: "hangs", behaviour: { hang: true } },
  { name: "is slow", behaviour: { latencyMs: 500 } },
  { name: "fails", behaviour: { failureRate: 1, failureStatus: 503 } },
] as const;
/** In these each call takes its place for as long as it may; of the slow ones the peer has places for more than there are. */
const starving: readonly string[] = ["hangs", "fails"];
const warmUpMs = 1_500;
const perSecond = 600;

/** What the design asks for in the end, and what is held to here, where everything shares a machine. */
const aim = 1.1;
const atMost = 1.5;
/** Beyond what noise does to a 99th percentile of some hundred events; and what a client without bulkheads passes on any machine. */
const gateAtMost = 3;
const starved = 3;
/** A tenth of a millisecond more of almost nothing is no trouble. */
const leastMs = 5;

interface Phase {
  readonly name: string;
  readonly latencies: Latencies;
}

export async function run(options: IsolationOptions): Promise<number> {
  const report = new Report("isolation", options);
  const spanMs = options.quick === true ? 2_000 : 6_000;
  const found: (readonly [Contender, Measured])[] = [];
  await inArena({ needsDependencies: true, isForLoads: true }, async (arena) => {
    for (const { control } of Object.values(arena.dependencies!)) await control.behave({ target: "all", latencyMs: calmMs });
    for (const contender of measured.map(contenderOf)) {
      showProgress(contender.name);
      found.push([contender, await measure(arena, contender, spanMs)]);
    }
  });
  showProgress("");
  for (const [contender, one] of found) tell(report, contender, one);
  gate(report, found);
  chart(report, found);
  return report.end();
}

interface Measured extends OpenLoop {
  readonly happened: readonly Happened[];
  readonly phases: readonly Phase[];
  readonly timeline: readonly (readonly [number, number])[];
}

async function measure(arena: Arena, contender: Contender, spanMs: number): Promise<Measured> {
  const entries = troubles.map(({ behaviour }, index) => ({
    atMs: warmUpMs + spanMs + index * 2 * spanMs,
    lastsMs: spanMs,
    trouble: { of: "dependency" as const, name: "troubled", behaviour },
  }));
  const plan = parsePlan({ about: "a dependency in trouble", entries });
  const lastsMs = warmUpMs + spanMs * (1 + 2 * troubles.length);
  const load = { events: Math.round((perSecond * lastsMs) / 1_000), arrivals: { kind: "poisson", perSecond } as const, eventTypes: { sound: 1, troubled: 1 } };
  let happened: readonly Happened[] = [];
  const loop = await openLoop(arena, contender, {
    load,
    meanwhile: async (subject) => {
      happened = await carryOutPlan(plan, victimsOf(arena, subject), sharedClock);
    },
  });
  const types = [...generatePlain({ ...load, seed: 1, sizes: { kind: "fixed", bytes: 256 } })].map(({ eventType }) => eventType);
  const sound = loop.ended.filter(({ place }) => types[place] === "sound");
  const within = (fromMs: number, toMs: number): Latencies => latenciesOf(loop.drive, sound, fromMs, toMs);
  const phases = [
    { name: "calm", latencies: within(loop.startMs + warmUpMs, happened[0]!.beganMs) },
    ...troubles.map(({ name }, index) => ({ name, latencies: within(happened[index]!.beganMs, happened[index]!.endedMs!) })),
  ];
  const binMs = 250;
  const timeline = Array.from({ length: Math.floor(lastsMs / binMs) }, (_, bin) => {
    const fromMs = loop.startMs + bin * binMs;
    return [(bin * binMs) / 1_000, within(fromMs, fromMs + binMs).at(99)] as const;
  }).filter(([, ms]) => !Number.isNaN(ms));
  return { ...loop, happened, phases, timeline };
}

function tell(report: Report, { key, name }: Contender, { phases, verdict }: Measured): void {
  const calm = Math.max(leastMs, phases[0]!.latencies.at(99));
  const ratioOf = ({ latencies }: Phase): number => Math.max(leastMs, latencies.at(99)) / calm;
  report.table({
    name: key,
    title: `${name}: events for the sound dependency, ${perSecond / 2} a second, ms`,
    columns: { phase: "the other dependency", p50: "50 %", p99: "99 %", most: "most", times: "99 %, of calm" },
    rows: phases.map((phase) => ({
      phase: phase.name,
      p50: single(phase.latencies.at(50), 1),
      p99: single(phase.latencies.at(99), 1),
      most: single(phase.latencies.at(100), 0),
      times: single(ratioOf(phase), 2),
    })),
  });
  for (const phase of phases.slice(1)) {
    const found = single(ratioOf(phase), 2);
    if (key === "holdfast") report.targets({ what: `99 % while the other ${phase.name} / calm`, found, unit: "", bound: { atMost }, aim });
    else report.ratio(`${name}: 99 % while the other ${phase.name} / calm`, found, "less");
  }
  if (key === "holdfast") report.guards(...guardsOf("Holdfast", [verdict]));
  else report.remark(`${name}: ${verdict.lost.length} lost, ${verdict.wrong.length} dead-lettered though nothing was wrong with them.`);
}

/** Side by side: what starves beside a dependency that hangs or fails, and what does not. */
function gate(report: Report, found: readonly (readonly [Contender, Measured])[]): void {
  const p99 = ({ phases }: Measured, name: string): number => Math.max(leastMs, phases.find((phase) => phase.name === name)!.latencies.at(99));
  const [, ours] = found.find(([{ key }]) => key === "holdfast")!;
  for (const { name } of troubles.filter((trouble) => starving.includes(trouble.name))) {
    report.gates({
      what: `Holdfast: 99 % while the other ${name} / calm`,
      found: single(p99(ours, name) / p99(ours, "calm"), 2),
      unit: "",
      bound: { atMost: gateAtMost },
    });
    for (const [{ key, name: peer }, theirs] of found) {
      if (key === "holdfast") continue;
      report.gates({
        what: `99 % while the other ${name}: ${peer} / Holdfast`,
        found: single(p99(theirs, name) / p99(ours, name), 2),
        unit: "",
        bound: { atLeast: starved },
      });
    }
  }
}

/** All go through the same troubles at the same times. */
function chart(report: Report, found: readonly (readonly [Contender, Measured])[]): void {
  const [, { happened, startMs }] = found[0]!;
  report.chart({
    kind: "lines",
    title: "99th percentile of the events for the sound dependency, beside one in trouble",
    unit: "ms",
    isLog: true,
    x: { title: "seconds" },
    series: found.map(([{ name }, { timeline }]) => ({ name, points: timeline })),
    shaded: happened.map(({ beganMs, endedMs }, index) => ({
      from: (beganMs - startMs) / 1_000,
      to: (endedMs! - startMs) / 1_000,
      title: `the other ${troubles[index]!.name}`,
    })),
  });
}
