// The board of a pool, on each store that can be shared, and in a worker's own memory.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { createRedisBoard } from "#runtime/adapters/redis/board.ts";
import { sharedClientOf } from "#runtime/adapters/redis/run-store.ts";
import { createSqliteBoard } from "#runtime/adapters/sqlite/board.ts";
import { createSqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import { createThreadedSqliteRunStore } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { PoolBoard } from "#runtime/ports/pool-board.ts";
import { poolBoardContract } from "../contracts/pool-board.ts";
import { startRedis } from "../support/redis-server.ts";

const url = process.env["REDIS_URL"] ?? "";
assert.ok(url !== "", "expected REDIS_URL; run this file with: node test/run.ts");
const retentionMs = 3_600_000;

function redisBoard(t: TestContext, prefix: string, consumer: string, at = url): PoolBoard {
  const board = createRedisBoard({ consumer, prefix }, sharedClientOf({ url: at, commandTimeoutMs: 1_000 }));
  t.after(() => board.stop());
  return board;
}

poolBoardContract("redis", async (t) => {
  const prefix = `board-${randomUUID().slice(0, 8)}`;
  const redis = new Redis(url);
  t.after(async () => {
    const keys = await redis.keys(`${prefix}:*`);
    if (keys.length > 0) await redis.del(...keys);
    await redis.quit();
  });
  return { open: async (consumer = "orders") => redisBoard(t, prefix, consumer) };
});

poolBoardContract("sqlite", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-board-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return {
    async open(consumer = "orders") {
      const store = createThreadedSqliteRunStore({ consumer, retentionMs, path: join(folder, "runs.sqlite"), clock: systemClock });
      await store.start();
      t.after(() => store.stop());
      return createSqliteBoard(store);
    },
  };
});

test("in memory a board is its worker's alone", async () => {
  const store = createSqliteRunStore({ consumer: "orders", retentionMs, path: ":memory:", clock: systemClock });
  await store.start();
  const board = createSqliteBoard(store);
  await board.put("workers", "a", "1", 60_000);
  assert.equal((await board.list("workers"))[0]?.text, "1");
  await store.stop();
  await assert.rejects(board.list("workers"), StoreUnavailableError);
});

test("on Redis a topic is one key of the consumer's hash tag, which ends with its last note", async (t) => {
  const prefix = `board-${randomUUID().slice(0, 8)}`;
  const redis = new Redis(url);
  t.after(() => redis.quit());
  const board = redisBoard(t, prefix, "orders");
  await board.put("workers", "a", "1", 60_000);
  await board.put("workers", "b", "1", 10_000);
  const keys = await redis.keys(`${prefix}:*`);
  assert.deepEqual(keys, [`${prefix}:{orders}:board:workers`]);
  for (const key of keys) {
    const leftMs = await redis.pttl(key);
    assert.ok(leftMs > 50_000 && leftMs <= 60_000, `${key} ${leftMs}`);
  }
  await redis.del(...keys);
});

test("a Redis that does not answer is told in words, and is asked again when it does", async (t) => {
  const server = await startRedis();
  const board = redisBoard(t, "board", "orders", server.url);
  await board.put("workers", "a", "1", 60_000);
  server.process.kill("SIGSTOP");
  await assert.rejects(board.list("workers"), (error) => error instanceof StoreUnavailableError && /expected Redis at .* to answer/.test(error.message));
  server.process.kill("SIGCONT");
  const deadline = performance.now() + 10_000;
  let found = 0;
  while (found === 0 && performance.now() < deadline) {
    found = await board.list("workers").then(
      (notes) => notes.length,
      () => 0,
    );
  }
  assert.equal(found, 1);
  await board.stop();
  await server.stop();
});
