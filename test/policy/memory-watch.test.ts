import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { array, assert as always, integer, property } from "fast-check";
import { MemoryWatch } from "#runtime/policy/memory-watch.ts";

const at = (usedBytes: number): { readonly usedBytes: number; readonly limitBytes: number } => ({ usedBytes, limitBytes: 1_000 });

describe("memory that runs short", () => {
  test("leaves all room while it is ample, less as it gets tight, and room for one when it is short", () => {
    const watch = new MemoryWatch();
    const rooms = [790, 800, 850, 900, 919, 920].map((used) => {
      watch.measured(at(used));
      return watch.within(100, 0);
    });
    assert.deepEqual(rooms, [100, 70, 41, 11, 1, 1]);
  });

  test("leaves room for one by itself when it is short and nothing is held: what else takes it may never be given back", () => {
    const watch = new MemoryWatch();
    watch.measured(at(950));
    assert.deepEqual([watch.within(100, 0), watch.within(100, 1), watch.within(0, 0)], [1, 0, 0]);
  });

  test("leaves a part of all that could be held, however often it is asked", () => {
    const watch = new MemoryWatch();
    watch.measured(at(850));
    let held = 0;
    for (let ask = 0; ask < 20; ask += 1) held += watch.within(100 - held, held);
    assert.equal(held, 41);
  });

  test("says of each measurement whether it changed the state", () => {
    const watch = new MemoryWatch();
    assert.deepEqual(
      [100, 799, 800, 801, 919, 920, 850, 849, 750, 749].map((used) => [watch.measured(at(used)), watch.state]),
      [
        [false, "ample"],
        [false, "ample"],
        [true, "tight"],
        [false, "tight"],
        [false, "tight"],
        [true, "short"],
        [false, "short"],
        [true, "tight"],
        [false, "tight"],
        [true, "ample"],
      ],
    );
  });

  test("makes no room where there is none", () => {
    const watch = new MemoryWatch();
    watch.measured(at(850));
    assert.deepEqual([watch.within(0, 1), watch.within(-3, 0), watch.within(1, 0)], [0, -3, 1]);
  });

  test("has to fall clearly before more is taken again", () => {
    const watch = new MemoryWatch();
    const states = [950, 860, 849, 760, 749].map((used) => {
      watch.measured(at(used));
      return watch.state;
    });
    assert.deepEqual(states, ["short", "short", "tight", "tight", "ample"]);
  });

  test("never gives more room than there is, and none at all only when it is short", () => {
    always(
      property(array(integer({ min: 0, max: 2_000 }), { minLength: 1 }), integer({ min: 1, max: 10_000 }), (measurements, room) => {
        const watch = new MemoryWatch();
        for (const used of measurements) watch.measured(at(used));
        const left = watch.within(room, 1);
        assert.ok(left <= room && left >= 0 && (watch.state !== "short" || left === 0));
      }),
    );
  });
});
