// What sources that bring nothing cost Redis, and that their signatures still find what was lost.
import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { createRedisRunStore, sharedClientOf } from "#runtime/adapters/redis/run-store.ts";
import type { StoreSuspicion } from "#runtime/core/store-suspicion.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";

const lookMs = 2_500;
const storeCount = 50;

interface Scene {
  readonly redis: Redis;
  readonly stores: readonly RunStore[];
  readonly forgotten: string[];
  readonly suspicions: StoreSuspicion[];
  /** Scripts that were run so far. */
  readonly calls: () => Promise<number>;
  /** Numbers under which all writers have signed so far, added up. */
  readonly signed: () => Promise<number>;
  /** As much time passes as lies between two looks at who has nothing to write. */
  readonly pass: () => void;
}

async function start(t: TestContext, layout?: "compact"): Promise<Scene> {
  const server = await startRedis();
  const redis = new Redis(server.url);
  let passedMs = 0;
  const nowMs = performance.now.bind(performance);
  t.mock.method(performance, "now", () => nowMs() + passedMs);
  t.mock.timers.enable({ apis: ["setInterval"] });
  const place = { url: server.url, commandTimeoutMs: 5_000 };
  const shared = sharedClientOf(place);
  const forgotten: string[] = [];
  const suspicions: StoreSuspicion[] = [];
  const stores = Array.from({ length: storeCount }, (_, index) =>
    createRedisRunStore(
      {
        ...place,
        ...(layout && { layout }),
        consumer: `source-${index}`,
        retentionMs: 3_600_000,
        onForgotten: (what) => void forgotten.push(what),
        onSuspect: (suspicion) => void suspicions.push(suspicion),
      },
      shared,
    ),
  );
  await Promise.all(stores.map((store) => store.start()));
  t.after(async () => {
    await Promise.all(stores.map((store) => store.stop()));
    await redis.quit();
    await server.stop();
  });
  const calls = async (): Promise<number> => {
    const stats = await redis.info("commandstats");
    return [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  const signed = async (): Promise<number> => {
    const keys = await redis.keys("*:w:*");
    assert.equal(keys.length, storeCount);
    return (await redis.mget(keys)).reduce((sum, number) => sum + Number(number), 0);
  };
  const pass = (): void => {
    passedMs += lookMs;
    t.mock.timers.tick(lookMs);
  };
  return { redis, stores, forgotten, suspicions, calls, signed, pass };
}

for (const layout of [undefined, "compact"] as const) {
  test(`fifty sources without a message cost Redis one command each time it is signed for all of them, laid out ${layout ?? "plainly"}`, async (t) => {
    const { calls, signed, pass } = await start(t, layout);
    const [callsBefore, signedBefore] = [await calls(), await signed()];
    pass();
    await eventually("all to be signed for", async () => (await signed()) === signedBefore + storeCount);
    // The first time the script is sent with its source.
    assert.ok((await calls()) - callsBefore <= 2, `expected one command, found ${(await calls()) - callsBefore}`);
    const callsOnce = await calls();
    pass();
    await eventually("all to be signed for again", async () => (await signed()) === signedBefore + 2 * storeCount);
    assert.equal((await calls()) - callsOnce, 1);
  });
}

test("records that are gone are missed by sources that have nothing to write", async (t) => {
  const { redis, forgotten, suspicions, pass } = await start(t);
  await redis.flushall();
  pass();
  await eventually("all to miss theirs", () => forgotten.length >= storeCount && suspicions.length >= storeCount);
  assert.deepEqual([new Set(forgotten), new Set(suspicions.map(({ scope }) => scope))], [new Set(["sentinel"]), new Set(["all"])]);
});
