import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { EndRate, type ReturnPace, ReturnTimes } from "#runtime/policy/return-times.ts";

function pace(runMs: number, atOnce: number, endGapMs: number): ReturnPace {
  return { runMs, leastMs: 0, atOnce, atOnceMax: atOnce, endGapMs };
}

describe("messages that are left to others", () => {
  test("come back one after the other, twice as fast as runs end", () => {
    const times = new ReturnTimes();
    const pauses = Array.from({ length: 201 }, () => times.next(0, pace(2_000, 100, Infinity)));
    assert.deepEqual([pauses[0], pauses[1], pauses[200]], [0, 10, 2_000]);
    // What comes later waits for those before it, as long as there are any.
    assert.deepEqual([times.next(1_500, pace(2_000, 100, Infinity)), times.next(100_000, pace(2_000, 100, Infinity))], [510, 0]);
  });

  test("may come back at once where runs are over at once", () => {
    const times = new ReturnTimes();
    assert.deepEqual([times.next(0, pace(0, 1, Infinity)), times.next(0, pace(0, 0, Infinity))], [0, 0]);
  });

  test("come back faster than their runs end where messages of other skills do, as one of ten", () => {
    const times = new ReturnTimes();
    const pauses = Array.from({ length: 201 }, () => times.next(0, pace(2_000, 1, 0.5)));
    assert.deepEqual([pauses[0], pauses[1], pauses[200]], [0, 5, 1_000]);
  });

  test("come back a hundred a second at least, however long their runs take", () => {
    const times = new ReturnTimes();
    const pauses = Array.from({ length: 201 }, () => times.next(0, { runMs: 60_000, leastMs: 60_000, atOnce: 1, atOnceMax: 1, endGapMs: Infinity }));
    assert.deepEqual([pauses[0], pauses[1], pauses[200]], [0, 10, 2_000]);
  });

  test("come back no faster than twice what could be run if all were as short as the shortest, with as many at once as may be", () => {
    const times = new ReturnTimes();
    const slow: ReturnPace = { runMs: 2_100, leastMs: 2_000, atOnce: 8, atOnceMax: 200, endGapMs: 0.05 };
    const pauses = Array.from({ length: 201 }, () => times.next(0, slow));
    assert.deepEqual([pauses[1], pauses[200]], [5, 1_000]);
    // Runs that are long only because much is going on return as before.
    const quick = new ReturnTimes();
    assert.deepEqual([quick.next(0, { ...slow, leastMs: 1 }), quick.next(0, { ...slow, leastMs: 1 })], [0, 0.5]);
  });
});

describe("how fast messages end", () => {
  test("is told by the last of them, and is unknown before", () => {
    const rate = new EndRate();
    for (let end = 0; end < 255; end += 1) rate.ended(end * 2);
    assert.equal(rate.gapMs(510), Infinity);
    rate.ended(510);
    assert.equal(rate.gapMs(512), 2);
    for (let end = 0; end < 256; end += 1) rate.ended(1_000 + end);
    assert.equal(rate.gapMs(1_256), 1);
    assert.equal(rate.gapMs(1_000 + 25_600), 100);
  });
});
