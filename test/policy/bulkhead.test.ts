import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { Bulkhead } from "#runtime/policy/bulkhead.ts";

describe("bulkhead", () => {
  test("counts slots up to its maximum", () => {
    const bulkhead = new Bulkhead<string>({ concurrentMax: 2, queueMax: 3, waitMaxMs: 5_000, whenFull: "postpone" });
    assert.deepEqual([bulkhead.hasSlot(), bulkhead.room], [true, 5]);
    bulkhead.take();
    bulkhead.take();
    assert.deepEqual([bulkhead.hasSlot(), bulkhead.inUse, bulkhead.room], [false, 2, 3]);
    bulkhead.give();
    assert.equal(bulkhead.hasSlot(), true);
  });

  test("tells the room for what begins as soon as one before it ends, apart from the whole lane's", () => {
    const bulkhead = new Bulkhead<string>({ concurrentMax: 2, queueMax: 10, waitMaxMs: 5_000, whenFull: "postpone" });
    assert.equal(bulkhead.soonRoom, 4);
    bulkhead.take();
    bulkhead.take();
    assert.deepEqual([bulkhead.soonRoom, bulkhead.room], [2, 10]);
    for (const run of ["a", "b", "c"]) bulkhead.enqueue(run);
    assert.deepEqual([bulkhead.soonRoom, bulkhead.room], [0, 7]);
    assert.equal(new Bulkhead({ concurrentMax: 3, queueMax: 0, waitMaxMs: 5_000, whenFull: "postpone" }).soonRoom, 3);
  });

  test("holds no more in its lane than what got slots while the first one waited too long, and widens with each that gets one", () => {
    const bulkhead = new Bulkhead<string>({ concurrentMax: 1, queueMax: 10, waitMaxMs: 5_000, whenFull: "postpone" });
    bulkhead.take();
    for (const run of ["a", "b", "c", "d"]) bulkhead.enqueue(run);
    bulkhead.give();
    bulkhead.dequeue();
    bulkhead.take();
    assert.deepEqual([bulkhead.expire(), bulkhead.expire(), bulkhead.waiting], ["b", "c", 1]);
    assert.deepEqual([bulkhead.hasLaneSpace(), bulkhead.room, bulkhead.soonRoom], [false, 0, 0]);
    bulkhead.give();
    bulkhead.take();
    assert.deepEqual([bulkhead.hasLaneSpace(), bulkhead.room], [true, 1]);
  });

  test("tells how long its lane takes to move on by its length, also before it has moved", () => {
    const bulkhead = new Bulkhead<string>({ concurrentMax: 1, queueMax: 10, waitMaxMs: 5_000, whenFull: "postpone" });
    bulkhead.take();
    for (const run of ["a", "b", "c", "d"]) bulkhead.enqueue(run);
    // Nothing moved: as if the first one were about to get a slot.
    assert.deepEqual([bulkhead.drainMs(2), bulkhead.drainMs(600)], [8, 2_400]);
    bulkhead.give();
    bulkhead.dequeue();
    bulkhead.take();
    // One got a slot while "b" waited 600 ms, and three wait.
    assert.equal(bulkhead.drainMs(600), 1_800);
  });

  test("takes the slots in use to come free together, until so many have", () => {
    const bulkhead = new Bulkhead<number>({ concurrentMax: 32, queueMax: 128, waitMaxMs: 5_000, whenFull: "postpone" });
    for (let number = 0; number < 32; number += 1) bulkhead.take();
    for (let number = 0; number < 128; number += 1) bulkhead.enqueue(number);
    const after = (ended: number): number | undefined => {
      for (let number = 0; number < ended; number += 1) {
        bulkhead.give();
        bulkhead.take();
      }
      return bulkhead.drainMs(100);
    };
    assert.deepEqual([after(0), after(1), after(31), after(32)], [400, 400, 400, 200]);
  });

  test("keeps to what a lane shorter than the slots has seen, once that has moved on by its length", () => {
    const bulkhead = new Bulkhead<string>({ concurrentMax: 32, queueMax: 3, waitMaxMs: 5_000, whenFull: "postpone" });
    for (let number = 0; number < 32; number += 1) bulkhead.take();
    for (const run of ["a", "b", "c"]) bulkhead.enqueue(run);
    assert.equal(bulkhead.drainMs(3_200), 300);
    for (const run of ["d", "e"]) {
      bulkhead.dequeue();
      bulkhead.give();
      bulkhead.take();
      bulkhead.enqueue(run);
    }
    // Two got slots while "c" waited, and three wait.
    assert.equal(bulkhead.drainMs(6_000), 9_000);
  });

  test("refuses a slot back that nobody took", () => {
    assert.throws(() => new Bulkhead({ concurrentMax: 1, queueMax: 0, waitMaxMs: 5_000, whenFull: "postpone" }).give(), /expected a taken slot/);
  });

  test("shows its bounds, what is in use and what waits, and what it rejected", () => {
    const bulkhead = new Bulkhead<string>({ concurrentMax: 2, queueMax: 3, waitMaxMs: 5_000, whenFull: "reject" });
    bulkhead.take();
    bulkhead.enqueue("a");
    bulkhead.reject();
    bulkhead.reject();
    assert.deepEqual(bulkhead.view(), {
      policy: { concurrentMax: 2, queueMax: 3, waitMaxMs: 5_000, whenFull: "reject" },
      inUse: 1,
      waiting: 1,
      laneMax: 3,
      rejected: 2,
    });
  });

  test("has other bounds from when they are changed: who is in stays in, and a narrowed lane is wide again", () => {
    const bulkhead = new Bulkhead<string>({ concurrentMax: 2, queueMax: 3, waitMaxMs: 5_000, whenFull: "postpone" });
    bulkhead.take();
    bulkhead.take();
    for (const run of ["a", "b", "c"]) bulkhead.enqueue(run);
    bulkhead.expire();
    assert.equal(bulkhead.hasLaneSpace(), false);
    bulkhead.change({ queueMax: 4 });
    assert.deepEqual([bulkhead.view().laneMax, bulkhead.hasLaneSpace(), bulkhead.policy.concurrentMax], [4, true, 2]);
    bulkhead.change({ concurrentMax: 1, queueMax: 1 });
    assert.deepEqual([bulkhead.hasSlot(), bulkhead.room, bulkhead.soonRoom, bulkhead.inUse, bulkhead.waiting], [false, 0, 0, 2, 2]);
    bulkhead.give();
    assert.equal(bulkhead.hasSlot(), false);
    bulkhead.give();
    assert.deepEqual([bulkhead.hasSlot(), bulkhead.room], [true, 1]);
  });

  test("has room for any number where it rejects what finds it full", () => {
    const bulkhead = new Bulkhead<string>({ concurrentMax: 1, queueMax: 0, waitMaxMs: 5_000, whenFull: "reject" });
    bulkhead.take();
    assert.deepEqual([bulkhead.room, bulkhead.soonRoom, bulkhead.hasSlot(), bulkhead.hasLaneSpace()], [Infinity, Infinity, false, false]);
    bulkhead.change({ whenFull: "postpone" });
    assert.deepEqual([bulkhead.room, bulkhead.soonRoom], [0, 0]);
  });

  test("makes a lane no shorter for a run that waited in another one before", () => {
    const bulkhead = new Bulkhead<string>({ concurrentMax: 5, queueMax: 10, waitMaxMs: 5_000, whenFull: "postpone" });
    bulkhead.enqueue("from elsewhere", true);
    bulkhead.enqueue("a");
    bulkhead.take();
    bulkhead.take();
    assert.equal(bulkhead.drainMs(600), 600);
    bulkhead.dequeue();
    bulkhead.enqueue("b");
    // Two got slots while "a" waited, and two wait: it moves on by its length in as long.
    assert.equal(bulkhead.drainMs(600), 600);
    bulkhead.enqueue("from elsewhere", true);
    bulkhead.dequeue();
    bulkhead.dequeue();
    bulkhead.expire();
    assert.equal(bulkhead.view().laneMax, 10);
  });

  test("knows no time to drain of an empty lane, and takes nothing out of one", () => {
    const bulkhead = new Bulkhead<string>({ concurrentMax: 1, queueMax: 10, waitMaxMs: 5_000, whenFull: "postpone" });
    bulkhead.take();
    assert.deepEqual([bulkhead.drainMs(600), bulkhead.dequeue(), bulkhead.waiting], [undefined, undefined, 0]);
    bulkhead.enqueue("a");
    assert.deepEqual([bulkhead.first(), bulkhead.waiting], ["a", 1]);
    bulkhead.take();
    assert.equal(bulkhead.drainMs(600), 600);
  });

  test("keeps what it knows of each run in a long lane when its empty places are dropped", () => {
    const bulkhead = new Bulkhead<number>({ concurrentMax: 1_000, queueMax: 1_000, waitMaxMs: 5_000, whenFull: "postpone" });
    for (let number = 0; number < 100; number += 1) {
      bulkhead.enqueue(number);
      bulkhead.take();
    }
    for (let number = 0; number < 90; number += 1) bulkhead.dequeue();
    // Ten got slots since the ninetieth came.
    assert.deepEqual([bulkhead.first(), bulkhead.drainMs(100)], [90, 100]);
  });

  test("has no lane when its queue maximum is 0", () => {
    assert.equal(new Bulkhead({ concurrentMax: 1, queueMax: 0, waitMaxMs: 5_000, whenFull: "postpone" }).hasLaneSpace(), false);
  });

  test("keeps its lane first in, first out, over any mixture of arrivals and departures", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 600 }), (arrivals) => {
        const bulkhead = new Bulkhead<number>({ concurrentMax: 1, queueMax: 10_000, waitMaxMs: 5_000, whenFull: "postpone" });
        const model: number[] = [];
        arrivals.forEach((arrives, number) => {
          if (arrives) {
            bulkhead.enqueue(number);
            model.push(number);
          } else {
            assert.equal(bulkhead.dequeue(), model.shift());
          }
          assert.deepEqual([bulkhead.first(), bulkhead.waiting], [model[0], model.length]);
        });
      }),
    );
  });

  test("moves a lane of thousands along without losing its order", () => {
    const bulkhead = new Bulkhead<number>({ concurrentMax: 1, queueMax: 10_000, waitMaxMs: 5_000, whenFull: "postpone" });
    for (let number = 0; number < 5_000; number += 1) bulkhead.enqueue(number);
    for (let number = 0; number < 5_000; number += 1) assert.equal(bulkhead.dequeue(), number);
    assert.deepEqual([bulkhead.waiting, bulkhead.dequeue()], [0, undefined]);
  });
});
