import { median, type Figure, figure, ratio } from "../support/figures.ts";
import { Redis } from "ioredis";
import { type RedisCluster, startRedisCluster } from "../../test/support/redis-cluster.ts";
import { messagesOf, shapes } from "../peers/work.ts";
import { type Arena, inArena } from "../support/arena.ts";
import { contenderOf } from "../support/contenders.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import type { Measured } from "../support/reading.ts";
import { type RedisUsage, usageOf } from "../support/redis.ts";
import { Resident, type ResidentOptions } from "../support/resident.ts";
import { guardsOf, type Verdict } from "../support/verdict.ts";
import { fit } from "./fit.ts";
import { tellSimulated } from "./tell-simulated.ts";

export interface ScaleOptions extends ReportOptions {
  readonly quick?: boolean;
}

interface Row {
  readonly size: string;
  readonly turns: readonly Measured[];
}

/** Workers that stay. */
interface Pool extends Row {
  readonly workers: number;
  readonly pool: Resident;
  readonly turns: Measured[];
}

/** Whether what was sent has ended as it must. */
type Verdicts = Verdict[];

const megabyte = 1e6;
/** Bytes of a record of the broker that are no body. */
const headerBytes = 4_096;
const bodyBytes = 256;
const largestBytes = 256 * 1_024;
const workerCounts = [1, 2, 4];
/** The counts take turns, so that they meet the same machine. */
const rounds = { quick: 3, full: 5 };
/**
 * Of each worker in a turn, and before the first one, by how many it is one of. The first ten thousands still become cheaper, to a third: all pools are
 * to have had as many messages for each worker by the middle of a run, or what has not been compiled yet would be taken for a growth of costs. One by
 * itself has more in a turn, which would be too short otherwise.
 */
const poolEvents = {
  quick: new Map([
    [1, { warmUp: 6_000, turn: 16_000 }],
    [2, { warmUp: 15_000, turn: 10_000 }],
    [4, { warmUp: 18_000, turn: 8_000 }],
  ]),
  full: new Map(workerCounts.map((count) => [count, { warmUp: 50_000, turn: 50_000 }])),
} as const;
/** A backlog beside that of a turn, in a quick run. */
const deepBacklog = 40_000;
/** What a pool holds at the end of what is counted must be as much as at its beginning: the cost of these is only in part of either side. */
const countedTo = 0.85;
/** Batches that the simulation of a size counts at least. */
const simulatedBatches = { quick: 400, full: 2_000 };

export async function run(options: ScaleOptions): Promise<number> {
  const extent = options.quick === true ? "quick" : "full";
  const isQuick = extent === "quick";
  const report = new Report("scale", options);
  const verdicts: Verdicts = [];
  // Its pools warm up broker and store.
  await inArena({ messageBytesMax: largestBytes + headerBytes, isForLoads: true }, async (arena) => {
    const measure = (size: string, events: number, bytes?: number): Promise<Row> => fresh(arena, size, { events, rounds: isQuick ? 1 : 3, bytes }, verdicts);
    const { workers, shards, deep } = await measurePools(arena, extent, verdicts);
    const backlogs: Row[] = isQuick
      ? [
          { size: waitingText(poolEvents.quick.get(1)!.turn), turns: workers[0]!.turns },
          { size: waitingText(deepBacklog), turns: deep },
        ]
      : [];
    for (const backlog of isQuick ? [] : [1_000, 10_000, 100_000, 1_000_000]) backlogs.push(await measure(waitingText(backlog), backlog));
    const events = isQuick ? 12_000 : 100_000;
    const payloads: Row[] = [{ size: `${bodyBytes} bytes`, turns: backlogs[isQuick ? 0 : 2]!.turns }];
    for (const bytes of isQuick ? [65_536] : [1_024, 4_096, 16_384, 65_536, largestBytes])
      payloads.push(await measure(`${bytes.toLocaleString("en")} bytes`, Math.round(events / Math.max(1, bytes / 2_048)), bytes));
    tellMeasured(report, { workers, backlogs, payloads, shards });
    const points = workers.map(({ turns }, index) => ({ workers: workerCounts[index]!, turns }));
    tellSimulated(report, fit(points, { one: shards[0]!.turns, spread: shards[1]!.turns }), points, simulatedBatches[extent]);
  });
  showProgress("");
  report.guards(...guardsOf("Holdfast", verdicts));
  return report.end();
}

/**
 * One, two and four workers, and one whose records lie on a cluster: all stay, and take turns. What the simulation is told and what it must
 * reproduce is thus what messages cost once code is compiled, and one worker on one Redis and on three differ by nothing else.
 */
async function measurePools(
  arena: Arena,
  extent: keyof typeof poolEvents,
  verdicts: Verdicts,
): Promise<{ readonly workers: readonly Row[]; readonly shards: readonly Row[]; readonly deep: readonly Measured[] }> {
  const eventsOf = (workers: number): { readonly warmUp: number; readonly turn: number } => poolEvents[extent].get(workers)!;
  const messages = { ...messagesOf(shapes[0]!, 0), sizes: { kind: "fixed", bytes: bodyBytes } as const };
  const start = async (size: string, workers: number, place?: Pick<ResidentOptions, "ground" | "usage">): Promise<Pool> => {
    const pool = await Resident.start(arena, { contender: contenderOf("holdfast"), messages, workers, isHeld: true, countedTo, ...place });
    return { size, workers, pool, turns: [] };
  };
  return onCluster(async ({ url, usage }) => {
    showProgress("workers start");
    const pools = await Promise.all([
      ...workerCounts.map((count) => start(`${count} ${count === 1 ? "worker" : "workers"}`, count)),
      start("a cluster of three", 1, { ground: { config: { store: { kind: "redis", url, cluster: true, prefix: "scale" } } }, usage }),
    ]);
    try {
      for (const { size, workers, pool } of pools) {
        showProgress(`${size}: warm-up`);
        await pool.drain(workers * eventsOf(workers).warmUp);
      }
      for (let round = 1; round <= rounds[extent]; round += 1) {
        for (const { size, workers, pool, turns } of pools) {
          showProgress(`${size}: round ${round} of ${rounds[extent]}`);
          turns.push(await pool.drain(workers * eventsOf(workers).turn));
        }
      }
      showProgress(waitingText(deepBacklog));
      const deep = extent === "quick" ? [await pools[0].pool.drain(deepBacklog)] : [];
      verdicts.push(...(await Promise.all(pools.map(({ pool }) => pool.verdict()))));
      return { workers: pools.slice(0, workerCounts.length), shards: [{ size: "one Redis", turns: pools[0].turns }, pools.at(-1)!], deep };
    } finally {
      await Promise.all(pools.map(({ pool }) => pool.stop()));
    }
  });
}

function waitingText(messages: number): string {
  return `${messages.toLocaleString("en")} waiting`;
}

/** A worker that starts when all of it waits. */
async function fresh(
  arena: Arena,
  size: string,
  { events, rounds: count, bytes = bodyBytes }: { readonly events: number; readonly rounds: number; readonly bytes: number | undefined },
  verdicts: Verdicts,
): Promise<Row> {
  const turns: Measured[] = [];
  for (let round = 1; round <= count; round += 1) {
    showProgress(size);
    const messages = { ...messagesOf(shapes[0]!, events), sizes: { kind: "fixed", bytes } as const };
    const turn = await arena.drain(contenderOf("holdfast"), { messages });
    turns.push(turn);
    verdicts.push(turn.verdict);
  }
  return { size, turns };
}

interface MeasuredCluster extends Pick<RedisCluster, "url"> {
  /** Of all its servers together. */
  readonly usage: () => Promise<RedisUsage>;
}

async function onCluster<Result>(act: (cluster: MeasuredCluster) => Promise<Result>): Promise<Result> {
  const cluster = await startRedisCluster();
  const clients = cluster.masters.map(({ url }) => new Redis(url));
  try {
    return await act({
      url: cluster.url,
      async usage() {
        const all = await Promise.all(clients.map(usageOf));
        return { cpuMicros: all.reduce((sum, { cpuMicros }) => sum + cpuMicros, 0), scriptCalls: all.reduce((sum, { scriptCalls }) => sum + scriptCalls, 0) };
      },
    });
  } finally {
    for (const client of clients) client.disconnect();
    await cluster.stop();
  }
}

function speed({ turns: list }: Row): Figure {
  return figure(list, ({ perSecond }) => perSecond, 0);
}

function tellMeasured(report: Report, rows: Readonly<Record<"workers" | "backlogs" | "payloads" | "shards", readonly Row[]>>): void {
  for (const [name, list] of Object.entries(rows)) {
    report.table({
      name,
      title: `${name}: a queue of no-ops, one thread a worker`,
      columns: { size: "", perSecond: "messages/s", times: "of the first", client: "client CPU, µs", redis: "Redis, µs", broker: "broker, µs" },
      rows: list.map((row) => ({
        size: row.size,
        perSecond: speed(row),
        times: ratio(speed(row), speed(list[0]!), 2),
        client: figure(row.turns, ({ clientMicros }) => clientMicros, 1),
        redis: figure(row.turns, ({ redisMicros }) => redisMicros, 1),
        broker: figure(row.turns, ({ brokerMicros }) => brokerMicros, 1),
      })),
    });
  }
  const cost = (row: Row): number => median(row.turns.map(({ clientMicros, redisMicros, brokerMicros }) => clientMicros + redisMicros + brokerMicros));
  const sizesOf = (list: readonly Row[]) => list.map((row) => [Number(/^[\d,]+/.exec(row.size)?.[0].replaceAll(",", "")), cost(row)] as const);
  report.chart({
    kind: "lines",
    title: "What a message costs by what waits",
    unit: "µs",
    x: { title: "messages waiting", isLog: true },
    series: [{ name: "client, Redis and broker", points: sizesOf(rows.backlogs) }],
  });
  report.chart({
    kind: "lines",
    title: "What a message costs by its size",
    unit: "µs",
    isLog: true,
    x: { title: "bytes", isLog: true },
    series: [{ name: "client, Redis and broker", points: sizesOf(rows.payloads) }],
  });
  const largest = rows.payloads.at(-1)!;
  const bytes = Number(/^[\d,]+/.exec(largest.size)?.[0].replaceAll(",", ""));
  report.remark(`Bodies of ${largest.size} pass at ${((median(speed(largest).samples) * bytes) / megabyte).toFixed(0)} MB/s.`);
  const deepest = rows.backlogs.at(-1)!;
  const before = rows.backlogs.at(-2)!;
  report.targets({
    what: `rate with ${deepest.size} / with ${before.size}`,
    found: ratio(speed(deepest), speed(before), 2),
    unit: "",
    bound: { atLeast: 0.5 },
    aim: 0.9,
  });
}
