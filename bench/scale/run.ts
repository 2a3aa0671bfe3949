import { median, type Figure, figure, ratio, single } from "../support/figures.ts";
import { startRedisCluster } from "../../test/support/redis-cluster.ts";
import { messagesOf, shapes } from "../peers/work.ts";
import { type Arena, inArena, type Turn } from "../support/arena.ts";
import { contenderOf, type Ground } from "../support/contenders.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { guardsOf } from "../support/verdict.ts";
import { capacityOf, type Costs } from "./model.ts";

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
const largestBytes = 256 * 1_024;
/** Messaging units that a namespace can have at most. */
const brokerUnits = 16;
const workerCounts = [1, 2, 5, 10, 20, 50, 100, 200];
const shardCounts = [1, 4, 8, 16, 32];

export async function run(options: ScaleOptions): Promise<number> {
  const { quick = false } = options;
  const report = new Report("scale", options);
  const all: Turn[] = [];
  await inArena({ messageBytesMax: largestBytes + headerBytes }, async (arena) => {
    const measure = async (size: string, events: number, changes: Parameters<typeof turns>[3] = {}): Promise<Row> => {
      showProgress(size);
      const row = { size, turns: await turns(arena, events, quick ? 1 : 3, changes) };
      all.push(...row.turns);
      return row;
    };
    const events = quick ? 30_000 : 100_000;
    const workers: Row[] = [];
    for (const count of quick ? [1, 2] : [1, 2, 4]) workers.push(await measure(`${count} ${count === 1 ? "worker" : "workers"}`, events, { workers: count }));
    const backlogs: Row[] = [];
    for (const backlog of quick ? [10_000, 60_000] : [1_000, 10_000, 100_000, 1_000_000])
      backlogs.push(await measure(`${backlog.toLocaleString("en")} waiting`, backlog));
    const payloads: Row[] = [];
    for (const bytes of quick ? [256, 65_536] : [256, 1_024, 4_096, 16_384, 65_536, largestBytes])
      payloads.push(await measure(`${bytes.toLocaleString("en")} bytes`, Math.round(events / Math.max(1, bytes / 2_048)), { bytes }));
    const shards = [{ ...workers[0]!, size: "one Redis" }, await onCluster((redisUrl) => measure("a cluster of three", events, { redisUrl }))];
    tellMeasured(report, { workers, backlogs, payloads, shards });
    tellModelled(report, costsOf(workers[0]!.turns));
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

async function turns(
  arena: Arena,
  events: number,
  rounds: number,
  { workers = 1, bytes = 256, redisUrl }: { readonly workers?: number; readonly bytes?: number; readonly redisUrl?: string },
): Promise<readonly Turn[]> {
  const found: Turn[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const messages = { ...messagesOf(shapes[0]!, events), sizes: { kind: "fixed", bytes } as const };
    found.push(await arena.drain(contenderOf("holdfast"), { messages, workers, ...(redisUrl === undefined ? undefined : { ground: onShards(redisUrl) }) }));
  }
  return found;
}

let prefixes = 0;

function onShards(url: string): Partial<Ground> {
  prefixes += 1;
  return { config: { store: { kind: "redis", url, cluster: true, prefix: `scale-${prefixes}` } } };
}

async function onCluster(act: (url: string) => Promise<Row>): Promise<Row> {
  const cluster = await startRedisCluster();
  try {
    return await act(cluster.url);
  } finally {
    await cluster.stop();
  }
}

function speed({ turns: list }: Row): Figure {
  return figure(list, ({ perSecond }) => perSecond, 0);
}

function costsOf(list: readonly Turn[]): Costs {
  const of = (cost: (turn: Turn) => number): number => median(list.map(cost));
  return { worker: of(({ clientMicros }) => clientMicros), store: of(({ redisMicros }) => redisMicros), broker: of(({ brokerMicros }) => brokerMicros) };
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
        // Of a cluster's servers nobody asks.
        redis: row.size.startsWith("a cluster") ? undefined : figure(row.turns, ({ redisMicros }) => redisMicros, 1),
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

function tellModelled(report: Report, costs: Costs): void {
  const sizes = workerCounts.map((workers) => ({
    workers,
    capacities: shardCounts.map((shards) => ({ shards, ...capacityOf(costs, { workers, shards, brokers: brokerUnits }) })),
  }));
  report.table({
    name: "modelled",
    title: `Computed, not measured: messages/s by workers and shards, and what bounds them; ${costs.worker.toFixed(1)} µs of a worker, ${costs.store.toFixed(1)} of a shard, ${costs.broker.toFixed(1)} of the broker a message; ${brokerUnits} broker units`,
    columns: Object.fromEntries([
      ["workers", "workers"],
      ...shardCounts.map((shards) => [`s${shards}`, `${shards} ${shards === 1 ? "shard" : "shards"}`]),
    ]) as Record<string, string>,
    rows: sizes.map(({ workers, capacities }) =>
      Object.fromEntries([
        ["workers", workers],
        ...capacities.map(({ shards, perSecond, bottleneck }) => [`s${shards}`, `${Math.round(perSecond).toLocaleString("en")} (${bottleneck})`]),
      ]),
    ),
  });
  report.chart({
    kind: "lines",
    title: "Computed: throughput by workers and shards",
    unit: "messages/s",
    isLog: true,
    x: { title: "workers", isLog: true },
    series: shardCounts.map((shards) => ({
      name: `${shards} ${shards === 1 ? "shard" : "shards"}`,
      points: sizes.map(({ workers, capacities }) => [workers, capacities.find((one) => one.shards === shards)!.perSecond] as const),
    })),
  });
  report.ratio("computed: 200 workers and 32 shards / one of each", single(sizes.at(-1)!.capacities.at(-1)!.perSecond / sizes[0]!.capacities[0]!.perSecond, 1));
}
