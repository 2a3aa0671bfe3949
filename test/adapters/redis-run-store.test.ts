import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { createRedisRunStore, type RedisRunStoreOptions } from "#runtime/adapters/redis/run-store.ts";
import { ConfigurationError, StoreRefusedError, StoreUnavailableError } from "#runtime/core/errors.ts";
import type { StoreSuspicion } from "#runtime/core/store-suspicion.ts";
import type { Forgetting, RunStore } from "#runtime/ports/run-store.ts";
import { forgettingContract, memoryOf, session } from "../contracts/forgetting.ts";
import { claimOf, type RunStoreHarness, stepOf } from "../contracts/run-store-fixtures.ts";
import { runStoreContract } from "../contracts/run-store.ts";
import { eventually, within } from "../support/eventually.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";

const sharedUrl = process.env["REDIS_URL"] ?? "";
assert.ok(sharedUrl !== "", "expected REDIS_URL; run this file with: node test/run.ts");
const retentionMs = 3_600_000;
const leaseMs = 60_000;
const outbox = new Uint8Array(0);

/** A store that is stopped when the test ends, however it ends. */
function storeFor(t: TestContext, url: string, prefix: string, overrides: Partial<RedisRunStoreOptions> = {}): RunStore {
  const store = createRedisRunStore({ consumer: "orders", retentionMs, url, prefix, commandTimeoutMs: 500, ...overrides });
  t.after(() => store.stop());
  return store;
}

async function serverFor(t: TestContext, args: readonly string[] = [], port?: number): Promise<RedisServer> {
  const server = await startRedis(args, port);
  t.after(async () => {
    server.process.kill("SIGCONT");
    await server.stop();
  });
  return server;
}

async function started(t: TestContext, url: string, overrides: Partial<RedisRunStoreOptions> = {}): Promise<RunStore> {
  const store = storeFor(t, url, "test", overrides);
  await store.start();
  return store;
}

function plainClient(t: TestContext, url: string): Redis {
  const redis = new Redis(url, { disconnectTimeout: 100 });
  redis.on("error", () => undefined);
  t.after(() => redis.disconnect());
  return redis;
}

/** A client of the shared server, which forgets the keys of the prefix in the end. */
function redisFor(t: TestContext, prefix: string): Redis {
  const redis = new Redis(sharedUrl);
  t.after(async () => {
    await forget(redis, prefix);
    await redis.quit();
  });
  return redis;
}

async function keysOf(redis: Redis, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const found of redis.scanStream({ match: `${prefix}:*`, count: 1_000 }) as AsyncIterable<string[]>) keys.push(...found);
  return keys.sort();
}

async function forget(redis: Redis, prefix: string): Promise<void> {
  const keys = await keysOf(redis, prefix);
  if (keys.length > 0) await redis.unlink(keys);
}

async function harnessOn(url: string, layout: "plain" | "compact"): Promise<RunStoreHarness> {
  const prefix = `test-${randomUUID()}`;
  const redis = new Redis(url);
  const opened: RunStore[] = [];
  const nowMs = async (): Promise<number> => {
    const [seconds = 0, micros = 0] = await redis.time();
    return seconds * 1_000 + micros / 1_000;
  };
  return {
    async open(more = {}) {
      const store = createRedisRunStore({ consumer: "orders", retentionMs, url, prefix, layout, ...more });
      opened.push(store);
      await store.start();
      return store;
    },
    async advance(ms) {
      const target = (await nowMs()) + ms + 1;
      await eventually(`${ms} ms to pass on Redis's clock`, async () => (await nowMs()) >= target);
    },
    async stop() {
      for (const store of opened) await store.stop();
      await forget(redis, prefix);
      await redis.quit();
    },
  };
}

for (const layout of ["compact", "plain"] as const)
  runStoreContract(`redis, ${layout} layout`, () => harnessOn(sharedUrl, layout), { modelRuns: 40, isShared: true });

forgettingContract("redis", async (t) => {
  const { url } = await serverFor(t);
  const redis = plainClient(t, url);
  return { make: (options) => storeFor(t, url, "test", options), empty: async () => void (await redis.flushall()) };
});

describe("redis run store", () => {
  test("names all keys of a consumer with one hash tag, each with its retention but those that mark the store", async (t) => {
    const prefix = `test-${randomUUID()}`;
    const redis = redisFor(t, prefix);
    const store = storeFor(t, sharedUrl, prefix, { consumer: "a{b}c/d", layout: "compact" });
    await store.start();
    // With so many at once a bucket is looked at whatever the lot says.
    const more = Array.from({ length: 12 }, (_, index) => `more-${index}`);
    await store.claim(
      ["one", "two", "x{y}", ...more].map((eventId) => claimOf(eventId)),
      leaseMs,
    );
    await store.checkpoint([{ eventId: "one", epoch: 1, step: stepOf("first") }]);
    assert.equal(await store.ping(), true);
    const keys = await keysOf(redis, prefix);
    const tag = `${prefix}:{a%7Bb%7Dc/d}:`;
    assert.deepEqual(
      keys.map((key) => key.replace(/:w:[\da-f-]{36}$/, ":w:WRITER")),
      ["b:0", "buckets", "looks", "names", "probe", "r:one", "s:one", "sentinel", "server", "tags", "w:WRITER"].map((key) => tag + key),
    );
    for (const key of keys) {
      const lifeMs = await redis.pttl(key);
      if (/:(sentinel|server|tags|buckets|names)$/.test(key)) assert.equal(lifeMs, -1);
      else assert.ok(lifeMs > 0 && lifeMs <= (key.includes(":b:") ? 2 : 1) * retentionMs, `${key} lives for ${lifeMs} ms`);
    }
  });

  test("renews the steps' time to live with every write", async (t) => {
    const prefix = `test-${randomUUID()}`;
    const redis = redisFor(t, prefix);
    const store = storeFor(t, sharedUrl, prefix);
    await store.start();
    const request = claimOf("a");
    await store.claim([request], leaseMs);
    const key = `${prefix}:{orders}:s:a`;
    const writes: Record<string, () => Promise<unknown>> = {
      checkpoint: () => store.checkpoint([{ eventId: "a", epoch: 1, step: stepOf("one") }]),
      claim: () => store.claim([request], leaseMs),
      extend: () => store.extend([{ eventId: "a", epoch: 1 }], leaseMs),
      finish: () => store.finish([{ eventId: "a", epoch: 1, outbox: Uint8Array.of(1) }]),
      clearOutbox: () => store.clearOutbox(["a"]),
    };
    const renewed: string[] = [];
    for (const [name, write] of Object.entries(writes)) {
      await redis.pexpire(key, retentionMs / 2);
      await write();
      if ((await redis.pttl(key)) > retentionMs / 2) renewed.push(name);
    }
    assert.deepEqual(renewed, Object.keys(writes));
  });

  test("how long ago a run was done is told alike while its lease would last and after it, however its record was written", async (t) => {
    const store = storeFor(t, sharedUrl, `holdfast-test-${randomUUID()}`);
    await store.start();
    const leaseMs = 400;
    const writes = [
      { eventId: "plain", epoch: 1, outbox: Buffer.alloc(0) },
      { eventId: "with an outbox", epoch: 1, outbox: Buffer.from("emitted") },
    ];
    await store.claim(
      writes.map(({ eventId }) => claimOf(eventId)),
      leaseMs,
    );
    const claimedMs = performance.now();
    await store.finish(writes);
    await eventually("the leases to have ended", () => performance.now() > claimedMs + leaseMs + 50);
    for (const { eventId } of writes) {
      const agoMs = (await store.read(eventId))?.writtenAgoMs ?? 0;
      assert.ok(agoMs >= leaseMs, `${eventId}: ${agoMs}`);
    }
  });

  test("a finish keeps the end of life of a lease that is short beside the retention, gives a new one otherwise, and tells when it was", async (t) => {
    const prefix = `holdfast-test-${randomUUID()}`;
    const redis = redisFor(t, prefix);
    const marginMs = 1_000;
    for (const [eventId, ofLeaseMs, keeps] of [
      ["short", 3_600, true],
      ["long", 3_601, false],
    ] as const) {
      const store = storeFor(t, sharedUrl, prefix, { consumer: eventId });
      await store.start();
      await store.claim([claimOf(eventId)], ofLeaseMs);
      const [key = ""] = (await keysOf(redis, prefix)).filter((known) => known.endsWith(`r:${eventId}`));
      // As if it had been claimed earlier.
      await redis.pexpire(key, retentionMs / 2);
      assert.deepEqual(await store.finish([{ eventId, epoch: 1, outbox }]), ["written"]);
      const lifeMs = await redis.pttl(key);
      assert.ok(keeps ? lifeMs <= retentionMs / 2 : lifeMs > retentionMs - marginMs, `${eventId}: ${lifeMs}`);
      const view = await store.read(eventId);
      assert.equal(view?.state, "done");
      assert.ok(view.writtenAgoMs < marginMs, `${eventId}: ${view.writtenAgoMs}`);
      assert.deepEqual(await store.finish([{ eventId, epoch: 1, outbox }]), ["written"]);
      assert.deepEqual(await store.claim([claimOf(eventId)], ofLeaseMs), [{ kind: "done", outbox: Buffer.alloc(0) }]);
    }
  });

  test("refuses options it cannot use", () => {
    const options = { consumer: "orders", retentionMs };
    assert.throws(() => createRedisRunStore({ ...options, url: "http://localhost" }), ConfigurationError);
    assert.throws(() => createRedisRunStore({ ...options, url: "not a url" }), ConfigurationError);
    assert.throws(() => createRedisRunStore({ ...options, url: sharedUrl, prefix: "a{}" }), ConfigurationError);
    assert.throws(() => createRedisRunStore({ ...options, url: sharedUrl, retentionMs: 0.5 }), ConfigurationError);
  });

  test("refuses a token that would break the record's layout", async (t) => {
    const harness = await harnessOn(sharedUrl, "compact");
    t.after(() => harness.stop());
    const store = await harness.open();
    await assert.rejects(store.claim([claimOf("a", { token: "a\0b" })], leaseMs), TypeError);
  });
});

describe("redis run store on a server of its own", () => {
  test("goes on when the server forgets its scripts", async (t) => {
    const server = await serverFor(t);
    const redis = plainClient(t, server.url);
    const store = await started(t, server.url);
    await store.claim([claimOf("a")], leaseMs);
    await redis.script("FLUSH");
    const [held, acquired] = await store.claim([claimOf("a"), claimOf("b")], leaseMs);
    assert.deepEqual([held?.kind, acquired?.kind], ["held", "acquired"]);
    await redis.script("FLUSH");
    const answers = await Promise.all(["a", "b"].map((eventId) => store.finish([{ eventId, epoch: 1, outbox }])));
    assert.deepEqual(answers, [["written"], ["written"]]);
  });

  test("notices that its records were flushed, before the claim is answered, once", async (t) => {
    const server = await serverFor(t);
    const redis = plainClient(t, server.url);
    const told: Forgetting[] = [];
    const toldOther: Forgetting[] = [];
    const store = await started(t, server.url, { onForgotten: (what) => told.push(what) });
    const other = await started(t, server.url, { onForgotten: (what) => toldOther.push(what) });
    await store.claim([claimOf("a")], leaseMs);
    assert.deepEqual(told, []);
    await redis.flushall();
    const toldWhenAnswered = store.claim([claimOf("a")], leaseMs).then(() => [...told]);
    assert.deepEqual(await toldWhenAnswered, ["sentinel"]);
    await store.claim([claimOf("b")], leaseMs);
    assert.deepEqual(told, ["sentinel"]);
    // Its sibling put a new sentinel there, and it notices all the same.
    await other.claim([claimOf("c")], leaseMs);
    assert.deepEqual(toldOther, ["sentinel"]);
  });

  test("one worker's notice of a loss reaches all others with their next claim", async (t) => {
    const server = await serverFor(t);
    const redis = plainClient(t, server.url);
    const memory = memoryOf();
    await (await started(t, server.url, { memory })).stop();
    await redis.flushall();
    const told: number[] = [];
    // It plants the sentinel, and cannot know better.
    const unknowing = await started(t, server.url, { onSuspect: ({ agoMs }) => told.push(agoMs) });
    await unknowing.claim([claimOf("a")], leaseMs);
    assert.deepEqual(told, []);
    await started(t, server.url, { memory });
    await unknowing.claim([claimOf("b")], leaseMs);
    await unknowing.claim([claimOf("c")], leaseMs);
    assert.ok(told.length === 1 && (told[0] ?? -1) >= 0, told.join());
  });

  test("a loss is told before the claim is answered that shows it, also of a server that took another's place", async (t) => {
    const server = await serverFor(t);
    const redis = plainClient(t, server.url);
    const told: number[] = [];
    const store = await started(t, server.url, { onSuspect: ({ agoMs }) => told.push(agoMs) });
    const toldAfterClaim = (eventId: string): Promise<number> => store.claim([claimOf(eventId)], leaseMs).then(() => told.length);
    assert.equal(await toldAfterClaim("a"), 0);
    await redis.flushall();
    assert.equal(await toldAfterClaim("b"), 1);
    await redis.replicaof("127.0.0.1", "1");
    await assert.rejects(store.claim([claimOf("c")], leaseMs), StoreUnavailableError);
    await redis.replicaof("NO", "ONE");
    await eventually("the store to answer again", () => store.ping());
    assert.equal(await toldAfterClaim("d"), 2);
    assert.equal(await toldAfterClaim("e"), 2);
  });

  test("knows a sentinel from before it said when records were lost", async (t) => {
    const server = await serverFor(t);
    const redis = plainClient(t, server.url);
    await redis.set("test:{orders}:sentinel", "old");
    const memory = memoryOf();
    const told: unknown[] = [];
    const options = { memory, onForgotten: (what: Forgetting) => told.push(what), onSuspect: ({ agoMs }: StoreSuspicion) => told.push(agoMs < 60_000) };
    await (await started(t, server.url, options)).stop();
    await (await started(t, server.url, options)).stop();
    assert.deepEqual(told, []);
    await redis.set("test:{orders}:sentinel", "other");
    await (await started(t, server.url, options)).stop();
    assert.deepEqual(told, ["sentinel", true]);
  });

  test("what was noticed while it ran is not told again at the next start", async (t) => {
    const server = await serverFor(t);
    const redis = plainClient(t, server.url);
    const told: Forgetting[] = [];
    const options = { memory: memoryOf(), onForgotten: (what: Forgetting) => void told.push(what) };
    const store = await started(t, server.url, options);
    await redis.flushall();
    await store.claim([claimOf("a")], leaseMs);
    await store.stop();
    await started(t, server.url, options);
    assert.deepEqual(told, ["sentinel"]);
  });

  test("tells a start of a backup that was brought back, and of a server that took another's place, once each", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-backup-"));
    t.after(() => rm(folder, { recursive: true }));
    const first = await serverFor(t, ["--dir", folder]);
    // No worker of this installation was here before: the store itself has to know.
    const on = (url: string): ReturnType<typeof session> => session({ make: (options) => storeFor(t, url, "test", options) }, undefined, "a");
    assert.deepEqual(await on(first.url), [[], []]);
    await plainClient(t, first.url).save();
    assert.deepEqual(await on(first.url), [[], []]);
    await first.stop();
    const second = await serverFor(t, ["--dir", folder]);
    assert.deepEqual(await on(second.url), [["failover"], ["failover"]]);
    assert.deepEqual(await on(second.url), [[], []]);
  });

  test("tells a start of records without the sentinel: they are what is left of a loss", async (t) => {
    const server = await serverFor(t);
    const redis = plainClient(t, server.url);
    const make = (): RunStore => storeFor(t, server.url, "test");
    await session({ make }, undefined, "a");
    await Promise.all([
      redis.del("test:{orders}:sentinel"),
      redis.del("test:{orders}:server"),
      ...Array.from({ length: 3_000 }, (_, index) => redis.set(`other:${index}`, "")),
    ]);
    const harness = { make: (options: Partial<RedisRunStoreOptions>) => storeFor(t, server.url, "test", options) };
    assert.deepEqual(await session(harness, undefined, "b"), [["sentinel"], ["sentinel"]]);
    assert.deepEqual(await session(harness, undefined, "c"), [[], []]);
  });

  test("refuses a server that may evict, saying what was found and what to do", async (t) => {
    const server = await serverFor(t, ["--maxmemory-policy", "allkeys-lru"]);
    const redis = plainClient(t, server.url);
    const store = storeFor(t, server.url, "evicting");
    await assert.rejects(
      store.start(),
      (error: unknown) => error instanceof ConfigurationError && /expected .*noeviction, found allkeys-lru; run CONFIG SET/.test(error.message),
    );
    assert.equal(await store.ping(), false);
    await redis.config("SET", "maxmemory-policy", "noeviction");
    await store.start();
    assert.equal(await store.ping(), true);
  });

  test("refuses writes and says it is not well while memory is full", async (t) => {
    const server = await serverFor(t);
    const redis = plainClient(t, server.url);
    const store = await started(t, server.url);
    await redis.config("SET", "maxmemory", "1");
    await assert.rejects(store.claim([claimOf("a")], leaseMs), StoreUnavailableError);
    assert.equal(await store.ping(), false);
    await redis.config("SET", "maxmemory", "0");
    assert.equal(await store.ping(), true);
    assert.equal((await store.claim([claimOf("a")], leaseMs))[0]?.kind, "acquired");
  });

  test("leaves a server that became a replica, and tells when it serves again", async (t) => {
    const server = await serverFor(t);
    const redis = plainClient(t, server.url);
    const told: string[] = [];
    const store = await started(t, server.url, { onForgotten: (what) => told.push(what), onSuspect: ({ scope }) => told.push(scope) });
    await redis.replicaof("127.0.0.1", "1");
    await assert.rejects(store.claim([claimOf("a")], leaseMs), StoreUnavailableError);
    assert.equal(await store.ping(), false);
    await redis.replicaof("NO", "ONE");
    await eventually("the store to answer again", () => store.ping());
    assert.equal((await store.claim([claimOf("a")], leaseMs))[0]?.kind, "acquired");
    assert.deepEqual(told, ["redelivered"]);
  });

  test("refuses what is asked of a key that holds no record, and says that it is not down: what else is asked goes on", async (t) => {
    const prefix = `test-${randomUUID()}`;
    const redis = redisFor(t, prefix);
    const store = storeFor(t, sharedUrl, prefix);
    await store.start();
    await store.claim([claimOf("other-steps"), claimOf("damaged-step")], leaseMs);
    await store.checkpoint([{ eventId: "damaged-step", epoch: 1, step: stepOf("one") }]);
    await store.fail([{ eventId: "damaged-step", epoch: 1, state: "waiting", reason: "again", failures: 1, losses: 0 }]);
    await redis.hset(`${prefix}:{orders}:s:damaged-step`, "one", "short");
    await redis.set(`${prefix}:{orders}:s:other-steps`, "text");
    await redis.set(`${prefix}:{orders}:r:no-record`, "text");
    await redis.lpush(`${prefix}:{orders}:r:other-type`, "text");
    const refused = (error: unknown): boolean => error instanceof StoreRefusedError && /look at what else writes/.test(error.message);
    await assert.rejects(store.checkpoint([{ eventId: "other-steps", epoch: 1, step: stepOf("one") }]), refused);
    for (const eventId of ["no-record", "other-type", "damaged-step"]) await assert.rejects(store.claim([claimOf(eventId)], leaseMs), refused, eventId);
    assert.equal((await store.claim([claimOf("another")], leaseMs))[0]?.kind, "acquired");
  });

  test("gives up on a server that does not answer in time, and finds by its token what was done all the same", async (t) => {
    const server = await serverFor(t);
    const store = await started(t, server.url, { commandTimeoutMs: 500 });
    const request = claimOf("a");
    server.process.kill("SIGSTOP");
    await assert.rejects(within("an answer", store.claim([request], leaseMs), 2_000), StoreUnavailableError);
    assert.equal(await store.ping(), false);
    server.process.kill("SIGCONT");
    await eventually("the store to answer again", () => store.ping());
    const [again] = await store.claim([request], leaseMs);
    assert.ok(again?.kind === "acquired" && again.epoch === 1 && again.losses === 0);
  });

  test("leaves a connection that has gone silent", async (t) => {
    const server = await serverFor(t);
    const redis = plainClient(t, server.url);
    const store = await started(t, server.url, { commandTimeoutMs: 300 });
    const connections = async (): Promise<number> => Number(/total_connections_received:(\d+)/.exec(await redis.info("stats"))?.[1]);
    const before = await connections();
    server.process.kill("SIGSTOP");
    await eventually("the store to give the connection up", async () => {
      const answer = await store.claim([claimOf("a")], leaseMs).catch((error: unknown) => error);
      return answer instanceof StoreUnavailableError && /Stream isn't writeable/.test(answer.message);
    });
    server.process.kill("SIGCONT");
    await eventually("the store to answer again", () => store.ping());
    assert.ok((await connections()) > before);
  });

  test("says that a server cannot be reached", async (t) => {
    const store = storeFor(t, "redis://127.0.0.1:1", "nowhere");
    await assert.rejects(store.start(), (error: unknown) => error instanceof StoreUnavailableError && /127\.0\.0\.1:1 .*ECONNREFUSED/.test(error.message));
  });

  test("says that a server will not have its credentials, without showing them", async (t) => {
    const { port } = await serverFor(t, ["--requirepass", "secret-word"]);
    const wrong = storeFor(t, `redis://:wrong-word@127.0.0.1:${port}`, "wrong");
    await assert.rejects(
      wrong.start(),
      (error: unknown) => error instanceof ConfigurationError && /WRONGPASS/.test(error.message) && !error.message.includes("wrong-word"),
    );
    const none = storeFor(t, `redis://127.0.0.1:${port}`, "none");
    await assert.rejects(none.start(), ConfigurationError);
    const right = await started(t, `redis://:secret-word@127.0.0.1:${port}`);
    assert.equal(await right.ping(), true);
  });

  test("rejects while the server is down, and works again by itself when it is back, telling what it forgot", async (t) => {
    const told: Forgetting[] = [];
    const first = await serverFor(t);
    const store = await started(t, first.url, { onForgotten: (what) => told.push(what) });
    await store.claim([claimOf("a")], leaseMs);
    await first.stop();
    const calls: (() => Promise<unknown>)[] = [
      () => store.claim([claimOf("b")], leaseMs),
      () => store.finish([{ eventId: "a", epoch: 1, outbox }]),
      () => store.checkpoint([{ eventId: "a", epoch: 1, step: stepOf("one") }]),
      () => store.extend([{ eventId: "a", epoch: 1 }], leaseMs),
      () => store.fail([{ eventId: "a", epoch: 1, state: "waiting", reason: "", failures: 1, losses: 0 }]),
      () => store.clearOutbox(["a"]),
      () => store.read("a"),
    ];
    for (const call of calls) await assert.rejects(within("an answer", call(), 1_500), StoreUnavailableError);
    assert.equal(await store.ping(), false);
    await serverFor(t, [], first.port);
    await eventually("the store to answer again", () => store.ping());
    assert.equal((await store.claim([claimOf("a")], leaseMs))[0]?.kind, "acquired");
    assert.deepEqual(told, ["failover", "sentinel"]);
  });

  test("rejects what is under way when the connection breaks, without sending it again", async (t) => {
    const own = await serverFor(t);
    const store = await started(t, own.url, { commandTimeoutMs: 5_000 });
    own.process.kill("SIGSTOP");
    const underWay = store.claim([claimOf("a")], leaseMs);
    own.process.kill("SIGKILL");
    await assert.rejects(within("an answer", underWay, 2_000), StoreUnavailableError);
    await own.stop();
    await serverFor(t, [], own.port);
    await eventually("the store to answer again", () => store.ping());
    assert.equal(await store.read("a"), undefined);
  });

  test("keeps every key and call of a consumer in one slot of a cluster, reached as a cluster or as its only node", { timeout: 60_000 }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-cluster-"));
    const server = await serverFor(t, [
      "--cluster-enabled",
      "yes",
      "--cluster-config-file",
      "nodes.conf",
      "--cluster-announce-ip",
      "127.0.0.1",
      "--dir",
      folder,
    ]);
    t.after(() => rm(folder, { recursive: true }));
    const redis = plainClient(t, server.url);
    await redis.call("CLUSTER", ["ADDSLOTS", ...Array.from({ length: 16_384 }, (_, slot) => slot)]);
    await eventually("the cluster to serve", async () => String(await redis.call("CLUSTER", "INFO")).includes("cluster_state:ok"));
    for (const isCluster of [true, false]) {
      const store = await started(t, server.url, { isCluster, layout: "compact", hashTags: 1, prefix: `clustered-${isCluster}`, consumer: "orders/urgent" });
      const ids = Array.from({ length: 600 }, (_, index) => `event-${index}`);
      const claimed = await store.claim(
        ids.map((eventId) => claimOf(eventId)),
        leaseMs,
      );
      assert.ok(claimed.every((result) => result.kind === "acquired"));
      await store.checkpoint(ids.slice(0, 5).map((eventId) => ({ eventId, epoch: 1, step: stepOf("one") })));
      const written = await store.finish(ids.map((eventId) => ({ eventId, epoch: 1, outbox })));
      assert.ok(written.every((result) => result === "written"));
      assert.equal((await store.read("event-4"))?.steps.length, 1);
      assert.equal(await store.ping(), true);
      const keys = await keysOf(redis, `clustered-${isCluster}`);
      assert.ok(keys.some((key) => key.includes(":b:1")) && keys.filter((key) => key.includes(":r:")).length === 5, keys.join(" "));
      const slots = await Promise.all(keys.map((key) => redis.call("CLUSTER", "KEYSLOT", key)));
      assert.equal(new Set(slots).size, 1);
    }
  });
});
