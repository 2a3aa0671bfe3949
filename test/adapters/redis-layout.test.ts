// How records are laid out on Redis: the compact layout, what it forgets when, and how records of the plain one become it. How it grows is in redis-layout-growth.test.ts.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { createRedisRunRecords } from "#runtime/adapters/redis/run-records.ts";
import { ConfigurationError } from "#runtime/core/errors.ts";
import { deathOf, stepOf } from "../contracts/run-store-fixtures.ts";
import { bundleOf, everyState, finished, ids, kindsOf, leaseMs, outbox, passed, payloadHash, requestOf, retentionMs, url } from "../support/redis-layout.ts";

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
