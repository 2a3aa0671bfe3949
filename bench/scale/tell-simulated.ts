/** What the simulation says: of what was measured, which holds it to account, and of pools that nobody has here. */
import { type Figure, figure, median, single } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import type { Cell } from "../support/document.ts";
import type { Report } from "../support/report.ts";
import { type Fitted, type Point } from "./fit.ts";
import { type Part, type Simulated, simulate } from "./simulation.ts";

interface SimulatedSize {
  readonly workers: number;
  readonly shards: number;
  /** With as much as the workers take. */
  readonly full: Simulated;
  /** With most of that arriving. */
  readonly busy: Simulated;
}

const seed = 1;
const workerCounts = [1, 2, 4, 10, 20, 50, 100, 200];
const shardCounts = [1, 2, 4, 8, 16, 32];
/** Messaging units that a namespace can have at most. */
const brokerUnits = 16;
const hashTagsDefault = 12;
/** Two machines of one region. */
const awayMicros = 250;
const duplicates = 0.01;
const busyShare = 0.8;
/** How far off the simulation may be where it can be checked, in %. */
const toleranceMax = 35;
const partNames: Readonly<Record<Part, string>> = {
  "main thread": "main",
  "skill thread": "skill",
  shard: "shard",
  broker: "broker",
  cores: "cores",
  window: "window",
};

export function tellSimulated(report: Report, fitted: Fitted, points: readonly Point[], batches: number): void {
  tellReproduced(report, fitted, points);
  const sizes: SimulatedSize[] = [];
  for (const workers of workerCounts) {
    showProgress(`simulated: ${workers} workers`);
    for (const shards of shardCounts) sizes.push(simulated(fitted, workers, shards, batches));
  }
  tellSizes(report, fitted, sizes);
  charts(report, sizes);
  const of = (workers: number, shards: number): number => sizes.find((size) => size.workers === workers && size.shards === shards)!.full.perSecond;
  report.ratio("simulated: 200 workers and 32 shards / one of each", single(of(200, 32) / of(1, 1), 1));
}

function simulated(fitted: Fitted, workers: number, shards: number, batches: number): SimulatedSize {
  const size = { workers, shards, units: brokerUnits, hashTags: shards === 1 ? 1 : Math.max(hashTagsDefault, shards), awayMicros, duplicates };
  const costs = fitted.apart(workers);
  const full = simulate(costs, size, { seed, batches });
  return { workers, shards, full, busy: simulate(costs, size, { seed, batches, perSecond: busyShare * full.perSecond }) };
}

/** What was measured on this machine, once more in virtual time. */
function tellReproduced(report: Report, { together, grown, cores }: Fitted, points: readonly Point[]): void {
  const rows = points.map((point) => {
    const { workers, turns } = point;
    const size = { workers, shards: 1, units: 1, hashTags: 1, awayMicros: 0, duplicates: 0, cores };
    // Each turn by what a message cost in it; a turn in which something held all of them up is one of several.
    const tried = turns.map((turn) => ({ measured: turn.perSecond, simulated: simulate(together(turn), size, { seed }) }));
    const { bottleneck, utilization } = tried.at(-1)!.simulated;
    const byGrowth = simulate(grown(point), size, { seed }).perSecond;
    return {
      workers,
      measured: figure(tried, ({ measured }) => measured, 0),
      simulated: figure(tried, ({ simulated: { perSecond } }) => perSecond, 0),
      off: figure(tried, ({ measured, simulated: { perSecond } }) => (perSecond / measured - 1) * 100, 0),
      byGrowth: single(byGrowth, 0),
      byGrowthOff: figure(turns, ({ perSecond }) => (byGrowth / perSecond - 1) * 100, 0),
      bound: boundText(bottleneck, utilization),
    };
  });
  report.table({
    name: "reproduced",
    title: `The simulation of what was measured: all on ${cores} cores, of which other programs have what they had`,
    columns: {
      workers: "workers",
      measured: "measured, messages/s",
      simulated: "simulated",
      off: "off by, %",
      byGrowth: "by growth of costs",
      byGrowthOff: "off by, %",
      bound: "busiest",
    },
    rows,
  });
  const counts = points.map(({ workers }) => workers).join(", ");
  const farthest = (offs: readonly Figure[]): Figure => single(Math.max(...offs.map(({ samples }) => Math.abs(median(samples)))), 0);
  report.gates(
    ...(
      [
        ["simulated rate", rows.map(({ off }) => off)],
        ["simulated rate by how costs grow", rows.map(({ byGrowthOff }) => byGrowthOff)],
      ] as const
    ).map(([what, offs]) => ({
      what: `${what}, ${counts} workers: off the measured one by at most`,
      found: farthest(offs),
      unit: "%",
      bound: { atMost: toleranceMax },
    })),
  );
}

function boundText(part: Part, utilization: number): string {
  return `${partNames[part]} ${(utilization * 100).toFixed(0)} %`;
}

function shardsText(shards: number): string {
  return `${shards} ${shards === 1 ? "shard" : "shards"}`;
}

function tellSizes(report: Report, { apart, growth }: Fitted, sizes: readonly SimulatedSize[]): void {
  const costs = apart(1);
  const columns = Object.fromEntries([["workers", "workers"], ...shardCounts.map((shards) => [`s${shards}`, shardsText(shards)])]) as Record<string, string>;
  const rowsOf = (cell: (size: SimulatedSize) => Cell) =>
    workerCounts.map((workers) =>
      Object.fromEntries([
        ["workers", workers] as const,
        ...sizes.filter((size) => size.workers === workers).map((size) => [`s${size.shards}`, cell(size)] as const),
      ]),
    );
  report.table({
    name: "simulated",
    title: `Simulated, not measured: thousand messages/s by workers and shards, and what is busiest (a worker's main or skill thread, a shard, the broker); no-op, ${brokerUnits} broker units, ${awayMicros / 1_000} ms between machines, ${duplicates * 100} % duplicates`,
    columns,
    rows: rowsOf(({ full }) => `${(full.perSecond / 1_000).toFixed(0)}: ${boundText(full.bottleneck, full.utilization)}`),
  });
  report.table({
    name: "simulated-p99",
    title: `Simulated: 99 % from arrival to settlement with ${busyShare * 100} % of that arriving, ms`,
    columns,
    rows: rowsOf(({ busy }) => single(busy.p99Ms, 1)),
  });
  const percent = (share: number): string => `${share >= 0 ? "+" : ""}${(share * 100).toFixed(0)} %`;
  const micros = (value: number): string => `${value.toFixed(1)} µs`;
  report.remark(
    `Simulated with what was measured above: batches of ${costs.batch} messages; a message costs ${micros(costs.main)} of a worker's main thread and ${micros(costs.threads)} of its others, ${micros(costs.store)} of the store and ${micros(costs.broker)} of a broker unit; each script call ${micros(costs.storeCall)} of its shard, and ${micros(costs.furtherCall)} of the main thread beyond a batch's first. With twice the workers a message cost the worker ${percent(growth.worker)} (of which the cores that they share here: not taken over), the store ${percent(growth.store)}, the broker ${percent(growth.broker)} (taken over up to as many workers as were measured). Records lie under ${hashTagsDefault} hash tags, or as many as there are shards; where the one does not divide the other, some shards have more of them than others, and the busiest bounds all. A unit of the broker does what the local one does on a core. What arrives comes in batches as large as when the queue is full, so that the times are rather too long. Of ${duplicates * 100} % duplicates, ${(100 * median(sizes.map(({ full }) => full.held))).toFixed(0)} % found their event at work elsewhere and were put back.`,
  );
}

function charts(report: Report, sizes: readonly SimulatedSize[]): void {
  const lines = (of: (size: SimulatedSize) => number) =>
    shardCounts.map((shards) => ({
      name: shardsText(shards),
      points: sizes.filter((size) => size.shards === shards).map((size) => [size.workers, of(size)] as const),
    }));
  report.chart({
    kind: "lines",
    title: "Simulated: throughput by workers and shards",
    unit: "messages/s",
    isLog: true,
    x: { title: "workers", isLog: true },
    series: lines(({ full }) => full.perSecond),
  });
  report.chart({
    kind: "lines",
    title: `Simulated: 99 % from arrival to settlement, with ${busyShare * 100} % of that arriving`,
    unit: "ms",
    isLog: true,
    x: { title: "workers", isLog: true },
    series: lines(({ busy }) => busy.p99Ms),
  });
  const most = sizes.filter(({ workers }) => workers === workerCounts.at(-1));
  report.chart({
    kind: "bars",
    title: `Simulated: how busy each part is with ${workerCounts.at(-1)} workers`,
    unit: "%",
    labels: most.map(({ shards }) => shardsText(shards)),
    series: (["main thread", "skill thread", "shard", "broker"] as const).map((part) => ({
      name: part === "shard" ? "busiest shard" : part,
      values: most.map(({ full }) => full.utilizations[part] * 100),
    })),
  });
}
