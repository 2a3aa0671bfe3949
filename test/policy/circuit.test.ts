import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { Circuit, type CircuitState } from "#runtime/policy/circuit.ts";

const policy = { failureThreshold: 3, resetTimeoutMs: 1_000, halfOpenMax: 2 };

/** A circuit that three failures have just opened, at time 0. */
function opened(): Circuit<string> {
  const circuit = new Circuit<string>(policy);
  for (const run of ["a", "b", "c"]) {
    circuit.enter(run, 0);
    circuit.leave(run, "failed", 0);
  }
  return circuit;
}

describe("circuit", () => {
  test("opens when failureThreshold of the last 2 × failureThreshold runs failed", () => {
    const circuit = new Circuit<string>(policy);
    const results = ["failed", "succeeded", "succeeded", "failed", "succeeded", "succeeded", "failed", "failed"] as const;
    const states = results.map((result, index) => {
      circuit.leave(`${index}`, result, 0);
      return circuit.state(0);
    });
    // The first failure has left the window of six before the last one came.
    assert.deepEqual(states, ["closed", "closed", "closed", "closed", "closed", "closed", "closed", "open"]);
  });

  test("lets nothing pass while it is open, and says for how long", () => {
    const circuit = opened();
    assert.deepEqual([circuit.state(999), circuit.admits(999), circuit.opensInMs(400)], ["open", false, 600]);
  });

  test("lets halfOpenMax probes pass once the reset time-out is over", () => {
    const circuit = opened();
    assert.equal(circuit.state(1_000), "half-open");
    circuit.enter("p", 1_000);
    assert.equal(circuit.admits(1_000), true);
    circuit.enter("q", 1_000);
    assert.deepEqual([circuit.admits(1_000), circuit.opensInMs(1_000)], [false, 0]);
  });

  test("closes on the first probe that succeeded, and has forgotten the failures before", () => {
    const circuit = opened();
    circuit.enter("p", 1_000);
    circuit.leave("p", "succeeded", 1_100);
    assert.equal(circuit.state(1_100), "closed");
    circuit.leave("d", "failed", 1_100);
    circuit.leave("e", "failed", 1_100);
    assert.equal(circuit.state(1_100), "closed");
  });

  test("opens again on the first probe that failed, for the whole reset time-out", () => {
    const circuit = opened();
    circuit.enter("p", 1_000);
    circuit.leave("p", "failed", 1_500);
    assert.deepEqual([circuit.state(2_499), circuit.state(2_500)], ["open", "half-open"]);
  });

  test("gives the place of a probe back that never called the dependency", () => {
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

  test("does not hear a probe of an earlier half-open time", () => {
    const circuit = opened();
    circuit.enter("p", 1_000);
    circuit.enter("q", 1_000);
    circuit.leave("q", "failed", 1_000);
    assert.equal(circuit.state(2_000), "half-open");
    circuit.leave("p", "succeeded", 2_000);
    assert.equal(circuit.state(2_000), "half-open");
  });

  test("agrees with a model over any sequence of runs and any passage of time", () => {
    const operation = fc.oneof(
      fc.record({ kind: fc.constant("enter" as const) }),
      fc.record({
        kind: fc.constant("leave" as const),
        pick: fc.nat(),
        result: fc.constantFrom("succeeded" as const, "failed" as const, "failed" as const, "unused" as const),
      }),
      fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 700 }) }),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 3 }),
        fc.array(operation, { maxLength: 120 }),
        (failureThreshold, halfOpenMax, operations) => {
          const circuit = new Circuit<number>({ failureThreshold, halfOpenMax, resetTimeoutMs: 1_000 });
          const model = new CircuitModel(failureThreshold, halfOpenMax, 1_000);
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
            assert.equal(circuit.state(nowMs), model.state(nowMs));
          });
        },
      ),
    );
  });
});

/** The same rules said with lists: the outcomes since it closed, and the moment it opened. */
class CircuitModel {
  outcomes: boolean[] = [];
  probes: number[] = [];
  openedMs: number | undefined;
  readonly failureThreshold: number;
  readonly halfOpenMax: number;
  readonly resetTimeoutMs: number;

  constructor(failureThreshold: number, halfOpenMax: number, resetTimeoutMs: number) {
    this.failureThreshold = failureThreshold;
    this.halfOpenMax = halfOpenMax;
    this.resetTimeoutMs = resetTimeoutMs;
  }

  state(nowMs: number): CircuitState {
    if (this.openedMs === undefined) return "closed";
    return nowMs - this.openedMs >= this.resetTimeoutMs ? "half-open" : "open";
  }

  admits(nowMs: number): boolean {
    const state = this.state(nowMs);
    return state === "closed" || (state === "half-open" && this.probes.length < this.halfOpenMax);
  }

  enter(run: number, nowMs: number): void {
    if (this.state(nowMs) === "half-open") this.probes.push(run);
  }

  leave(run: number, result: "succeeded" | "failed" | "unused", nowMs: number): void {
    const wasProbe = this.probes.includes(run);
    this.probes = this.probes.filter((probe) => probe !== run);
    if (result === "unused") return;
    if (this.state(nowMs) === "closed") {
      this.outcomes.push(result === "failed");
      const failures = this.outcomes.slice(-2 * this.failureThreshold).filter(Boolean).length;
      if (failures >= this.failureThreshold) this.open(nowMs);
    } else if (this.state(nowMs) === "half-open" && wasProbe) {
      if (result === "failed") this.open(nowMs);
      else this.openedMs = undefined;
      this.probes = [];
    }
  }

  open(nowMs: number): void {
    this.openedMs = nowMs;
    this.outcomes = [];
    this.probes = [];
  }
}
