import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { after, before, describe, type TestContext, test } from "node:test";
import { Cluster } from "ioredis";
import { createRedisRunStore, type RedisRunStoreOptions } from "#runtime/adapters/redis/run-store.ts";
import { tagIndexOf } from "#runtime/adapters/redis/tags.ts";
import { ConfigurationError, StorePartlyUnavailableError, StoreUnavailableError } from "#runtime/core/errors.ts";
import type { Forgetting, RunStore } from "#runtime/ports/run-store.ts";
import { forgettingContract } from "../contracts/forgetting.ts";
import { claimOf, type RunStoreHarness, stepOf } from "../contracts/run-store-fixtures.ts";
import { runStoreContract } from "../contracts/run-store.ts";
import { eventually, within } from "../support/eventually.ts";
import { type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts";
import { startRedis } from "../support/redis-server.ts";

const retentionMs = 3_600_000;
const leaseMs = 60_000;
const tags = 12;
const ids = Array.from({ length: 600 }, (_, index) => `event-${index}`);

let cluster: RedisCluster;
before(async () => void (cluster = await startRedisCluster()));
after(() => cluster.stop());

function storeFor(t: TestContext, prefix: string, overrides: Partial<RedisRunStoreOptions> = {}): RunStore {
  const store = createRedisRunStore({ consumer: "orders", retentionMs, url: cluster.url, isCluster: true, prefix, commandTimeoutMs: 500, ...overrides });
  t.after(() => store.stop());
  return store;
}

async function started(t: TestContext, overrides: Partial<RedisRunStoreOptions> = {}, prefix: string = `test-${randomUUID()}`): Promise<RunStore> {
  const store = storeFor(t, prefix, overrides);
  await store.start();
  return store;
}

async function harness(): Promise<RunStoreHarness> {
  const prefix = `test-${randomUUID()}`;
  const client = new Cluster([{ host: "127.0.0.1", port: cluster.masters[0]?.port ?? 0 }]);
  const opened: RunStore[] = [];
  // The latest of the shards' clocks is the one to wait for; on one machine they are the same.
  const nowMs = async (): Promise<number> => {
    const [seconds = 0, micros = 0] = await client.time();
    return seconds * 1_000 + micros / 1_000;
  };
  return {
    async open(more = {}) {
      const store = createRedisRunStore({ consumer: "orders", retentionMs, url: cluster.url, isCluster: true, prefix, ...more });
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
      await client.quit();
    },
  };
}

runStoreContract("redis cluster", harness, { modelRuns: 10, isShared: true });

forgettingContract("redis cluster", async (t) => {
  const prefix = `test-${randomUUID()}`;
  return { make: (options) => storeFor(t, prefix, options), empty: () => cluster.flush() };
});

describe("redis run store on a cluster", () => {
  test("lets every shard have its share of one consumer's records, each record and its steps in one slot", async (t) => {
    const prefix = `test-${randomUUID()}`;
    const store = await started(t, {}, prefix);
    const claimed = await store.claim(
      ids.map((eventId) => claimOf(eventId)),
      leaseMs,
    );
    assert.ok(claimed.every(({ kind }) => kind === "acquired"));
    await store.checkpoint(ids.map((eventId) => ({ eventId, epoch: 1, step: stepOf("one") })));
    assert.equal((await store.read("event-4"))?.steps.length, 1);
    const shares = await Promise.all(cluster.masters.map((master) => master.keys(`${prefix}:*:r:*`)));
    assert.equal(shares.flat().length, ids.length);
    for (const share of shares) assert.ok(share.length > ids.length / 5, `a shard holds ${share.length} of ${ids.length}`);
    const hashTags = new Set(shares.flat().map((key) => /\{(.*?)\}/.exec(key)?.[1]));
    assert.equal(hashTags.size, tags);
  });

  test("says what to do when a cluster's node is taken for a single server", async (t) => {
    const first = storeFor(t, "alone", { isCluster: false });
    const second = storeFor(t, "another", { isCluster: false });
    const third = storeFor(t, "one-more", { isCluster: false, consumer: "payments" });
    const answers = await Promise.allSettled([first, second, third].map((store) => store.start()));
    const refused = answers.filter(({ status }) => status === "rejected");
    assert.ok(refused.length > 0);
    for (const answer of refused) assert.match(String((answer as PromiseRejectedResult).reason), /MOVED .*say cluster: true/);
  });

  test("refuses another number of hash tags than the records were spread over", async (t) => {
    const prefix = `test-${randomUUID()}`;
    await started(t, { hashTags: 4 }, prefix);
    await assert.rejects(
      storeFor(t, prefix, { hashTags: 5 }).start(),
      (error: unknown) => error instanceof ConfigurationError && /over 5 hash tag.* found 4; say hashTags: 4/.test(error.message),
    );
  });

  test("tells of a shard that was emptied, once, and which events that concerns", async (t) => {
    const told: { readonly what: Forgetting; readonly concerned: readonly string[] }[] = [];
    const store = await started(t, {
      onForgotten: (what, concerns) => void told.push({ what, concerned: ids.filter((eventId) => concerns?.(eventId) ?? true) }),
    });
    const requests = ids.map((eventId) => claimOf(eventId));
    await store.claim(requests, leaseMs);
    assert.equal(told.length, 0);
    await cluster.masters[0]?.flush();
    const answers = await store.claim(requests, leaseMs);
    // The same tokens: those whose record is still there keep their claim; the others are new and look alike.
    assert.ok(answers.every(({ kind }) => kind === "acquired"));
    assert.equal(told.length, 1);
    assert.equal(told[0]?.what, "sentinel");
    const concerned = new Set(told[0]?.concerned);
    assert.ok(concerned.size > ids.length / 5 && concerned.size < ids.length / 2, `${concerned.size} of ${ids.length} are concerned`);
    await store.claim(requests, leaseMs);
    assert.equal(told.length, 1);
  });
});

describe("redis run store on a cluster that loses a shard", () => {
  test("carries out what the other shards hold, names what it could not reach, and goes on by itself", { timeout: 60_000 }, async (t) => {
    const own = await startRedisCluster();
    t.after(() => own.stop());
    const store = await started(t, { url: own.url });
    const requests = ids.map((eventId) => claimOf(eventId));
    await store.claim(requests, leaseMs);
    own.masters[2]?.process.kill("SIGSTOP");
    const failed = await within(
      "an answer",
      store.finish(ids.map((eventId) => ({ eventId, epoch: 1, outbox: new Uint8Array(0) }))).catch((error: unknown) => error),
    );
    assert.ok(failed instanceof StorePartlyUnavailableError, String(failed));
    const lost = new Set(failed.unreachable.map((place) => tagIndexOf(ids[place] ?? "", tags)));
    const others = ids.filter((eventId) => !lost.has(tagIndexOf(eventId, tags)));
    assert.ok(others.length > ids.length / 2, `${others.length} are reached`);
    assert.equal(await store.ping(), true);
    const written = await store.finish(others.map((eventId) => ({ eventId, epoch: 1, outbox: new Uint8Array(0) })));
    assert.ok(written.every((answer) => answer === "written"));
    // What is known to be down holds nobody else up: it is not even waited for until a command's time is over, for no time passes.
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const extended = store.extend(
      ids.map((eventId) => ({ eventId, epoch: 1 })),
      leaseMs,
    );
    await assert.rejects(within("an answer", extended), StorePartlyUnavailableError);
    t.mock.timers.runAll();
    t.mock.timers.reset();
    own.masters[2]?.process.kill("SIGCONT");
    await eventually("the lost shard to be written again", async () => {
      const answers = await store.finish(ids.map((eventId) => ({ eventId, epoch: 1, outbox: new Uint8Array(0) }))).catch(() => []);
      return answers.length === ids.length && answers.every((answer) => answer === "written");
    });
  });

  test("is down as a whole when no shard answers", async (t) => {
    const own = await startRedisCluster();
    t.after(() => own.stop());
    const store = await started(t, { url: own.url });
    for (const master of own.masters) master.process.kill("SIGSTOP");
    const error = await within(
      "an answer",
      store
        .claim(
          ids.map((eventId) => claimOf(eventId)),
          leaseMs,
        )
        .catch((failure: unknown) => failure),
    );
    assert.ok(error instanceof StoreUnavailableError && !(error instanceof StorePartlyUnavailableError), String(error));
    assert.equal(await store.ping(), false);
  });
});

test("one server may hold a consumer's records under several hash tags too", async (t) => {
  const server = await startRedis();
  t.after(() => server.stop());
  const store = await started(t, { url: server.url, isCluster: false, hashTags: 3 });
  const answers = await store.claim(
    ids.map((eventId) => claimOf(eventId)),
    leaseMs,
  );
  assert.ok(answers.every(({ kind }) => kind === "acquired"));
});
