// A run that needs several limits gets them in the order in which runs came, however units come to each of them.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { shareMs } from "#runtime/policy/rate-share.ts";
import type { DependencyPolicy } from "#runtime/core/skill.ts";
import { Bench, Run, dependency } from "../support/limits-bench.ts";

const stepMs = 10;

/** A limit without a reserve, whose runs may wait for so long. */
function even(name: string, perMinute: number, waitMaxMs = 600_000): DependencyPolicy {
  const plain = dependency(name, [{ requestsPerMinute: perMinute, burstMs: 0 }]);
  return { ...plain, bulkhead: { ...plain.bulkhead, waitMaxMs } };
}

interface Crowd {
  readonly bench: Bench;
  /** Of each limit, by its number. */
  readonly perMinute: readonly number[];
  /** How many wait for each limit alone at any time. */
  readonly behind: readonly number[];
}

/** Moves on while each limit alone has as many who wait for it as before; the run's time of beginning, or undefined when it did not within this time. */
function beginsAt({ bench, behind }: Crowd, run: Run, fromMs: number, untilMs: number): number | undefined {
  let nextLookMs = fromMs + shareMs;
  for (let nowMs = fromMs; nowMs <= untilMs; nowMs += stepMs) {
    bench.flush(nowMs);
    const { admitted, postponed } = bench.limits.next(nowMs);
    assert.deepEqual(postponed, []);
    if (admitted.includes(run)) return nowMs;
    for (const { uses } of admitted) for (const number of uses) if (behind[number] !== undefined) bench.limits.enter(new Run({}, [number]), nowMs);
    if (nowMs < nextLookMs) continue;
    bench.look(nowMs);
    nextLookMs += shareMs;
  }
  return undefined;
}

/** Limits of which each has as many runs as said that wait for it alone, from its own time on. */
function crowd(perMinute: readonly number[], behind: readonly number[], startsMs: readonly number[]): { readonly crowd: Crowd; readonly nowMs: number } {
  const bench = new Bench(...perMinute.map((rate, number) => even(`api-${number}`, rate)));
  let nowMs = 0;
  for (const [number, startMs] of [...startsMs.entries()].toSorted(([, one], [, other]) => one - other)) {
    nowMs = startMs;
    // The first takes what is there at the start.
    for (let count = 0; count <= (behind[number] ?? 0); count += 1) bench.limits.enter(new Run({}, [number]), nowMs);
    bench.flush(nowMs);
    bench.limits.next(nowMs);
  }
  return { crowd: { bench, perMinute, behind }, nowMs };
}

describe("order of runs that need several limits", () => {
  test("a run of two limits whose units come by turns is not passed over for ever by those that need one of them", () => {
    const { crowd: both, nowMs } = crowd([60, 60], [2, 2], [0, 500]);
    const run = new Run({}, [0, 1]);
    both.bench.limits.enter(run, nowMs);
    // Its turn at one, at the other, and the first again.
    assert.equal(beginsAt(both, run, nowMs, 60_000), 4_000);
  });

  test("gets all in bounded time, whatever their rates, and whoever waits for each", () => {
    const limit = fc.record({ perMinute: fc.constantFrom(30, 60, 90, 240), behind: fc.integer({ min: 1, max: 3 }), startMs: fc.integer({ min: 0, max: 99 }) });
    fc.assert(
      fc.property(fc.array(limit, { minLength: 2, maxLength: 4 }), (limits) => {
        const { crowd: all, nowMs } = crowd(
          limits.map(({ perMinute }) => perMinute),
          limits.map(({ behind }) => behind),
          limits.map(({ startMs }) => startMs * stepMs),
        );
        const run = new Run(
          {},
          limits.map((_, number) => number),
        );
        all.bench.limits.enter(run, nowMs);
        // Those before it at each, and twice a unit of its own: at its turn, and once more.
        const withinMs = limits.reduce((sum, { perMinute, behind }) => sum + ((behind + 3) * 60_000) / perMinute, 0);
        assert.notEqual(beginsAt(all, run, nowMs, nowMs + withinMs), undefined, `expected it to begin within ${withinMs} ms`);
      }),
      { numRuns: 60 },
    );
  });

  test("a run in progress that needs more of two limits is not passed over for ever by others in progress", () => {
    const bench = new Bench(dependency("api", [{ requestsPerMinute: 60, tokensPerMinute: 60, burstMs: 0 }]));
    const running = new Run();
    assert.equal(bench.enter(running, 0), "admitted");
    const needs = [
      { requests: 1, tokens: 0 },
      { requests: 0, tokens: 1 },
      { requests: 1, tokens: 1 },
      { requests: 0, tokens: 0.5 },
    ] as const;
    const ask = (requestId: number, nowMs: number): void => {
      const usage = needs[requestId];
      if (usage !== undefined) bench.limits.more(running, { runId: 1, requestId, dependency: 0, usage, waitMaxMs: 600_000 }, nowMs);
    };
    let answeredAtMs: number | undefined;
    for (let nowMs = 0; nowMs <= 20_000 && answeredAtMs === undefined; nowMs += stepMs) {
      // Two wait for each limit alone at any time; a token comes half a second after a request.
      if (nowMs === 0) for (const requestId of [3, 0, 0, 1, 1, 2]) ask(requestId, nowMs);
      bench.flush(nowMs);
      bench.limits.nextInProgress(nowMs);
      for (const { requestId } of bench.limits.takeAnswers()) {
        if (requestId === 2) answeredAtMs = nowMs;
        else if (requestId < 2) ask(requestId, nowMs);
      }
    }
    assert.equal(answeredAtMs, 4_000);
  });

  test("what it has taken of one limit is for others when it cannot begin", () => {
    for (const [waitMaxMs, end] of [
      [1_300, "the wait is over"],
      [5_000, "it is taken out"],
    ] as const) {
      const bench = new Bench(even("api-0", 60, waitMaxMs), even("api-1", 60));
      const move = (nowMs: number): Run[] => {
        bench.flush(nowMs);
        const { admitted, postponed } = bench.limits.next(nowMs);
        bench.flush(nowMs);
        return [...admitted, ...postponed.map(({ run }) => run), ...bench.limits.next(nowMs).postponed.map(({ run }) => run)];
      };
      bench.enter(new Run({}, [0]), 0);
      bench.enter(new Run({}, [1]), 500);
      const run = new Run({}, [0, 1]);
      assert.equal(bench.enter(run, 500), "waiting");
      // Its turn at the first comes while the other has none, which another takes; then that at the second.
      const one = new Run({}, [0]);
      bench.limits.enter(one, 700);
      assert.deepEqual([move(1_000), move(1_500)], [[one], []]);
      const other = new Run({}, [1]);
      assert.equal(bench.limits.enter(other, 1_600).kind, "limited", "expected it to have taken what was there");
      if (waitMaxMs < 5_000) assert.deepEqual(move(1_800), [other, run]);
      else {
        bench.limits.clear();
        assert.equal(bench.limits.enter(other, 1_800).kind, "admitted", end);
      }
    }
  });

  test("a run that could not begin though it had its units is before those that came after it", () => {
    const bench = new Bench(even("api", 60));
    bench.enter(new Run(), 0);
    const [first, second, third] = [new Run(), new Run(), new Run()];
    const names = new Map([
      [first, "first"],
      [second, "second"],
      [third, "third"],
    ]);
    for (const run of [first, second]) assert.equal(bench.enter(run, 0), "waiting");
    const next = (nowMs: number): string[] => bench.limits.next(nowMs).admitted.map((run) => names.get(run) ?? "");
    assert.deepEqual(next(1_000), ["first"]);
    bench.limits.giveBack(first);
    assert.deepEqual(next(1_000), ["second"]);
    for (const run of [third, first]) assert.equal(bench.enter(run, 1_000), "waiting");
    assert.deepEqual([next(2_000), next(3_000)], [["first"], ["third"]]);
  });
});
