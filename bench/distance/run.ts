import { Redis } from "ioredis";
import type { ContenderKey, ShapeName } from "../peers/names.ts";
import { eventsFor, messagesOf, type Shape, shapes } from "../peers/work.ts";
import { type Arena, inArena } from "../support/arena.ts";
import { contenderOf } from "../support/contenders.ts";
import { Distance } from "../support/distance.ts";
import { type Figure, figure, median, ratio } from "../support/figures.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { Resident, type Stretch } from "../support/resident.ts";
import { guardsOf, type Verdict } from "../support/verdict.ts";

export interface DistanceOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
}

interface Row {
  readonly key: ContenderKey;
  readonly shape: ShapeName;
  readonly delayMs: number;
  /** Messages a second, one figure a round. */
  readonly perSecond: number[];
  readonly verdict: Verdict;
}

interface Extent {
  readonly delays: readonly number[];
  readonly rounds: number;
  /** Of each, in a round. */
  readonly turns: number;
  /** Before the first round. */
  readonly warmUp: number;
  /** Whether the store is filled first: that takes longer than a quick run has. */
  readonly isFilled: boolean;
}

const ours = "holdfast";
const measured: readonly (readonly [ContenderKey, ShapeName])[] = [
  ["holdfast", "no-op"],
  ["holdfast", "steps"],
  ["subscribe-200", "no-op"],
  ["receive-messages", "no-op"],
];
/** By the distance, about what is left of the rate of a peer: a turn is to take as long everywhere. The worker has as many messages at each. */
const roughShares = new Map([
  [0, 1],
  [1, 0.6],
  [5, 0.4],
  [20, 0.15],
]);
const quickDelays = [0, 20];
/** Of the near rate, by the distance. */
const wanted: readonly (readonly [delayMs: number, atLeast: number])[] = [
  [5, 0.9],
  [20, 0.7],
];
/** The machine has times in which everything takes longer: turns are short, the distances have theirs right after each other, and a round adds up several. */
const turnMs = 1_500;
/** Of steps: they cost less than is assumed where a turn is given its length. */
const stepsTurnMs = 4_000;
/** Before the first round, in turns: connecting, compiling, finding the window. */
const warmUpTurns = { quick: 1, full: 2 };

/** Single rounds differ by a fifth, at each distance alike: with seven, their median tells 0.9 of the near rate from all of it in most runs. */
const ownRounds = 7;

/** Redis has its tables twice as large from 2^20 records on, and from 2^21: a run of this bench remains between. */
const fillerRecords = 1_100_000;
const fillerAtOnce = 50_000;

export async function run(options: DistanceOptions): Promise<number> {
  const { quick = false, rounds = quick ? 1 : 3 } = options;
  const report = new Report("distance", options);
  const delays = quick ? quickDelays : [...roughShares.keys()];
  const rows = await measure(measured, {
    delays,
    rounds,
    turns: quick ? 1 : 2,
    warmUp: quick ? warmUpTurns.quick : warmUpTurns.full,
    isFilled: !quick,
  });
  tell(report, rows);
  tellChart(report, rows, delays);
  return report.end();
}

/** The worker alone, as a part of another bench's report. */
export async function ownDistance(report: Report): Promise<void> {
  const own = measured.filter(([key]) => key === ours);
  tell(report, await measure(own, { delays: [0, 5, 20], rounds: ownRounds, turns: 2, warmUp: warmUpTurns.full, isFilled: true }));
}

async function measure(contenders: typeof measured, extent: Extent): Promise<readonly Row[]> {
  // Contenders have warmed up broker and store by then.
  return inArena({ isForLoads: true }, async (arena) => {
    if (extent.isFilled) await fillStore(arena.redis.url);
    const rows: Row[] = [];
    for (const [key, shape] of contenders) rows.push(...(await beside(arena, key, shape, extent)));
    showProgress("");
    return rows;
  });
}

/** A store that holds so much already does not enlarge its tables in one turn or another. One that is not the bench's own is left as it is. */
async function fillStore(url: string): Promise<void> {
  if (process.env["REDIS_URL"] !== undefined) return;
  const redis = new Redis(url);
  try {
    const script = "for i = ARGV[1], ARGV[2] do redis.call('SET', 'filler:' .. i, '', 'EX', 86400) end";
    for (let from = 1; from < fillerRecords; from += fillerAtOnce) await redis.eval(script, 0, from, from + fillerAtOnce - 1);
  } finally {
    redis.disconnect();
  }
}

/** One worker at each distance, with messages for one of them at a time. */
async function beside(arena: Arena, key: ContenderKey, shape: ShapeName, { delays, rounds, turns, warmUp }: Extent): Promise<readonly Row[]> {
  const away = await Distance.start();
  const placed: { readonly delayMs: number; readonly resident: Resident; readonly stretches: Stretch[] }[] = [];
  const show = (what: string): void => showProgress(`${contenderOf(key).name}, ${shape}, ${what}`);
  const add = async (delayMs: number): Promise<void> => {
    const ground = { connectionString: await away.put(arena.broker.connectionString, delayMs), redisUrl: await away.put(arena.redis.url, delayMs) };
    const { events: _, ...messages } = messagesOf(shapeOf(shape), 0);
    const resident = await Resident.start(arena, { contender: contenderOf(key), messages, ground });
    placed.push({ delayMs, resident, stretches: [] });
    await resident.drain(warmUp * eventsOf(key, shape, delayMs));
  };
  try {
    show("warm-up");
    // Those that are far away wait most of the time.
    await Promise.all(delays.map(add));
    placed.sort((one, other) => one.delayMs - other.delayMs);
    for (let turn = 1; turn <= rounds * turns; turn += 1) {
      for (const { delayMs, resident, stretches } of placed) {
        show(`${delayMs} ms: turn ${turn} of ${rounds * turns}`);
        stretches.push(await resident.drain(eventsOf(key, shape, delayMs)));
      }
    }
    const row = async ({ delayMs, resident, stretches }: (typeof placed)[number]): Promise<Row> => {
      const perSecond = Array.from({ length: rounds }, (__, round) => rateOf(stretches.slice(round * turns, (round + 1) * turns)));
      return { key, shape, delayMs, perSecond, verdict: await resident.verdict() };
    };
    return await Promise.all(placed.map(row));
  } finally {
    await Promise.all(placed.map(({ resident }) => resident.stop()));
    await away.stop();
  }
}

function shapeOf(shape: ShapeName): Shape {
  return shapes.find(({ name }) => name === shape)!;
}

function eventsOf(key: ContenderKey, shape: ShapeName, delayMs: number): number {
  const seconds = (shape === "steps" ? stepsTurnMs : turnMs) / 1_000;
  return Math.round(eventsFor(key, shapeOf(shape), seconds) * (key === ours ? 1 : (roughShares.get(delayMs) ?? 1)));
}

/** Messages a second over all of them. */
function rateOf(stretches: readonly Stretch[]): number {
  const sum = (of: (stretch: Stretch) => number): number => stretches.reduce((all, stretch) => all + of(stretch), 0);
  return (sum(({ messages }) => messages) / sum(({ ms }) => ms)) * 1_000;
}

function speed({ perSecond }: Row): Figure {
  return figure(perSecond, Number, 0);
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
      own.map(({ verdict }) => verdict),
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
