/**
 * Compensation, as pure decisions: what a step of a failed run needs, how long its compensation is tried, and how the run ends.
 */
import type { Random } from "../core/clock.ts";
import type { Compensation, Verdict } from "../core/compensation.ts";
import { failureText, type FailureRecord } from "../core/outcome.ts";
import type { StepRecord } from "../core/run.ts";
import type { Settlement } from "../core/settlement.ts";
import type { RetryPolicy } from "../core/skill.ts";
import { askedPauseMs, immediateDelayMs, queueDelayMs } from "./backoff.ts";

/** What is known of a recorded step when its run is compensated. */
export interface StepStanding {
  readonly record: Pick<StepRecord, "kind" | "state">;
  /** Its result is there and undamaged. */
  readonly isReadable: boolean;
  /** The skill as it is now still comes to the step. */
  readonly isMet: boolean;
  readonly hasCompensation: boolean;
}

export type CompensationPlan =
  /** Nothing happened, or its author says that nothing need be undone. */
  | { readonly kind: "none" }
  | { readonly kind: "compensate"; readonly isInDoubt: boolean }
  /** The step's query says first whether there is anything to compensate. */
  | { readonly kind: "query" }
  | { readonly kind: "impossible"; readonly code: string; readonly why: string };

/**
 * A step whose result is stored is compensated. One in doubt goes by its kind: what may be called twice may be compensated
 * though nothing happened, what can be asked for is asked for, and of what may happen once at most nobody knows.
 */
export function planCompensation({ record, isReadable, isMet, hasCompensation }: StepStanding): CompensationPlan {
  const isWithdrawn = record.state === "intent" && record.kind === "idempotent";
  if (isWithdrawn || (isMet && !hasCompensation)) return { kind: "none" };
  if (!isMet) return { kind: "impossible", code: "STEP_UNMET", why: "the skill did not come to the step again, so its compensation is not known" };
  if (record.state === "completed" && isReadable) return { kind: "compensate", isInDoubt: false };
  switch (record.kind) {
    case "queryable":
      return { kind: "query" };
    case "atMostOnce":
      return { kind: "impossible", code: "OUTCOME_UNKNOWN", why: "its effect may have happened, and nothing can tell" };
    case "keyed":
    case "idempotent":
      return { kind: "compensate", isInDoubt: true };
  }
}

type Trying = Extract<Compensation, { state: "trying" }>;

/** Whether a compensation has had its tries: those that failed, and beside them those that ended with their worker or their time. */
export function isExhausted({ begun, failed }: Trying, { attemptsMax, lossesMax }: Pick<RetryPolicy, "attemptsMax" | "lossesMax">): boolean {
  return failed >= attemptsMax || begun >= attemptsMax + lossesMax;
}

/** When the run goes on after a try that failed; `tries` counts those of this compensation that failed, this one included. */
export function decideCompensationRetry(
  failure: FailureRecord,
  tries: number,
  policy: RetryPolicy,
  mayRetryHere: () => boolean,
  random: Random,
): Extract<Settlement, { kind: "retry-now" | "retry-later" }> {
  const waitMs = askedPauseMs(failure.retryAfterMs);
  const { code } = failure;
  const description = `compensating failed: ${failureText(failure, undefined)}`;
  if (tries <= policy.immediateMax && waitMs === 0 && mayRetryHere()) {
    return { kind: "retry-now", apart: false, code, description, delayMs: immediateDelayMs(policy, tries, random) };
  }
  return { kind: "retry-later", code, description, delayMs: Math.max(waitMs, queueDelayMs(policy, Math.max(1, tries - policy.immediateMax), random)) };
}

/** Failures of a run under compensation that no compensation's own count bounds: of the skill on its way to them, or of its worker. */
export function mayGoOnCompensating(
  verdict: Verdict,
  now: { readonly failures: number; readonly losses: number },
  steps: number,
  policy: RetryPolicy,
): boolean {
  const tries = policy.attemptsMax * (steps + 1);
  return now.failures - verdict.failures < tries && now.losses - verdict.losses < policy.lossesMax;
}

/** How a run ends whose compensations have all ended. */
export function endCompensated(verdict: Verdict, log: ReadonlyMap<string, Compensation>): Extract<Settlement, { kind: "dead-letter" }> {
  const done: string[] = [];
  const failed: string[] = [];
  for (const [step, entry] of log) {
    if (entry.state === "not-compensated") failed.push(`'${step}' (${entry.code}: ${entry.message})`);
    else if (entry.state === "compensated" && entry.wasNeeded) done.push(`'${step}'`);
  }
  const undone = done.length === 0 ? "no step" : done.join(", ");
  if (failed.length > 0) return abandonCompensating(verdict, `not compensated: ${failed.join(", ")}; compensated: ${undone}`);
  const { reason, description, cause } = verdict;
  return { kind: "dead-letter", state: "dead", reason, description: `${description}; compensated: ${undone}`, ...(cause === undefined ? {} : { cause }) };
}

/** The run ends though something is left that was not compensated. */
export function abandonCompensating(
  { reason, description }: Pick<Verdict, "reason" | "description">,
  why: string,
): Extract<Settlement, { kind: "dead-letter" }> {
  return {
    kind: "dead-letter",
    state: "dead",
    reason: "CompensationFailed",
    description: `${why}; undo that by hand; the run had failed with ${reason}: ${description}`,
    cause: { class: "permanent", code: "CompensationFailed", message: why },
  };
}
