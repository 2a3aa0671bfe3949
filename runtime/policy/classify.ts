/**
 * The one place that says what a thread's answer means; what a failure's code means stands in `core/failure-class.ts`. What neither
 * the thrower nor that table knows may pass by itself, so it is transient.
 */
import { failureClassOf } from "../core/failure-class.ts";
import type { FailureRecord, Outcome, RunAnswer } from "../core/outcome.ts";

export function classify(answer: RunAnswer): Outcome {
  switch (answer.kind) {
    case "completed":
      return { ...answer, kind: "succeeded" };
    case "invalid":
      return { kind: "invalid", invalid: answer.invalid };
    case "failed":
      return classifyFailure(answer.failure, answer.retryable);
    case "timed-out":
      return classifyFailure(answer.failure, true);
    case "outcome-unknown":
      return { kind: "parked", reason: "OutcomeUnknown", why: `step '${answer.step}': ${answer.why}`, step: answer.step };
    case "pipeline-changed":
      return { kind: "parked", reason: "PipelineChanged", why: answer.why };
    case "compensating":
      return { kind: "compensating", failure: answer.failure, tries: answer.tries };
    case "compensated":
      return { kind: "compensated", log: new Map(answer.log) };
    case "stale":
      return { kind: "stale" };
    case "interrupted":
      return { kind: "interrupted" };
    case "thread-lost":
      return { kind: "lost", why: answer.why, part: answer.part, ...(answer.outOfMemory === undefined ? undefined : { outOfMemory: true }) };
    case "not-started":
      return { kind: "not-started", why: answer.why };
  }
}

/** `retryable`: as the thrower said; undefined when it did not say. */
export function classifyFailure(failure: FailureRecord, retryable: boolean | undefined): Extract<Outcome, { kind: "transient" | "permanent" }> {
  const failureClass = failureClassOf(failure.code, retryable);
  const kind = failureClass === "permanent" || failureClass === "poison" ? "permanent" : "transient";
  return { kind, class: failureClass, failure };
}
