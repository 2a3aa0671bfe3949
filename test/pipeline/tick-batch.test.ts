import { strict as assert } from "node:assert";
import { test } from "node:test";
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
