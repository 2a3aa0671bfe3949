import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { type CircuitPolicy, defaultCircuitPolicy } from "#runtime/core/skill.ts";
import { Circuit, type CircuitState } from "#runtime/policy/circuit.ts";

const policy: CircuitPolicy = { ...defaultCircuitPolicy, failureThreshold: 3, resetTimeoutMs: 1_000, resetFactor: 1, halfOpenMax: 2 };

function circuitOf(changes: Partial<CircuitPolicy>): Circuit<string> {
  return new Circuit<string>({ ...policy, ...changes });
}

/** A circuit that three failures have just opened, at time 0. */
function opened(changes: Partial<CircuitPolicy> = {}): Circuit<string> {
  const circuit = circuitOf(changes);
  for (const run of ["a", "b", "c"]) {
    circuit.enter(run, 0);
    circuit.leave(run, "failed", 0);
  }
  return circuit;
}

/** The state after each result. */
function statesAfter(circuit: Circuit<string>, results: readonly ("failed" | "slow" | "succeeded" | "unused")[]): CircuitState[] {
  return results.map((result, index) => {
    circuit.leave(`${index}`, result, 0);
    return circuit.state(0);
  });
}

const closed = (times: number): CircuitState[] => Array.from({ length: times }, () => "closed");

describe("circuit", () => {
  test("opens when failureThreshold of the last 2 × failureThreshold runs failed", () => {
    const results = ["failed", "succeeded", "succeeded", "failed", "succeeded", "succeeded", "failed", "failed"] as const;
    // The first failure has left the window of six before the last one came.
    assert.deepEqual(statesAfter(new Circuit<string>(policy), results), [...closed(7), "open"]);
  });

  test("looks at the last windowCalls runs where they are given, and counts them as they go by", () => {
    const circuit = circuitOf({ windowCalls: 4 });
    const results = ["failed", "failed", "succeeded", "succeeded", "failed", "failed", "failed"] as const;
    assert.deepEqual(statesAfter(circuit, results), [...closed(6), "open"]);
    const counting = circuitOf({ windowCalls: 4 });
    statesAfter(counting, results.slice(0, 6));
    assert.deepEqual([counting.view(0).failures, counting.view(0).calls], [2, 4]);
  });

  test("does not open before it has seen callsMin runs", () => {
    assert.deepEqual(statesAfter(circuitOf({ callsMin: 5 }), ["failed", "failed", "failed", "succeeded", "succeeded"]), [...closed(4), "open"]);
    assert.deepEqual(statesAfter(circuitOf({ mode: "consecutive", callsMin: 4 }), ["failed", "failed", "failed", "failed"]), [...closed(3), "open"]);
  });

  test("counts failures in a row in the mode 'consecutive', however many there were before", () => {
    const circuit = circuitOf({ mode: "consecutive" });
    const results = ["failed", "failed", "succeeded", "failed", "failed", "succeeded", "failed", "failed", "failed"] as const;
    assert.deepEqual(statesAfter(circuit, results), [...closed(8), "open"]);
  });

  test("counts a slow call as a failure, and its probe as failed", () => {
    assert.deepEqual(statesAfter(circuitOf({}), ["slow", "slow", "slow"]), [...closed(2), "open"]);
    const circuit = opened();
    circuit.enter("p", 1_000);
    circuit.leave("p", "slow", 1_000);
    assert.equal(circuit.state(1_000), "open");
  });

  test("does not hear what says nothing of the dependency", () => {
    assert.deepEqual(statesAfter(circuitOf({ mode: "consecutive" }), ["failed", "failed", "unused", "unused", "failed"]), [...closed(4), "open"]);
    const circuit = circuitOf({});
    statesAfter(circuit, ["unused", "unused"]);
    assert.deepEqual(circuit.view(0), { state: "closed", failures: 0, calls: 0, openings: 0, opensInMs: 0, probes: 0 });
  });

  test("lets nothing pass while it is open, and says for how long", () => {
    const circuit = opened();
    assert.deepEqual([circuit.state(999), circuit.admits(999), circuit.opensInMs(999)], ["open", false, 1]);
    assert.deepEqual(circuit.view(999), { state: "open", failures: 0, calls: 0, openings: 1, opensInMs: 1, probes: 0 });
  });

  test("lets halfOpenMax probes pass once the reset time-out is over", () => {
    const circuit = opened();
    assert.equal(circuit.state(1_000), "half-open");
    circuit.enter("p", 1_000);
    assert.equal(circuit.admits(1_000), true);
    circuit.enter("q", 1_000);
    assert.deepEqual([circuit.admits(1_000), circuit.opensInMs(1_000), circuit.view(1_000).probes], [false, 0, 2]);
  });

  test("closes on the first probe that succeeded, and has forgotten the failures before", () => {
    const circuit = opened();
    circuit.enter("p", 1_000);
    circuit.leave("p", "succeeded", 1_100);
    assert.equal(circuit.state(1_100), "closed");
    circuit.leave("d", "failed", 1_100);
    circuit.leave("e", "failed", 1_100);
    assert.deepEqual([circuit.state(1_100), circuit.view(1_100).openings], ["closed", 0]);
  });

  test("closes only once probesToClose probes succeeded since it became half-open", () => {
    const circuit = opened({ probesToClose: 3 });
    for (const [run, nowMs] of [
      ["p", 1_000],
      ["q", 1_010],
    ] as const) {
      circuit.enter(run, nowMs);
      circuit.leave(run, "succeeded", nowMs);
      assert.equal(circuit.state(nowMs), "half-open");
    }
    circuit.enter("r", 1_020);
    circuit.leave("r", "failed", 1_020);
    for (const run of ["s", "t", "u"]) {
      assert.equal(circuit.state(2_020), "half-open");
      circuit.enter(run, 2_020);
      circuit.leave(run, "succeeded", 2_020);
    }
    assert.equal(circuit.state(2_020), "closed");
  });

  test("opens again on the first probe that failed, for the whole reset time-out", () => {
    const circuit = opened();
    circuit.enter("p", 1_000);
    circuit.leave("p", "failed", 1_500);
    assert.deepEqual([circuit.state(2_499), circuit.state(2_500)], ["open", "half-open"]);
  });

  test("stays open longer with each probe that fails, up to its bound, and as long as at first once it had closed", () => {
    const circuit = opened({ resetFactor: 3, resetTimeoutMaxMs: 5_000 });
    let nowMs = 0;
    for (const expected of [1_000, 3_000, 5_000, 5_000]) {
      assert.equal(circuit.opensInMs(nowMs), expected);
      nowMs += expected;
      circuit.enter("p", nowMs);
      circuit.leave("p", "failed", nowMs);
    }
    nowMs += 5_000;
    circuit.enter("p", nowMs);
    circuit.leave("p", "succeeded", nowMs);
    for (const run of ["a", "b", "c"]) circuit.leave(run, "failed", nowMs);
    assert.equal(circuit.opensInMs(nowMs), 1_000);
  });

  test("stays open for its reset time also where the bound of its growth is below", () => {
    assert.equal(opened({ resetFactor: 2, resetTimeoutMaxMs: 10 }).opensInMs(0), 1_000);
  });

  test("gives the place of a probe back that was aborted or never called the dependency", () => {
    const circuit = opened();
    circuit.enter("p", 1_000);
    circuit.enter("q", 1_000);
    circuit.leave("p", "unused", 1_000);
    assert.deepEqual([circuit.state(1_000), circuit.admits(1_000)], ["half-open", true]);
  });

  test("does not hear runs that began before it opened: they neither close it nor take a probe's place", () => {
    const circuit = new Circuit<string>(policy);
    for (const run of ["a", "b", "c", "slow", "slower"]) circuit.enter(run, 0);
    for (const run of ["a", "b", "c"]) circuit.leave(run, "failed", 0);
    circuit.enter("p", 1_000);
    circuit.enter("q", 1_000);
    circuit.leave("slow", "succeeded", 1_000);
    circuit.leave("slower", "failed", 1_000);
    assert.deepEqual([circuit.state(1_000), circuit.admits(1_000)], ["half-open", false]);
  });

  test("does not hear a late result while it is open", () => {
    const circuit = opened();
    circuit.leave("late", "succeeded", 10);
    circuit.leave("later", "failed", 500);
    assert.deepEqual([circuit.state(500), circuit.opensInMs(500)], ["open", 500]);
  });

  test("does not hear a probe of an earlier half-open time", () => {
    const circuit = opened();
    circuit.enter("p", 1_000);
    circuit.enter("q", 1_000);
    circuit.leave("q", "failed", 1_000);
    assert.equal(circuit.state(2_000), "half-open");
    circuit.leave("p", "succeeded", 2_000);
    assert.equal(circuit.state(2_000), "half-open");
  });

  test("a clock that goes backwards neither keeps it open for longer nor closes it", () => {
    const circuit = opened();
    assert.equal(circuit.opensInMs(600), 400);
    assert.deepEqual([circuit.opensInMs(-5_000), circuit.state(-5_000)], [400, "open"]);
    assert.equal(circuit.state(1_000), "half-open");
    assert.equal(circuit.state(0), "half-open");
    circuit.enter("p", 0);
    circuit.leave("p", "failed", 0);
    assert.deepEqual([circuit.opensInMs(0), circuit.opensInMs(1_500)], [1_000, 500]);
  });

  test("opens by hand for its reset time, and closes by hand with nothing counted", () => {
    const circuit = circuitOf({});
    statesAfter(circuit, ["failed", "failed"]);
    circuit.open(200);
    assert.deepEqual([circuit.state(200), circuit.opensInMs(200)], ["open", 1_000]);
    circuit.close();
    assert.deepEqual(statesAfter(circuit, ["failed", "failed", "failed"]), [...closed(2), "open"]);
  });

  test("isolated, it is open until it is closed by hand, whatever it hears and however long it takes", () => {
    const circuit = opened();
    circuit.enter("p", 1_000);
    circuit.isolate();
    circuit.leave("p", "succeeded", 1_000);
    circuit.enter("q", 9_000_000);
    circuit.leave("q", "succeeded", 9_000_000);
    assert.deepEqual([circuit.state(9_000_000), circuit.admits(9_000_000), circuit.opensInMs(9_000_000)], ["isolated", false, 1_000]);
    assert.deepEqual([circuit.view(9_000_000).probes, circuit.view(9_000_000).opensInMs], [0, 0]);
    circuit.close();
    assert.deepEqual([circuit.state(9_000_000), circuit.admits(9_000_000)], ["closed", true]);
  });

  test("hears probes that are under way at the same time each by itself, in any order", () => {
    const circuit = opened({ halfOpenMax: 3, probesToClose: 3 });
    for (const run of ["one", "two", "three"]) {
      assert.ok(circuit.admits(1_000));
      circuit.enter(run, 1_000);
    }
    assert.deepEqual([circuit.admits(1_000), circuit.view(1_000).probes], [false, 3]);
    circuit.leave("three", "succeeded", 1_010);
    circuit.leave("one", "succeeded", 1_020);
    assert.deepEqual([circuit.state(1_020), circuit.view(1_020).probes, circuit.admits(1_020)], ["half-open", 1, true]);
    circuit.leave("two", "failed", 1_030);
    assert.deepEqual([circuit.state(1_030), circuit.opensInMs(1_030)], ["open", 1_000]);
    // What was left of that half-open time counts for nothing in the next one.
    circuit.enter("four", 2_030);
    circuit.leave("four", "succeeded", 2_040);
    circuit.enter("five", 2_040);
    circuit.leave("five", "succeeded", 2_050);
    assert.equal(circuit.state(2_050), "half-open");
  });

  test("hears no probe twice, and none that another probe has already closed it for", () => {
    const circuit = opened({ halfOpenMax: 2 });
    circuit.enter("one", 1_000);
    circuit.enter("two", 1_000);
    circuit.leave("one", "succeeded", 1_010);
    assert.equal(circuit.state(1_010), "closed");
    // It counts as any other run now.
    circuit.leave("two", "failed", 1_020);
    assert.deepEqual([circuit.state(1_020), circuit.view(1_020).failures, circuit.view(1_020).calls], ["closed", 1, 1]);
  });

  test("a result that comes while it is open, of a run begun before, neither opens it for longer nor is remembered", () => {
    const circuit = circuitOf({});
    for (const run of ["a", "b", "c", "late", "later"]) circuit.enter(run, 0);
    for (const run of ["a", "b", "c"]) circuit.leave(run, "failed", 0);
    circuit.leave("late", "failed", 900);
    assert.deepEqual([circuit.opensInMs(900), circuit.view(900).failures, circuit.view(900).openings], [100, 0, 1]);
    circuit.leave("later", "succeeded", 1_000);
    assert.deepEqual([circuit.state(1_000), circuit.view(1_000).calls], ["half-open", 0]);
  });

  test("gives back the places of probes that were called off, as often as they are", () => {
    const circuit = opened({ halfOpenMax: 1 });
    for (let probe = 0; probe < 5; probe += 1) {
      assert.ok(circuit.admits(1_000));
      circuit.enter(`${probe}`, 1_000);
      assert.equal(circuit.admits(1_000), false);
      circuit.leave(`${probe}`, "unused", 1_000);
    }
    assert.deepEqual([circuit.state(1_000), circuit.view(1_000).probes, circuit.view(1_000).openings], ["half-open", 0, 1]);
  });

  test("makes no probe of a run that enters while it is closed", () => {
    const circuit = circuitOf({ failureThreshold: 1 });
    circuit.enter("early", 0);
    assert.equal(circuit.view(0).probes, 0);
    circuit.enter("fails", 0);
    circuit.leave("fails", "failed", 0);
    circuit.leave("early", "succeeded", 1_000);
    assert.equal(circuit.state(1_000), "half-open");
  });

  test("a clock that goes backwards while it is half-open changes nothing, and probes are heard", () => {
    const circuit = opened({ probesToClose: 1 });
    circuit.enter("probe", 1_000);
    assert.deepEqual([circuit.state(500), circuit.opensInMs(-7)], ["half-open", 0]);
    circuit.leave("probe", "failed", 400);
    // Open from the latest time that was seen.
    assert.deepEqual([circuit.opensInMs(400), circuit.state(1_999), circuit.state(2_000)], [1_000, "open", "half-open"]);
  });

  test("closed or isolated by hand, it has forgotten what it counted and its probes", () => {
    const circuit = circuitOf({ probesToClose: 2 });
    for (const run of ["a", "b"]) circuit.leave(run, "failed", 0);
    assert.equal(circuit.view(0).failures, 2);
    circuit.isolate();
    assert.deepEqual([circuit.view(0).failures, circuit.view(0).calls, circuit.view(0).opensInMs], [0, 0, 0]);
    circuit.close();
    circuit.leave("c", "failed", 0);
    assert.equal(circuit.state(0), "closed");
    circuit.close();
    for (const run of ["d", "e"]) circuit.leave(run, "failed", 0);
    assert.deepEqual([circuit.state(0), circuit.view(0).failures], ["closed", 2]);
    circuit.leave("f", "failed", 0);
    circuit.enter("probe", 1_000);
    circuit.isolate();
    assert.equal(circuit.view(1_000).probes, 0);
  });

  test("agrees with a model over any sequence of runs, hands and times", () => {
    const operation = fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("enter" as const) }) },
      {
        weight: 4,
        arbitrary: fc.record({
          kind: fc.constant("leave" as const),
          pick: fc.nat(),
          result: fc.constantFrom("succeeded" as const, "failed" as const, "slow" as const, "unused" as const),
        }),
      },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: -500, max: 900 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("open" as const, "close" as const, "isolate" as const, "close" as const) }) },
    );
    const policies = fc.record({
      mode: fc.constantFrom("rate" as const, "consecutive" as const),
      failureThreshold: fc.integer({ min: 1, max: 4 }),
      windowCalls: fc.constantFrom(0, 4, 6),
      callsMin: fc.integer({ min: 0, max: 4 }),
      halfOpenMax: fc.integer({ min: 1, max: 3 }),
      probesToClose: fc.integer({ min: 1, max: 3 }),
      resetFactor: fc.integer({ min: 1, max: 3 }),
    });
    fc.assert(
      fc.property(policies, fc.array(operation, { maxLength: 120 }), (changes, operations) => {
        const checked: CircuitPolicy = { ...policy, resetTimeoutMaxMs: 4_000, ...changes };
        const circuit = new Circuit<number>(checked);
        const model = new CircuitModel(checked);
        const inside: number[] = [];
        let nowMs = 0;
        operations.forEach((next, number) => {
          if (next.kind === "wait") nowMs += next.ms;
          if (next.kind === "enter") {
            assert.equal(circuit.admits(nowMs), model.admits(nowMs));
            if (circuit.admits(nowMs)) {
              inside.push(number);
              circuit.enter(number, nowMs);
              model.enter(number, nowMs);
            }
          }
          if (next.kind === "leave" && inside.length > 0) {
            const [run] = inside.splice(next.pick % inside.length, 1);
            circuit.leave(run ?? 0, next.result, nowMs);
            model.leave(run ?? 0, next.result, nowMs);
          }
          if (next.kind === "open") {
            circuit.open(nowMs);
            model.open(nowMs);
          }
          if (next.kind === "close") {
            circuit.close();
            model.close();
          }
          if (next.kind === "isolate") {
            circuit.isolate();
            model.isolate();
          }
          assert.deepEqual([circuit.state(nowMs), circuit.opensInMs(nowMs)], [model.state(nowMs), model.opensInMs(nowMs)]);
        });
      }),
      { numRuns: 300 },
    );
  });
});

/** The same rules said with lists: the outcomes since it closed, and until when it is open. */
class CircuitModel {
  readonly policy: CircuitPolicy;
  outcomes: boolean[] = [];
  probes: number[] = [];
  succeeded = 0;
  openings = 0;
  latestMs = Number.NEGATIVE_INFINITY;
  openUntilMs: number | undefined;
  isIsolated = false;

  constructor(policy: CircuitPolicy) {
    this.policy = policy;
  }

  state(nowMs: number): CircuitState {
    this.latestMs = Math.max(this.latestMs, nowMs);
    if (this.isIsolated) return "isolated";
    if (this.openUntilMs === undefined) return "closed";
    return this.latestMs >= this.openUntilMs ? "half-open" : "open";
  }

  opensInMs(nowMs: number): number {
    const state = this.state(nowMs);
    if (state === "isolated") return this.policy.resetTimeoutMs;
    return state === "open" ? (this.openUntilMs ?? 0) - this.latestMs : 0;
  }

  admits(nowMs: number): boolean {
    const state = this.state(nowMs);
    return state === "closed" || (state === "half-open" && this.probes.length < this.policy.halfOpenMax);
  }

  enter(run: number, nowMs: number): void {
    if (this.state(nowMs) === "half-open") this.probes.push(run);
  }

  leave(run: number, result: "succeeded" | "failed" | "slow" | "unused", nowMs: number): void {
    const wasProbe = this.probes.includes(run);
    this.probes = this.probes.filter((probe) => probe !== run);
    if (result === "unused") return;
    const hasFailed = result !== "succeeded";
    const { mode, failureThreshold, windowCalls, callsMin, probesToClose } = this.policy;
    if (this.state(nowMs) === "closed") {
      this.outcomes.push(hasFailed);
      const window = this.outcomes.slice(-Math.max(failureThreshold, windowCalls === 0 ? 2 * failureThreshold : windowCalls));
      const failures = mode === "rate" ? window.filter(Boolean).length : this.outcomes.length - 1 - this.outcomes.lastIndexOf(false);
      const calls = mode === "rate" ? window.length : this.outcomes.length;
      if (failures >= failureThreshold && calls >= callsMin) this.open(nowMs);
    } else if (this.state(nowMs) === "half-open" && wasProbe) {
      if (hasFailed) this.open(nowMs);
      else {
        this.succeeded += 1;
        if (this.succeeded >= probesToClose) this.close();
      }
    }
  }

  open(nowMs: number): void {
    this.latestMs = Math.max(this.latestMs, nowMs);
    const { resetTimeoutMs, resetFactor, resetTimeoutMaxMs } = this.policy;
    this.openUntilMs = this.latestMs + Math.min(resetTimeoutMaxMs, resetTimeoutMs * resetFactor ** this.openings);
    this.openings += 1;
    this.isIsolated = false;
    this.forget();
  }

  close(): void {
    this.openUntilMs = undefined;
    this.openings = 0;
    this.isIsolated = false;
    this.forget();
  }

  isolate(): void {
    this.isIsolated = true;
    this.forget();
  }

  forget(): void {
    this.outcomes = [];
    this.probes = [];
    this.succeeded = 0;
  }
}
