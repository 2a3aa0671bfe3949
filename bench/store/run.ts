import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { createRedisRunStore } from "#runtime/adapters/redis/run-store.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { createThreadedSqliteRunStore } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { ClaimRequest, RunStore, RunStoreOptions } from "#runtime/ports/run-store.ts";
import { figure } from "../support/figures.ts";
import { planted } from "../support/plant.ts";
import { startBenchRedis } from "../support/redis.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { interleave } from "../support/rounds.ts";
import { fill } from "./fill.ts";

export interface StoreOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly rounds?: number;
  readonly batches?: number;
  readonly fill?: number;
}

interface Contender {
  readonly name: string;
  readonly store: RunStore;
  readonly batchSize: number;
  /** Batches on their way at once. */
  readonly inFlight: number;
  /** CPU time of the store where it is not the main thread, in microseconds. */
  readonly storeMicros: () => Promise<number>;
}

interface Cost {
  readonly mainMicros: number;
  readonly storeMicros: number;
  readonly perSecond: number;
}

interface Turn {
  readonly claim: Cost;
  readonly finish: Cost;
  /** Ids of runs that were not claimed, or not marked as done. */
  readonly refused: readonly string[];
}

const fullSize = { rounds: 7, batches: 40, fill: 10_000_000 };
const quickSize = { rounds: 1, batches: 10, fill: 100_000 };
const nothing = new Uint8Array(0);
const sqliteBatches = [256, 500];
const redisBatches = [
  [256, 1],
  [500, 1],
  [500, 2],
] as const;

export async function run(options: StoreOptions): Promise<number> {
  const { quick = false } = options;
  const { rounds, batches, fill: upTo } = { ...(quick ? quickSize : fullSize), ...options };
  const report = new Report("store", options);
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
  const server = await startBenchRedis();
  const redis = new Redis(server.url);
  const prefix = `bench-${randomUUID()}`;
  const contenders = [...sqliteContenders(folder), ...redisContenders(redis, server.url, prefix)];
  try {
    await Promise.all(contenders.map(({ store }) => store.start()));
    tellCosts(report, await interleave(contenders, rounds, (contender) => turn(contender, batches)), rounds);
    await fill(report, { folder, redisMicros, otherThreadsMicros, fill: upTo });
  } finally {
    await Promise.all(contenders.map(({ store }) => store.stop()));
    await removeKeys(redis, prefix);
    await server.stop();
    rmSync(folder, { recursive: true });
  }
  return report.end();
}

function tellCosts(report: Report, samples: ReadonlyMap<string, readonly Turn[]>, rounds: number): void {
  report.table({
    name: "costs",
    title: `A run's cost, claimed and marked as done in batches; median (range) of ${rounds} rounds`,
    columns: { name: "store", what: "", main: "main thread CPU, µs a run", store: "store's own CPU, µs a run", perSecond: "runs/s" },
    rows: [...samples].flatMap(([name, turns]) => [
      rowOf(
        name,
        "claim",
        turns.map(({ claim }) => claim),
      ),
      rowOf(
        "",
        "done",
        turns.map(({ finish }) => finish),
      ),
    ]),
  });
  const refused = [...samples.values()].flat().flatMap((one) => one.refused);
  report.guards({ what: "claims of new events and their done marks that were refused", wrong: refused.length, examples: refused.slice(0, 3) });
}

function sqliteContenders(folder: string): Contender[] {
  const stores: readonly (readonly [name: string, inFlight: number, make: (options: RunStoreOptions) => RunStore])[] = [
    ["SQLite in memory", 1, (options) => createSqliteRunStore({ ...options, path: ":memory:", clock: systemClock })],
    ["SQLite file", 1, (options) => createSqliteRunStore({ ...options, path: join(folder, "runs.sqlite"), clock: systemClock })],
    ["SQLite file, own thread", 2, (options) => createThreadedSqliteRunStore({ ...options, path: join(folder, "threaded.sqlite"), clock: systemClock })],
  ];
  return stores.flatMap(([name, inFlight, make]) =>
    sqliteBatches.map((batchSize) => ({
      name: contenderName(name, batchSize, inFlight),
      store: make({ consumer: `bench-${batchSize}`, retentionMs: 86_400_000 }),
      batchSize,
      inFlight,
      storeMicros: () => Promise.resolve(otherThreadsMicros()),
    })),
  );
}

function redisContenders(redis: Redis, url: string, prefix: string): Contender[] {
  const storeMicros = (): Promise<number> => redisMicros(redis);
  return redisBatches.map(([batchSize, inFlight], index) => ({
    name: contenderName("Redis", batchSize, inFlight),
    store: createRedisRunStore({ consumer: `bench-${index}`, retentionMs: 600_000, url, prefix }),
    batchSize,
    inFlight,
    storeMicros,
  }));
}

async function redisMicros(redis: Redis): Promise<number> {
  const info = await redis.info("cpu");
  const seconds = [...info.matchAll(/^used_cpu_(?:sys|user)_main_thread:([\d.]+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
  return seconds * 1_000_000;
}

function contenderName(store: string, batchSize: number, inFlight: number): string {
  return `${store}, batches of ${batchSize}${inFlight === 1 ? "" : `, ${inFlight} at once`}`;
}

async function turn({ store, batchSize, inFlight, storeMicros }: Contender, batches: number): Promise<Turn> {
  const parts = Array.from({ length: batches }, () => Array.from({ length: batchSize }, requestOf));
  const writes = parts.map((part) => part.map(({ eventId }) => ({ eventId, epoch: planted() === "wrong" ? 2 : 1, outbox: nothing })));
  const runs = batches * batchSize;
  const refused: string[] = [];
  const claim = await measured(runs, storeMicros, () =>
    inTurns(parts, inFlight, async (part) => {
      const results = await store.claim(part, 60_000);
      results.forEach(({ kind }, index) => kind === "acquired" || refused.push(part[index]!.eventId));
    }),
  );
  const finish = await measured(runs, storeMicros, () =>
    inTurns(writes, inFlight, async (part) => {
      const results = await store.finish(part);
      results.forEach((result, index) => result === "written" || refused.push(part[index]!.eventId));
    }),
  );
  return { claim, finish, refused };
}

function requestOf(_: unknown, index: number): ClaimRequest {
  return { eventId: randomUUID(), token: `worker-1:4711:0a1b2c3d:${index}`, payloadHash: "vyGp6PvFo4RvsFtPoIWeCReyIC8=", pipelineHash: "0123456789abcdef" };
}

async function inTurns<T>(parts: readonly T[], inFlight: number, call: (part: T) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < parts.length; from += inFlight) await Promise.all(parts.slice(from, from + inFlight).map(call));
}

async function measured(runs: number, storeMicros: () => Promise<number>, work: () => Promise<void>): Promise<Cost> {
  const storeBefore = await storeMicros();
  const mainBefore = mainThreadMicros();
  const startMs = performance.now();
  await work();
  const tookMs = performance.now() - startMs;
  const mainAfter = mainThreadMicros();
  return { mainMicros: (mainAfter - mainBefore) / runs, storeMicros: ((await storeMicros()) - storeBefore) / runs, perSecond: (runs / tookMs) * 1_000 };
}

function mainThreadMicros(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

function otherThreadsMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system - mainThreadMicros();
}

function rowOf(
  name: string,
  what: string,
  costs: readonly Cost[],
): { name: string; what: string; main: ReturnType<typeof figure>; store: ReturnType<typeof figure>; perSecond: ReturnType<typeof figure> } {
  return {
    name,
    what,
    main: figure(costs, ({ mainMicros }) => mainMicros, 2),
    store: figure(costs, ({ storeMicros }) => storeMicros, 2),
    perSecond: figure(costs, ({ perSecond }) => perSecond, 0),
  };
}

async function removeKeys(redis: Redis, prefix: string): Promise<void> {
  for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1_000 }) as AsyncIterable<string[]>) if (keys.length > 0) await redis.unlink(keys);
  await redis.quit();
}
