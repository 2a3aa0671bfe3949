// Failures that workers count together on a real Redis.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { createRedisCounts } from "#runtime/adapters/redis/counts.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { CountAsk, SharedCounts } from "#runtime/ports/shared-counts.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, startRedis } from "../support/redis-server.ts";

const url = process.env["REDIS_URL"] ?? "";
assert.ok(url !== "", "expected REDIS_URL; run this file with: node test/run.ts");

const manyAnHour = 1_000;

function prefixOf(): string {
  return `counts-${randomUUID().slice(0, 8)}`;
}

async function passed(ms: number): Promise<void> {
  const fromMs = performance.now();
  await eventually(`${ms} ms to be over`, () => performance.now() - fromMs > ms);
}

function askOf(failure: string, changes: Partial<CountAsk> = {}): CountAsk {
  return { key: "many/project=shop", failure, needed: 3, kept: 3, windowMs: 60_000, repeatAfterMs: 600_000, ...changes };
}

/** Workers, of one consumer unless it is told otherwise. */
function pool(t: TestContext, count = 2, { prefix = prefixOf(), consumerOf = (_index: number): string => "orders" } = {}): readonly SharedCounts[] {
  const workers = Array.from({ length: count }, (_, index) => createRedisCounts({ url, prefix, consumer: consumerOf(index) }));
  t.after(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    const redis = new Redis(url);
    const keys = await redis.keys(`${prefix}:*`);
    if (keys.length > 0) await redis.del(...keys);
    await redis.quit();
  });
  return workers;
}

async function dues(worker: SharedCounts, asks: readonly CountAsk[], perHourMax = manyAnHour): Promise<readonly string[]> {
  return (await worker.count(asks, perHourMax)).map(({ due, count, sinceLast }) => `${due} ${count} ${sinceLast}`);
}

test("failures that different workers see reach a threshold together, and are escalated once", async (t) => {
  const [one, other] = pool(t);
  assert.ok(one !== undefined && other !== undefined);
  assert.deepEqual(await dues(one, [askOf("a"), askOf("b")]), ["few 1 1", "few 2 2"]);
  assert.deepEqual(await dues(other, [askOf("c"), askOf("x", { key: "many/project=other" })]), ["now 3 3", "few 1 1"]);
  assert.deepEqual(await dues(one, [askOf("d")]), ["repeated 3 1"]);
});

test("a failure that is told once more counts once, and is due as it was, whatever became of who was told before", async (t) => {
  const [one, other] = pool(t);
  assert.ok(one !== undefined && other !== undefined);
  assert.deepEqual(await dues(one, [askOf("a"), askOf("a"), askOf("b"), askOf("c")]), ["few 1 1", "few 1 1", "few 2 2", "now 3 3"]);
  assert.deepEqual(await dues(other, [askOf("c")]), ["now 3 3"]);
  assert.deepEqual(await dues(other, [askOf("b"), askOf("d")]), ["repeated 3 0", "repeated 3 1"]);
});

test("what is older than the window does not count, and the same is escalated again after its pause", async (t) => {
  const [one] = pool(t);
  assert.ok(one !== undefined);
  const quick = { needed: 2, kept: 2, windowMs: 100, repeatAfterMs: 100 };
  await dues(one, [askOf("a", quick)]);
  await passed(150);
  assert.deepEqual(await dues(one, [askOf("b", quick), askOf("c", quick)]), ["few 1 1", "now 2 2"]);
  await passed(150);
  assert.deepEqual(
    await dues(
      one,
      ["d", "e"].map((failure) => askOf(failure, quick)),
    ),
    ["few 1 1", "now 2 2"],
  );
});

test("each failure leaves the window by its own time, also one that is told once more", async (t) => {
  const [one] = pool(t);
  assert.ok(one !== undefined);
  const quick = { windowMs: 1_000 };
  assert.deepEqual(await dues(one, [askOf("a", quick)]), ["few 1 1"]);
  await passed(600);
  assert.deepEqual(await dues(one, [askOf("b", quick), askOf("a", quick)]), ["few 2 2", "few 2 2"]);
  await passed(450);
  assert.deepEqual(await dues(one, [askOf("c", quick)]), ["few 2 3"]);
});

test("the pause is over before the window, and the window before the pause", async (t) => {
  const [one] = pool(t);
  assert.ok(one !== undefined);
  const shortPause = { key: "pause", needed: 1, repeatAfterMs: 100 };
  const shortWindow = { key: "window", needed: 2, kept: 2, windowMs: 100 };
  const first = [askOf("a", shortPause), askOf("a", shortWindow), askOf("b", shortWindow)];
  assert.deepEqual(await dues(one, first), ["now 1 1", "few 1 1", "now 2 2"]);
  await passed(150);
  const second = [askOf("b", shortPause), askOf("c", shortWindow), askOf("d", shortWindow)];
  assert.deepEqual(await dues(one, second), ["now 2 1", "few 1 1", "repeated 2 2"]);
});

test("all rules of a pool share what may be escalated in an hour", async (t) => {
  const [one, other] = pool(t);
  assert.ok(one !== undefined && other !== undefined);
  const alone = (key: string): CountAsk => askOf(key, { key, needed: 1 });
  assert.deepEqual(await dues(one, [alone("a"), alone("b")], 2), ["now 1 1", "now 1 1"]);
  assert.deepEqual(await dues(other, [alone("c")], 2), ["held-back 1 1"]);
  await passed(100);
  assert.deepEqual(await dues(other, [alone("c")], 60), ["held-back 1 1"], "expected one more a minute");
  // What was held back is escalated as soon as it may be.
  assert.deepEqual(await dues(other, [alone("c"), { ...alone("c"), failure: "d" }], 3_600_000), ["now 1 1", "repeated 2 1"]);
});

test("what may be escalated in an hour is not saved up beyond that", async (t) => {
  const [one] = pool(t);
  assert.ok(one !== undefined);
  const alone = (key: string): CountAsk => askOf(key, { key, needed: 1 });
  assert.deepEqual(await dues(one, [alone("a")], 1_000), ["now 1 1"]);
  assert.deepEqual(await dues(one, [alone("b"), alone("c")], 1), ["now 1 1", "held-back 1 1"]);
});

test("each consumer counts its own", async (t) => {
  const [orders, letters] = pool(t, 2, { consumerOf: (index) => (index === 0 ? "orders" : "letters") });
  assert.ok(orders !== undefined && letters !== undefined);
  assert.deepEqual([await dues(orders, [askOf("a")]), await dues(letters, [askOf("b")])], [["few 1 1"], ["few 1 1"]]);
});

test("nothing that is counted stays in Redis for longer than it counts", async (t) => {
  const prefix = prefixOf();
  const [one] = pool(t, 1, { prefix });
  assert.ok(one !== undefined);
  await dues(one, [askOf("a", { needed: 1, windowMs: 60_000, repeatAfterMs: 90_000 })]);
  const redis = new Redis(url);
  t.after(() => redis.quit());
  const kept: string[] = [];
  for (const key of await redis.keys(`${prefix}:*`)) kept.push(`${key.split(":")[3]} ${Math.ceil((await redis.pttl(key)) / 10_000)}`);
  assert.deepEqual(kept.toSorted(), ["k 9", "left 360", "t 6"]);
});

test("many that are counted at once reach each threshold once", async (t) => {
  const workers = pool(t, 5);
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, index) => dues(workers[index % 5] as SharedCounts, [askOf(`f${index}`, { needed: 50, kept: 50 })])),
  );
  const [escalated, ...more] = answers.flat().filter((answer) => answer.startsWith("now"));
  assert.deepEqual([escalated, more], ["now 50 50", []]);
});

test("a server that is away is told as such, and asked again with the next question", async (t) => {
  const away = createRedisCounts({ url: "redis://127.0.0.1:1", consumer: "orders", commandTimeoutMs: 200 });
  t.after(() => away.stop());
  for (let time = 0; time < 2; time += 1) await assert.rejects(away.count([askOf("a")], manyAnHour), StoreUnavailableError);
});

test("a server that comes is asked, and counts that are stopped ask nobody", async (t) => {
  const port = await freePort();
  const counts = createRedisCounts({ url: `redis://127.0.0.1:${port}`, consumer: "orders" });
  t.after(() => counts.stop());
  await assert.rejects(counts.count([askOf("a")], manyAnHour), StoreUnavailableError);
  const server = await startRedis([], port);
  t.after(() => server.stop());
  assert.deepEqual(await dues(counts, [askOf("a")]), ["few 1 1"]);
  await counts.stop();
  await counts.stop();
  await assert.rejects(counts.count([askOf("b")], manyAnHour), /expected counts that are in use, found stopped ones/);
});
