import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { batchMax, batchSize, measuredWorkMs, taskWorkMs } from "../../../runtime/adapters/threads/batch-size.ts";

test("a skill that was never measured goes out one run at a time", () => {
  assert.equal(batchSize({ queued: 100, idleThreads: 2, workMs: undefined }), 1);
});

test("a batch holds about as much work as a task should", () => {
  assert.equal(batchSize({ queued: 1_000, idleThreads: 1, workMs: taskWorkMs / 10 }), 10);
  assert.equal(batchSize({ queued: 1_000, idleThreads: 1, workMs: 0.000_1 }), batchMax);
  assert.equal(batchSize({ queued: 1_000, idleThreads: 1, workMs: taskWorkMs }), 1);
  assert.equal(batchSize({ queued: 1_000, idleThreads: 1, workMs: 50 }), 1);
});

test("short runs that hold their loop go to a thread some dozens at once, longer ones few", () => {
  const sizeFor = (workMs: number): number => batchSize({ queued: 1_000, idleThreads: 2, workMs });
  assert.deepEqual([0.05, 0.1, 1, 5].map(sizeFor), [batchMax, 50, 5, 1]);
});

test("work worth sharing is shared out among idle threads, other work is not", () => {
  assert.equal(batchSize({ queued: 8, idleThreads: 4, workMs: 0.1 }), 2);
  assert.equal(batchSize({ queued: 8, idleThreads: 0, workMs: 0.1 }), 8);
  assert.equal(batchSize({ queued: 8, idleThreads: 4, workMs: 0.002 }), 8);
});

test("a batch is never empty, nor larger than what waits", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.nat(64),
      fc.option(fc.double({ min: 0, max: 1e6, noNaN: true }), { nil: undefined }),
      (queued, idleThreads, workMs) => {
        const size = batchSize({ queued, idleThreads, workMs });
        assert.ok(Number.isInteger(size) && size >= 1 && size <= Math.min(queued, batchMax));
      },
    ),
  );
});

test("the measure of work falls fast and rises slowly, and gets there both ways", () => {
  const after = (fromMs: number, toMs: number, tasks: number): number =>
    Array.from({ length: tasks }).reduce<number>((workMs) => measuredWorkMs(workMs, toMs * 10, 10), fromMs);
  assert.equal(measuredWorkMs(undefined, 10, 10), 1);
  assert.ok(after(1, 0.1, 10) < 0.15);
  assert.ok(after(0.1, 5, 1) < 0.2);
  assert.ok(after(0.1, 5, 200) > 4);
  assert.ok(after(0, 5, 400) > 4);
});
