import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { Compensation, Verdict } from "#runtime/core/compensation.ts";
import type { Outcome } from "#runtime/core/outcome.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { decideCompensating, type SagaHistory } from "#runtime/policy/compensating.ts";
import { endCompensated, isExhausted, planCompensation } from "#runtime/policy/saga.ts";

const known = { isReadable: true, isMet: true, hasCompensation: true };
const verdict: Verdict = { reason: "HTTP_422", description: "refused", failures: 1, losses: 0 };
const history: SagaHistory = { verdict, steps: 1, attempts: 1, losses: 0, retriesInPlace: 0, postponements: 0, lockLost: false, stopping: false };
const failure = { code: "HTTP_503", message: "busy" };

function decided(outcome: Outcome, more: Partial<SagaHistory> = {}): unknown {
  const settlement = decideCompensating(
    outcome,
    { ...history, ...more },
    defaultRetryPolicy,
    () => true,
    () => 0,
  );
  return settlement.kind === "dead-letter" ? `${settlement.kind} ${settlement.reason}` : settlement.kind;
}

describe("what a recorded step needs when its run is compensated", () => {
  const plan = (kind: "keyed" | "queryable" | "idempotent" | "atMostOnce", state: "intent" | "completed", more: Partial<typeof known> = {}): string => {
    const found = planCompensation({ record: { kind, state }, ...known, isReadable: state === "completed", ...more });
    return found.kind === "compensate" ? `${found.kind}${found.isInDoubt ? " in doubt" : ""}` : found.kind;
  };

  test("is its compensation when it is committed, whatever its kind", () => {
    for (const kind of ["keyed", "queryable", "idempotent", "atMostOnce"] as const) assert.equal(plan(kind, "completed"), "compensate");
  });

  test("goes by its kind when it is in doubt", () => {
    assert.equal(plan("keyed", "intent"), "compensate in doubt");
    assert.equal(plan("queryable", "intent"), "query");
    assert.equal(plan("atMostOnce", "intent"), "impossible");
    assert.equal(plan("idempotent", "completed", { isReadable: false }), "compensate in doubt");
    assert.equal(plan("atMostOnce", "completed", { isReadable: false }), "impossible");
  });

  test("is nothing when it certainly did not happen, or has no compensation", () => {
    assert.equal(plan("idempotent", "intent"), "none");
    assert.equal(plan("atMostOnce", "intent", { hasCompensation: false }), "none");
  });

  test("cannot be known when the skill no longer comes to it", () => {
    assert.equal(plan("keyed", "completed", { isMet: false, hasCompensation: false }), "impossible");
  });
});

describe("a run under compensation", () => {
  test("has tries for each compensation, and some for those that ended with their worker", () => {
    const { attemptsMax, lossesMax } = defaultRetryPolicy;
    assert.equal(isExhausted({ state: "trying", begun: attemptsMax, failed: attemptsMax - 1 }, defaultRetryPolicy), false);
    assert.equal(isExhausted({ state: "trying", begun: attemptsMax, failed: attemptsMax }, defaultRetryPolicy), true);
    assert.equal(isExhausted({ state: "trying", begun: attemptsMax + lossesMax, failed: 0 }, defaultRetryPolicy), true);
  });

  test("keeps its reason when all is compensated, and is CompensationFailed when something is not", () => {
    const done: Compensation = { state: "compensated", wasNeeded: true };
    const failed: Compensation = { state: "not-compensated", code: "HTTP_409", message: "too late" };
    assert.deepEqual(endCompensated(verdict, new Map([["pay", done]])), {
      kind: "dead-letter",
      state: "dead",
      reason: "HTTP_422",
      description: "refused; compensated: 'pay'",
    });
    const end = endCompensated(
      verdict,
      new Map<string, Compensation>([
        ["pay", done],
        ["book", failed],
      ]),
    );
    assert.equal(end.reason, "CompensationFailed");
    assert.match(end.description, /not compensated: 'book' \(HTTP_409: too late\); compensated: 'pay'.*HTTP_422: refused/);
  });

  test("is tried again in place, then through the queue, and not for ever", () => {
    assert.equal(decided({ kind: "compensating", failure, tries: 1 }), "retry-now");
    assert.equal(decided({ kind: "compensating", failure, tries: 2 }), "retry-later");
    assert.equal(decided({ kind: "transient", class: "transient", failure }, { attempts: 8 }), "retry-later");
    assert.equal(decided({ kind: "transient", class: "transient", failure }, { attempts: 9 }), "dead-letter CompensationFailed");
    assert.equal(decided({ kind: "compensating", failure: { ...failure, code: "CIRCUIT_OPEN" }, tries: 0 }), "postpone");
  });

  test("is left alone without its lock, released by a worker that stops, and ends where it cannot be compensated", () => {
    assert.equal(decided({ kind: "compensating", failure, tries: 1 }, { lockLost: true }), "drop");
    assert.equal(decided({ kind: "compensating", failure, tries: 1 }, { stopping: true }), "retry-later");
    assert.equal(decided({ kind: "interrupted" }), "release");
    assert.equal(decided({ kind: "permanent", class: "permanent", failure }), "dead-letter CompensationFailed");
    assert.equal(decided({ kind: "lost", why: "it ended", part: "sole" }, { losses: 4 }), "retry-now");
    assert.equal(decided({ kind: "lost", why: "it ended", part: "sole" }, { losses: 5 }), "dead-letter CompensationFailed");
  });
});
