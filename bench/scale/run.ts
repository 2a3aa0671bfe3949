import { median, type Figure, figure, ratio } from "../support/figures.ts";
import { Redis } from "ioredis";
import { type RedisCluster, startRedisCluster } from "../../test/support/redis-cluster.ts";
import { messagesOf, shapes } from "../peers/work.ts";
import { type Arena, inArena, type Turn } from "../support/arena.ts";
import { contenderOf, type Ground } from "../support/contenders.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf } from "../support/verdict.ts";
import { type RedisUsage, usageOf } from "../support/redis.ts";
import { fit } from "./fit.ts";
import { tellSimulated } from "./tell-simulated.ts";

export interface ScaleOptions extends ReportOptions {
  readonly quick?: boolean;
}

interface Row {
  readonly size: string;
  readonly turns: readonly Turn[];
}

const megabyte = 1e6;
/** Bytes of a record of the broker that are no body. */
const headerBytes = 4_096;
const bodyBytes = 256;
const largestBytes = 256 * 1_024;
const workerCounts = [1, 2, 4];
/** They take turns, so that the counts meet the same machine. */
const workerRounds = 3;
/** Of each worker in a turn of a quick run. */
const shortEvents = 6_000;
/** Batches that the simulation of a size counts at least. */
const simulatedBatches = { quick: 400, full: 2_000 };

export async function run(options: ScaleOptions): Promise<number> {
  const { quick = false } = options;
  const report = new Report("scale", options);
  const all: Turn[] = [];
  await inArena({ messageBytesMax: largestBytes + headerBytes }, async (arena) => {
    const measure = async (size: string, events: number, changes: Changes = {}): Promise<Row> => {
      showProgress(size);
      const row = { size, turns: await turns(arena, events, quick ? 1 : 3, changes) };
      all.push(...row.turns);
      return row;
    };
    const events = quick ? 12_000 : 100_000;
    const workers = await byWorkers(arena, quick ? shortEvents : events);
    const shards = await oneAndThree(arena, events, quick ? 2 : 3);
    all.push(...[...workers, ...shards].flatMap(({ turns: found }) => found));
    const measuredAs = (size: string): Row => ({ size, turns: shards[0].turns });
    const backlogs: Row[] = [];
    for (const backlog of quick ? [events, 40_000] : [1_000, 10_000, events, 1_000_000]) {
      const size = `${backlog.toLocaleString("en")} waiting`;
      backlogs.push(backlog === events ? measuredAs(size) : await measure(size, backlog));
    }
    const payloads: Row[] = [measuredAs(`${bodyBytes} bytes`)];
    for (const bytes of quick ? [65_536] : [1_024, 4_096, 16_384, 65_536, largestBytes])
      payloads.push(await measure(`${bytes.toLocaleString("en")} bytes`, Math.round(events / Math.max(1, bytes / 2_048)), { bytes }));
    tellMeasured(report, { workers, backlogs, payloads, shards });
    // A worker by itself on one Redis has had further turns.
    const points = workers.map(({ turns: found }, index) => ({ workers: workerCounts[index]!, turns: index === 0 ? [...found, ...shards[0].turns] : found }));
    tellSimulated(report, fit(points, { one: shards[0].turns, spread: shards[1].turns }), points, quick ? simulatedBatches.quick : simulatedBatches.full);
  });
  showProgress("");
  report.guards(
    ...guardsOf(
      "Holdfast",
      all.map(({ verdict }) => verdict),
    ),
  );
  return report.end();
}

/** What the simulation must reproduce, in the median: a single turn would tell of what else the machine did just then. */
async function byWorkers(arena: Arena, eventsEach: number): Promise<readonly Row[]> {
  const rows = workerCounts.map((count) => ({ size: `${count} ${count === 1 ? "worker" : "workers"}`, count, turns: [] as Turn[] }));
  for (let round = 1; round <= workerRounds; round += 1) {
    for (const { size, count, turns: found } of rows) {
      showProgress(`${size}: round ${round} of ${workerRounds}`);
      // Each has as many to be warm with.
      found.push(...(await turns(arena, eventsEach * count, 1, { workers: count })));
    }
  }
  return rows;
}

interface Changes {
  readonly workers?: number;
  readonly bytes?: number;
  readonly cluster?: MeasuredCluster;
}

async function turns(arena: Arena, events: number, rounds: number, { workers = 1, bytes = bodyBytes, cluster }: Changes): Promise<readonly Turn[]> {
  const found: Turn[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const messages = { ...messagesOf(shapes[0]!, events), sizes: { kind: "fixed", bytes } as const };
    const place = cluster === undefined ? undefined : { ground: onShards(cluster.url), usage: cluster.usage };
    found.push(await arena.drain(contenderOf("holdfast"), { messages, workers, ...place }));
  }
  return found;
}

let prefixes = 0;

function onShards(url: string): Partial<Ground> {
  prefixes += 1;
  return { config: { store: { kind: "redis", url, cluster: true, prefix: `scale-${prefixes}` } } };
}

interface MeasuredCluster extends Pick<RedisCluster, "url"> {
  /** Of all its servers together. */
  readonly usage: () => Promise<RedisUsage>;
}

/** One Redis and a cluster take turns: it is their difference that tells what a further script call costs. */
async function oneAndThree(arena: Arena, events: number, rounds: number): Promise<readonly [one: Row, three: Row]> {
  const one: Turn[] = [];
  const three: Turn[] = [];
  await onCluster(async (cluster) => {
    for (let round = 1; round <= rounds; round += 1) {
      showProgress(`one Redis and three: round ${round} of ${rounds}`);
      one.push(...(await turns(arena, events, 1, {})));
      three.push(...(await turns(arena, events, 1, { cluster })));
    }
  });
  return [
    { size: "one Redis", turns: one },
    { size: "a cluster of three", turns: three },
  ];
}

async function onCluster(act: (cluster: MeasuredCluster) => Promise<void>): Promise<void> {
  const cluster = await startRedisCluster();
  const clients = cluster.masters.map(({ url }) => new Redis(url));
  try {
    await act({
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
