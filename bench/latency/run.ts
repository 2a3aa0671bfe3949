import { setTimeout as pause } from "node:timers/promises";
import { latenciesOf } from "#load/generator/drive.ts";
import type { Latencies } from "#load/generator/latency.ts";
import { readProfile } from "#load/generator/profile.ts";
import type { ContenderKey } from "../peers/names.ts";
import { type Arena, inArena } from "../support/arena.ts";
import { type Contender, contenderOf } from "../support/contenders.ts";
import { single } from "../support/figures.ts";
import { type Load, UnderLoad } from "../support/open-loop.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf, type Verdict } from "../support/verdict.ts";

export interface LatencyOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly seconds?: number;
  readonly profile?: string;
}

interface Row {
  readonly contender: Contender;
  /** What arrives. */
  readonly load: string;
  readonly perSecond: number;
  readonly latencies: Latencies;
  readonly verdict: Verdict;
}

const measured: readonly ContenderKey[] = ["holdfast", "subscribe-200", "receive-messages"];
const warmUpMs = 1_000;
const lowPerSecond = 100;
const shares = [0.1, 0.5, 0.8];
/** Of those that are loaded more than a little in a quick run. */
const quickShares: ReadonlyMap<ContenderKey, readonly number[]> = new Map([
  ["holdfast", shares],
  ["subscribe-200", [0.5]],
]);
/** A hundred a second for two seconds would make the 99th percentile the second worst of two hundred events. */
const lowSecondsMin = 6;
const saturatingInFlight = 2_000;
const secondMs = 1_000;

export async function run(options: LatencyOptions): Promise<number> {
  const report = new Report("latency", options);
  // To find out what saturates the first one warms up broker and store.
  const rows = await inArena({ isForLoads: true }, async (arena) => {
    const all: Row[] = [];
    for (const key of measured) all.push(...(await measure(arena, contenderOf(key), options)));
    return all;
  });
  showProgress("");
  tell(report, rows);
  return report.end();
}

/** One that stays for all of its turns: a worker that has started just now tells of its code being compiled. */
async function measure(arena: Arena, contender: Contender, options: LatencyOptions): Promise<readonly Row[]> {
  const under = await UnderLoad.start(arena, contender);
  try {
    return await loads(under, contender, options);
  } finally {
    await under.stop();
  }
}

async function loads(under: UnderLoad, contender: Contender, { quick = false, seconds = quick ? 2 : 10, profile }: LatencyOptions): Promise<readonly Row[]> {
  if (profile !== undefined) return [await turn(under, contender, profile, readProfile(profile))];
  const rows: Row[] = [];
  const wanted = quick ? (quickShares.get(contender.key) ?? []) : shares;
  if (wanted.length > 0) showProgress(`${contender.name}: saturation`);
  const saturation = wanted.length > 0 ? await saturate(under, quick ? 2 : 4) : 0;
  const rates = [
    [`${lowPerSecond} a second`, lowPerSecond],
    ...wanted.map((share) => [`${share * 100} % of ${Math.round(saturation).toLocaleString("en")}`, saturation * share] as const),
  ] as const;
  for (const [name, perSecond] of rates) {
    showProgress(`${contender.name}: ${name}`);
    const turnSeconds = perSecond === lowPerSecond ? Math.max(seconds, lowSecondsMin) : seconds;
    const events = Math.round((perSecond * (warmUpMs + turnSeconds * secondMs)) / secondMs);
    rows.push(await turn(under, contender, name, { events, arrivals: { kind: "poisson", perSecond }, eventTypes: { nothing: 1 } }));
  }
  return rows;
}

/** Events a second while so many are under way, the first third of the time left out. */
async function saturate(under: UnderLoad, seconds: number): Promise<number> {
  const stop = new AbortController();
  const events = Math.round(20_000 * seconds);
  const load: Load = { events, arrivals: { kind: "closed", inFlight: saturatingInFlight }, eventTypes: { nothing: 1 } };
  const { ended } = await under.bear({ load, signal: stop.signal, meanwhile: () => pause(secondMs * seconds).then(() => stop.abort()) });
  const times = ended.map(({ atMs }) => atMs).toSorted((a, b) => a - b);
  const counted = times.slice(Math.floor(times.length / 3));
  return (counted.length * secondMs) / (counted.at(-1)! - counted[0]!);
}

async function turn(under: UnderLoad, contender: Contender, name: string, load: Load): Promise<Row> {
  const { drive, ended, startMs, verdict } = await under.bear({ load });
  const lastMs = drive.intendedAtMs(load.events - 1);
  return {
    contender,
    load: name,
    perSecond: (load.events * secondMs) / (lastMs - startMs),
    latencies: latenciesOf(drive, ended, startMs + warmUpMs),
    verdict,
  };
}

function tell(report: Report, rows: readonly Row[]): void {
  report.table({
    name: "latency",
    title: "From when an event was meant to be sent until its handler was done, ms; no-op, one thread",
    columns: { name: "", load: "arriving", perSecond: "events/s", p50: "50 %", p90: "90 %", p99: "99 %", p999: "99.9 %", most: "most" },
    rows: rows.map(({ contender, load, perSecond, latencies }) => {
      const { p50, p90, p99, p999, most } = latencies.percentiles();
      return {
        name: contender.name,
        load,
        perSecond: single(perSecond, 0),
        p50: single(p50, 2),
        p90: single(p90, 2),
        p99: single(p99, 2),
        p999: single(p999, 2),
        most: single(most, 1),
      };
    }),
  });
  report.chart({
    kind: "lines",
    title: "Latency by percentile",
    unit: "ms",
    isLog: true,
    x: { title: "percentile", isPercentile: true },
    series: rows.map(({ contender, load, latencies }) => ({ name: `${contender.name}, ${load}`, points: latencies.curve() })),
  });
  const ours = rows.filter(({ contender }) => contender.key === "holdfast");
  report.guards(
    ...guardsOf(
      "Holdfast",
      ours.map(({ verdict }) => verdict),
    ),
  );
  const low = ours.find(({ perSecond, load }) => load.startsWith(`${lowPerSecond} `) && perSecond > 0);
  if (low === undefined) return;
  const what = `Holdfast, ${lowPerSecond} a second: 99 %`;
  report.targets({ what, found: single(low.latencies.at(99), 2), unit: "ms", bound: { atMost: 10 }, aim: 2 });
  const peers = rows.filter(({ contender, load }) => contender.key !== "holdfast" && load === low.load);
  const quickest = peers.toSorted((a, b) => a.latencies.at(99) - b.latencies.at(99))[0];
  if (quickest !== undefined) {
    const added = single(low.latencies.at(99) - quickest.latencies.at(99), 2);
    report.targets({ what: `${what}, beyond that of ${quickest.contender.name}`, found: added, unit: "ms", bound: { atMost: 10 }, aim: 2 });
  }
  for (const peer of peers) {
    report.ratio(`99 % at ${lowPerSecond} a second: Holdfast / ${peer.contender.name}`, single(low.latencies.at(99) / peer.latencies.at(99), 2), "less");
  }
}
