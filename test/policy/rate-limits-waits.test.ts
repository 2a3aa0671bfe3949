// Nobody who waits for a limit is left behind: whatever takes units from one that waits, it is drawn for again.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import type { MoreAnswer } from "#runtime/policy/rate-limits.ts";
import { shareMs } from "#runtime/policy/rate-share.ts";
import { Bench, Run, dependency, oneASecond, used } from "../support/limits-bench.ts";

/** A run in progress asks for tokens. */
function ask(bench: Bench, run: Run, requestId: number, tokens: number, nowMs: number, waitMaxMs = 30_000): void {
  bench.limits.more(run, { runId: requestId, requestId, dependency: 0, usage: { requests: 0, tokens }, waitMaxMs }, nowMs);
}

const answersOf = (bench: Bench): (readonly [number, number])[] => bench.limits.takeAnswers().map(({ requestId, afterMs }) => [requestId, afterMs]);

describe("waits for limits", () => {
  test("units that a run used beyond what it took are drawn again for those that wait", () => {
    const bench = new Bench(dependency("api", [{ tokensPerMinute: 6_000, burstMs: 50 }]));
    const [one, other] = [new Run(), new Run()];
    for (const run of [one, other]) assert.equal(bench.enter(run, 0), "admitted");
    ask(bench, one, 1, 4, 100);
    ask(bench, other, 2, 4, 100);
    bench.flush(100);
    bench.limits.next(110);
    assert.deepEqual(answersOf(bench).length, 1, "expected the units of one to be here, and those of the other to come");
    const before = bench.asked;
    bench.limits.leave(one, used(1, 20));
    assert.ok(bench.asked > before, "expected a draw to be asked for");
    bench.flush(112);
    assert.ok(bench.limits.dueMs(112) < 1_000, `expected the other's units to come, found ${bench.limits.dueMs(112)} ms until it gives up`);
    bench.limits.next(112 + bench.limits.dueMs(112));
    assert.deepEqual(
      answersOf(bench).map(([, afterMs]) => afterMs),
      [0],
    );
  });

  test("runs that waited for one limit draw on the same bucket of another, for which nothing was asked for long", () => {
    const bench = new Bench(
      dependency("api", [
        { requestsPerMinute: 60, burstMs: 1_000 },
        { by: "tenant", requestsPerMinute: 60, burstMs: 1_000 },
      ]),
    );
    bench.enter(new Run(), 0);
    const waiting = [0, 1_600].map((atMs) => {
      const run = new Run();
      bench.limits.enter(run, atMs);
      bench.flush(atMs);
      // The share of the tenant is idle by then, and forgotten.
      for (const look of [1, 2, 3]) bench.look(atMs + look * shareMs);
      return run;
    });
    const begun: Run[] = [];
    const drawn: string[] = [];
    for (let nowMs = 3_200; nowMs <= 4_700; nowMs += 50) {
      begun.push(...bench.limits.next(nowMs).admitted);
      drawn.push(...bench.flush(nowMs).filter((key) => key.includes("tenant")));
    }
    assert.deepEqual(begun, waiting);
    assert.deepEqual(drawn, Array<string>(2).fill("api/requests/tenant="));
  });

  test("what waits asks for a draw, and what was asked for meanwhile is asked for once that is answered, each draw counted once", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    const [first, second] = [new Run(), new Run()];
    let before = bench.asked;
    assert.equal(bench.limits.enter(first, 0).kind, "limited");
    assert.ok(bench.asked > before);
    assert.equal(first.waitedFor, "a limit of api");
    const draws = bench.limits.draws(0);
    bench.limits.enter(second, 0);
    assert.deepEqual([draws.length, bench.limits.draws(0)], [1, []]);
    before = bench.asked;
    for (let time = 0; time < 2; time += 1) bench.limits.answered("api/requests", { granted: 1, level: 2, afterMs: 0 }, 0);
    assert.ok(bench.asked > before);
    assert.deepEqual([bench.limits.next(0).admitted, bench.limits.draws(0).length], [[first], 1]);
  });

  test("units are drawn in advance after those that were spent, and where there are none, not again before the next that needs some", () => {
    const bench = new Bench(dependency("api", [{ requestsPerMinute: 240, burstMs: 500 }]), dependency("large", [{ requestsPerMinute: 6_000 }]));
    for (let run = 0; run < 2; run += 1) bench.enter(new Run({}, [1]), 0);
    assert.deepEqual(bench.flush(0), ["large/requests"]);
    for (let run = 0; run < 2; run += 1) bench.enter(new Run(), 0);
    assert.deepEqual([bench.flush(0), bench.flush(shareMs)], [["api/requests"], []]);
    bench.limits.enter(new Run(), shareMs);
    bench.limits.clear();
    assert.deepEqual(bench.flush(shareMs), []);
  });

  test("a run is postponed for the dependency of the limit that is used up", () => {
    const bench = new Bench(dependency("api", [oneASecond]), dependency("other", [{ requestsPerMinute: 6, burstMs: 0 }]));
    bench.enter(new Run({}, [1]), 0);
    const run = new Run({}, [0, 1]);
    bench.limits.enter(run, 0);
    bench.flush(0);
    bench.limits.next(0);
    bench.flush(0);
    const { postponed } = bench.limits.next(0);
    assert.deepEqual(
      postponed.map(({ answer }) => answer.dependency),
      ["other"],
    );
  });

  test("a run in progress whose turn has come lets nobody else go first at another limit", () => {
    const bench = new Bench(dependency("api", [{ requestsPerMinute: 600, tokensPerMinute: 6_000, burstMs: 1_000 }]));
    const [one, other] = [new Run(), new Run()];
    for (const run of [one, other]) bench.enter(run, 0);
    const more = (run: Run, requestId: number, requests: number, tokens: number): void =>
      bench.limits.more(run, { runId: requestId, requestId, dependency: 0, usage: { requests, tokens }, waitMaxMs: 30_000 }, 0);
    // Two requests are here, and wait for whoever needs no more.
    const given = new Run();
    bench.enter(given, 0);
    more(given, 0, 1, 0);
    bench.flush(0);
    bench.limits.next(0);
    bench.limits.leave(given, used(0));
    assert.deepEqual(answersOf(bench), [[0, 0]]);
    more(one, 1, 1, 150);
    more(other, 2, 20, 0);
    bench.flush(0);
    bench.limits.next(600);
    assert.deepEqual(answersOf(bench), [[1, 0]]);
  });

  test("a wait that is over leaves those behind it to be drawn for", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    const running = new Run();
    bench.enter(running, 0);
    bench.enter(new Run(), 0);
    bench.limits.more(running, { runId: 1, requestId: 1, dependency: 0, usage: { requests: 2, tokens: 0 }, waitMaxMs: 1_500 }, 0);
    const behind = new Run();
    bench.limits.enter(behind, 0);
    bench.flush(0);
    const before = bench.asked;
    bench.limits.next(0);
    assert.deepEqual(answersOf(bench), [[1, 2_000]]);
    assert.ok(bench.asked > before, "expected a draw to be asked for");
    bench.flush(0);
    const { asked } = bench;
    bench.limits.next(0);
    assert.equal(bench.asked, asked, "expected no draw to be asked for again and again");
    assert.deepEqual([bench.limits.waiting, bench.limits.dueMs(0)], [1, 1_000]);
  });

  test("runs in progress are served in the order in which they asked", () => {
    const bench = new Bench(dependency("api", [{ tokensPerMinute: 6_000, burstMs: 100 }]));
    const runs = Array.from({ length: 3 }, () => new Run());
    for (const run of runs) bench.enter(run, 0);
    bench.enter(new Run(), 0);
    runs.forEach((run, index) => ask(bench, run, index, 10, 0));
    bench.flush(0);
    const served: number[] = [];
    for (let nowMs = 0; nowMs <= 1_000; nowMs += 10) {
      bench.limits.next(nowMs);
      served.push(...answersOf(bench).map(([requestId]) => requestId));
    }
    assert.deepEqual(served, [0, 1, 2]);
  });

  test("a run in progress that needs much is not overtaken for good by others that need little, in progress or not", () => {
    const tokens = { tokensPerMinute: 6_000, burstMs: 2_000 };
    const bench = new Bench(dependency("api", [{ by: "tenant", requestsPerMinute: 6_000, burstMs: 100 }, tokens], { estimatedTokens: 5 }));
    const [large, small] = [new Run(), new Run()];
    for (const run of [large, small]) bench.enter(run, 0);
    ask(bench, small, 0, 190, 0);
    bench.flush(0);
    ask(bench, large, 1, 150, 0);
    const served: string[] = [];
    for (let nowMs = 0; nowMs < 4_000; nowMs += 10) {
      // Together they take what flows in.
      if (nowMs % 100 === 0) ask(bench, small, 2, 4, nowMs);
      if (nowMs % 100 === 50 && bench.limits.enter(new Run({ tenant: `${nowMs}` }), nowMs).kind === "admitted") served.push("begins");
      bench.flush(nowMs);
      served.push(
        ...bench.limits.next(nowMs).admitted.map(() => "begins"),
        ...answersOf(bench).map(([requestId]) => ["all", "large", "small"][requestId] ?? ""),
      );
      bench.flush(nowMs);
    }
    assert.deepEqual(served.slice(0, 3), ["all", "large", "small"]);
    assert.ok(served.includes("begins"));
  });

  test("runs in progress are answered also while none may begin", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    const [running, waiting] = [new Run(), new Run()];
    bench.enter(running, 0);
    bench.enter(new Run(), 0);
    bench.enter(waiting, 0);
    const more = (requestId: number, waitMaxMs: number): void =>
      bench.limits.more(running, { runId: 1, requestId, dependency: 0, usage: { requests: 1, tokens: 0 }, waitMaxMs }, 0);
    more(1, 5_000);
    bench.flush(0);
    bench.limits.nextInProgress(999);
    assert.deepEqual(answersOf(bench), []);
    bench.limits.nextInProgress(2_000);
    assert.deepEqual([answersOf(bench), bench.limits.waiting], [[[1, 0]], 1]);
    more(2, 2_500);
    bench.limits.nextInProgress(5_001);
    assert.deepEqual([answersOf(bench).length, bench.limits.waiting], [1, 1], "expected the other's time not to be looked at");
  });

  test("one that could begin and is held up keeps nobody else from being looked at in time", () => {
    const bench = new Bench(dependency("api", [{ by: "tenant", requestsPerMinute: 60, burstMs: 1_000 }]));
    for (const [tenant, atMs] of [
      ["a", 0],
      ["a", 0],
      ["b", 20],
      ["b", 20],
    ] as const) {
      bench.enter(new Run({ tenant }), atMs);
    }
    assert.deepEqual([bench.limits.dueMs(900, 100), bench.limits.dueMs(1_000, 100), bench.limits.dueMs(1_020, 100)], [100, 20, 100]);
  });

  test("what was given back lets the next run begin at once, without a draw", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    const run = new Run();
    bench.enter(run, 0);
    const { asked } = bench;
    bench.limits.giveBack(run);
    assert.equal(bench.asked, asked, "expected nothing to be asked where nobody waits");
    assert.equal(bench.limits.enter(run, 0).kind, "admitted");
    bench.enter(new Run(), 0);
    bench.limits.enter(new Run(), 0);
    const before = bench.asked;
    bench.limits.giveBack(run);
    assert.ok(bench.asked > before, "expected those that wait to be looked at");
  });

  test("a place is promised for as many units as runs of the skill need", () => {
    const bench = new Bench(dependency("api", [{ tokensPerMinute: 6_000, burstMs: 1_000 }], { estimatedTokens: 600 }));
    const small = new Run({ skill: "small" });
    bench.enter(small, 0);
    bench.limits.leave(small, used(1, 100));
    bench.isDown = true;
    bench.enter(new Run(), 0);
    const refused = ["small", "large", "small"].map((skill) => bench.limits.refuses(new Run({ skill }), 0)?.atLeastMs ?? 0);
    assert.deepEqual(
      refused.map((ms) => ms - (refused[0] ?? 0)),
      [0, 1_000, 7_000],
    );
  });

  test("a run in progress waits for no limit of which it needs nothing, though that is used up", () => {
    const bench = new Bench(dependency("api", [{ requestsPerMinute: 60, tokensPerMinute: 6_000, burstMs: 1_000 }]));
    const [running, other] = [new Run(), new Run()];
    bench.enter(running, 0);
    assert.equal(bench.enter(other, 1_000), "admitted");
    bench.limits.leave(other, used(10));
    ask(bench, running, 1, 1, 1_000);
    assert.deepEqual(answersOf(bench), [[1, 0]]);
  });

  test("an answer that is there at once is asked to be fetched", () => {
    const bench = new Bench(dependency("api", [oneASecond]), dependency("free", []));
    const running = new Run();
    bench.enter(running, 0);
    const asked = (dependency: number, requests: number): number => {
      const before = bench.asked;
      bench.limits.more(running, { runId: 1, requestId: 1, dependency, usage: { requests, tokens: 0 }, waitMaxMs: 0 }, 0);
      return bench.asked - before;
    };
    assert.ok(asked(1, 1) > 0);
    bench.isDown = true;
    bench.enter(new Run(), 0);
    bench.enter(new Run(), 0);
    assert.ok(asked(0, 5) > 0);
  });

  test("when a run has ended that others waited behind, they are looked at again, though nothing is known of what it used", () => {
    const bench = new Bench(dependency("api", [{ tokensPerMinute: 6_000, burstMs: 100 }]));
    const [ended, behind] = [new Run(), new Run()];
    for (const run of [ended, behind]) bench.enter(run, 0);
    ask(bench, ended, 1, 500, 0);
    ask(bench, behind, 2, 10, 0);
    bench.flush(0);
    const before = bench.asked;
    bench.limits.leave(ended, undefined);
    assert.ok(bench.asked > before);
    bench.limits.nextInProgress(1_000);
    assert.deepEqual(answersOf(bench), [[2, 0]]);
  });

  test("whoever has waited to the end of its time has not waited beside a full bucket", () => {
    const operation = fc.record({
      kind: fc.constantFrom("enter", "enter", "enter", "leave", "leave", "more", "giveBack"),
      tenant: fc.constantFrom("a", "b"),
      pick: fc.nat(),
      waitMs: fc.nat({ max: 300 }),
      tokens: fc.integer({ min: 1, max: 150 }),
    });
    fc.assert(
      fc.property(fc.array(operation, { minLength: 10, maxLength: 60 }), (operations) => {
        const limits = [
          { tokensPerMinute: 6_000, burstMs: 2_000 },
          { by: "tenant", requestsPerMinute: 120, burstMs: 500 },
        ] as const;
        const bench = new Bench(dependency("api", limits, { estimatedTokens: 20 }));
        const asked = new Map<number, number>();
        const entered = new Map<Run, number>();
        const running: Run[] = [];
        let nowMs = 0;
        let lookMs = shareMs;
        const isFull = (): boolean =>
          [...bench.rates].every(([key, { perMinute, capacity }]) => {
            const { level, atMs } = bench.buckets.get(key) ?? { level: capacity, atMs: nowMs };
            return level + ((nowMs - atMs) * perMinute) / 60_000 >= capacity;
          });
        const settle = (): void => {
          bench.flush(nowMs);
          const { admitted, postponed } = bench.limits.next(nowMs);
          running.push(...admitted);
          for (const run of admitted) entered.delete(run);
          const ended = [
            ...postponed.map(({ run }) => entered.get(run)),
            ...bench.limits.takeAnswers().flatMap(({ requestId, afterMs }: MoreAnswer) => (afterMs > 0 ? [asked.get(requestId)] : [])),
          ];
          for (const untilMs of ended) if (untilMs !== undefined && untilMs <= nowMs) assert.ok(!isFull(), "expected it to be drawn for while it waited");
          bench.flush(nowMs);
        };
        const pass = (toMs: number): void => {
          while (nowMs < toMs) {
            nowMs = Math.min(toMs, lookMs, nowMs + Math.max(1, bench.limits.dueMs(nowMs)));
            if (nowMs === lookMs) {
              bench.look(nowMs);
              lookMs += shareMs;
            }
            settle();
          }
        };
        for (const { kind, tenant, pick, waitMs, tokens } of operations) {
          const target = running[pick % Math.max(1, running.length)];
          if (kind === "enter") {
            const run = new Run({ tenant });
            const answer = bench.limits.enter(run, nowMs).kind;
            if (answer === "admitted") running.push(run);
            if (answer === "limited") entered.set(run, nowMs + 5_000);
          } else if (target !== undefined && kind === "more") {
            const requestId = asked.size;
            asked.set(requestId, nowMs + 30_000);
            ask(bench, target, requestId, tokens, nowMs);
          } else if (target !== undefined) {
            running.splice(running.indexOf(target), 1);
            if (kind === "giveBack") bench.limits.giveBack(target);
            else bench.limits.leave(target, used(1, tokens));
          }
          settle();
          pass(nowMs + waitMs);
        }
        pass(nowMs + 40_000);
        assert.equal(bench.limits.waiting, 0);
      }),
      { numRuns: 150 },
    );
  });
});
