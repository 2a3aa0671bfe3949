import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { array, assert as always, constantFrom, integer, property, record } from "fast-check";
import type { StoreSuspectEvent } from "#runtime/core/catalogue.ts";
import type { DoubtScope } from "#runtime/core/store-suspicion.ts";
import { StoreDoubt } from "#runtime/policy/store-doubt.ts";

const windowMs = 3_600_000;
const brokerAheadMs = Date.UTC(2030, 0, 1);

/** Events are named after the part that their record lies in: `2/name`. */
const partOf = (eventId: string): number => Number(eventId.split("/")[0]);

class Scene {
  nowMs = 1_000;
  readonly told: StoreSuspectEvent[] = [];
  readonly doubt: StoreDoubt;
  /** How far the broker's latest possible time is ahead of its true one. */
  unsureMs = 0;

  constructor(ofWindowMs = windowMs) {
    this.doubt = new StoreDoubt({ clock: { monotonicMs: () => this.nowMs }, windowMs: ofWindowMs, tell: (event) => this.told.push(event) });
  }

  lost(agoMs: number, parts: readonly number[] = [0], scope: DoubtScope = "all"): void {
    this.doubt.lost({ scope, agoMs, parts, partOf });
  }

  /** Of an event that was enqueued at this time by the monotonic clock. */
  covers(enqueuedAtMs: number, eventId = "0/a", wasDelivered = false): boolean {
    const event = { eventId, enqueuedAtMs: enqueuedAtMs + brokerAheadMs, wasDelivered };
    return this.doubt.covers(event, { latestMs: () => this.nowMs + brokerAheadMs + this.unsureMs });
  }

  states(): readonly string[] {
    return this.told.map(({ state, scope }) => `${state} ${scope}`);
  }
}

describe("doubt in a store", () => {
  test("is about events from before the loss alone, at whatever time they are looked at", () => {
    const scene = new Scene();
    scene.nowMs = 60_000;
    assert.deepEqual([scene.covers(0), scene.doubt.isActive, scene.doubt.view()], [false, false, []]);
    scene.lost(10_000);
    for (const nowMs of [60_000, 90_000, 3_000_000]) {
      scene.nowMs = nowMs;
      assert.deepEqual([scene.covers(50_000), scene.covers(50_001), scene.doubt.isActive], [true, false, true], `${nowMs}`);
    }
  });

  test("takes the loss to be as late as it can have been while the broker's clock is not known well", () => {
    const scene = new Scene();
    scene.lost(0);
    scene.unsureMs = 2_000;
    assert.deepEqual([scene.covers(3_000), scene.covers(3_001)], [true, false]);
  });

  test("ends by itself when no event from before can come any more, and says both", () => {
    const scene = new Scene();
    scene.lost(600_000.4);
    scene.nowMs += windowMs - 600_001;
    scene.doubt.look();
    assert.deepEqual([scene.covers(-600_000), scene.told.length], [true, 1]);
    scene.nowMs += 1;
    assert.deepEqual([scene.covers(-600_000), scene.doubt.view(), scene.doubt.isActive], [false, [], true]);
    scene.doubt.look();
    scene.doubt.look();
    assert.equal(scene.doubt.isActive, false);
    assert.deepEqual(scene.told, [
      { type: "store.suspect", state: "begin", scope: "all", lostAgoMs: 600_000, forMs: windowMs - 600_000 },
      { type: "store.suspect", state: "end", scope: "all", lostAgoMs: windowMs, forMs: 0 },
    ]);
  });

  test("goes on from the later loss when there is another, and hears of the same one once", () => {
    const scene = new Scene();
    scene.lost(0);
    scene.nowMs += 5_000;
    scene.lost(5_000);
    scene.lost(7_000);
    assert.equal(scene.told.length, 1);
    scene.lost(1_000);
    assert.deepEqual(
      [scene.told.at(-1)?.lostAgoMs, scene.states(), scene.covers(5_000), scene.covers(5_001)],
      [1_000, ["begin all", "extended all"], true, false],
    );
  });

  test("does not begin for a loss that is past, nor without a window", () => {
    const past = new Scene();
    past.lost(windowMs);
    const without = new Scene(0);
    without.lost(0);
    assert.deepEqual([past.told, past.covers(0), without.told, without.covers(0), without.doubt.isActive], [[], false, [], false, false]);
  });

  test("begins once when parts are lost one after the other, and is about the lost ones alone", () => {
    const scene = new Scene();
    scene.lost(0, [1, 2]);
    scene.nowMs += 1_000;
    scene.lost(0, [3]);
    scene.lost(0, [4]);
    assert.deepEqual(scene.states(), ["begin all"]);
    assert.deepEqual(
      [0, 1, 2, 3, 4, 5].filter((part) => scene.covers(0, `${part}/a`)),
      [1, 2, 3, 4],
    );
    // Each from its own loss on.
    assert.deepEqual([scene.covers(1_500, "1/a"), scene.covers(1_500, "3/a")], [false, true]);
    scene.nowMs += 1_000;
    scene.lost(0, [1, 2]);
    scene.lost(0, [3, 4]);
    assert.deepEqual(scene.states(), ["begin all", "extended all"]);
  });

  test("lasts until the last part's is over, and then starts over", () => {
    const scene = new Scene();
    scene.lost(0, [1]);
    scene.nowMs += 1_000;
    scene.lost(0, [2]);
    scene.nowMs += windowMs - 1_000;
    scene.doubt.look();
    assert.deepEqual([scene.states(), scene.covers(0, "1/a"), scene.covers(0, "2/a")], [["begin all"], false, true]);
    scene.nowMs += 1_000;
    scene.doubt.look();
    assert.equal(scene.told.at(-1)?.lostAgoMs, windowMs);
    scene.lost(0, [1]);
    assert.deepEqual(scene.states(), ["begin all", "end all", "begin all"]);
  });

  test("is about messages that were delivered before alone where the store has kept what could be looked for", () => {
    const scene = new Scene();
    scene.lost(0, [0], "redelivered");
    assert.deepEqual([scene.covers(0, "0/a", false), scene.covers(0, "0/a", true), scene.covers(1_001, "0/a", true)], [false, true, false]);
    scene.lost(0, [0], "all");
    assert.equal(scene.covers(0, "0/a", false), true);
    assert.deepEqual(scene.states(), ["begin redelivered", "begin all"]);
    scene.nowMs += windowMs;
    scene.doubt.look();
    assert.deepEqual(scene.states(), ["begin redelivered", "begin all", "end all", "end redelivered"]);
  });

  test("shows what is in doubt, since when and how long yet", () => {
    const scene = new Scene();
    scene.lost(2_000, [1, 2], "redelivered");
    scene.lost(5_000, [1]);
    scene.nowMs += 1_000;
    assert.deepEqual(scene.doubt.view(), [
      { scope: "all", lostAgoMs: 6_000, forMs: windowMs - 6_000, parts: 1 },
      { scope: "redelivered", lostAgoMs: 3_000, forMs: windowMs - 3_000, parts: 2 },
    ]);
    scene.nowMs += windowMs - 6_000;
    assert.deepEqual(
      scene.doubt.view().map(({ scope }) => scope),
      ["redelivered"],
    );
  });

  test("covers an event exactly when one of the losses of its part came after it, whatever was lost, and says each end after its beginning", () => {
    const losses = array(
      record({
        waitMs: integer({ min: 0, max: 2_000 }),
        agoMs: integer({ min: 0, max: 4_000 }),
        part: integer({ min: 0, max: 2 }),
        scope: constantFrom<DoubtScope>("all", "redelivered"),
      }),
    );
    always(
      property(
        losses,
        integer({ min: -4_000, max: 20_000 }),
        integer({ min: 0, max: 2 }),
        constantFrom(true, false),
        (given, enqueuedAtMs, part, wasDelivered) => {
          const scene = new Scene(3_000);
          const happened: { readonly atMs: number; readonly part: number; readonly scope: DoubtScope }[] = [];
          for (const { waitMs, agoMs, part: of, scope } of given) {
            scene.nowMs += waitMs;
            scene.doubt.look();
            scene.lost(agoMs, [of], scope);
            if (agoMs < 3_000) happened.push({ atMs: scene.nowMs - agoMs, part: of, scope });
          }
          const isDoubted = happened.some(
            (loss) => loss.part === part && (loss.scope === "all" || wasDelivered) && enqueuedAtMs <= loss.atMs && scene.nowMs < loss.atMs + 3_000,
          );
          assert.equal(scene.covers(enqueuedAtMs, `${part}/a`, wasDelivered), isDoubted);
          for (const scope of ["all", "redelivered"]) {
            const states = scene.told.filter((event) => event.scope === scope).map(({ state }) => state);
            assert.match(states.join(" "), /^(begin( extended)*( end|$) ?)*$/);
          }
        },
      ),
    );
  });
});
