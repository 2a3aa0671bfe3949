import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import type { FailureRecord, Outcome } from "#runtime/core/outcome.ts";
import type { Settlement } from "#runtime/core/settlement.ts";
import { defaultRetryPolicy, type RetryPolicy } from "#runtime/core/skill.ts";
import { askedPauseMaxMs } from "#runtime/policy/backoff.ts";
import { circuitOpenCode, decide, type History, lossesLimit } from "#runtime/policy/recoverability.ts";

const first: History = { attempts: 1, losses: 0, retriesInPlace: 0, postponements: 0, lockLost: false, stopping: false };
const failure: FailureRecord = { code: "ECONNRESET", message: "gone" };
const transient: Outcome = { kind: "transient", class: "transient", failure };
const circuitOpen: Outcome = { kind: "transient", class: "transient", failure: { code: circuitOpenCode, message: "open", retryAfterMs: 7_000 } };
const notBegun: Outcome = { kind: "not-started", why: "no thread" };
const rateLimited: Outcome = { kind: "transient", class: "throttled", failure: { code: "HTTP_429", message: "slow down", retryAfterMs: 90_000 } };

const lost: Outcome = { kind: "lost", why: "it ended", part: "sole" };

interface Row {
  readonly name: string;
  readonly outcome: Outcome;
  readonly history?: Partial<History>;
  readonly policy?: Partial<RetryPolicy>;
  readonly budget?: boolean;
  readonly settlement: Settlement;
}

/** With a chance of 0, so that every delay is its lower bound. */
const table: readonly Row[] = [
  { name: "completes what succeeded", outcome: { kind: "succeeded", outbox: [] }, settlement: { kind: "complete" } },
  {
    name: "completes what succeeded after its lock was lost: the done mark absorbs the redelivery",
    outcome: { kind: "succeeded", outbox: [] },
    history: { lockLost: true },
    settlement: { kind: "complete" },
  },
  {
    name: "dead-letters what is invalid at once",
    outcome: { kind: "invalid", invalid: { reason: "InvalidPayload", description: "expected a number" } },
    settlement: { kind: "dead-letter", state: "dead", reason: "InvalidPayload", description: "expected a number" },
  },
  {
    name: "dead-letters a permanent failure at once",
    outcome: { kind: "permanent", class: "permanent", failure },
    settlement: {
      kind: "dead-letter",
      state: "dead",
      reason: "ECONNRESET",
      description: "gone",
      cause: { class: "permanent", code: "ECONNRESET", message: "gone" },
    },
  },
  {
    name: "parks an unknown outcome",
    outcome: { kind: "parked", reason: "OutcomeUnknown", why: "no reply", step: "pay" },
    settlement: {
      kind: "dead-letter",
      state: "parked",
      reason: "OutcomeUnknown",
      description: "no reply",
      cause: { class: "outcome-unknown", code: "OutcomeUnknown", message: "no reply", step: "pay" },
    },
  },
  {
    name: "parks a run of another shape",
    outcome: { kind: "parked", reason: "PipelineChanged", why: "step gone" },
    settlement: {
      kind: "dead-letter",
      state: "parked",
      reason: "PipelineChanged",
      description: "step gone",
      cause: { class: "permanent", code: "PipelineChanged", message: "step gone" },
    },
  },
  { name: "leaves a stale run alone", outcome: { kind: "stale" }, settlement: { kind: "drop" } },
  { name: "hands back an interrupted run", outcome: { kind: "interrupted" }, history: { stopping: true }, settlement: { kind: "release" } },
  { name: "drops an interrupted run whose lock is lost", outcome: { kind: "interrupted" }, history: { lockLost: true }, settlement: { kind: "drop" } },
  {
    name: "retries a first transient failure in place",
    outcome: transient,
    settlement: { kind: "retry-now", apart: false, code: "ECONNRESET", description: "gone", delayMs: 200 },
  },
  {
    name: "drops a transient failure whose lock is lost: the message comes again by itself",
    outcome: transient,
    history: { lockLost: true },
    settlement: { kind: "drop" },
  },
  {
    name: "goes through the queue when the budget for retries in place is spent",
    outcome: transient,
    budget: false,
    settlement: { kind: "retry-later", code: "ECONNRESET", description: "gone", delayMs: 30_000 },
  },
  {
    name: "goes through the queue once the retries in place are used up",
    outcome: transient,
    history: { retriesInPlace: 1 },
    settlement: { kind: "retry-later", code: "ECONNRESET", description: "gone", delayMs: 30_000 },
  },
  {
    name: "goes through the queue when the worker is stopping",
    outcome: transient,
    history: { stopping: true },
    settlement: { kind: "retry-later", code: "ECONNRESET", description: "gone", delayMs: 30_000 },
  },
  {
    name: "goes through the queue when the policy allows no retry in place",
    outcome: transient,
    policy: { immediateMax: 0 },
    settlement: { kind: "retry-later", code: "ECONNRESET", description: "gone", delayMs: 30_000 },
  },
  {
    name: "waits longer for the second retry through the queue",
    outcome: transient,
    history: { attempts: 2, retriesInPlace: 1 },
    settlement: { kind: "retry-later", code: "ECONNRESET", description: "gone", delayMs: 300_000 },
  },
  {
    name: "dead-letters after the last execution allowed",
    outcome: transient,
    history: { attempts: 3, retriesInPlace: 1 },
    settlement: {
      kind: "dead-letter",
      state: "dead",
      reason: "RetriesExhausted",
      description: "gave up after 4 executions, at most 4 allowed; the last one failed with ECONNRESET: gone",
      cause: { class: "transient", code: "ECONNRESET", message: "gone" },
    },
  },
  {
    name: "dead-letters the first failure of a policy without retries",
    outcome: transient,
    policy: { attemptsMax: 1 },
    settlement: {
      kind: "dead-letter",
      state: "dead",
      reason: "RetriesExhausted",
      description: "gave up after 1 execution, at most 1 allowed; the last one failed with ECONNRESET: gone",
      cause: { class: "transient", code: "ECONNRESET", message: "gone" },
    },
  },
  {
    name: "does not count executions that never happened: one more try when no retry in place was used",
    outcome: rateLimited,
    history: { attempts: 3 },
    settlement: { kind: "retry-later", code: "HTTP_429", description: "slow down", delayMs: 300_000 },
  },
  {
    name: "waits as long as a dependency asks, never in place",
    outcome: rateLimited,
    settlement: { kind: "retry-later", code: "HTTP_429", description: "slow down", delayMs: 90_000 },
  },
  {
    name: "bounds the pause that a dependency asks for",
    outcome: { kind: "transient", class: "transient", failure: { ...failure, retryAfterMs: 1e12 } },
    settlement: { kind: "retry-later", code: "ECONNRESET", description: "gone", delayMs: askedPauseMaxMs },
  },
  {
    name: "ignores a pause that is no pause",
    outcome: { kind: "transient", class: "transient", failure: { ...failure, retryAfterMs: Number.NaN } },
    settlement: { kind: "retry-now", apart: false, code: "ECONNRESET", description: "gone", delayMs: 200 },
  },
  {
    name: "postpones a run that found a circuit open, for as long as it stays open",
    outcome: circuitOpen,
    settlement: { kind: "postpone", why: "circuit-open", delayMs: 7_000 },
  },
  {
    name: "postpones for an open circuit even when every attempt is used up: it was not tried",
    outcome: circuitOpen,
    history: { attempts: 20 },
    settlement: { kind: "postpone", why: "circuit-open", delayMs: 7_000 },
  },
  {
    name: "postpones longer the more often it was postponed",
    outcome: circuitOpen,
    history: { postponements: 5 },
    settlement: { kind: "postpone", why: "circuit-open", delayMs: 16_000 },
  },
  { name: "postpones a run that was not begun", outcome: notBegun, settlement: { kind: "postpone", why: "not-started", delayMs: 500 } },
  {
    name: "postpones a run that was not begun even when every attempt is used up: it was not tried",
    outcome: notBegun,
    history: { attempts: 20 },
    settlement: { kind: "postpone", why: "not-started", delayMs: 500 },
  },
  {
    name: "postpones a run that was not begun longer the more often it was postponed",
    outcome: notBegun,
    history: { postponements: 5 },
    settlement: { kind: "postpone", why: "not-started", delayMs: 16_000 },
  },
  { name: "hands back a run that was not begun when the worker is stopping", outcome: notBegun, history: { stopping: true }, settlement: { kind: "release" } },
  {
    name: "drops a run that was not begun and whose lock is lost",
    outcome: notBegun,
    history: { lockLost: true, stopping: true },
    settlement: { kind: "drop" },
  },
  {
    name: "retries a run that shared a lost thread here, apart from others",
    outcome: { kind: "lost", why: "it ended", part: "suspect" },
    history: { losses: 1 },
    settlement: { kind: "retry-now", apart: true, code: "THREAD_LOST", description: "it ended", delayMs: 200 },
  },
  {
    name: "says of a run that took more heap than its thread has that it is out of memory, where nothing else ran there",
    outcome: { kind: "lost", why: "it ran out of memory", part: "sole", outOfMemory: true },
    history: { losses: 1 },
    settlement: { kind: "retry-now", apart: true, code: "OUT_OF_MEMORY", description: "it ran out of memory", delayMs: 200 },
  },
  {
    name: "does not say that of one of several",
    outcome: { kind: "lost", why: "it ran out of memory", part: "suspect", outOfMemory: true },
    history: { losses: 1 },
    settlement: { kind: "retry-now", apart: true, code: "THREAD_LOST", description: "it ran out of memory", delayMs: 200 },
  },
  {
    name: "retries a run whose thread was ended for another's sake here, among others",
    outcome: { kind: "lost", why: "it ended", part: "bystander" },
    settlement: { kind: "retry-now", apart: false, code: "THREAD_LOST", description: "it ended", delayMs: 200 },
  },
  { name: "drops a lost run whose lock is lost too", outcome: lost, history: { lockLost: true, stopping: true, losses: 9 }, settlement: { kind: "drop" } },
  { name: "hands a lost run back when the worker is stopping", outcome: lost, history: { stopping: true, losses: 9 }, settlement: { kind: "release" } },
  {
    name: "retries a throttled run through the queue alone, also where it was asked for no pause",
    outcome: { kind: "transient", class: "throttled", failure: { code: "BULKHEAD_FULL", message: "full" } },
    settlement: { kind: "retry-later", code: "BULKHEAD_FULL", description: "full", delayMs: 30_000 },
  },
  {
    name: "treats a failed compensation as passing trouble where nobody compensates",
    outcome: { kind: "compensating", failure, tries: 3 },
    settlement: { kind: "retry-now", apart: false, code: "ECONNRESET", description: "gone", delayMs: 200 },
  },
  {
    name: "says what kind of trouble used its attempts up",
    outcome: { kind: "compensating", failure, tries: 3 },
    history: { attempts: 4 },
    settlement: {
      kind: "dead-letter",
      state: "dead",
      reason: "RetriesExhausted",
      description: "gave up after 4 executions, at most 4 allowed; the last one failed with ECONNRESET: gone",
      cause: { class: "transient", code: "ECONNRESET", message: "gone" },
    },
  },
  { name: "drops what was compensated where nobody compensates", outcome: { kind: "compensated", log: new Map() }, settlement: { kind: "drop" } },
  { name: "drops a run that found a circuit open after its lock was lost", outcome: circuitOpen, history: { lockLost: true }, settlement: { kind: "drop" } },
];

describe("decide", () => {
  for (const { name, outcome, history, policy, budget, settlement } of table) {
    test(name, () =>
      assert.deepEqual(
        decide(
          outcome,
          { ...first, ...history },
          { ...defaultRetryPolicy, ...policy },
          () => budget ?? true,
          () => 0,
        ),
        settlement,
      ),
    );
  }

  test("gives up a run that ended its thread too often, with what to look for", () => {
    const of = (losses: number): Settlement =>
      decide(
        lost,
        { ...first, losses },
        defaultRetryPolicy,
        () => true,
        () => 0,
      );
    assert.equal(of(4).kind, "retry-now");
    const end = of(5);
    assert.ok(end.kind === "dead-letter");
    const { description, ...rest } = end;
    assert.deepEqual(rest, { kind: "dead-letter", state: "dead", reason: "CrashLoop", cause: { class: "crash", code: "CrashLoop", message: "it ended" } });
    assert.match(description, /^expected the run to end, found that 5 executions ended .* the last message was: it ended; look for process\.exit/);
  });

  test("allows no more losses than an entity allows deliveries, and two at least", () => {
    assert.deepEqual(
      [9, 6, 5, 4, 3, 2, 1].map((deliveriesMax) => lossesLimit(defaultRetryPolicy, deliveriesMax)),
      [5, 5, 4, 3, 2, 2, 2],
    );
    assert.equal(lossesLimit(undefined, 100), defaultRetryPolicy.lossesMax);
  });

  test("asks the budget only when a retry in place is otherwise right", () => {
    let asked = 0;
    const budget = (): boolean => {
      asked += 1;
      return true;
    };
    for (const history of [{ stopping: true }, { lockLost: true }, { retriesInPlace: 1 }, { attempts: 4 }]) {
      decide(transient, { ...first, ...history }, defaultRetryPolicy, budget, () => 0);
    }
    for (const outcome of [rateLimited, circuitOpen, { kind: "permanent", class: "permanent", failure } as const])
      decide(outcome, first, defaultRetryPolicy, budget, () => 0);
    assert.equal(asked, 0);
  });

  test("executes a run that always fails attemptsMax times, immediateMax of them in place, when the budget holds", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 0, max: 5 }), fc.func(fc.boolean()), (attemptsMax, immediateMax, hasBudget) => {
        const policy = { ...defaultRetryPolicy, attemptsMax, immediateMax };
        let history = first;
        let executions = 1;
        let inPlace = 0;
        let settlement = decide(
          transient,
          history,
          policy,
          () => hasBudget(executions),
          () => 0,
        );
        while (settlement.kind === "retry-now" || settlement.kind === "retry-later") {
          executions += 1;
          if (settlement.kind === "retry-now") inPlace += 1;
          history =
            settlement.kind === "retry-now" ? { ...history, retriesInPlace: history.retriesInPlace + 1 } : { ...history, attempts: history.attempts + 1 };
          settlement = decide(
            transient,
            history,
            policy,
            () => hasBudget(executions),
            () => 0,
          );
          assert.ok(executions <= 20);
        }
        assert.deepEqual([settlement.kind, executions], ["dead-letter", attemptsMax]);
        assert.ok(inPlace <= immediateMax);
      }),
    );
  });
});
