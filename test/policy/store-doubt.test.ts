import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { StoreSuspectEvent } from "#runtime/core/catalogue.ts";
import { StoreDoubt } from "#runtime/policy/store-doubt.ts";

const windowMs = 3_600_000;
const brokerAheadMs = Date.UTC(2030, 0, 1);

class Scene {
  nowMs = 1_000;
  readonly told: StoreSuspectEvent[] = [];
  readonly doubt: StoreDoubt;
  /** How far the broker's latest possible time is ahead of its true one. */
  unsureMs = 0;

  constructor(ofWindowMs = windowMs) {
    this.doubt = new StoreDoubt({ clock: { monotonicMs: () => this.nowMs }, windowMs: ofWindowMs, tell: (event) => this.told.push(event) });
  }

  /** Of an event that was enqueued at this time by the monotonic clock. */
  covers(enqueuedAtMs: number): boolean {
    return this.doubt.covers(enqueuedAtMs + brokerAheadMs, { latestMs: () => this.nowMs + brokerAheadMs + this.unsureMs });
  }
}

describe("doubt in a store", () => {
  test("is about events from before the loss alone, at whatever time they are looked at", () => {
    const scene = new Scene();
    scene.nowMs = 60_000;
    assert.equal(scene.covers(0), false);
    scene.doubt.lost(10_000);
    for (const nowMs of [60_000, 90_000, 3_000_000]) {
      scene.nowMs = nowMs;
      assert.deepEqual([scene.covers(50_000), scene.covers(50_001)], [true, false], `${nowMs}`);
    }
  });

  test("takes the loss to be as late as it can have been while the broker's clock is not known well", () => {
    const scene = new Scene();
    scene.doubt.lost(0);
    scene.unsureMs = 2_000;
    assert.deepEqual([scene.covers(3_000), scene.covers(3_001)], [true, false]);
  });

  test("ends by itself when no event from before can come any more, and says both", () => {
    const scene = new Scene();
    scene.doubt.lost(600_000);
    scene.nowMs += windowMs - 600_001;
    scene.doubt.look();
    assert.deepEqual([scene.covers(-600_000), scene.told.length], [true, 1]);
    scene.nowMs += 1;
    assert.deepEqual([scene.covers(-600_000), scene.doubt.leftMs], [false, 0]);
    scene.doubt.look();
    scene.doubt.look();
    assert.deepEqual(scene.told, [
      { type: "store.suspect", state: "begin", lostAgoMs: 600_000, forMs: windowMs - 600_000 },
      { type: "store.suspect", state: "end", lostAgoMs: windowMs, forMs: 0 },
    ]);
  });

  test("goes on from the later loss when there is another, and hears of the same one once", () => {
    const scene = new Scene();
    scene.doubt.lost(0);
    scene.nowMs += 5_000;
    scene.doubt.lost(5_000);
    scene.doubt.lost(7_000);
    assert.equal(scene.told.length, 1);
    scene.doubt.lost(1_000);
    assert.deepEqual([scene.told.length, scene.covers(5_000), scene.covers(5_001)], [2, true, false]);
  });

  test("does not begin for a loss that is past, nor without a window", () => {
    const past = new Scene();
    past.doubt.lost(windowMs);
    const without = new Scene(0);
    without.doubt.lost(0);
    assert.deepEqual([past.told, past.covers(0), without.told, without.covers(0)], [[], false, [], false]);
  });
});
