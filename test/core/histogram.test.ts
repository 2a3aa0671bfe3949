import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { Histogram } from "#runtime/core/histogram.ts";

const valueMax = 3_600_000;

function exact(sorted: readonly number[], percent: number): number {
  return sorted[Math.max(1, Math.ceil((percent / 100) * sorted.length)) - 1] ?? 0;
}

test("a percentile is at most one in 2 ** bits above the exact one, and never below it", () => {
  const cases = fc.tuple(fc.constantFrom(7, 10), fc.array(fc.oneof(fc.nat(300), fc.nat(valueMax)), { minLength: 1, maxLength: 200 }), fc.nat(100));
  fc.assert(
    fc.property(cases, ([bits, values, percent]) => {
      const histogram = new Histogram(bits, valueMax);
      for (const value of values) histogram.record(value);
      const sorted = values.toSorted((a, b) => a - b);
      const wanted = exact(sorted, percent);
      const found = histogram.percentile(percent);
      assert.ok(found >= wanted && found <= wanted * (1 + 2 ** -bits), `${found} for ${wanted}`);
      assert.deepEqual([histogram.count, histogram.max], [values.length, sorted.at(-1)]);
    }),
  );
});

test("values of 32 bits have their buckets, too", () => {
  const histogram = new Histogram(10, 2 ** 32 - 1);
  for (const value of [2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]) histogram.record(value);
  assert.deepEqual([histogram.percentile(33), histogram.percentile(100)], [2 ** 31 - 1, 2 ** 32 - 1]);
});

test("what is beyond the bounds counts as the bound", () => {
  const histogram = new Histogram(10, valueMax);
  for (const value of [-5, 0.4, 1e12]) histogram.record(value);
  assert.deepEqual([histogram.percentile(50), histogram.percentile(100), histogram.max, histogram.count], [0, valueMax, valueMax, 3]);
});

test("several add up to what one would have counted, and one that is reset is empty", () => {
  const [one, two, both, sum] = [new Histogram(10, valueMax), new Histogram(10, valueMax), new Histogram(10, valueMax), new Histogram(10, valueMax)];
  for (let value = 1; value < 100_000; value += 77) {
    (value % 2 === 0 ? one : two).record(value);
    both.record(value);
  }
  for (const part of [one, two]) sum.add(JSON.parse(JSON.stringify(part.toNumbers())) as number[]);
  assert.deepEqual(sum.toNumbers(), both.toNumbers());
  assert.deepEqual([sum.count, sum.percentile(99)], [both.count, both.percentile(99)]);
  sum.reset();
  assert.deepEqual([sum.count, sum.max, sum.percentile(50), sum.toNumbers()], [0, 0, 0, [0]]);
});
