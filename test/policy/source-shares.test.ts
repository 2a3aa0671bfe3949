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
    assert.ok(source !== undefined || !shares.some((_, number) => hasWaiting(number, at)), "expected one that has something to be named");
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

  /** Has runs of 10 ms follow each other for so long; which sources have some, and the time that each gets. */
  function pass(policy: SourceShares, forMs: number, ...waiting: readonly number[]): Record<number, number> {
    const times: Record<number, number> = {};
    for (let run = 0; run < forMs / 10; run += 1) {
      const source = policy.next((number) => waiting.includes(number));
      assert.ok(source !== undefined && waiting.includes(source));
      policy.ended(source, policy.began(source), 10);
      times[source] = (times[source] ?? 0) + 10;
    }
    return times;
  }

  /** How long a source that has something again runs alone. */
  function aheadMsOf(policy: SourceShares, source: number, ...waiting: readonly number[]): number {
    let aheadMs = 0;
    while (pass(policy, 10, ...waiting)[source] === 10) aheadMs += 10;
    return aheadMs;
  }

  function assertAbout(actual: number, expected: number): void {
    assert.ok(Math.abs(actual - expected) <= 50, `expected about ${expected}, got ${actual}`);
  }

  test("let a source make up for a second of its own time, whatever its weight", () => {
    for (const weight of [0.25, 1, 4]) {
      const policy = new SourceShares([
        { weight: 1, priority: 0 },
        { weight, priority: 0 },
      ]);
      pass(policy, 60_000, 0);
      assertAbout(aheadMsOf(policy, 1, 0, 1), catchUpMs);
    }
  });

  test("let lower priorities, and higher ones, make up for a second that they had nothing to run in", () => {
    const policy = new SourceShares([
      { weight: 1, priority: 1 },
      { weight: 1, priority: 0 },
    ]);
    pass(policy, 60_000, 0);
    assertAbout(aheadMsOf(policy, 1, 0, 1), catchUpMs);
    pass(policy, 60_000, 1);
    assertAbout(aheadMsOf(policy, 0, 0, 1), catchUpMs);
  });

  test("leave a tenth to what is below also where some of it has nothing", () => {
    const shares = [3, 2, 2, 1].map((priority) => ({ weight: 1, priority }));
    assertAbout(pass(new SourceShares(shares), 10_000, 0, 2)[2] ?? 0, 1_000);
    assertAbout(pass(new SourceShares(shares), 10_000, 0, 3)[3] ?? 0, 1_000);
    const { 1: middle = 0, 3: lowest = 0 } = pass(new SourceShares(shares), 10_000, 0, 1, 3);
    assertAbout(middle, 900);
    assertAbout(lowest, 100);
  });

  test("begin with the highest priority, and of one priority with the first", () => {
    const policy = new SourceShares([1, 2, 2].map((priority) => ({ weight: 1, priority })));
    assert.equal(policy.next(always), 1);
    policy.began(1);
    assert.equal(
      policy.next((source) => source > 0),
      2,
    );
  });

  test("count a run with what those of its source took lately, a millisecond at first", () => {
    const policy = new SourceShares([
      { weight: 1, priority: 0 },
      { weight: 1, priority: 0 },
    ]);
    assert.equal(policy.began(0), 1);
    policy.ended(0, 1, 11);
    assert.deepEqual([policy.began(0), policy.began(1)], [3, 1]);
    policy.ended(0, 3, 8);
    assert.equal(policy.began(0), 4);
  });

  test("are of sources that are there, with a weight", () => {
    for (const weight of [0, -1, Number.NaN])
      assert.throws(() => new SourceShares([{ weight, priority: 0 }]), { name: "RangeError", message: `expected a weight above 0, got ${weight}` });
    const policy = new SourceShares([{ weight: 1, priority: 0 }]);
    assert.throws(() => policy.began(1), { name: "RangeError", message: "expected one of 1 sources, got number 1" });
  });
});
