import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type LatencyWatchPolicy, defaultLatencyWatchPolicy } from "#runtime/core/latency-watch.ts";
import { LatencyWatch, type LatencyState, learnMs, learnRuns, lookRuns } from "#runtime/policy/latency-watch.ts";

const policy = defaultLatencyWatchPolicy;

/** A watch with the time that it is looked at. */
class Watched {
  readonly watch = new LatencyWatch();
  nowMs = 1_000;

  /** So many seconds of runs that take so long; the states that they led to. */
  seconds(
    count: number,
    durationMs: number,
    { runs = lookRuns, by = policy }: { readonly runs?: number; readonly by?: LatencyWatchPolicy } = {},
  ): LatencyState[] {
    const states: LatencyState[] = [];
    for (let second = 0; second < count; second += 1) {
      for (let run = 0; run < runs; run += 1) this.watch.took(durationMs);
      this.nowMs += 1_000;
      if (this.watch.look(this.nowMs, by)) states.push(this.watch.state);
    }
    return states;
  }
}

function learned(durationMs = 100): Watched {
  const watched = new Watched();
  watched.seconds(61, durationMs);
  assert.equal(watched.watch.state, "usual");
  return watched;
}

function rounded({ recentMs = Number.NaN, usualMs = Number.NaN }: { readonly recentMs: number | undefined; readonly usualMs: number | undefined }): number[] {
  return [Math.round(recentMs), Math.round(usualMs)];
}

describe("a watch over how long runs take", () => {
  test("learns for a minute and a hundred runs before it judges", () => {
    const watched = new Watched();
    assert.deepEqual(watched.watch.view(), { state: "learning", recentMs: undefined, usualMs: undefined });
    assert.deepEqual(watched.seconds(60, 100), []);
    assert.equal(watched.watch.state, "learning");
    watched.seconds(1, 100);
    assert.equal(watched.watch.state, "usual");
    const rare = new Watched();
    // Twenty runs in four seconds: a hundred are there after twenty seconds, a minute later.
    rare.seconds(63, 100, { runs: 5 });
    assert.equal(rare.watch.state, "learning");
    rare.seconds(1, 100, { runs: 5 });
    assert.equal(rare.watch.state, "usual");
    assert.ok(learnMs === 60_000 && learnRuns === 100);
  });

  test("needs a hundred runs also where they take more than a minute to come", () => {
    const watched = new Watched();
    for (let part = 0; part < 5; part += 1) {
      assert.equal(watched.watch.state, "learning");
      watched.nowMs += 40_000;
      watched.seconds(1, 100);
    }
    assert.equal(watched.watch.state, "usual");
  });

  test("takes all that it learns by as the same, in the mean of their logarithms", () => {
    const watched = new Watched();
    watched.seconds(30, 10);
    watched.seconds(10, 1_000);
    assert.deepEqual(rounded(watched.watch.view()), [1_000, Math.round(Math.exp((30 * Math.log(10) + 10 * Math.log(1_000)) / 40))]);
  });

  test("says that they are slow at the factor, very slow at its square, and that they are as usual well below", () => {
    const watched = learned();
    assert.deepEqual(watched.seconds(60, 190), []);
    assert.deepEqual(watched.seconds(60, 300), ["slow"]);
    assert.deepEqual(watched.seconds(60, 1_000), ["very-slow"]);
    assert.deepEqual(watched.seconds(90, 100), ["slow", "usual"]);
  });

  test("forgets half of what is recent in ten seconds", () => {
    const watched = learned();
    watched.seconds(10, 400);
    assert.deepEqual(rounded(watched.watch.view()), [200, 102]);
  });

  test("has what lasts become usual, half of the way in ten minutes", () => {
    const watched = learned();
    assert.deepEqual(watched.seconds(600, 500), ["slow", "very-slow", "slow"]);
    assert.deepEqual(rounded(watched.watch.view()), [500, Math.round(100 * Math.sqrt(5))]);
    assert.deepEqual(watched.seconds(600, 500), ["usual"]);
  });

  test("does not take a few outliers for a drift", () => {
    const watched = learned();
    for (let second = 0; second < 60; second += 1) {
      watched.watch.took(30_000);
      assert.deepEqual(watched.seconds(1, 100), []);
    }
  });

  test("does not take what is longer by little for slow", () => {
    const watched = learned(1);
    assert.deepEqual(watched.seconds(60, 10), []);
    assert.deepEqual(watched.seconds(60, 10, { by: { ...policy, differenceMinMs: 5 } }), ["very-slow"]);
    assert.deepEqual(watched.seconds(60, 10), ["usual"]);
    const shortest = learned(0);
    assert.deepEqual(rounded({ recentMs: (shortest.watch.view().recentMs ?? 0) * 1_000, usualMs: 0 }), [100, 0]);
    assert.deepEqual(shortest.seconds(60, 0.19, { by: { ...policy, differenceMinMs: 0 } }), []);
    assert.deepEqual(shortest.seconds(60, 0.3, { by: { ...policy, differenceMinMs: 0 } }), ["slow"]);
  });

  test("judges by the factor of the policy", () => {
    const watched = learned();
    assert.deepEqual(watched.seconds(60, 300, { by: { ...policy, factor: 4 } }), []);
    assert.deepEqual(watched.seconds(1, 300, { by: { ...policy, factor: 1.5 } }), ["very-slow"]);
  });

  test("puts looks of few runs together", () => {
    const watched = learned();
    assert.deepEqual(watched.seconds(19, 1_000, { runs: 1 }), []);
    assert.deepEqual(rounded(watched.watch.view()), [100, 100]);
    watched.seconds(1, 1_000, { runs: 1 });
    // Twenty seconds have passed: three quarters are forgotten.
    assert.deepEqual(rounded(watched.watch.view()), [Math.round(100 * 10 ** 0.75), 105]);
  });

  test("goes by runs that are far apart, too, and does not have the baseline follow them at once", () => {
    const watched = learned();
    const states: LatencyState[] = [];
    for (let run = 0; run < 20; run += 1) {
      watched.nowMs += 49_000;
      states.push(...watched.seconds(1, 1_000, { runs: 1 }));
    }
    assert.deepEqual([states, rounded(watched.watch.view())], [["very-slow"], [1_000, Math.round(100 * 10 ** (1 - 2 ** -0.1))]]);
  });

  test("does not know what is recent when nothing came for a minute, nor what is usual after ten", () => {
    const watched = learned();
    assert.deepEqual(watched.seconds(30, 300), ["slow"]);
    assert.deepEqual(watched.seconds(59, 0, { runs: 0 }), []);
    assert.deepEqual(watched.seconds(1, 0, { runs: 0 }), ["usual"]);
    const { recentMs, usualMs } = watched.watch.view();
    assert.equal(recentMs, usualMs);
    assert.deepEqual(watched.seconds(539, 0, { runs: 0 }), []);
    assert.equal(watched.watch.state, "usual");
    watched.seconds(1, 0, { runs: 0 });
    assert.deepEqual(watched.watch.view(), { state: "learning", recentMs: undefined, usualMs: undefined });
    assert.deepEqual(watched.seconds(61, 900), []);
    assert.equal(watched.watch.state, "usual");
  });

  test("forgets everything when it is switched off, and says that nothing is slow", () => {
    const watched = learned();
    watched.seconds(60, 300);
    const off = { ...policy, enabled: false };
    assert.deepEqual(watched.seconds(2, 300, { by: off }), ["learning"]);
    assert.deepEqual(watched.watch.view(), { state: "learning", recentMs: undefined, usualMs: undefined });
    watched.seconds(60, 300);
    assert.equal(watched.watch.state, "learning");
    watched.seconds(1, 300);
    assert.deepEqual(rounded(watched.watch.view()), [300, 300]);
  });

  const anyDuration = fc.double({ min: 0.1, max: 10_000, noNaN: true });

  test("nothing is slow whose durations stay within the factor, whatever they are", () => {
    fc.assert(
      fc.property(anyDuration, fc.array(fc.double({ min: 1, max: 1.99, noNaN: true }), { minLength: 1, maxLength: 200 }), (durationMs, factors) => {
        const watched = learned(durationMs);
        for (const factor of factors) assert.deepEqual(watched.seconds(1, durationMs * factor), []);
      }),
      { numRuns: 30 },
    );
  });

  test("what takes several times as long is found within a minute and becomes usual in the end; what takes less never is slow", () => {
    fc.assert(
      fc.property(fc.double({ min: 20, max: 10_000, noNaN: true }), fc.double({ min: 2.5, max: 20, noNaN: true }), (durationMs, times) => {
        const watched = learned(durationMs);
        assert.ok(watched.seconds(60, durationMs * times).includes("slow"));
        watched.seconds(3_600, durationMs * times);
        assert.equal(watched.watch.state, "usual");
        assert.deepEqual(learned(durationMs).seconds(120, durationMs / times), []);
      }),
      { numRuns: 10 },
    );
  });

  test("what is recent and what is usual stay within what was measured", () => {
    fc.assert(
      fc.property(fc.array(anyDuration, { minLength: 1, maxLength: 200 }), (durations) => {
        const watched = new Watched();
        for (const durationMs of durations) watched.seconds(1, durationMs);
        const least = Math.min(...durations) * 0.999_999;
        const most = Math.max(...durations) * 1.000_001;
        const { recentMs = 0, usualMs = 0 } = watched.watch.view();
        assert.ok(recentMs >= least && recentMs <= most && usualMs >= least && usualMs <= most);
      }),
    );
  });
});
