import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { ReadAhead } from "#runtime/policy/read-ahead.ts";

describe("reading ahead", () => {
  test("is bounded by its reserve at the start", () => {
    assert.equal(new ReadAhead(4, 100, 300).left(0), 300);
  });

  test("goes on in proportion to what it finds", () => {
    const readAhead = new ReadAhead(4, 100, 10);
    for (let message = 0; message < 10; message += 1) readAhead.spent();
    assert.equal(readAhead.left(0), 0);
    readAhead.found();
    assert.equal(readAhead.left(0), 4);
  });

  test("goes on slowly when it finds nothing", () => {
    const readAhead = new ReadAhead(4, 100, 10);
    for (let message = 0; message < 10; message += 1) readAhead.spent();
    assert.deepEqual([readAhead.left(9), readAhead.left(10), readAhead.left(55), readAhead.left(1_000)], [0, 1, 5, 10]);
  });

  test("begins with nothing, and counts time only while it is asked often enough, where that is bounded", () => {
    const readAhead = new ReadAhead(4, 10, 5, 500);
    assert.deepEqual(
      [10_000, 10_100, 10_600, 11_101, 11_200].map((nowMs) => readAhead.left(nowMs)),
      [0, 1, 5, 5, 5],
    );
    for (let message = 0; message < 5; message += 1) readAhead.spent();
    assert.deepEqual(
      [11_300, 11_801, 11_901].map((nowMs) => readAhead.left(nowMs)),
      [1, 1, 2],
    );
  });

  test("keeps no more than its reserve when that falls, also after it was not asked for long", () => {
    const readAhead = new ReadAhead(4, 10, 5, 500);
    readAhead.reserve = 400;
    for (let run = 0; run < 100; run += 1) readAhead.found();
    readAhead.reserve = 100;
    assert.deepEqual([readAhead.left(0), readAhead.left(60_000)], [100, 100]);
    readAhead.reserve = 5;
    assert.equal(readAhead.left(120_000), 5);
  });

  test("never allows more postponements than its reserve, what it found and the time that passed", () => {
    const step = fc.record({ afterMs: fc.integer({ min: 0, max: 50 }), finds: fc.integer({ min: 0, max: 3 }) });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const readAhead = new ReadAhead(4, 100, 50);
        let nowMs = 0;
        let found = 0;
        let postponed = 0;
        for (const { afterMs, finds } of steps) {
          nowMs += afterMs;
          found += finds;
          for (let run = 0; run < finds; run += 1) readAhead.found();
          for (let left = readAhead.left(nowMs); left > 0; left -= 1) {
            readAhead.spent();
            postponed += 1;
          }
          assert.ok(postponed <= 50 + 4 * found + nowMs / 10 + 1e-6);
        }
      }),
    );
  });
});
