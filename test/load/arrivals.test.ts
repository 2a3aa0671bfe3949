// When events arrive, by kind, from a seed and on a virtual clock.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { type Arrivals, dueTimes, expectedBy } from "#load/generator/arrivals.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";

function arrivedWithin(arrivals: Arrivals, endMs: number, seed = 1): number[] {
  const times: number[] = [];
  for (const dueMs of dueTimes(arrivals, seededRandom(seed))) {
    if (dueMs >= endMs) return times;
    times.push(dueMs);
  }
  return times;
}

function countBetween(times: readonly number[], fromMs: number, toMs: number): number {
  return times.filter((atMs) => atMs >= fromMs && atMs < toMs).length;
}

/** Four standard deviations of what independent arrivals give. */
function assertNear(found: number, expected: number): void {
  const tolerance = 4 * Math.sqrt(expected) + 1;
  assert.ok(Math.abs(found - expected) <= tolerance, `expected ${expected} within ${tolerance}, found ${found}`);
}

describe("arrivals", () => {
  test("at a constant rate are evenly spaced", () => {
    assert.deepEqual(arrivedWithin({ kind: "constant", perSecond: 200 }, 20), [0, 5, 10, 15]);
  });

  test("of independent senders keep their rate, and vary as a Poisson process does", () => {
    const times = arrivedWithin({ kind: "poisson", perSecond: 1_000 }, 20_000);
    assertNear(times.length, 20_000);
    const gaps = times.slice(1).map((atMs, index) => atMs - times[index]!);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
    assert.ok(Math.abs(deviation / mean - 1) < 0.05, `expected gaps that vary by their mean, found ${deviation / mean} of it`);
  });

  test("in bursts come at the one rate in them and at the other between", () => {
    const times = arrivedWithin({ kind: "bursts", perSecond: 0, burstPerSecond: 2_000, everyMs: 1_000, burstMs: 100 }, 5_000);
    for (let second = 0; second < 5; second += 1) {
      assertNear(countBetween(times, second * 1_000, second * 1_000 + 100), 200);
      assert.equal(countBetween(times, second * 1_000 + 100.01, (second + 1) * 1_000), 0);
    }
  });

  test("on a ramp become more until its end, and then stay", () => {
    const times = arrivedWithin({ kind: "ramp", fromPerSecond: 0, toPerSecond: 1_000, overMs: 4_000 }, 6_000);
    assertNear(countBetween(times, 0, 1_000), 125);
    assertNear(countBetween(times, 3_000, 4_000), 875);
    assertNear(countBetween(times, 5_000, 6_000), 1_000);
  });

  test("of a day are least at its beginning and most at noon", () => {
    const times = arrivedWithin({ kind: "diurnal", leastPerSecond: 100, mostPerSecond: 1_100, dayMs: 10_000 }, 10_000);
    assertNear(times.length, 6_000);
    const [night, noon] = [countBetween(times, 0, 500) + countBetween(times, 9_500, 10_000), countBetween(times, 4_500, 5_500)];
    assert.ok(noon > 8 * night, `expected many more at noon than at night, found ${noon} and ${night}`);
  });

  test("are the same from the same seed and others from another, in order and as many as are expected", () => {
    const kinds: readonly Arrivals[] = [
      { kind: "poisson", perSecond: 500 },
      { kind: "bursts", perSecond: 50, burstPerSecond: 900, everyMs: 700, burstMs: 200 },
      { kind: "ramp", fromPerSecond: 900, toPerSecond: 100, overMs: 3_000 },
      { kind: "diurnal", leastPerSecond: 0, mostPerSecond: 700, dayMs: 2_000 },
    ];
    for (const arrivals of kinds) {
      const times = arrivedWithin(arrivals, 4_000);
      assert.deepEqual(times, arrivedWithin(arrivals, 4_000));
      assert.notDeepEqual(times, arrivedWithin(arrivals, 4_000, 2));
      assert.deepEqual(
        times,
        times.toSorted((a, b) => a - b),
        arrivals.kind,
      );
      assertNear(times.length, expectedBy(arrivals, 4_000));
    }
  });
});
