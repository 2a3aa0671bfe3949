import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { catchUpMs, lowerPart, type SourceShare, SourceShares } from "#runtime/policy/source-shares.ts";

/** Runs one after the other on one thread; returns the time that each source got. */
function timesOf(
  shares: readonly SourceShare[],
  runs: number,
  tookMs: (source: number) => number,
  hasWaiting: (source: number, nowMs: number) => boolean,
): number[] {
  const policy = new SourceShares(shares);
  const times = shares.map(() => 0);
  let nowMs = 0;
  for (let run = 0; run < runs; run += 1) {
    const at = nowMs;
    const source = policy.next((number) => hasWaiting(number, at));
    if (source === undefined) break;
    const counted = policy.began(source);
    const took = tookMs(source);
    nowMs += took;
    times[source]! += took;
    policy.ended(source, counted, took);
  }
  return times;
}

const always = (): boolean => true;
const weights = fc.array(fc.double({ min: 0.1, max: 10, noNaN: true }), { minLength: 1, maxLength: 6 });
const lengths = fc.array(fc.double({ min: 0.5, max: 50, noNaN: true }), { minLength: 6, maxLength: 6 });

describe("shares of sources", () => {
  test("are by weight in the time that runs take, whatever their length", () => {
    fc.assert(
      fc.property(weights, lengths, (all, each) => {
        const shares = all.map((weight) => ({ weight, priority: 0 }));
        const times = timesOf(shares, 4_000, (source) => each[source]!, always);
        const total = times.reduce((sum, time) => sum + time, 0);
        const weight = all.reduce((sum, one) => sum + one, 0);
        times.forEach((time, source) => {
          const wanted = (total * all[source]!) / weight;
          // One run of any of them is the least that it can be off by, and what the first ones were taken to last.
          assert.ok(Math.abs(time - wanted) <= 8 * 50, `expected about ${wanted} ms for source ${source} of ${all.join(", ")}, got ${time}`);
        });
      }),
    );
  });

  test("leave a tenth to lower priorities, and no more, as long as the higher ones have something", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 2, maxLength: 6 }), lengths, (priorities, each) => {
        const shares = priorities.map((priority) => ({ weight: 1, priority }));
        const times = timesOf(shares, 6_000, (source) => each[source]!, always);
        const highest = Math.max(...priorities);
        const total = times.reduce((sum, time) => sum + time, 0);
        const lower = times.filter((_, source) => priorities[source]! < highest).reduce((sum, time) => sum + time, 0);
        const wanted = priorities.every((priority) => priority === highest) ? 0 : total * lowerPart;
        assert.ok(Math.abs(lower - wanted) <= 200, `expected about ${wanted} of ${total} ms for lower priorities, got ${lower}`);
      }),
    );
  });

  test("always name one that has something, where any has", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ weight: fc.double({ min: 0.1, max: 5, noNaN: true }), priority: fc.integer({ min: 0, max: 3 }), has: fc.boolean() }), {
          minLength: 1,
        }),
        (all) => {
          const next = new SourceShares(all).next((source) => all[source]!.has);
          assert.equal(next === undefined, !all.some(({ has }) => has));
          if (next !== undefined) assert.ok(all[next]!.has);
        },
      ),
    );
  });

  test("give what one leaves to the others, and let it make up for a second of it at most", () => {
    const shares = [
      { weight: 1, priority: 0 },
      { weight: 1, priority: 0 },
    ];
    const idleMs = 60_000;
    const busyUntilMs = idleMs + 5_000;
    const times = [0, 0];
    const policy = new SourceShares(shares);
    for (let nowMs = 0; nowMs < busyUntilMs; nowMs += 10) {
      const source = policy.next((number) => number === 0 || nowMs >= idleMs) ?? 0;
      const counted = policy.began(source);
      policy.ended(source, counted, 10);
      if (nowMs >= idleMs) times[source]! += 10;
    }
    assert.ok(times[1]! - times[0]! <= catchUpMs + 20, `expected the one that was idle to be ahead by a second at most, got ${times.join(" and ")} ms`);
    assert.ok(times[0]! > 1_500);
  });
});
