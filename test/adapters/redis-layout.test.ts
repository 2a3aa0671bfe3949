// How records are laid out on Redis: the compact layout, what it forgets when, how it grows, and how records of the plain one become it.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { describe, type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { createRedisRunRecords } from "#runtime/adapters/redis/run-records.ts";
import { createRedisRunStore, type RedisRunStoreOptions } from "#runtime/adapters/redis/run-store.ts";
import { ConfigurationError } from "#runtime/core/errors.ts";
import type { RunState } from "#runtime/core/run.ts";
import type { ClaimRequest, ClaimResult, RunStore } from "#runtime/ports/run-store.ts";
import { claimOf, deathOf, stepOf } from "../contracts/run-store-fixtures.ts";
import { eventually } from "../support/eventually.ts";

const url = process.env["REDIS_URL"] ?? "";
assert.ok(url !== "", "expected REDIS_URL; run this file with: node test/run.ts");
const retentionMs = 3_600_000;
const leaseMs = 60_000;
const outbox = new Uint8Array(0);
const payloadHash = "vyGp6PvFo4RvsFtPoIWeCReyIC8=";
const everyState: readonly RunState[] = ["running", "waiting", "done", "dead", "parked"];

interface Bundle {
  readonly redis: Redis;
  readonly base: string;
  readonly prefix: string;
  readonly open: (overrides?: Partial<RedisRunStoreOptions>) => Promise<RunStore>;
  /** Event ids by state, from the first page to the last. */
  readonly listed: () => Promise<Record<string, string[]>>;
}

function bundleOf(t: TestContext): Bundle {
  const redis = new Redis(url);
  const prefix = `layout-${randomUUID()}`;
  const base = `${prefix}:{orders}:`;
  const options = { consumer: "orders", retentionMs, url, prefix };
  t.after(async () => {
    for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1_000 }) as AsyncIterable<string[]>) if (keys.length > 0) await redis.unlink(keys);
    await redis.quit();
  });
  const open = async (overrides: Partial<RedisRunStoreOptions> = { layout: "compact" }): Promise<RunStore> => {
    const store = createRedisRunStore({ ...options, ...overrides });
    t.after(() => store.stop());
    await store.start();
    return store;
  };
  const listed = async (): Promise<Record<string, string[]>> => {
    const records = createRedisRunRecords(options);
    await records.start();
    const found: Record<string, Set<string>> = {};
    let cursor: string | undefined;
    do {
      const page = await records.scan(cursor, everyState);
      for (const { eventId, state } of page.runs) (found[state] ??= new Set()).add(eventId);
      cursor = page.next;
    } while (cursor !== undefined);
    await records.stop();
    return Object.fromEntries(Object.entries(found).map(([state, ids]) => [state, [...ids].sort()]));
  };
  return { redis, base, prefix, open, listed };
}

function requestOf(eventId: string, overrides: Partial<ClaimRequest> = {}): ClaimRequest {
  return claimOf(eventId, { token: "worker-1:4711:0a1b2c3d:17", payloadHash, ...overrides });
}

function kindsOf(results: readonly ClaimResult[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of results) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

async function finished(store: RunStore, eventIds: readonly string[]): Promise<void> {
  const claimed = await store.claim(
    eventIds.map((eventId) => requestOf(eventId)),
    leaseMs,
  );
  assert.deepEqual(kindsOf(claimed), { acquired: eventIds.length });
  const written = await store.finish(eventIds.map((eventId) => ({ eventId, epoch: 1, outbox })));
  assert.ok(written.every((result) => result === "written"));
}

/** Lets this much pass on the server's clock. */
async function passed(redis: Redis, ms: number): Promise<void> {
  const now = async (): Promise<number> => Number((await redis.time())[0]) * 1_000 + Number((await redis.time())[1]) / 1_000;
  const target = (await now()) + ms + 1;
  await eventually(`${ms} ms to pass on Redis's clock`, async () => (await now()) >= target);
}

const ids = {
  uuids: (count: number): string[] => Array.from({ length: count }, () => randomUUID()),
  texts: (count: number): string[] => Array.from({ length: count }, (_, index) => `order-${index}`),
};

describe("the compact layout of records on Redis", () => {
  for (const [what, make] of Object.entries(ids)) {
    test(`spreads ${what} over more buckets as they become more, each of which Redis keeps as a listpack, and finds every one`, async (t) => {
      const { redis, base, open, listed } = bundleOf(t);
      const store = await open();
      const all = make(6_000);
      for (let from = 0; from < all.length; from += 500) await finished(store, all.slice(from, from + 500));
      const count = Number(await redis.get(`${base}buckets`));
      assert.ok(count > 60, `${count}`);
      const numbers = Array.from({ length: count }, (_, number) => `${base}b:${number}`);
      const lengths = await Promise.all(numbers.map((key) => redis.hlen(key)));
      assert.equal(
        lengths.reduce((sum, length) => sum + length, 0),
        all.length,
      );
      const encodings = new Set(await Promise.all(numbers.filter((_, number) => (lengths[number] ?? 0) > 0).map((key) => redis.object("ENCODING", key))));
      assert.deepEqual(
        [...encodings].map((encoding) => String(encoding).replace("ziplist", "listpack")),
        ["listpack"],
      );
      const again = await store.claim(
        all.map((eventId) => requestOf(eventId)),
        leaseMs,
      );
      assert.deepEqual(kindsOf(again), { done: all.length });
      const reused = await store.claim([requestOf(all[0] ?? "", { payloadHash: "AAGp6PvFo4RvsFtPoIWeCReyIC8=" })], leaseMs);
      assert.deepEqual(kindsOf(reused), { reused: 1 });
      assert.deepEqual(await listed(), { done: all.toSorted() });
      const view = await store.read(all[1] ?? "");
      assert.deepEqual([view?.state, view?.epoch, view?.pipelineHash, view?.payloadHash], ["done", 1, "pipeline-1", payloadHash.slice(0, 8)]);
    });
  }

  test("gets more buckets a few at a time, and about as many as its records need, however many there are", async (t) => {
    const { redis, base, open } = bundleOf(t);
    const store = await open();
    let before = 1;
    for (let claimed = 250; claimed <= 12_000; claimed += 250) {
      await store.claim(
        ids.uuids(250).map((eventId) => requestOf(eventId)),
        leaseMs,
      );
      const count = Number(await redis.get(`${base}buckets`));
      // One record in seventeen is looked at, sixteen in a call at most, and each may bring one.
      assert.ok(count - before <= 16, `${count - before} more after ${claimed}`);
      if (claimed >= 2_000) assert.ok(claimed / count > 22 && claimed / count < 36, `${claimed} in ${count}`);
      before = count;
    }
  });

  test("gets more buckets whatever its ids have in common, as those that are made of the time do", async (t) => {
    const { redis, base, open } = bundleOf(t);
    const store = await open();
    // The first of the four words whose exclusive or is the hash: so its first bits are always the same.
    const word = (id: string, at: number): number => Number.parseInt(id.replaceAll("-", "")[at] ?? "", 16);
    const alike = (id: string): string => (word(id, 8) ^ word(id, 16) ^ word(id, 24)).toString(16) + id.slice(1);
    for (let call = 0; call < 12; call += 1)
      await store.claim(
        ids.uuids(500).map((eventId) => requestOf(alike(eventId))),
        leaseMs,
      );
    const count = Number(await redis.get(`${base}buckets`));
    assert.ok(count > 160, `${count}`);
  });

  test("gets no bucket for what is past its retention", async (t) => {
    const { redis, base, open } = bundleOf(t);
    const store = await open({ layout: "compact", retentionMs: 100 });
    for (let round = 0; round < 6; round += 1) {
      await store.claim(
        ids.uuids(500).map((eventId) => requestOf(eventId)),
        leaseMs,
      );
      await passed(redis, 100);
    }
    const count = Number(await redis.get(`${base}buckets`));
    // 500 need 17, and the way they are counted leaves some to chance.
    assert.ok(count >= 16 && count <= 28, `${count}`);
  });

  test("keeps a finished event in less than 48 bytes", async (t) => {
    const { redis, base, open } = bundleOf(t);
    const store = await open();
    const all = ids.uuids(6_000);
    for (let from = 0; from < all.length; from += 500) await finished(store, all.slice(from, from + 500));
    const count = Number(await redis.get(`${base}buckets`));
    const sizes = await Promise.all(Array.from({ length: count }, (_, number) => redis.memory("USAGE", `${base}b:${number}`)));
    const bytes = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0) / all.length;
    assert.ok(bytes < 48, `${bytes}`);
  });

  test("has a place for every kind of id, hash and token", async (t) => {
    const { open, listed } = bundleOf(t);
    const store = await open();
    const odd = [
      "x".repeat(55),
      "x".repeat(56),
      "x".repeat(128),
      "ü",
      "ü".repeat(28),
      randomUUID().toUpperCase(),
      `${randomUUID().slice(0, 35)}g`,
      "-".repeat(36),
      "a-b",
    ];
    const hashes = [payloadHash, "short", "x".repeat(20), "x".repeat(21), "x".repeat(60), "vyGp6PvFo4RvsFtPoIWe-ReyIC8=", ""];
    const tokens = ["plain", "w:1", `${"h".repeat(80)}:4711:0a1b2c3d:1`, `w:${"9".repeat(60)}`, ":", ""];
    const requests = odd.flatMap((eventId, index) => [
      requestOf(eventId, { payloadHash: hashes[index % hashes.length] ?? "", token: tokens[index % tokens.length] ?? "", pipelineHash: `pipeline-${index}` }),
    ]);
    for (const [index, hash] of hashes.entries()) requests.push(requestOf(`hash-${index}`, { payloadHash: hash }));
    for (const [index, token] of tokens.entries()) requests.push(requestOf(`token-${index}`, { token }));
    // More workers than one batch names by number.
    for (let index = 0; index < 12; index += 1) requests.push(requestOf(`worker-${index}`, { token: `worker-${index}:1` }));
    const all = requests.map(({ eventId }) => eventId).toSorted();
    assert.deepEqual(kindsOf(await store.claim(requests, leaseMs)), { acquired: requests.length });
    assert.deepEqual(kindsOf(await store.claim(requests, leaseMs)), { acquired: requests.length });
    for (const { eventId, token, payloadHash: hash, pipelineHash } of requests) {
      const view = await store.read(eventId);
      assert.deepEqual([view?.state, view?.claim?.token, view?.payloadHash, view?.pipelineHash], ["running", token, hash, pipelineHash]);
    }
    assert.deepEqual(await listed(), { running: all });
    assert.ok((await store.finish(requests.map(({ eventId }) => ({ eventId, epoch: 1, outbox })))).every((result) => result === "written"));
    assert.deepEqual(kindsOf(await store.claim(requests, leaseMs)), { done: requests.length });
    assert.deepEqual(await listed(), { done: all });
  });

  test("keeps steps of what is done for a time of their own, an outbox until it is published, and a mark for as long as records are kept", async (t) => {
    const { redis, base, open, listed } = bundleOf(t);
    const store = await open({ layout: "compact", detailsMs: 400 });
    const all = ["steps", "outbox", "failed", "none"];
    await store.claim(
      all.map((eventId) => requestOf(eventId)),
      leaseMs,
    );
    await store.fail([{ eventId: "failed", epoch: 1, state: "waiting", reason: "later", failures: 1, losses: 2 }]);
    await store.claim([requestOf("failed")], leaseMs);
    await store.finish([
      { eventId: "steps", epoch: 1, outbox, steps: [stepOf("one")] },
      { eventId: "outbox", epoch: 1, outbox: Uint8Array.of(1), steps: [stepOf("one")] },
      { eventId: "failed", epoch: 2, outbox },
      { eventId: "none", epoch: 1, outbox },
    ]);
    assert.deepEqual([await redis.exists(`${base}r:steps`), await redis.exists(`${base}r:failed`), await redis.exists(`${base}r:none`)], [1, 0, 0]);
    assert.equal((await store.read("steps"))?.steps.length, 1);
    await passed(redis, 400);
    const [steps, unpublished] = [await store.read("steps"), await store.read("outbox")];
    assert.deepEqual([steps?.state, steps?.steps.length, unpublished?.steps.length, unpublished?.outbox.length], ["done", 0, 1, 1]);
    await store.clearOutbox(["outbox", "none"]);
    await passed(redis, 400);
    assert.equal(await redis.exists(`${base}r:outbox`), 0);
    const failed = await store.read("failed");
    assert.deepEqual([failed?.epoch, failed?.failures, failed?.losses], [2, 1, 2]);
    assert.deepEqual(
      kindsOf(
        await store.claim(
          all.map((eventId) => requestOf(eventId)),
          leaseMs,
        ),
      ),
      { done: 4 },
    );
    assert.deepEqual(await listed(), { done: all.toSorted() });
  });

  test("keeps a bucket for longer than the runs in it, whose claims renew its end before that comes near", async (t) => {
    const { redis, base, open } = bundleOf(t);
    const store = await open();
    const lifeAfterClaim = async (): Promise<number> => {
      await store.claim([requestOf(randomUUID())], leaseMs);
      return redis.pttl(`${base}b:0`);
    };
    assert.ok((await lifeAfterClaim()) > 1.9 * retentionMs);
    await redis.pexpire(`${base}b:0`, 1.4 * retentionMs);
    assert.ok((await lifeAfterClaim()) > 1.9 * retentionMs);
    await redis.persist(`${base}b:0`);
    assert.ok((await lifeAfterClaim()) > 1.9 * retentionMs);
  });

  test("keeps a bucket for longer than a run in it that is done long after its claim", async (t) => {
    const { redis, base, open } = bundleOf(t);
    const eventId = randomUUID();
    // As if that much of the retention had passed since.
    const claimer = await open({ layout: "compact", retentionMs: retentionMs / 4 });
    await claimer.claim([requestOf(eventId)], leaseMs);
    const store = await open();
    assert.deepEqual(await store.finish([{ eventId, epoch: 1, outbox }]), ["written"]);
    assert.ok((await redis.pttl(`${base}b:0`)) > retentionMs);
  });

  test("makes room of what is past its retention, and lets its buckets end when nothing comes any more", async (t) => {
    const { redis, base, prefix, open, listed } = bundleOf(t);
    const store = await open({ layout: "compact", retentionMs: 1_000 });
    for (let round = 0; round < 4; round += 1) await finished(store, ids.uuids(500));
    await passed(redis, 1_000);
    const last = ids.uuids(2_000);
    for (let from = 0; from < last.length; from += 500) await finished(store, last.slice(from, from + 500));
    const count = Number(await redis.get(`${base}buckets`));
    const lengths = await Promise.all(Array.from({ length: count }, (_, number) => redis.hlen(`${base}b:${number}`)));
    const kept = lengths.reduce((sum, length) => sum + length, 0);
    assert.ok(kept < 3_900, `${kept}`);
    assert.ok(((await listed())["done"]?.length ?? 0) <= last.length);
    await eventually("the buckets to end", async () => (await redis.keys(`${prefix}:*:b:*`)).length === 0);
  });

  test("finds what was made by hand before any worker has come", async (t) => {
    const { prefix, open } = bundleOf(t);
    const records = createRedisRunRecords({ consumer: "orders", retentionMs, url, prefix });
    await records.start();
    const made = { eventId: "a", payloadHash, pipelineHash: "", state: "dead", reason: "no", steps: [], history: [] } as const;
    assert.equal(await records.create(made), "created");
    await records.stop();
    const store = await open();
    assert.deepEqual(kindsOf(await store.claim([requestOf("a")], leaseMs)), { dead: 1 });
  });

  test("lists a run that moves while it is listed", async (t) => {
    const { open, prefix } = bundleOf(t);
    const store = await open();
    const before = ids.uuids(600);
    await finished(store, before);
    const records = createRedisRunRecords({ consumer: "orders", retentionMs, url, prefix });
    await records.start();
    const found = new Set<string>();
    let pages = 0;
    let cursor: string | undefined;
    do {
      const page = await records.scan(cursor, everyState);
      for (const { eventId } of page.runs) found.add(eventId);
      cursor = page.next;
      if ((pages += 1) <= 20) await finished(store, ids.uuids(300));
    } while (cursor !== undefined);
    await records.stop();
    assert.deepEqual(
      before.filter((eventId) => !found.has(eventId)),
      [],
    );
  });
});

describe("records of the plain layout", () => {
  test("stay plain until a worker says compact, and are found from then on by those of before, too", async (t) => {
    const { redis, base, open, listed } = bundleOf(t);
    const before = await open({ layout: "plain" });
    await before.claim(
      ["done", "running", "dead", "waiting", "under-way", "unpublished"].map((eventId) => requestOf(eventId)),
      leaseMs,
    );
    await before.finish([{ eventId: "unpublished", epoch: 1, outbox: Uint8Array.of(1) }]);
    await before.finish([{ eventId: "done", epoch: 1, outbox: Uint8Array.of(1), steps: [stepOf("one")] }]);
    await before.fail([
      { eventId: "dead", epoch: 1, state: "dead", reason: "no", failures: 1, losses: 0, death: deathOf() },
      { eventId: "waiting", epoch: 1, state: "waiting", reason: "later", failures: 1, losses: 0 },
    ]);
    // Without a word it leaves them as they are.
    const silent = await open({});
    await finished(silent, ["plain-1"]);
    assert.deepEqual([await redis.exists(`${base}r:plain-1`), await redis.exists(`${base}buckets`)], [1, 0]);
    const after = await open({ layout: "compact" });
    await finished(after, ["compact-1"]);
    assert.deepEqual(await before.finish([{ eventId: "under-way", epoch: 1, outbox }]), ["written"]);
    await before.clearOutbox(["unpublished"]);
    assert.deepEqual([await redis.exists(`${base}r:compact-1`), await redis.exists(`${base}buckets`)], [0, 1]);
    for (const store of [before, after]) {
      const results = await store.claim(
        ["done", "running", "dead", "compact-1", "plain-1", "under-way", "unpublished"].map((eventId) => requestOf(eventId, { token: "other" })),
        leaseMs,
      );
      assert.deepEqual(
        results.map(({ kind }) => kind),
        ["done", "held", "dead", "done", "done", "done", "done"],
      );
      const [unpublished] = results.slice(-1);
      assert.equal(unpublished?.kind === "done" && unpublished.outbox.length, 0);
      assert.equal((await store.read("done"))?.steps.length, 1);
    }
    assert.deepEqual(await silent.finish([{ eventId: "running", epoch: 1, outbox }]), ["written"]);
    assert.deepEqual(await after.finish([{ eventId: "running", epoch: 1, outbox }]), ["written"]);
    const [taken] = await after.claim([requestOf("waiting")], leaseMs);
    assert.ok(taken?.kind === "acquired" && taken.epoch === 2);
    assert.deepEqual(await listed(), { dead: ["dead"], done: ["compact-1", "done", "plain-1", "running", "under-way", "unpublished"], running: ["waiting"] });
  });

  test("are what a new consumer gets without a word, and a worker that knows no other does not start on compact ones", async (t) => {
    const { redis, base, open } = bundleOf(t);
    await finished(await open({}), ["a"]);
    assert.deepEqual([await redis.get(`${base}tags`), await redis.exists(`${base}r:a`)], ["1", 1]);
    await open({ layout: "compact" });
    // What such a worker compares with its number of tags.
    assert.equal(await redis.get(`${base}tags`), "1 compact");
    await assert.rejects(open({ hashTags: 3 }), (error: unknown) => error instanceof ConfigurationError && error.message.includes("say hashTags: 1,"));
  });
});
