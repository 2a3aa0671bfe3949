import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { failureTable } from "#runtime/core/failure-class.ts";
import type { FailureRecord, Outcome, RunAnswer } from "#runtime/core/outcome.ts";
import { classify } from "#runtime/policy/classify.ts";

const failure: FailureRecord = { code: "HTTP_503", message: "busy", dependency: "model" };
const outbox = [{ messageId: "m", body: new Uint8Array(1), headers: {} }];
const invalid = { reason: "InvalidPayload", description: "expected a number" } as const;

const table: readonly (readonly [name: string, answer: RunAnswer, outcome: Outcome])[] = [
  ["a completed run has succeeded, with its events", { kind: "completed", outbox }, { kind: "succeeded", outbox }],
  ["an invalid event stays invalid", { kind: "invalid", invalid }, { kind: "invalid", invalid }],
  ["a failure that says it may be retried is transient", { kind: "failed", failure, retryable: true }, { kind: "transient", class: "unavailable", failure }],
  ["a failure that says nothing is transient", { kind: "failed", failure, retryable: undefined }, { kind: "transient", class: "unavailable", failure }],
  [
    "a failure that says it must not be retried is permanent",
    { kind: "failed", failure, retryable: false },
    { kind: "permanent", class: "permanent", failure },
  ],
  ["a time-out is transient", { kind: "timed-out", failure }, { kind: "transient", class: "unavailable", failure }],
  [
    "an unknown outcome is parked",
    { kind: "outcome-unknown", step: "pay", why: "no reply" },
    { kind: "parked", reason: "OutcomeUnknown", why: "step 'pay': no reply", step: "pay" },
  ],
  ["a run of another shape is parked", { kind: "pipeline-changed", why: "step gone" }, { kind: "parked", reason: "PipelineChanged", why: "step gone" }],
  [
    "a compensation that failed is being compensated on, with the tries that it had",
    { kind: "compensating", failure, tries: 2 },
    { kind: "compensating", failure, tries: 2 },
  ],
  [
    "a run without anything left to compensate is compensated, with what became of each step",
    { kind: "compensated", log: [["pay", { state: "compensated", wasNeeded: true }]] },
    { kind: "compensated", log: new Map([["pay", { state: "compensated", wasNeeded: true }]]) },
  ],
  ["a stale run is stale", { kind: "stale" }, { kind: "stale" }],
  ["an interrupted run is interrupted", { kind: "interrupted" }, { kind: "interrupted" }],
  [
    "a lost thread is a loss and no failure",
    { kind: "thread-lost", why: "out of memory", part: "suspect", outOfMemory: true },
    { kind: "lost", why: "out of memory", part: "suspect", outOfMemory: true },
  ],
  ["a run that no thread began is neither", { kind: "not-started", why: "no thread" }, { kind: "not-started", why: "no thread" }],
];

describe("classify", () => {
  for (const [name, answer, outcome] of table) test(name, () => assert.deepEqual(classify(answer), outcome));

  test("dead-letters at once what the thrower says must not be retried, and never what it says may be", () => {
    const codes = fc.oneof(fc.constantFrom(...failureTable.flatMap((row) => row.codes)), fc.string({ minLength: 1, maxLength: 30 }));
    fc.assert(
      fc.property(codes, fc.constantFrom(true, false, undefined), (code, retryable) => {
        const outcome = classify({ kind: "failed", failure: { code, message: "it failed" }, retryable });
        assert.ok(outcome.kind === "transient" || outcome.kind === "permanent");
        assert.deepEqual(outcome.failure, { code, message: "it failed" });
        if (retryable !== undefined) assert.equal(outcome.kind, retryable ? "transient" : "permanent");
        assert.equal(outcome.kind === "permanent", outcome.class === "permanent" || outcome.class === "poison");
      }),
    );
  });
});
