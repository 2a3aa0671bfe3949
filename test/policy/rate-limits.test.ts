import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import type { LimitPolicy, Usage } from "#runtime/core/limits.ts";
import { rateOf } from "#runtime/policy/rate-limits.ts";
import { shareMs } from "#runtime/policy/rate-share.ts";
import { Bench, Run, dependency, oneASecond, used } from "../support/limits-bench.ts";

describe("rate limits", () => {
  test("a limit is its rate and what is saved up of it; of requests one at least", () => {
    assert.deepEqual(rateOf({ requestsPerMinute: 600, burstMs: 1_000 }, "requests"), { perMinute: 600, capacity: 10 });
    assert.deepEqual(rateOf({ tokensPerMinute: 60_000 }, "tokens"), { perMinute: 60_000, capacity: 5_000 });
    assert.deepEqual(rateOf({ requestsPerMinute: 6, burstMs: 0 }, "requests"), { perMinute: 6, capacity: 1 });
    assert.deepEqual([rateOf({ requestsPerMinute: 6 }, "tokens"), rateOf({ tokensPerMinute: 6 }, "requests")], [undefined, undefined]);
  });

  test("what uses nothing that is limited is admitted and leaves no trace", () => {
    const { limits } = new Bench(dependency("api", []), dependency("other", [oneASecond]));
    const run = new Run({}, [0]);
    assert.equal(limits.enter(run, 0).kind, "admitted");
    assert.deepEqual([limits.isActive, limits.allowances(run)], [false, undefined]);
    limits.leave(run, used(1));
    assert.equal(limits.isActive, false);
  });

  test("admits what the bucket holds, lets wait what comes in time, postpones the rest one after the other", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    const answers = Array.from({ length: 10 }, () => bench.enter(new Run(), 0));
    assert.deepEqual(answers, [
      ...Array<string>(2).fill("admitted"),
      ...Array<string>(5).fill("waiting"),
      "postponed for 6000 as rate-limited",
      "postponed for 7000 as rate-limited",
      "postponed for 8000 as rate-limited",
    ]);
    assert.equal(bench.limits.waiting, 5);
    assert.deepEqual([bench.limits.dueMs(0), bench.limits.dueMs(400)], [1_000, 600]);
    assert.deepEqual([bench.limits.next(999).admitted.length, bench.limits.next(1_000).admitted.length, bench.limits.next(3_000).admitted.length], [0, 1, 2]);
    assert.equal(bench.limits.waiting, 2);
  });

  test("says so before a run is claimed, and promises it a place", () => {
    const bench = new Bench(dependency("api", [oneASecond]), dependency("free", []));
    assert.equal(bench.limits.refuses(new Run(), 0), undefined);
    for (let run = 0; run < 8; run += 1) bench.enter(new Run(), 0);
    assert.deepEqual(bench.limits.refuses(new Run({}, [1, 0]), 0), { kind: "postponed", why: "rate-limited", dependency: "api", atLeastMs: 7_000 });
    assert.deepEqual(bench.limits.refuses(new Run(), 0), { kind: "postponed", why: "rate-limited", dependency: "api", atLeastMs: 8_000 });
    assert.equal(bench.limits.refuses(new Run({}, [1]), 0), undefined);
    assert.equal(bench.limits.refuses(new Run(), 1_000), undefined, "expected those to be tried who could wait for what comes");
    assert.equal(bench.limits.view(0)[0]?.postponed, 3);
    assert.equal(bench.limits.enter(new Run(), 0).kind, "postponed", "expected it to be said at once");
  });

  test("counts each tenant, project and skill apart", () => {
    for (const by of ["tenant", "project", "skill"] as const) {
      const bench = new Bench(dependency("api", [{ ...oneASecond, by }]));
      for (let run = 0; run < 8; run += 1) bench.enter(new Run({ [by]: "greedy" }), 0);
      assert.deepEqual([bench.enter(new Run({ [by]: "modest" }), 0), bench.enter(new Run(), 0)], ["admitted", "admitted"]);
      assert.deepEqual([...bench.buckets.keys()], [`api/requests/${by}=greedy`, `api/requests/${by}=modest`, `api/requests/${by}=`]);
    }
  });

  test("makes one key of whatever a tenant is called", () => {
    const bench = new Bench(dependency("api", [{ ...oneASecond, by: "tenant" }]));
    bench.enter(new Run({ tenant: "a b/{c}=é" }), 0);
    assert.deepEqual([...bench.buckets.keys()], ["api/requests/tenant=a%20b%2F%7Bc%7D%3D%C3%A9"]);
  });

  test("takes of all its limits or of none", () => {
    const bench = new Bench(
      dependency("api", [
        { requestsPerMinute: 60, burstMs: 10_000 },
        { ...oneASecond, by: "tenant" },
      ]),
    );
    for (let run = 0; run < 3; run += 1) bench.enter(new Run({ tenant: "a" }), 0);
    assert.equal(bench.limits.waiting, 1);
    // Eight of the ten are left for the others, for the one that waits has taken none.
    const others = Array.from({ length: 9 }, (_, tenant) => bench.enter(new Run({ tenant: `${tenant}` }), 0));
    assert.deepEqual(others, [...Array<string>(8).fill("admitted"), "waiting"]);
  });

  test("what waited for one limit may have to wait for another", () => {
    const bench = new Bench(
      dependency("api", [
        { ...oneASecond, by: "tenant" },
        { requestsPerMinute: 30, burstMs: 6_000 },
      ]),
    );
    const last = new Run({ tenant: "a" });
    for (const run of [new Run({ tenant: "a" }), new Run({ tenant: "a" }), last, new Run({ tenant: "b" })]) bench.enter(run, 0);
    assert.equal(bench.limits.waiting, 1);
    assert.deepEqual([bench.limits.dueMs(0), bench.limits.next(1_000).admitted], [1_000, []]);
    bench.flush(1_000);
    assert.deepEqual([bench.limits.waiting, bench.limits.dueMs(1_000)], [1, 1_000]);
    assert.deepEqual([bench.limits.next(1_999).admitted, bench.limits.next(2_000).admitted], [[], [last]]);
  });

  test("nobody overtakes those that wait, though what it needs is here", () => {
    const bench = new Bench(dependency("api", [{ tokensPerMinute: 6_000, burstMs: 10_000 }], { estimatedTokens: 700 }));
    const [quick, large, small] = [new Run({ skill: "small" }), new Run(), new Run({ skill: "small" })];
    bench.enter(quick, 0);
    bench.limits.leave(quick, used(1, 10));
    bench.enter(new Run(), 0);
    assert.equal(bench.enter(large, 0), "waiting");
    assert.equal(bench.limits.enter(small, 3_000).kind, "limited");
    bench.flush(3_000);
    assert.deepEqual(bench.limits.next(4_200), { admitted: [large, small], postponed: [], limited: [] });
  });

  test("takes requests and tokens by their estimate, and tells the run what it may use", () => {
    const bench = new Bench(
      dependency("api", [{ requestsPerMinute: 60, tokensPerMinute: 6_000, burstMs: 10_000 }], { estimatedTokens: 300 }),
      dependency("b", [oneASecond]),
    );
    const run = new Run({}, [0, 1]);
    assert.equal(bench.enter(run, 0), "admitted");
    assert.deepEqual(bench.limits.allowances(run), [
      { dependency: 0, requests: 1, tokens: 300 },
      { dependency: 1, requests: 1, tokens: 1 },
    ]);
    assert.deepEqual(
      [...bench.buckets].map(([key, { level }]) => [key, level]),
      [
        ["api/requests", 9],
        ["api/tokens", 700],
        ["b/requests", 1],
      ],
    );
  });

  test("corrects what was taken by what was used, and expects as much of the next run of the skill", () => {
    const bench = new Bench(dependency("api", [{ tokensPerMinute: 6_000, burstMs: 10_000 }], { estimatedTokens: 300 }));
    const first = new Run({ skill: "a" });
    bench.enter(first, 0);
    bench.limits.leave(first, used(2, 450));
    assert.deepEqual(bench.look(shareMs), [["api/tokens", -150]]);
    const second = new Run({ skill: "a" });
    bench.enter(second, 0);
    assert.deepEqual(bench.limits.allowances(second), [{ dependency: 0, requests: 2, tokens: 450 }]);
    bench.limits.leave(second, used(1, 50));
    assert.deepEqual(bench.look(shareMs), []);
    assert.deepEqual(bench.look(2 * shareMs), [["api/tokens", 400]]);
    const other = new Run({ skill: "b" });
    bench.enter(other, 0);
    assert.deepEqual(bench.limits.allowances(other), [{ dependency: 0, requests: 1, tokens: 300 }]);
  });

  test("what made no call gives all back, and says nothing of those that do", () => {
    const bench = new Bench(dependency("api", [{ tokensPerMinute: 6_000, burstMs: 10_000 }], { estimatedTokens: 300 }));
    const run = new Run();
    bench.enter(run, 0);
    bench.limits.leave(run, used(1, 5, "another"));
    bench.look(0);
    assert.deepEqual(bench.look(0), [["api/tokens", 300]]);
    const next = new Run();
    bench.enter(next, 0);
    assert.equal(bench.limits.allowances(next)?.[0]?.tokens, 300);
  });

  test("what could not begin after all gives all back; what is not known to have used anything, nothing", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    const [one, other] = [new Run(), new Run()];
    bench.enter(one, 0);
    bench.limits.giveBack(one);
    assert.equal(bench.limits.allowances(one), undefined);
    bench.enter(other, 0);
    assert.equal(bench.draws, 1, "expected the unit that was given back to be spent");
    const { asked } = bench;
    bench.limits.leave(other, undefined);
    assert.equal(bench.asked, asked, "expected nothing to be asked where nothing can have changed");
    assert.equal(bench.limits.allowances(other), undefined);
    assert.deepEqual([...bench.look(0), ...bench.look(0)], []);
    bench.limits.giveBack(other);
    bench.limits.leave(other, used(0));
    assert.deepEqual([...bench.look(0), ...bench.look(0)], []);
  });

  test("a run in progress has what it needs at once where there is some, and more is its own then", () => {
    const bench = new Bench(dependency("api", [{ requestsPerMinute: 60, tokensPerMinute: 6_000, burstMs: 10_000 }], { estimatedTokens: 100 }));
    const run = new Run();
    bench.enter(run, 0);
    const before = bench.asked;
    bench.limits.more(run, { runId: 7, requestId: 70, dependency: 0, usage: { requests: 0, tokens: 200 }, waitMaxMs: 1_000 }, 0);
    assert.ok(bench.asked > before);
    assert.deepEqual(bench.limits.takeAnswers(), []);
    bench.flush(0);
    bench.limits.next(0);
    assert.deepEqual(bench.limits.takeAnswers(), [{ runId: 7, requestId: 70, afterMs: 0 }]);
    assert.deepEqual(bench.limits.takeAnswers(), []);
    assert.deepEqual(bench.limits.allowances(run), [{ dependency: 0, requests: 1, tokens: 300 }]);
    bench.limits.leave(run, used(1, 300));
    assert.deepEqual([...bench.look(0), ...bench.look(0)], []);
  });

  test("a run in progress is let pass at once where the units are here, and asked nothing of what is not limited", () => {
    const bench = new Bench(dependency("api", [{ tokensPerMinute: 60_000, burstMs: 10_000 }]), dependency("free", []));
    const [run, other] = [new Run(), new Run()];
    bench.enter(run, 0);
    bench.enter(other, 0);
    bench.limits.giveBack(other);
    const ask = (requestId: number, dependency: number, usage: Usage): void =>
      bench.limits.more(run, { runId: 1, requestId, dependency, usage, waitMaxMs: 0 }, 0);
    ask(1, 0, { requests: 5, tokens: 1 });
    ask(2, 1, { requests: 5, tokens: 5 });
    ask(3, 0, { requests: 5, tokens: 0 });
    assert.deepEqual(
      bench.limits.takeAnswers(),
      [1, 2, 3].map((requestId) => ({ runId: 1, requestId, afterMs: 0 })),
    );
  });

  test("a run in progress is before those that have not begun", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    const [running, second, waiting] = [new Run(), new Run(), new Run()];
    bench.enter(running, 0);
    bench.enter(second, 0);
    bench.enter(waiting, 0);
    bench.limits.more(running, { runId: 1, requestId: 1, dependency: 0, usage: { requests: 1, tokens: 0 }, waitMaxMs: 5_000 }, 0);
    bench.flush(0);
    assert.deepEqual([bench.limits.next(1_000).admitted, bench.limits.takeAnswers().length], [[], 1]);
    assert.deepEqual(bench.limits.next(2_000).admitted, [waiting]);
  });

  test("a run in progress hears how long there will be nothing, at once where that is known, else when its time is over", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    const running = new Run();
    bench.enter(running, 0);
    bench.enter(new Run(), 0);
    const ask = (requestId: number, waitMaxMs: number, nowMs: number): void =>
      bench.limits.more(running, { runId: 1, requestId, dependency: 0, usage: { requests: 3, tokens: 0 }, waitMaxMs }, nowMs);
    ask(1, 1_500, 0);
    bench.flush(0);
    bench.limits.next(0);
    assert.deepEqual(bench.limits.takeAnswers(), [{ runId: 1, requestId: 1, afterMs: 2_000 }]);
    ask(2, 1_000, 0);
    assert.deepEqual(bench.limits.takeAnswers(), [{ runId: 1, requestId: 2, afterMs: 5_000 }]);
    ask(3, 1_999, 0);
    assert.deepEqual(bench.limits.takeAnswers(), [{ runId: 1, requestId: 3, afterMs: 8_000 }]);
    bench.limits.more(running, { runId: 1, requestId: 4, dependency: 0, usage: { requests: 1, tokens: 0 }, waitMaxMs: 2_000 }, 0);
    bench.limits.next(2_000);
    assert.deepEqual(bench.limits.takeAnswers(), [{ runId: 1, requestId: 4, afterMs: 9_000 }], "expected one whose draw is never answered to be told, too");
  });

  test("what a run that has ended asked for is dropped, and others of its lane are not", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    const [ended, waiting] = [new Run(), new Run()];
    bench.enter(ended, 0);
    bench.enter(new Run(), 0);
    bench.enter(waiting, 0);
    bench.limits.more(ended, { runId: 1, requestId: 1, dependency: 0, usage: { requests: 1, tokens: 0 }, waitMaxMs: 5_000 }, 0);
    bench.limits.leave(ended, used(1));
    assert.equal(bench.limits.waiting, 1);
    bench.flush(0);
    assert.deepEqual([bench.limits.next(1_000).admitted, bench.limits.takeAnswers()], [[waiting], []]);
  });

  test("is shut for all that use it when the limit of all is used up, and not when that of a tenant is", () => {
    const bench = new Bench(dependency("api", [oneASecond]), dependency("free", []), dependency("byTenant", [{ ...oneASecond, by: "tenant" }]));
    assert.equal(bench.limits.isShut([0], 0), false);
    for (let run = 0; run < 8; run += 1) bench.enter(new Run({}, [0]), 0);
    for (let run = 0; run < 8; run += 1) bench.enter(new Run({}, [2]), 0);
    assert.deepEqual(
      [bench.limits.isShut([0], 0), bench.limits.isShut([1, 0], 0), bench.limits.isShut([1], 0), bench.limits.isShut([2], 0)],
      [true, true, false, false],
    );
    assert.equal(bench.limits.isShut([0], 1_000), false);
    const tokens = new Bench(dependency("api", [{ tokensPerMinute: 60, burstMs: 2_000, requestsPerMinute: 6_000 }]));
    for (let run = 0; run < 8; run += 1) tokens.enter(new Run(), 0);
    assert.equal(tokens.limits.isShut([0], 0), true);
    const both = new Bench(dependency("api", [{ ...oneASecond, by: "tenant" }, oneASecond]));
    for (let run = 0; run < 8; run += 1) both.enter(new Run({ tenant: `${run}` }), 0);
    assert.equal(both.limits.isShut([0], 0), true, "expected one limit of all to be enough");
  });

  test("a draw that fails keeps those out that need it, for as long as it was said", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    bench.isDown = true;
    assert.equal(bench.enter(new Run(), 0), "postponed for 6000 as rate-limited");
    bench.isDown = false;
    assert.equal(bench.enter(new Run(), 999), "postponed for 6001 as rate-limited");
    assert.equal(bench.enter(new Run(), 1_000), "admitted");
    bench.limits.answered("nobody/requests", undefined, 0);
  });

  test("those that have not begun can be taken out, and runs in progress wait on", () => {
    const bench = new Bench(dependency("api", [oneASecond]));
    const running = new Run();
    bench.enter(running, 0);
    for (let run = 0; run < 3; run += 1) bench.enter(new Run(), 0);
    bench.limits.more(running, { runId: 1, requestId: 1, dependency: 0, usage: { requests: 1, tokens: 0 }, waitMaxMs: 5_000 }, 0);
    bench.limits.clear();
    assert.equal(bench.limits.waiting, 1);
    bench.flush(0);
    assert.deepEqual([bench.limits.next(4_000).admitted, bench.limits.takeAnswers().length, bench.limits.waiting], [[], 1, 0]);
    bench.limits.clear();
    assert.equal(bench.limits.dueMs(0), Number.POSITIVE_INFINITY);
  });

  test("forgets keys that nobody uses", () => {
    const bench = new Bench(dependency("api", [{ ...oneASecond, by: "tenant" }]));
    for (let tenant = 0; tenant < 5; tenant += 1) bench.enter(new Run({ tenant: `${tenant}` }), 0);
    assert.equal(bench.limits.isActive, true);
    bench.look(shareMs);
    assert.equal(bench.limits.isActive, true);
    bench.look(2 * shareMs);
    assert.equal(bench.limits.isActive, false);
  });

  test("shows the keys that are used up, those first that most wait for, and no more than ten", () => {
    const bench = new Bench(dependency("free", []), dependency("api", [{ ...oneASecond, by: "tenant" }, { requestsPerMinute: 60_000 }]));
    for (const [tenant, runs] of [
      ["idle", 1],
      ["few", 3],
      ["many", 5],
      ["out", 9],
    ] as const) {
      for (let run = 0; run < runs; run += 1) bench.enter(new Run({ tenant }, [1]), 0);
    }
    const [byTenant, whole] = bench.limits.view(0);
    assert.deepEqual(byTenant, {
      dependency: "api",
      policy: { ...oneASecond, by: "tenant" },
      waiting: 1 + 3 + 5,
      usedUp: [
        { key: "api/requests/tenant=out", waiting: 5, forMs: 6_000 },
        { key: "api/requests/tenant=many", waiting: 3, forMs: 0 },
        { key: "api/requests/tenant=few", waiting: 1, forMs: 0 },
      ],
      postponed: 2,
    });
    assert.deepEqual(whole, { dependency: "api", policy: { requestsPerMinute: 60_000 }, waiting: 0, usedUp: [], postponed: 0 });
    for (let tenant = 0; tenant < 20; tenant += 1) for (let run = 0; run < 3; run += 1) bench.enter(new Run({ tenant: `t${tenant}` }, [1]), 0);
    assert.equal(bench.limits.view(0)[0]?.usedUp.length, 10);
  });

  test("of keys that as many wait for, shows the one first that is used up for longer", () => {
    const bench = new Bench(dependency("api", [{ ...oneASecond, by: "tenant" }]));
    for (const nowMs of [0, 3_000]) for (let run = 0; run < 8; run += 1) bench.enter(new Run({ tenant: `at ${nowMs}` }), nowMs);
    bench.limits.clear();
    assert.deepEqual(
      bench.limits.view(3_000)[0]?.usedUp.map(({ key, forMs }) => [key, forMs]),
      [
        ["api/requests/tenant=at%203000", 6_000],
        ["api/requests/tenant=at%200", 3_000],
      ],
    );
  });

  test("is changed while it runs, each limit for itself, for keys that are known and those to come", () => {
    const bench = new Bench(dependency("api", [{ ...oneASecond, by: "tenant" }, { requestsPerMinute: 60_000 }]), dependency("other", [oneASecond]));
    bench.enter(new Run({ tenant: "a" }), 0);
    bench.enter(new Run({}, [1]), 0);
    const before = bench.asked;
    assert.equal(bench.limits.change("api", "tenant", { requestsPerMinute: 6_000 }), true);
    assert.ok(bench.asked > before);
    assert.deepEqual([bench.limits.change("api", "skill", {}), bench.limits.change("nobody", "tenant", {})], [false, false]);
    assert.equal(new Bench(dependency("free", []), dependency("api", [oneASecond])).limits.change("api", undefined, {}), true);
    assert.deepEqual(
      bench.limits.view(0).map(({ policy }) => policy.requestsPerMinute),
      [6_000, 60_000, 60],
    );
    for (const run of [new Run({ tenant: "a" }), new Run({ tenant: "a" }), new Run({ tenant: "b" })]) bench.enter(run, 0);
    assert.deepEqual(Object.fromEntries(bench.rates), {
      "api/requests": { perMinute: 60_000, capacity: 5_000 },
      "api/requests/tenant=a": { perMinute: 6_000, capacity: 200 },
      "api/requests/tenant=b": { perMinute: 6_000, capacity: 200 },
      "other/requests": { perMinute: 60, capacity: 2 },
    });
  });

  test("whatever happens, what is taken is what runs hold or have used, and nobody waits forever", () => {
    const operation = fc.record({
      kind: fc.constantFrom("enter", "enter", "enter", "leave", "more", "giveBack", "lose"),
      tenant: fc.constantFrom("a", "b"),
      pick: fc.nat(),
      waitMs: fc.nat({ max: 900 }),
      tokens: fc.integer({ min: 0, max: 400 }),
    });
    const limits: LimitPolicy[] = [
      { tokensPerMinute: 12_000, burstMs: 2_000 },
      { by: "tenant", requestsPerMinute: 120, burstMs: 1_000 },
    ];
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 120 }), (operations) => {
        const bench = new Bench(dependency("api", limits, { estimatedTokens: 100 }));
        const waiting = new Map<Run, number>();
        const running: Run[] = [];
        let nowMs = 0;
        let requests = 0;
        const settle = (): void => {
          bench.flush(nowMs);
          const { admitted, postponed } = bench.limits.next(nowMs);
          for (const run of admitted) running.push(run);
          for (const run of [...admitted, ...postponed.map((one) => one.run)])
            assert.ok(waiting.delete(run), "expected only those that wait to be answered, each once");
          for (const sinceMs of waiting.values()) assert.ok(nowMs - sinceMs <= 5_000, "expected nobody to wait for longer than the bulkhead lets");
          assert.equal(bench.limits.waiting, waiting.size + requests - (answered += bench.limits.takeAnswers().length) - dropped());
        };
        let answered = 0;
        let gone = 0;
        const dropped = (): number => gone;
        for (const { kind, tenant, pick, waitMs, tokens } of operations) {
          const target = running[pick % Math.max(1, running.length)];
          if (kind === "enter") {
            const run = new Run({ tenant, skill: "s" });
            const { kind: answer } = bench.limits.enter(run, nowMs);
            if (answer === "admitted") running.push(run);
            if (answer === "limited") waiting.set(run, nowMs);
          } else if (target !== undefined && kind === "more") {
            requests += 1;
            bench.limits.more(target, { runId: requests, requestId: requests, dependency: 0, usage: { requests: 1, tokens }, waitMaxMs: 2_000 }, nowMs);
          } else if (target !== undefined) {
            running.splice(running.indexOf(target), 1);
            const before = bench.limits.waiting;
            if (kind === "giveBack") bench.limits.giveBack(target);
            else bench.limits.leave(target, kind === "lose" ? undefined : used(1, tokens));
            gone += before - bench.limits.waiting;
          }
          settle();
          const before = Math.floor(nowMs / shareMs);
          nowMs += waitMs;
          if (Math.floor(nowMs / shareMs) > before) bench.look(nowMs);
          settle();
        }
        nowMs += 6_000;
        settle();
        assert.equal(waiting.size, 0);
      }),
      { numRuns: 150 },
    );
  });
});
