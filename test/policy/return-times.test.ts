import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { ReturnTimes } from "#runtime/policy/return-times.ts";

describe("messages that are left to others", () => {
  test("come back one after the other, twice as fast as runs end", () => {
    const times = new ReturnTimes();
    const pauses = Array.from({ length: 201 }, () => times.next(0, 2_000, 100));
    assert.deepEqual([pauses[0], pauses[1], pauses[200]], [0, 10, 2_000]);
    // What comes later waits for those before it, as long as there are any.
    assert.deepEqual([times.next(1_500, 2_000, 100), times.next(100_000, 2_000, 100)], [510, 0]);
  });

  test("may come back at once where runs are over at once", () => {
    const times = new ReturnTimes();
    assert.deepEqual([times.next(0, 0, 1), times.next(0, 0, 0)], [0, 0]);
  });
});
