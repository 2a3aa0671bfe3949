// What becomes of a delivery whose run is being compensated, each settlement as a whole.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import type { Compensation, Verdict } from "#runtime/core/compensation.ts";
import type { Outcome } from "#runtime/core/outcome.ts";
import type { Settlement } from "#runtime/core/settlement.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { decideCompensating, type SagaHistory } from "#runtime/policy/compensating.ts";
import { decideCompensationRetry, endCompensated, isExhausted, mayGoOnCompensating, planCompensation } from "#runtime/policy/saga.ts";

const verdict: Verdict = { reason: "HTTP_422", description: "refused", failures: 1, losses: 1 };
const history: SagaHistory = { verdict, steps: 2, attempts: 2, losses: 1, retriesInPlace: 0, postponements: 0, lockLost: false, stopping: false };
const failure = { code: "HTTP_503", message: "busy" };
const compensating = (tries: number, more: object = {}): Outcome => ({ kind: "compensating", failure: { ...failure, ...more }, tries });

/** With a chance of 0, so that every pause is its lower bound. */
function decided(outcome: Outcome, more: Partial<SagaHistory> = {}, hasBudget = true): Settlement {
  return decideCompensating(
    outcome,
    { ...history, ...more },
    defaultRetryPolicy,
    () => hasBudget,
    () => 0,
  );
}

function abandoned(why: string): Settlement {
  return {
    kind: "dead-letter",
    state: "dead",
    reason: "CompensationFailed",
    description: `${why}; undo that by hand; the run had failed with HTTP_422: refused`,
    cause: { class: "permanent", code: "CompensationFailed", message: why },
  };
}

const later = (delayMs: number): Settlement => ({ kind: "retry-later", code: "HTTP_503", description: "compensating failed: busy", delayMs });
const now: Settlement = { kind: "retry-now", apart: false, code: "HTTP_503", description: "compensating failed: busy", delayMs: 200 };

const table: readonly (readonly [name: string, outcome: Outcome, history: Partial<SagaHistory>, settlement: Settlement])[] = [
  ["tries a compensation once more in place", compensating(1), {}, now],
  ["then through the queue, by the retry policy", compensating(2), {}, later(30_000)],
  ["then later, up to the bound", compensating(3), {}, later(300_000)],
  ["waits as long as the dependency asks for", compensating(1, { retryAfterMs: 45_000 }), {}, later(45_000)],
  ["waits no less than its own pause where the dependency asks for less", compensating(1, { retryAfterMs: 5_000 }), {}, later(30_000)],
  ["tries nothing in place while the worker stops", compensating(1), { stopping: true }, later(30_000)],
  ["takes a failure without a try as the first", compensating(0), {}, now],
  ["counts failures on the way to the compensations from the run's own on", { kind: "transient", class: "transient", failure }, { attempts: 2 }, now],
  ["and retries later ones through the queue", { kind: "transient", class: "transient", failure }, { attempts: 3 }, later(30_000)],
  ["leaves it alone without its lock", compensating(1), { lockLost: true }, { kind: "drop" }],
  [
    "postpones for an open circuit, and counts nothing",
    compensating(9, { code: "CIRCUIT_OPEN", retryAfterMs: 7_000 }),
    { attempts: 99, postponements: 1 },
    { kind: "postpone", why: "circuit-open", delayMs: 7_000 },
  ],
  [
    "gives up after as many failures as there are tries for its steps and itself",
    compensating(1),
    { attempts: 13 },
    abandoned("compensating failed too often, the last time with HTTP_503: busy"),
  ],
  ["not before", compensating(2), { attempts: 12 }, later(30_000)],
  [
    "gives up after as many losses as a run may have, from its own on",
    compensating(1),
    { losses: 6 },
    abandoned("compensating failed too often, the last time with HTTP_503: busy"),
  ],
  ["not before, either", compensating(2), { losses: 5 }, later(30_000)],
  ["never ends as completed", { kind: "succeeded", outbox: [] }, {}, abandoned("nothing was compensated")],
  ["ends where the skill fails for good on its way to them", { kind: "permanent", class: "permanent", failure }, {}, abandoned("HTTP_503: busy")],
  [
    "ends where a step may have happened",
    { kind: "parked", reason: "OutcomeUnknown", why: "no reply", step: "pay" },
    {},
    abandoned("OutcomeUnknown: no reply"),
  ],
  [
    "ends where the event cannot be read any more",
    { kind: "invalid", invalid: { reason: "InvalidPayload", description: "expected a number" } },
    {},
    abandoned("InvalidPayload: expected a number"),
  ],
  [
    "ends as its run did once nothing is left to compensate",
    { kind: "compensated", log: new Map([["pay", { state: "compensated", wasNeeded: true }]]) },
    {},
    { kind: "dead-letter", state: "dead", reason: "HTTP_422", description: "refused; compensated: 'pay'" },
  ],
  ["is handed back when it was interrupted", { kind: "interrupted" }, {}, { kind: "release" }],
  ["is left alone when it is stale", { kind: "stale" }, {}, { kind: "drop" }],
  ["is postponed when no thread began it", { kind: "not-started", why: "no thread" }, {}, { kind: "postpone", why: "not-started", delayMs: 500 }],
  [
    "is tried again when its thread was lost, whatever the run forward had lost",
    { kind: "lost", why: "it ended", part: "sole" },
    { losses: 5 },
    { kind: "retry-now", apart: true, code: "THREAD_LOST", description: "it ended", delayMs: 200 },
  ],
];

describe("a run under compensation", () => {
  for (const [name, outcome, more, settlement] of table) test(name, () => assert.deepEqual(decided(outcome, more), settlement));

  test("is tried through the queue where the budget grants no retry in place", () => {
    assert.deepEqual(decided(compensating(1), {}, false), later(30_000));
  });

  test("asks the budget only for a retry in place that it would make", () => {
    const asked = (outcome: Outcome, more: Partial<SagaHistory> = {}): number => {
      let times = 0;
      const ask = (): boolean => (times += 1) > 0;
      decideCompensating(outcome, { ...history, ...more }, defaultRetryPolicy, ask, () => 0);
      return times;
    };
    assert.deepEqual(
      [asked(compensating(1)), asked(compensating(2)), asked(compensating(1, { retryAfterMs: 1 })), asked(compensating(1), { stopping: true })],
      [1, 0, 0, 0],
    );
  });

  test("gives up with the loss of its own that is one too many", () => {
    const outcome: Outcome = { kind: "lost", why: "it ended", part: "sole" };
    const settlement = decided(outcome, { losses: 6 });
    assert.ok(settlement.kind === "dead-letter");
    assert.match(settlement.description, /^CrashLoop: expected the run to end, found that 5 executions ended/);
  });

  test("always ends, whatever fails, with no more tries than its policy has for each step and itself", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5 }), fc.array(fc.boolean(), { minLength: 200, maxLength: 200 }), (steps, isLoss) => {
        const { attemptsMax, lossesMax } = defaultRetryPolicy;
        let failures = verdict.failures;
        let losses = verdict.losses;
        for (const lost of isLoss) {
          if (!mayGoOnCompensating(verdict, { failures, losses }, steps, defaultRetryPolicy)) break;
          if (lost) losses += 1;
          else failures += 1;
        }
        assert.ok(failures - verdict.failures <= attemptsMax * (steps + 1) && losses - verdict.losses <= lossesMax);
        assert.equal(mayGoOnCompensating(verdict, { failures, losses }, steps, defaultRetryPolicy), false);
      }),
    );
  });
});

describe("the tries of one compensation", () => {
  test("end with the last failure, or with the last that ended with its worker", () => {
    const of = (begun: number, failed: number): boolean => isExhausted({ state: "trying", begun, failed }, { attemptsMax: 3, lossesMax: 2 });
    assert.deepEqual([of(3, 2), of(3, 3), of(4, 0), of(5, 0), of(6, 2)], [false, true, false, true, true]);
  });

  test("wait longer the more of them there were, those in place not counted", () => {
    const waits = [1, 2, 3, 4].map((tries) => {
      const { kind, delayMs } = decideCompensationRetry(
        failure,
        tries,
        { ...defaultRetryPolicy, immediateMax: 2 },
        () => true,
        () => 0,
      );
      return `${kind} ${delayMs}`;
    });
    assert.deepEqual(waits, ["retry-now 200", "retry-now 400", "retry-later 30000", "retry-later 300000"]);
  });
});

describe("what a step needs when its run is compensated", () => {
  const known = { isReadable: true, isMet: true, hasCompensation: true };

  test("is said as a whole, with why it is impossible", () => {
    const plan = (kind: "keyed" | "queryable" | "idempotent" | "atMostOnce", state: "intent" | "completed", more: Partial<typeof known> = {}) =>
      planCompensation({ record: { kind, state }, ...known, ...more });
    assert.deepEqual(plan("keyed", "completed"), { kind: "compensate", isInDoubt: false });
    assert.deepEqual(plan("keyed", "intent"), { kind: "compensate", isInDoubt: true });
    assert.deepEqual(plan("idempotent", "completed", { isReadable: false }), { kind: "compensate", isInDoubt: true });
    assert.deepEqual(plan("queryable", "intent"), { kind: "query" });
    assert.deepEqual(plan("atMostOnce", "intent"), { kind: "impossible", code: "OUTCOME_UNKNOWN", why: "its effect may have happened, and nothing can tell" });
    assert.deepEqual(plan("keyed", "completed", { isMet: false }), {
      kind: "impossible",
      code: "STEP_UNMET",
      why: "the skill did not come to the step again, so its compensation is not known",
    });
  });

  test("is nothing where it was withdrawn or has no compensation, but not where the skill no longer says so", () => {
    const plan = (kind: "keyed" | "idempotent", state: "intent" | "completed", more: Partial<typeof known>): string =>
      planCompensation({ record: { kind, state }, ...known, ...more }).kind;
    assert.deepEqual(
      [
        plan("idempotent", "intent", { isMet: false }),
        plan("idempotent", "completed", {}),
        plan("keyed", "intent", { hasCompensation: false }),
        plan("keyed", "intent", { hasCompensation: false, isMet: false }),
      ],
      ["none", "compensate", "none", "impossible"],
    );
  });
});

describe("the end of a compensated run", () => {
  const ended = (...log: readonly (readonly [string, Compensation])[]): Settlement => endCompensated(verdict, new Map(log));
  const done: Compensation = { state: "compensated", wasNeeded: true };
  const notNeeded: Compensation = { state: "compensated", wasNeeded: false };
  const failed: Compensation = { state: "not-compensated", code: "HTTP_409", message: "too late" };

  test("is the failure that it had, with its cause, and the steps that were compensated", () => {
    const cause = { class: "permanent", code: "HTTP_422", message: "refused" } as const;
    assert.deepEqual(endCompensated({ ...verdict, cause }, new Map([["pay", done]])), {
      kind: "dead-letter",
      state: "dead",
      reason: "HTTP_422",
      description: "refused; compensated: 'pay'",
      cause,
    });
    const two = ended(["pay", done], ["look", notNeeded], ["book", done]);
    assert.ok(two.kind === "dead-letter" && !("cause" in two));
    assert.equal(two.description, "refused; compensated: 'pay', 'book'");
  });

  test("says that no step was compensated where none needed it, or none was finished", () => {
    const none = ended(["look", notNeeded], ["pay", { state: "trying", begun: 1, failed: 0 }]);
    assert.ok(none.kind === "dead-letter");
    assert.deepEqual([none.reason, none.description], ["HTTP_422", "refused; compensated: no step"]);
  });

  test("names each step that was not compensated, and why", () => {
    assert.deepEqual(
      ended(["pay", done], ["book", failed], ["ship", { ...failed, code: "TRIES_ENDED", message: "busy" }]),
      abandoned("not compensated: 'book' (HTTP_409: too late), 'ship' (TRIES_ENDED: busy); compensated: 'pay'"),
    );
  });
});
