import { type Figure, figure, median, ratio } from "../support/figures.ts";
import { type Arena, inArena, type Turn } from "../support/arena.ts";
import { type Contender, contenderOf } from "../support/contenders.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import type { Target } from "../support/target.ts";
import { guardsOf } from "../support/verdict.ts";
import { type ContenderKey, contenderKeys, type ShapeName } from "./names.ts";
import { eventsFor, messagesOf, type Shape, shapes } from "./work.ts";

export interface PeersOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
  readonly seconds?: number;
  readonly handlers?: readonly ShapeName[];
  readonly only?: readonly ContenderKey[];
}

interface Row {
  readonly contender: Contender;
  readonly turns: Turn[];
}

/** What else a quick run tries than a no-op, and whom. */
const quickShapes: readonly ShapeName[] = ["no-op", "cpu-100us", "three-steps", "mixed"];
const tried: readonly ContenderKey[] = ["holdfast", "receive-messages"];
const fullRounds = 5;
const fullSeconds = 4;
/** How many times faster than each we are to be; bounds are set where a loaded machine still gets. */
const aims: readonly (readonly [ShapeName, ours: ContenderKey, than: ContenderKey, atLeast: number, aim: number])[] = [
  ["no-op", "holdfast", "bare-sdk", 1, 3],
  ["no-op", "holdfast-sqlite", "bare-sdk", 1, 2],
  ["no-op", "holdfast", "subscribe", 8, 20],
  ["no-op", "holdfast", "subscribe-200", 2, 6],
  ["no-op", "holdfast", "bullmq", 2, 5],
  ["three-steps", "holdfast", "bare-sdk", 0.25, 1.5],
];

export async function run(options: PeersOptions): Promise<number> {
  const { quick = false, handlers } = options;
  const report = new Report("peers", options);
  const names = handlers ?? (quick ? quickShapes : shapes.map(({ name }) => name));
  const chosen = shapes.filter(({ name }) => names.includes(name));
  await inArena({ turnsMax: contenderKeys.length * roundsOf(options) * chosen.length }, async (arena) => {
    for (const shape of chosen) {
      const isBrief = quick && handlers === undefined && shape.name !== "no-op";
      tell(report, shape, await measure(arena, shape, options, isBrief));
    }
  });
  showProgress("");
  return report.end();
}

function roundsOf({ quick = false, rounds = quick ? 1 : fullRounds }: PeersOptions): number {
  return rounds;
}

function contendersFor(shape: Shape, { only = contenderKeys }: PeersOptions, isBrief: boolean): readonly Contender[] {
  const isFit = (key: ContenderKey): boolean => {
    if (key === "bullmq-sandboxed") return shape.cpuMicros !== undefined;
    if (key === "bare-sdk" && shape.name === "three-steps") return true;
    return key === "bare-sdk" || key === "bare-rhea" ? shape.name === "no-op" : true;
  };
  const isTried = (key: ContenderKey): boolean => tried.includes(key) || (key === "bare-sdk" && shape.name === "three-steps");
  return only.filter((key) => isFit(key) && (!isBrief || isTried(key))).map(contenderOf);
}

async function measure(arena: Arena, shape: Shape, options: PeersOptions, isBrief: boolean): Promise<readonly Row[]> {
  const { quick = false } = options;
  const seconds = options.seconds ?? (quick ? 2 : fullSeconds);
  const rounds = roundsOf(options);
  const rows = contendersFor(shape, options, isBrief).map((contender): Row => ({ contender, turns: [] }));
  for (let round = 1; round <= rounds; round += 1) {
    for (const { contender, turns } of rows) {
      showProgress(`${shape.name}, round ${round} of ${rounds}: ${contender.name}`);
      const events = eventsFor(contender.key, shape, isBrief && shape.name !== "three-steps" ? seconds / 2 : seconds);
      turns.push(await arena.drain(contender, { messages: messagesOf(shape, events), threads: shape.threads }));
    }
  }
  return rows;
}

function speedOf({ turns }: Row): Figure {
  return figure(turns, ({ perSecond }) => perSecond, 0);
}

function tell(report: Report, shape: Shape, rows: readonly Row[]): void {
  const { name, title, cpuMicros, threads } = shape;
  const micros = (turns: readonly Turn[], of: (turn: Turn) => number): Figure => figure(turns, of, 1);
  const ours = rows.find(({ contender }) => contender.key === "holdfast");
  report.table({
    name,
    title: `${name}: ${title}; ${threads === 1 ? "one thread" : `${threads} threads`}; median (range) of ${rows[0]?.turns.length ?? 0} rounds`,
    columns: {
      name: "",
      perSecond: "messages/s",
      times: "Holdfast is faster by",
      client: "client CPU, µs",
      redis: "Redis, µs",
      broker: "broker, µs",
      all: "together",
      tail: "last 5 %, ms",
      wrong: "lost/wrong/twice",
    },
    rows: rows.map(({ contender, turns }) => ({
      name: contender.name,
      perSecond: speedOf({ contender, turns }),
      times: ours === undefined || contender === ours.contender ? undefined : ratio(speedOf(ours), speedOf({ contender, turns }), 2),
      client: micros(turns, ({ clientMicros }) => clientMicros),
      redis: micros(turns, ({ redisMicros }) => redisMicros),
      broker: micros(turns, ({ brokerMicros }) => brokerMicros),
      all: micros(turns, ({ clientMicros, redisMicros, brokerMicros }) => clientMicros + redisMicros + brokerMicros),
      tail: figure(turns, ({ tailMs }) => tailMs, 0),
      wrong: (["lost", "wrong", "twice"] as const).map((what) => turns.reduce((sum, { verdict }) => sum + verdict[what].length, 0)).join("/"),
    })),
  });
  report.chart({
    kind: "bars",
    title: `Throughput, ${name}`,
    unit: "messages/s",
    labels: rows.map(({ contender }) => contender.name),
    series: [{ name: "messages/s", values: rows.map((row) => median(speedOf(row).samples)) }],
  });
  for (const { contender, turns } of rows) {
    if (contender.key.startsWith("holdfast"))
      report.guards(
        ...guardsOf(
          `${name}, ${contender.name}`,
          turns.map(({ verdict }) => verdict),
        ),
      );
  }
  if (ours === undefined) return;
  // Those with an aim are compared as targets.
  const hasAim = ({ key }: Contender): boolean => aims.some(([shapeOf, , aimed]) => shapeOf === name && aimed === key);
  for (const row of rows.filter(({ contender }) => contender !== ours.contender && !hasAim(contender))) {
    report.ratio(`${name}: Holdfast / ${row.contender.name}`, ratio(speedOf(ours), speedOf(row), 2));
  }
  report.targets(...targetsOf(name, rows));
  if (name === "no-op") costChart(report, rows);
  if (cpuMicros === undefined) return;
  report.targets({
    what: `${name}: CPU efficiency on ${threads} threads`,
    found: figure(ours.turns, ({ perSecond }) => (perSecond * cpuMicros) / (threads * 10_000), 0),
    unit: "%",
    bound: { atLeast: 60 },
    aim: 92,
  });
}

function targetsOf(shape: ShapeName, rows: readonly Row[]): readonly Target[] {
  const rowOf = (key: ContenderKey): Row | undefined => rows.find(({ contender }) => contender.key === key);
  return aims.flatMap(([aimed, key, than, atLeast, aim]) => {
    const [ours, theirs] = [rowOf(key), rowOf(than)];
    if (aimed !== shape || ours === undefined || theirs === undefined) return [];
    // The ratios of saved runs bear this name.
    const name = key === "holdfast" ? "Holdfast" : ours.contender.name;
    const what = `${shape}, messages/s: ${name} / ${theirs.contender.name}`;
    return [{ what, found: ratio(speedOf(ours), speedOf(theirs), 2), unit: "", bound: { atLeast }, aim }];
  });
}

function costChart(report: Report, rows: readonly Row[]): void {
  const part = (name: string, of: (turn: Turn) => number): { readonly name: string; readonly values: readonly number[] } => ({
    name,
    values: rows.map(({ turns }) => median(turns.map(of))),
  });
  report.chart({
    kind: "bars",
    title: "CPU of a message, by who spends it",
    unit: "µs",
    isStacked: true,
    labels: rows.map(({ contender }) => contender.name),
    series: [
      part("client", ({ clientMicros }) => clientMicros),
      part("Redis", ({ redisMicros }) => redisMicros),
      part("broker", ({ brokerMicros }) => brokerMicros),
    ],
  });
}
