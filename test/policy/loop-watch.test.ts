import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { array, assert as always, integer, property } from "fast-check";
import { LoopWatch } from "#runtime/policy/loop-watch.ts";

/** Late by so much for long enough to count in full. */
function lateBy(...delaysMs: readonly number[]): LoopWatch {
  const watch = new LoopWatch();
  for (const delayMs of delaysMs) for (let look = 0; look < 3; look += 1) watch.measured(delayMs);
  return watch;
}

describe("an event loop that is late", () => {
  test("leaves less room the later it is in the mean of three looks, and none from a second on", () => {
    const watch = new LoopWatch();
    assert.deepEqual(
      [749, 0, 0, 250, 250, 250, 1_000, 1_000, 1_000].map((delayMs) => [watch.measured(delayMs), watch.state, watch.within(90, 0), watch.delayMs]),
      [
        [false, "ample", 90, 749],
        [false, "ample", 90, 749],
        [false, "ample", 90, 749],
        [false, "ample", 90, 250],
        [false, "ample", 90, 250],
        [true, "tight", 75, 250],
        [false, "tight", 50, 1_000],
        [false, "tight", 25, 1_000],
        [true, "short", 0, 1_000],
      ],
    );
  });

  test("is as near to being too late as it keeps from being taken", () => {
    assert.deepEqual(
      [0, 325, 550, 1_000].map((delayMs) => lateBy(delayMs).pressure),
      [0, 0.25, 0.5, 1],
    );
  });

  test("has to be clearly less late before more is taken again", () => {
    assert.deepEqual(
      [
        [1_000, 500],
        [1_000, 499],
        [250, 100],
        [250, 99],
        [1_000, 499, 100],
        [1_000, 99],
      ].map((delaysMs) => lateBy(...delaysMs).state),
      ["short", "tight", "tight", "ample", "tight", "ample"],
    );
  });

  test("is on time again three looks after a single delay", () => {
    const watch = new LoopWatch();
    assert.deepEqual(
      [3_000, 0, 0, 0].map((delayMs) => [watch.measured(delayMs), watch.state]),
      [
        [true, "short"],
        [false, "short"],
        [false, "short"],
        [true, "ample"],
      ],
    );
    assert.deepEqual([watch.delayMs, new LoopWatch().delayMs], [0, 0]);
  });

  test("leaves a part of all that could be held, however often it is asked", () => {
    const watch = lateBy(640);
    let held = 0;
    for (let ask = 0; ask < 20; ask += 1) held += watch.within(100 - held, held);
    assert.equal(held, 40);
  });

  test("takes one by itself while it is tight, and nothing while it is short", () => {
    assert.deepEqual([lateBy(999).within(100, 0), lateBy(999).within(100, 1), lateBy(1_000).within(100, 0)], [1, 0, 0]);
  });

  test("makes no room where there is none", () => {
    assert.deepEqual([lateBy(500).within(0, 0), lateBy(500).within(-3, 0), lateBy(1_000).within(-3, 4)], [0, -3, -3]);
  });

  test("never makes room, leaves less the later it is, and all of it once it is on time again", () => {
    always(
      property(
        array(integer({ min: 0, max: 3_000 }), { minLength: 1 }),
        integer({ min: 1, max: 10_000 }),
        integer({ min: 0, max: 100 }),
        (delaysMs, room, held) => {
          const watch = new LoopWatch();
          for (const delayMs of delaysMs) watch.measured(delayMs);
          const left = watch.within(room, held);
          assert.ok(left >= 0 && left <= room && (watch.state !== "short" || left === 0));
          for (let look = 0; look < 3; look += 1) watch.measured(3_000);
          assert.ok(watch.state === "short" && watch.within(room, held) <= left);
          for (let look = 0; look < 3; look += 1) watch.measured(0);
          assert.deepEqual([watch.state, watch.within(room, held)], ["ample", room]);
        },
      ),
    );
  });
});
