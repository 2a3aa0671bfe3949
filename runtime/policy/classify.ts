/** The one place that says what a thread's answer means. Anything a skill throws that does not say otherwise may pass by itself, so it is transient. */
import type { Outcome, RunAnswer } from "../core/outcome.ts";

export function classify(answer: RunAnswer): Outcome {
  switch (answer.kind) {
    case "completed":
      return { kind: "succeeded", outbox: answer.outbox };
    case "invalid":
      return { kind: "invalid", invalid: answer.invalid };
    case "failed":
      return answer.retryable === false ? { kind: "permanent", failure: answer.failure } : { kind: "transient", failure: answer.failure };
    case "timed-out":
      return { kind: "transient", failure: answer.failure };
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
      return { kind: "lost", why: answer.why, part: answer.part };
    case "not-started":
      return { kind: "not-started", why: answer.why };
  }
}
