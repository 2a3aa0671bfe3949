import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { createRedisRunRecords } from "#runtime/adapters/redis/run-records.ts";
import { createRedisRunStore, type RedisRunStoreOptions } from "#runtime/adapters/redis/run-store.ts";
import { createSqliteRunRecords } from "#runtime/adapters/sqlite/run-records.ts";
import { createThreadedSqliteRunStore } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { type RunRecordsHarness, runRecordsContract } from "../contracts/run-records.ts";
import { eventually } from "../support/eventually.ts";
import { type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";

const retentionMs = 3_600_000;
let server: RedisServer;
let cluster: RedisCluster;
before(async () => {
  server = await startRedis();
  cluster = await startRedisCluster();
});
after(async () => {
  await server.stop();
  await cluster.stop();
});

interface Startable {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** What was started is stopped with the harness; all clocks are this machine's. */
function harnessOf(
  make: (consumer: string) => Awaited<ReturnType<RunRecordsHarness["open"]>>,
  forget: () => Promise<void> = () => Promise.resolve(),
): RunRecordsHarness {
  const opened: Startable[] = [];
  return {
    async open({ consumer = "orders" } = {}) {
      const both = make(consumer);
      for (const part of [both.store, both.records]) {
        opened.push(part);
        await part.start();
      }
      return both;
    },
    async advance(ms) {
      const target = Date.now() + ms + 1;
      await eventually(`${ms} ms to pass`, () => Date.now() >= target);
    },
    async stop() {
      for (const part of opened) await part.stop();
      await forget();
    },
  };
}

async function onRedis(place: Pick<RedisRunStoreOptions, "url" | "isCluster">): Promise<RunRecordsHarness> {
  const prefix = `test-${randomUUID()}`;
  assert.ok(place.url !== "");
  return harnessOf((consumer) => {
    const options = { ...place, consumer, retentionMs, prefix };
    return { store: createRedisRunStore(options), records: createRedisRunRecords(options) };
  });
}

async function onSqlite(): Promise<RunRecordsHarness> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-records-"));
  return harnessOf(
    (consumer) => {
      const options = { consumer, retentionMs, path: join(folder, "runs.sqlite"), clock: systemClock };
      return { store: createThreadedSqliteRunStore(options), records: createSqliteRunRecords(options) };
    },
    () => rm(folder, { recursive: true }),
  );
}

runRecordsContract("redis", () => onRedis({ url: server.url }));
runRecordsContract("redis cluster", () => onRedis({ url: cluster.url, isCluster: true }));
runRecordsContract("sqlite", onSqlite);
