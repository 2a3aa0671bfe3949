import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Redis } from "ioredis";
import { createRedisRunStore, type Forgetting, type RedisRunStoreOptions } from "#runtime/adapters/redis/run-store.ts";
import { ConfigurationError, StoreUnavailableError } from "#runtime/core/errors.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { claimOf, type RunStoreHarness, stepOf } from "../contracts/run-store-fixtures.ts";
import { runStoreContract } from "../contracts/run-store.ts";
import { eventually, within } from "../support/eventually.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";

const sharedUrl = process.env["REDIS_URL"];
assert.ok(sharedUrl !== undefined, "expected REDIS_URL; run this file with: node test/run.ts");
const retentionMs = 3_600_000;
const leaseMs = 60_000;
const outbox = new Uint8Array(0);

/** Stops the stores it made. */
function storeMaker(url: string, prefix: string): { make(overrides?: Partial<RedisRunStoreOptions>): RunStore; stop(): Promise<void> } {
  const made: RunStore[] = [];
  return {
    make(overrides = {}) {
      const store = createRedisRunStore({ consumer: "orders", retentionMs, url, prefix, ...overrides });
      made.push(store);
      return store;
    },
    async stop() {
      for (const store of made) await store.stop();
    },
  };
}

async function keysOf(redis: Redis, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const found of redis.scanStream({ match: `${prefix}:*`, count: 1_000 }) as AsyncIterable<string[]>) keys.push(...found);
  return keys.sort();
}

async function harnessOn(url: string, overrides: Partial<RedisRunStoreOptions> = {}): Promise<RunStoreHarness> {
  const prefix = `test-${randomUUID()}`;
  const redis = new Redis(url);
  const stores = storeMaker(url, prefix);
  const nowMs = async (): Promise<number> => {
    const [seconds = 0, micros = 0] = await redis.time();
    return seconds * 1_000 + micros / 1_000;
  };
  return {
    async open(more = {}) {
      const store = stores.make({ ...overrides, ...more });
      await store.start();
      return store;
    },
    async advance(ms) {
      const target = (await nowMs()) + ms + 1;
      await eventually(`${ms} ms to pass on Redis's clock`, async () => (await nowMs()) >= target);
    },
    async stop() {
      await stores.stop();
      const keys = await keysOf(redis, prefix);
      if (keys.length > 0) await redis.unlink(keys);
      await redis.quit();
    },
  };
}

runStoreContract("redis", () => harnessOn(sharedUrl), { modelRuns: 40, isShared: true });

describe("redis run store", () => {
  test("names all keys of a consumer with one hash tag, each with its retention but the sentinel", async () => {
    const prefix = `test-${randomUUID()}`;
    const redis = new Redis(sharedUrl);
    const stores = storeMaker(sharedUrl, prefix);
    const store = stores.make({ consumer: "a{b}c/d" });
    await store.start();
    await store.claim(["one", "two", "x{y}"].map((eventId) => claimOf(eventId)), leaseMs);
    await store.checkpoint([{ eventId: "one", epoch: 1, step: stepOf("first") }]);
    assert.equal(await store.ping(), true);
    const keys = await keysOf(redis, prefix);
    const tag = `${prefix}:{a%7Bb%7Dc/d}:`;
    assert.deepEqual(keys, ["probe", "r:one", "r:two", "r:x{y}", "s:one", "sentinel"].map((key) => tag + key));
    for (const key of keys) {
      const lifeMs = await redis.pttl(key);
      if (key.endsWith("sentinel")) assert.equal(lifeMs, -1);
      else assert.ok(lifeMs > 0 && lifeMs <= retentionMs, `${key} lives for ${lifeMs} ms`);
    }
    await redis.unlink(keys);
    await stores.stop();
    await redis.quit();
  });

  test("renews the steps' time to live with every write", async () => {
    const prefix = `test-${randomUUID()}`;
    const redis = new Redis(sharedUrl);
    const stores = storeMaker(sharedUrl, prefix);
    const store = stores.make();
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
    await redis.unlink(await keysOf(redis, prefix));
    await stores.stop();
    await redis.quit();
  });

  test("refuses options it cannot use", () => {
    const options = { consumer: "orders", retentionMs };
    assert.throws(() => createRedisRunStore({ ...options, url: "http://localhost" }), ConfigurationError);
    assert.throws(() => createRedisRunStore({ ...options, url: "not a url" }), ConfigurationError);
    assert.throws(() => createRedisRunStore({ ...options, url: sharedUrl, prefix: "a{}" }), ConfigurationError);
    assert.throws(() => createRedisRunStore({ ...options, url: sharedUrl, retentionMs: 0.5 }), ConfigurationError);
  });

  test("refuses a token that would break the record's layout", async () => {
    const harness = await harnessOn(sharedUrl);
    const store = await harness.open();
    await assert.rejects(store.claim([claimOf("a", { token: "a\0b" })], leaseMs), TypeError);
    await harness.stop();
  });
});

describe("redis run store on a server of its own", () => {
  let server: RedisServer;
  let redis: Redis;
  before(async () => {
    server = await startRedis();
    redis = new Redis(server.url);
    redis.on("error", () => undefined);
  });
  after(async () => {
    redis.disconnect();
    await server.stop();
  });

  async function withStore(overrides: Partial<RedisRunStoreOptions>, work: (store: RunStore) => Promise<void>): Promise<void> {
    const stores = storeMaker(server.url, `test-${randomUUID()}`);
    const store = stores.make({ commandTimeoutMs: 500, ...overrides });
    try {
      await store.start();
      await work(store);
    } finally {
      await stores.stop();
    }
  }

  test("goes on when the server forgets its scripts", () =>
    withStore({}, async (store) => {
      await store.claim([claimOf("a")], leaseMs);
      await redis.script("FLUSH");
      const [held, acquired] = await store.claim([claimOf("a"), claimOf("b")], leaseMs);
      assert.deepEqual([held?.kind, acquired?.kind], ["held", "acquired"]);
      await redis.script("FLUSH");
      const answers = await Promise.all(["a", "b"].map((eventId) => store.finish([{ eventId, epoch: 1, outbox }])));
      assert.deepEqual(answers, [["written"], ["written"]]);
    }));

  test("notices that its records were flushed, before the claim is answered, once", async () => {
    const told: Forgetting[] = [];
    const toldOther: Forgetting[] = [];
    await withStore({ prefix: "flushed", onForgotten: (what) => told.push(what) }, (store) =>
      withStore({ prefix: "flushed", onForgotten: (what) => toldOther.push(what) }, async (other) => {
        await store.claim([claimOf("a")], leaseMs);
        assert.deepEqual(told, []);
        await redis.flushall();
        assert.equal((await store.claim([claimOf("a")], leaseMs))[0]?.kind, "acquired");
        assert.deepEqual(told, ["sentinel"]);
        await store.claim([claimOf("b")], leaseMs);
        assert.deepEqual(told, ["sentinel"]);
        // Its sibling put a new sentinel there, and it notices all the same.
        await other.claim([claimOf("c")], leaseMs);
        assert.deepEqual(toldOther, ["sentinel"]);
      }),
    );
  });

  test("refuses a server that may evict, saying what was found and what to do", async () => {
    await redis.config("SET", "maxmemory-policy", "allkeys-lru");
    const stores = storeMaker(server.url, "evicting");
    const store = stores.make();
    await assert.rejects(store.start(), (error: unknown) => error instanceof ConfigurationError && /expected .*noeviction, found allkeys-lru; do CONFIG SET/.test(error.message));
    assert.equal(await store.ping(), false);
    await redis.config("SET", "maxmemory-policy", "noeviction");
    await store.start();
    assert.equal(await store.ping(), true);
    await stores.stop();
  });

  test("refuses writes and says it is not well while memory is full", () =>
    withStore({}, async (store) => {
      await redis.config("SET", "maxmemory", "1");
      await assert.rejects(store.claim([claimOf("a")], leaseMs), StoreUnavailableError);
      assert.equal(await store.ping(), false);
      await redis.config("SET", "maxmemory", "0");
      assert.equal(await store.ping(), true);
      assert.equal((await store.claim([claimOf("a")], leaseMs))[0]?.kind, "acquired");
    }));

  test("leaves a server that became a replica, and tells when it serves again", async () => {
    const told: Forgetting[] = [];
    await withStore({ onForgotten: (what) => told.push(what) }, async (store) => {
      await redis.replicaof("127.0.0.1", "1");
      await assert.rejects(store.claim([claimOf("a")], leaseMs), StoreUnavailableError);
      assert.equal(await store.ping(), false);
      await redis.replicaof("NO", "ONE");
      await eventually("the store to answer again", () => store.ping());
      assert.equal((await store.claim([claimOf("a")], leaseMs))[0]?.kind, "acquired");
      assert.deepEqual(told, ["failover"]);
    });
  });

  test("gives up on a server that does not answer in time, and finds by its token what was done all the same", () =>
    withStore({ commandTimeoutMs: 150 }, async (store) => {
      const request = claimOf("a");
      server.process.kill("SIGSTOP");
      const started = performance.now();
      try {
        await assert.rejects(store.claim([request], leaseMs), StoreUnavailableError);
        assert.ok(performance.now() - started < 2_000);
        assert.equal(await store.ping(), false);
      } finally {
        server.process.kill("SIGCONT");
      }
      await eventually("the store to answer again", () => store.ping());
      // The claim may have been made although its answer was lost: the same token finds it.
      const [again] = await store.claim([request], leaseMs);
      assert.ok(again?.kind === "acquired" && again.epoch === 1 && again.attempts === 1);
    }));

  test("says that a server cannot be reached, or will not have its credentials", async () => {
    const stores = storeMaker("redis://127.0.0.1:1", "nowhere");
    await assert.rejects(stores.make({ commandTimeoutMs: 500 }).start(), (error: unknown) => error instanceof StoreUnavailableError && /127\.0\.0\.1:1 .*ECONNREFUSED/.test(error.message));
    const protectedServer = await startRedis(["--requirepass", "secret-word"]);
    try {
      const { port } = protectedServer;
      const wrong = storeMaker(`redis://:wrong-word@127.0.0.1:${port}`, "wrong").make();
      await assert.rejects(wrong.start(), (error: unknown) => error instanceof ConfigurationError && /WRONGPASS/.test(error.message) && !error.message.includes("wrong-word"));
      const none = storeMaker(`redis://127.0.0.1:${port}`, "none").make();
      await assert.rejects(none.start(), ConfigurationError);
      const right = storeMaker(`redis://:secret-word@127.0.0.1:${port}`, "right");
      await right.make().start();
      await right.stop();
    } finally {
      await protectedServer.stop();
    }
  });

  test("rejects while the server is down, and works again by itself when it is back, telling what it forgot", async () => {
    const told: Forgetting[] = [];
    const first = await startRedis();
    const stores = storeMaker(first.url, "down");
    const store = stores.make({ commandTimeoutMs: 500, onForgotten: (what) => told.push(what) });
    await store.start();
    await store.claim([claimOf("a")], leaseMs);
    await first.stop();
    const calls: (() => Promise<unknown>)[] = [
      () => store.claim([claimOf("b")], leaseMs),
      () => store.finish([{ eventId: "a", epoch: 1, outbox }]),
      () => store.checkpoint([{ eventId: "a", epoch: 1, step: stepOf("one") }]),
      () => store.extend([{ eventId: "a", epoch: 1 }], leaseMs),
      () => store.fail([{ eventId: "a", epoch: 1, state: "waiting", reason: "", countsAttempt: true }]),
      () => store.clearOutbox(["a"]),
      () => store.read("a"),
    ];
    for (const call of calls) await assert.rejects(within("an answer", call(), 1_500), StoreUnavailableError);
    assert.equal(await store.ping(), false);
    const second = await startRedis([], first.port);
    try {
      await eventually("the store to answer again", () => store.ping());
      assert.equal((await store.claim([claimOf("a")], leaseMs))[0]?.kind, "acquired");
      assert.deepEqual(told, ["failover", "sentinel"]);
    } finally {
      await stores.stop();
      await second.stop();
    }
  });

  test("rejects what is under way when the connection breaks, without sending it again", async () => {
    const own = await startRedis();
    const stores = storeMaker(own.url, "broken");
    const store = stores.make({ commandTimeoutMs: 5_000 });
    await store.start();
    own.process.kill("SIGSTOP");
    const underWay = store.claim([claimOf("a")], leaseMs);
    own.process.kill("SIGKILL");
    await assert.rejects(within("an answer", underWay, 2_000), StoreUnavailableError);
    const next = await startRedis([], own.port);
    try {
      await eventually("the store to answer again", () => store.ping());
      assert.equal(await store.read("a"), undefined);
    } finally {
      await stores.stop();
      await next.stop();
    }
  });
});

describe("redis run store on a cluster", () => {
  test("works on a node of a cluster, where every script call must stay in one slot", { timeout: 60_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-cluster-"));
    const server = await startRedis(["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-announce-ip", "127.0.0.1", "--dir", folder]);
    const redis = new Redis(server.url);
    try {
      const slots = Array.from({ length: 16_384 }, (_, slot) => slot);
      await redis.call("CLUSTER", ["ADDSLOTS", ...slots]);
      await eventually("the cluster to serve", async () => String(await redis.call("CLUSTER", "INFO")).includes("cluster_state:ok"));
      const stores = storeMaker(server.url, "clustered");
      for (const isCluster of [true, false]) {
        const store = stores.make({ isCluster, consumer: `orders/${isCluster}` });
        await store.start();
        const ids = Array.from({ length: 600 }, (_, index) => `event-${index}`);
        const claimed = await store.claim(ids.map((eventId) => claimOf(eventId)), leaseMs);
        assert.ok(claimed.every((result) => result.kind === "acquired"));
        await store.checkpoint(ids.slice(0, 5).map((eventId) => ({ eventId, epoch: 1, step: stepOf("one") })));
        const written = await store.finish(ids.map((eventId) => ({ eventId, epoch: 1, outbox })));
        assert.ok(written.every((result) => result === "written"));
        assert.equal((await store.read("event-4"))?.steps.length, 1);
        assert.equal(await store.ping(), true);
        const keys = await keysOf(redis, `clustered:{orders/${isCluster}}`);
        assert.equal(keys.length, 600 + 5 + 2);
        const slotsOfKeys = await Promise.all(keys.map((key) => redis.call("CLUSTER", "KEYSLOT", key)));
        assert.equal(new Set(slotsOfKeys).size, 1);
      }
      await stores.stop();
    } finally {
      redis.disconnect();
      await server.stop();
      await rm(folder, { recursive: true });
    }
  });
});
