import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Clock } from "#runtime/core/clock.ts";
import { TickBatch } from "#runtime/pipeline/tick-batch.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

test("what one turn of the loop adds is handed over in one piece, and what comes later in another", async () => {
  const clock = new SimClock();
  const handed: number[][] = [];
  const batch = new TickBatch<number>(clock, (items) => handed.push(items));
  batch.add(1);
  batch.add(2);
  await clock.settle();
  batch.add(3);
  await clock.settle();
  assert.deepEqual(handed, [[1, 2], [3]]);
});

test("what may wait goes out with all that comes meanwhile", async () => {
  const clock = new SimClock();
  const handed: number[][] = [];
  const batch = new TickBatch<number>(clock, (items) => handed.push(items), 5);
  batch.add(1);
  await clock.advance(4);
  batch.add(2);
  assert.deepEqual(handed, []);
  await clock.advance(1);
  batch.add(3);
  await clock.advance(5);
  assert.deepEqual(handed, [[1, 2], [3]]);
});

test("nothing waits any more once it is stopped, and no timer is left", async () => {
  const clock = new SimClock();
  const handed: number[][] = [];
  let timers = 0;
  const after: Clock["after"] = (delayMs, action) => {
    timers += 1;
    const timer = clock.after(delayMs, () => {
      timers -= 1;
      action();
    });
    return {
      cancel: () => {
        timers -= 1;
        timer.cancel();
      },
    };
  };
  const counted: Clock = { monotonicMs: () => clock.monotonicMs(), wallMs: () => clock.wallMs(), soon: (action) => clock.soon(action), after };
  const batch = new TickBatch<number>(counted, (items) => handed.push(items), 5);
  batch.add(1);
  batch.stop();
  assert.deepEqual([handed, timers], [[[1]], 0]);
  batch.add(2);
  batch.add(3);
  assert.equal(timers, 0);
  await clock.settle();
  assert.deepEqual(handed, [[1], [2, 3]]);
  batch.stop();
  assert.equal(handed.length, 2);
});
