// What a store that can lose its records must tell a worker that starts. An adapter's test calls it with a store to empty.
import { strict as assert } from "node:assert";
import { describe, type TestContext, test } from "node:test";
import type { Forgetting, ForgettingOptions, RunStore, StoreMemory } from "#runtime/ports/run-store.ts";
import { claimOf } from "./run-store-fixtures.ts";

interface ForgettingHarness {
  /** A store on the records, not started. */
  make(options: ForgettingOptions): RunStore;
  /** Everything is lost, while no store is open. */
  empty(): Promise<void>;
}

/** What a folder keeps over restarts. */
export function memoryOf(): StoreMemory {
  let kept: string | undefined;
  return { recall: () => kept, keep: (mark) => void (kept = mark) };
}

/** A worker's time: from the store's start to its stop, with a run in between. Returns what was reported, by the end of the start and in all. */
export async function session(
  harness: Pick<ForgettingHarness, "make">,
  memory: StoreMemory | undefined,
  eventId: string,
): Promise<readonly [atStart: readonly Forgetting[], inAll: readonly Forgetting[]]> {
  const told: Forgetting[] = [];
  const store = harness.make({ ...(memory === undefined ? {} : { memory }), onForgotten: (what) => told.push(what) });
  await store.start();
  const atStart = [...told];
  await store.claim([claimOf(eventId)], 60_000);
  await store.stop();
  return [atStart, told];
}

export function forgettingContract(name: string, makeHarness: (t: TestContext) => Promise<ForgettingHarness>): void {
  describe(`forgetting: ${name}`, () => {
    test("a very first start is told of nothing, nor is one on the records that the last one left", async (t) => {
      const harness = await makeHarness(t);
      const memory = memoryOf();
      assert.deepEqual(await session(harness, memory, "a"), [[], []]);
      assert.deepEqual(await session(harness, memory, "b"), [[], []]);
      // Another installation of the pool knows nothing, and has lost nothing.
      assert.deepEqual(await session(harness, memoryOf(), "c"), [[], []]);
      assert.deepEqual(await session(harness, undefined, "d"), [[], []]);
    });

    test("a start on a store that was emptied meanwhile is told of it, once", async (t) => {
      const harness = await makeHarness(t);
      const memory = memoryOf();
      await session(harness, memory, "a");
      await harness.empty();
      assert.deepEqual(await session(harness, memory, "a"), [["sentinel"], ["sentinel"]]);
      assert.deepEqual(await session(harness, memory, "b"), [[], []]);
    });

    test("every start after a loss hears how long ago it was, whichever worker noticed it, and none before", async (t) => {
      const harness = await makeHarness(t);
      const memory = memoryOf();
      assert.deepEqual(await suspicions(harness, memory), []);
      assert.deepEqual(await suspicions(harness, memory), []);
      await harness.empty();
      // This one has no memory: it takes the store for a new one.
      assert.deepEqual(await suspicions(harness, undefined), []);
      const noticedAtMs = performance.now();
      for (const who of [memory, memory, undefined, memoryOf()]) {
        const [agoMs, ...more] = await suspicions(harness, who);
        assert.ok(agoMs !== undefined && agoMs <= performance.now() - noticedAtMs + 5_000, `${agoMs}`);
        assert.deepEqual(more, []);
      }
    });
  });
}

/** What a worker has reported by the end of its start. */
async function suspicions(harness: Pick<ForgettingHarness, "make">, memory: StoreMemory | undefined): Promise<readonly number[]> {
  const told: number[] = [];
  const store = harness.make({ ...(memory === undefined ? {} : { memory }), onSuspect: ({ agoMs }) => told.push(agoMs) });
  await store.start();
  await store.stop();
  return told;
}
