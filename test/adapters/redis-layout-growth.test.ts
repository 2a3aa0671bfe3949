// How the compact layout on Redis grows with its records, and loses what is past its retention, and nothing else.
import { strict as assert } from "node:assert";
import { randomBytes, randomUUID } from "node:crypto";
import { describe, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { bundleOf, claimed, finished, ids, leaseMs, nowMsOf, outbox, passed, requestOf, retentionMs } from "../support/redis-layout.ts";

function sumOf(lengths: readonly number[]): number {
  return lengths.reduce((sum, length) => sum + length, 0);
}

describe("the compact layout of records on Redis, as they become more", () => {
  test("gets more buckets a few at a time, and about as many as its records need, however many there are", async (t) => {
    const { redis, base, open } = bundleOf(t);
    const store = await open();
    let before = 1;
    for (let records = 250; records <= 12_000; records += 250) {
      await claimed(store, 250);
      const count = Number(await redis.get(`${base}buckets`));
      assert.ok(count - before <= 16, `${count - before} more after ${records}`);
      if (records >= 2_000) assert.ok(records / count > 22 && records / count < 36, `${records} in ${count}`);
      before = count;
    }
  });

  test("gets as many buckets where events are claimed one by one", async (t) => {
    const { open, lengths } = bundleOf(t);
    const store = await open();
    await Promise.all(Array.from({ length: 20 }, () => claimed(store, 75, 1)));
    const count = (await lengths()).length;
    assert.ok(1_500 / count > 22 && 1_500 / count < 36, `${count}`);
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
      await claimed(store, 500);
      await passed(redis, 100);
    }
    const count = Number(await redis.get(`${base}buckets`));
    // 500 need 17, and the way they are counted leaves some to chance.
    assert.ok(count >= 16 && count <= 28, `${count}`);
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

  test("keeps a bucket for longer than the runs of any worker in it, where another keeps them for less", async (t) => {
    const { redis, base, open, lengths } = bundleOf(t);
    const long = await open();
    await claimed(long, 60);
    const brief = await open({ layout: "compact", retentionMs: 1_000 });
    const failed = ids.uuids(60);
    await brief.claim(
      failed.map((eventId) => requestOf(eventId)),
      leaseMs,
    );
    await brief.fail(failed.map((eventId) => ({ eventId, epoch: 1, state: "waiting", reason: "later", failures: 1, losses: 0 })));
    await claimed(brief, 500);
    const lives = await Promise.all((await lengths()).map((_, number) => redis.pttl(`${base}b:${number}`)));
    assert.ok(lives.length > 8);
    // One that got none of the first sixty is as good as any.
    assert.ok(
      lives.every((life) => life > retentionMs),
      lives.join(),
    );
  });

  test("drops what is past its retention from all buckets in turn", async (t) => {
    const { redis, open, lengths } = bundleOf(t);
    await claimed(await open({ layout: "compact", retentionMs: 50 }), 2_000);
    await passed(redis, 50);
    const before = (await lengths()).length;
    // With every thirteenth a bucket.
    const fresh = 13 * before;
    await claimed(await open(), fresh, 250);
    const kept = sumOf(await lengths());
    assert.ok(kept >= fresh && kept < fresh + 200, `${kept - fresh} of 2 000`);
  });

  test("drops what is past its retention a few hundred records at a time where hashes alike have made a bucket large, which is a listpack again in the end", async (t) => {
    const { redis, base, open } = bundleOf(t);
    const key = `${base}b:0`;
    const store = await open();
    // So many that it is long until this bucket is split, for that goes through all of it; and it is the next in turn.
    await claimed(store, 2_500);
    // A mark is D, its end, a pipeline, and a hash.
    const over = Buffer.from("D00000000000000010000", "latin1").fill(0, 1);
    for (let call = 0; call < 3; call += 1) {
      const marks = ids.uuids(1_000).flatMap((id) => [Buffer.concat([Buffer.of(2, 0, 0, 0, 0), Buffer.from(id)]), over]);
      await redis.hset(key, ...marks);
    }
    await redis.del(`${base}looks`);
    const lengthsOfIt = [await redis.hlen(key)];
    assert.ok((lengthsOfIt[0] ?? 0) >= 3_000, lengthsOfIt.join());
    while ((lengthsOfIt.at(-1) ?? 0) > 60 && lengthsOfIt.length < 400) {
      await claimed(store, 13);
      lengthsOfIt.push(await redis.hlen(key));
    }
    const dropped = lengthsOfIt.slice(1).map((length, index) => (lengthsOfIt[index] ?? 0) - length);
    assert.ok(Math.max(...dropped) <= 500, lengthsOfIt.join());
    assert.ok(lengthsOfIt.length < 400, lengthsOfIt.join());
    await claimed(store, 2_000);
    assert.match(String(await redis.object("ENCODING", key)), /^(listpack|ziplist)$/);
  });

  test("drops just those whose time is over by the server's clock", async (t) => {
    const { redis, base, open } = bundleOf(t);
    const store = await open();
    const sixBytes = (value: number): Buffer => Buffer.from(value.toString(16).padStart(12, "0"), "hex");
    for (let round = 0; round < 20; round += 1) {
      await redis.del(`${base}buckets`, `${base}looks`, `${base}b:0`, `${base}b:1`);
      const middle = await nowMsOf(redis);
      const ends = new Map<string, number>();
      const pairs: Buffer[] = [];
      // One a millisecond, done or on its way under a lease that ends at another time.
      for (let offset = -50; offset < 100; offset += 1) {
        const field = Buffer.concat([Buffer.of(2), randomBytes(4), Buffer.from(`${offset}`)]);
        const end = sixBytes(middle + offset);
        const behind = Buffer.concat([Buffer.of(0, 1, 255), randomBytes(6)]);
        const lease = sixBytes(middle + Math.round(1_000 * (Math.random() - 0.5)));
        pairs.push(
          field,
          offset % 2 === 0 ? Buffer.concat([Buffer.from("D"), end, behind]) : Buffer.concat([Buffer.from("r"), lease, end, Buffer.of(0, 1), behind]),
        );
        ends.set(field.toString("latin1"), middle + offset);
      }
      await redis.hset(`${base}b:0`, ...pairs);
      const before = await nowMsOf(redis);
      await claimed(store, 13);
      const after = await nowMsOf(redis);
      const fields = await Promise.all([redis.hkeysBuffer(`${base}b:0`), redis.hkeysBuffer(`${base}b:1`)]);
      const found = new Set(fields.flat().map((field) => field.toString("latin1")));
      for (const [field, end] of ends) {
        if (end <= before) assert.ok(!found.has(field), `${before - end} ms past its end`);
        if (end > after) assert.ok(found.has(field), `${end - after} ms before its end`);
      }
    }
  });

  test("keeps every record until its retention is over, and knows of none after it, whatever the other workers' retention is", async (t) => {
    const { redis, open } = bundleOf(t);
    const lives = [20, 60, 150, 400, 2_000];
    const stores = await Promise.all(lives.map((life) => open({ layout: "compact", retentionMs: life })));
    /** When its life began, at the earliest and at the latest. */
    const records: { readonly eventId: string; readonly endsFrom: number; readonly endsTo: number }[] = [];
    let [alive, over] = [0, 0];
    for (let round = 0; round < 60; round += 1) {
      const which = Math.floor(Math.random() * lives.length);
      const [store, life] = [stores[which], lives[which]];
      assert.ok(store && life);
      const fresh = ids.uuids(40 + Math.floor(Math.random() * 80));
      const from = await nowMsOf(redis);
      await store.claim(
        fresh.map((eventId) => requestOf(eventId)),
        leaseMs,
      );
      await store.fail(fresh.slice(0, 3).map((eventId) => ({ eventId, epoch: 1, state: "waiting", reason: "later", failures: 1, losses: 0 })));
      await store.finish(fresh.slice(3, 30).map((eventId) => ({ eventId, epoch: 1, outbox })));
      const to = await nowMsOf(redis);
      records.push(...fresh.map((eventId) => ({ eventId, endsFrom: from + life, endsTo: to + life })));
      // Those that are nearest to their end.
      const distance = ({ endsFrom }: (typeof records)[number]): number => Math.abs(endsFrom - to);
      const asked = records.toSorted((one, other) => distance(one) - distance(other)).slice(0, 30);
      const askedFrom = await nowMsOf(redis);
      const views = await Promise.all(asked.map(({ eventId }) => store.read(eventId)));
      const askedTo = await nowMsOf(redis);
      for (const [index, { endsFrom, endsTo }] of asked.entries()) {
        const isKnown = views[index] !== undefined;
        if (askedTo < endsFrom) assert.ok(isKnown, `a record ${endsFrom - askedTo} ms before its end`);
        if (askedFrom > endsTo) assert.ok(!isKnown, `a record ${askedFrom - endsTo} ms past its end`);
        alive += Number(askedTo < endsFrom);
        over += Number(askedFrom > endsTo);
      }
    }
    assert.ok(alive > 100 && over > 100, `${alive} and ${over}`);
  });

  test("makes room of what is past its retention, and lets its buckets end when nothing comes any more", async (t) => {
    const { redis, prefix, open, lengths, listed } = bundleOf(t);
    const store = await open({ layout: "compact", retentionMs: 1_000 });
    for (let round = 0; round < 4; round += 1) await finished(store, ids.uuids(500));
    await passed(redis, 1_000);
    const last = ids.uuids(2_000);
    for (let from = 0; from < last.length; from += 500) await finished(store, last.slice(from, from + 500));
    const kept = sumOf(await lengths());
    assert.ok(kept < 3_900, `${kept}`);
    assert.ok(((await listed())["done"]?.length ?? 0) <= last.length);
    await eventually("the buckets to end", async () => (await redis.keys(`${prefix}:*:b:*`)).length === 0);
  });
});
