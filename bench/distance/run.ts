import type { ContenderKey, ShapeName } from "../peers/names.ts";
import { eventsFor, messagesOf, shapes } from "../peers/work.ts";
import { type Arena, inArena, type Turn } from "../support/arena.ts";
import { contenderOf } from "../support/contenders.ts";
import { Distance } from "../support/distance.ts";
import { type Figure, figure, median, ratio } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf } from "../support/verdict.ts";

export interface DistanceOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
}

interface Row {
  readonly key: ContenderKey;
  readonly shape: ShapeName;
  readonly delayMs: number;
  readonly turns: Turn[];
}

const ours = "holdfast";
const measured: readonly (readonly [ContenderKey, ShapeName])[] = [
  ["holdfast", "no-op"],
  ["holdfast", "steps"],
  ["subscribe-200", "no-op"],
  ["receive-messages", "no-op"],
];
/** By the distance, about what is left of the rate of a peer: a turn is to take as long everywhere. */
const roughShares = new Map([
  [0, 1],
  [1, 0.6],
  [5, 0.4],
  [20, 0.15],
]);
/** What is left of the worker's own. */
const ownShare = 0.9;
const quickDelays = [0, 20];
/** Of the near rate, by the distance. */
const wanted: readonly (readonly [delayMs: number, atLeast: number])[] = [
  [5, 0.9],
  [20, 0.7],
];

export async function run(options: DistanceOptions): Promise<number> {
  const { quick = false, rounds = quick ? 1 : 3 } = options;
  const report = new Report("distance", options);
  const delays = quick ? quickDelays : [...roughShares.keys()];
  const rows = await measure(measured, { delays, rounds, seconds: quick ? 1.2 : 4 });
  tell(report, rows);
  tellChart(report, rows, delays);
  return report.end();
}

/** The worker alone, as a part of another bench's report. */
export async function ownDistance(report: Report): Promise<void> {
  const own = measured.filter(([key]) => key === ours);
  tell(report, await measure(own, { delays: [...roughShares.keys()], rounds: 3, seconds: 4 }));
}

async function measure(
  contenders: typeof measured,
  { delays, rounds, seconds }: { readonly delays: readonly number[]; readonly rounds: number; readonly seconds: number },
): Promise<readonly Row[]> {
  const rows = contenders.flatMap(([key, shape]) => delays.map((delayMs): Row => ({ key, shape, delayMs, turns: [] })));
  await inArena({}, async (arena) => {
    for (let round = 1; round <= rounds; round += 1) {
      for (const row of rows) {
        showProgress(`round ${round} of ${rounds}: ${contenderOf(row.key).name}, ${row.shape}, ${row.delayMs} ms`);
        row.turns.push(await turn(arena, row, seconds));
      }
    }
  });
  showProgress("");
  return rows;
}

async function turn(arena: Arena, { key, shape: name, delayMs }: Row, seconds: number): Promise<Turn> {
  const shape = shapes.find((one) => one.name === name)!;
  const away = await Distance.start();
  try {
    const connectionString = await away.put(arena.broker.connectionString, delayMs);
    const redisUrl = await away.put(arena.redis.url, delayMs);
    const share = key === ours ? ownShare : (roughShares.get(delayMs) ?? 1);
    const events = Math.max(600, Math.round(eventsFor(key, shape, seconds) * share));
    return await arena.drain(contenderOf(key), { messages: messagesOf(shape, events), ground: { connectionString, redisUrl } });
  } finally {
    await away.stop();
  }
}

function speed({ turns }: Row): Figure {
  return figure(turns, ({ perSecond }) => perSecond, 0);
}

function tell(report: Report, rows: readonly Row[]): void {
  const near = ({ key, shape }: Row): Row => rows.find((row) => row.key === key && row.shape === shape && row.delayMs === 0)!;
  report.table({
    name: "distance",
    title: "Broker and store so far away each way, one thread",
    columns: { name: "", shape: "work", delay: "away, ms", perSecond: "messages/s", part: "of the near rate" },
    rows: rows.map((row) => ({
      name: contenderOf(row.key).name,
      shape: row.shape,
      delay: row.delayMs,
      perSecond: speed(row),
      part: ratio(speed(row), speed(near(row)), 2),
    })),
  });
  const own = rows.filter(({ key }) => key === ours);
  for (const [delayMs, atLeast] of wanted) {
    for (const row of own.filter((one) => one.delayMs === delayMs))
      report.targets({
        what: `Holdfast, ${row.shape} at ${delayMs} ms / near`,
        found: ratio(speed(row), speed(near(row)), 2),
        unit: "",
        bound: { atLeast },
      });
  }
  report.guards(
    ...guardsOf(
      "Holdfast",
      own.flatMap(({ turns }) => turns.map(({ verdict }) => verdict)),
    ),
  );
}

function tellChart(report: Report, rows: readonly Row[], delays: readonly number[]): void {
  report.chart({
    kind: "lines",
    title: "Throughput by distance",
    unit: "messages/s",
    isLog: true,
    x: { title: "ms each way" },
    series: measured.map(([key, shape]) => ({
      name: `${contenderOf(key).name}, ${shape}`,
      points: delays.map(
        (delayMs) => [delayMs, median(speed(rows.find((row) => row.key === key && row.shape === shape && row.delayMs === delayMs)!).samples)] as const,
      ),
    })),
  });
}
