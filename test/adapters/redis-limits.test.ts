// The buckets on a real Redis, shared by all that name the same prefix.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { createRedisLimits, type RedisLimitsOptions } from "#runtime/adapters/redis/limits.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { SharedLimits } from "#runtime/ports/shared-limits.ts";
import { drawOf, sharedLimitsContract } from "../contracts/shared-limits.ts";
import { startRedis } from "../support/redis-server.ts";

const url = process.env["REDIS_URL"] ?? "";
assert.ok(url !== "", "expected REDIS_URL; run this file with: node test/run.ts");

async function open(t: TestContext, prefix: string, overrides: Partial<RedisLimitsOptions> = {}): Promise<SharedLimits> {
  const limits = createRedisLimits({ url, prefix, commandTimeoutMs: 1_000, ...overrides });
  t.after(() => limits.stop());
  await limits.start();
  return limits;
}

/** A client that forgets the keys of the prefix in the end. */
function clientFor(t: TestContext, prefix: string): Redis {
  const redis = new Redis(url);
  t.after(async () => {
    const keys = await redis.keys(`${prefix}:*`);
    if (keys.length > 0) await redis.del(...keys);
    await redis.quit();
  });
  return redis;
}

sharedLimitsContract("redis", async (t) => {
  const prefix = `limits-${randomUUID().slice(0, 8)}`;
  clientFor(t, prefix);
  // The time that passes is that of the server's clock.
  return { open: () => open(t, prefix), pass: (ms) => delay(ms) };
});

test("all workers draw on the same buckets", async (t) => {
  const prefix = `limits-${randomUUID().slice(0, 8)}`;
  clientFor(t, prefix);
  const workers = await Promise.all(Array.from({ length: 5 }, () => open(t, prefix)));
  const grants = await Promise.all(workers.flatMap((limits) => Array.from({ length: 20 }, () => limits.draw([drawOf({ perMinute: 1, capacity: 30 })]))));
  assert.equal(
    grants.flat().reduce((sum, { granted }) => sum + granted, 0),
    30,
  );
});

test("a bucket lives until it would be full, and one that is full is not kept", async (t) => {
  const prefix = `limits-${randomUUID().slice(0, 8)}`;
  const redis = clientFor(t, prefix);
  const limits = await open(t, prefix);
  const drawnMs = performance.now();
  await limits.draw([drawOf({ key: "a", perMinute: 60, capacity: 10, need: 4, want: 4 })]);
  const [key = "", ...others] = await redis.keys(`${prefix}:*`);
  assert.deepEqual([key, others], [`${prefix}:{limit:a}`, []]);
  const lifeMs = await redis.pttl(key);
  const wasMs = lifeMs + performance.now() - drawnMs;
  assert.ok(lifeMs <= 4_000 && wasMs > 3_000, `${lifeMs} of ${wasMs} ms`);
  await limits.draw([drawOf({ key: "a", need: 0, want: 0, back: 4 })]);
  assert.deepEqual(await redis.keys(`${prefix}:*`), []);
});

test("a Redis that does not answer is told in words, and is drawn on again when it does", async (t) => {
  const server = await startRedis();
  t.after(() => server.stop().catch(() => undefined));
  const limits = await open(t, "limits", { url: server.url, commandTimeoutMs: 300 });
  server.process.kill("SIGSTOP");
  t.after(() => server.process.kill("SIGCONT"));
  await assert.rejects(limits.draw([drawOf()]), (error) => error instanceof StoreUnavailableError && /expected Redis at .* to answer/.test(error.message));
  server.process.kill("SIGCONT");
  const deadline = performance.now() + 10_000;
  let granted = 0;
  while (granted === 0 && performance.now() < deadline) {
    granted = await limits.draw([drawOf()]).then(
      ([grant]) => grant?.granted ?? 0,
      () => 0,
    );
  }
  assert.equal(granted, 1);
});
