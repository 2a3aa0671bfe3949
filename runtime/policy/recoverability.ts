/**
 * Decides what becomes of a delivery: a pure function of the outcome, the history and the policy. Another function acts on
 * it (pipeline/settle.ts).
 */
import type { Random } from "../core/clock.ts";
import { rateLimitedCode } from "../core/limits.ts";
import { causeOf, failureOf, failureText, lossCode, type Outcome } from "../core/outcome.ts";
import type { PostponeReason, Settlement } from "../core/settlement.ts";
import { defaultRetryPolicy, type RetryPolicy } from "../core/skill.ts";
import { askedPauseMs, immediateDelayMs, postponeDelayMs, queueDelayMs } from "./backoff.ts";

export interface History {
  /** Named beside its failures; undefined when there is none. */
  readonly skill?: string | undefined;
  /** Claims whose execution ended in a failure, this one included if it does; starts at 1. */
  readonly attempts: number;
  /** Executions that ended with their worker or thread, the present one included if it ended its thread by itself; starts at 0. */
  readonly losses: number;
  /** Retries in place so far, under this claim and earlier ones; starts at 0, at most the policy's `immediateMax`. */
  readonly retriesInPlace: number;
  /** Those of its postponements that lengthen the next pause. */
  readonly postponements: number;
  /** The lock is known to be lost: the message will be redelivered by itself. */
  readonly lockLost: boolean;
  /** The worker is stopping: nothing may start again here. */
  readonly stopping: boolean;
}

/** A failure code that means: nothing was tried, the circuit was open. */
export const circuitOpenCode = "CIRCUIT_OPEN";

/** Why a run whose failure has this code returns later without a try being counted: none was made. Undefined for every other. */
export function postponeReasonOf(code: string): Extract<PostponeReason, "circuit-open" | "rate-limited"> | undefined {
  if (code === circuitOpenCode) return "circuit-open";
  return code === rateLimitedCode ? "rate-limited" : undefined;
}

/** `mayRetryHere` asks the retry budget, and is called only when a retry in place is otherwise right. */
export function decide(outcome: Outcome, history: History, policy: RetryPolicy, mayRetryHere: () => boolean, random: Random): Settlement {
  switch (outcome.kind) {
    case "succeeded":
      return { kind: "complete" };
    case "invalid":
      return { kind: "dead-letter", state: "dead", reason: outcome.invalid.reason, description: outcome.invalid.description };
    case "permanent":
      return {
        kind: "dead-letter",
        state: "dead",
        reason: outcome.failure.code,
        description: failureText(outcome.failure, history.skill),
        cause: causeOf(outcome.class, outcome.failure),
      };
    case "parked":
      return {
        kind: "dead-letter",
        state: "parked",
        reason: outcome.reason,
        description: outcome.why,
        cause: failureOf(outcome),
      };
    // Only runs under compensation end so; policy/compensating.ts decides of them.
    case "compensating":
      return decideTransient({ class: "transient", failure: outcome.failure }, history, policy, mayRetryHere, random);
    case "compensated":
    case "stale":
      return { kind: "drop" };
    case "interrupted":
      return history.lockLost ? { kind: "drop" } : { kind: "release" };
    case "lost":
      return decideLost(outcome, history, policy);
    case "not-started":
      return decideNotBegun(history, random);
    case "transient":
      return decideTransient(outcome, history, policy, mayRetryHere, random);
  }
}

/** Pause before a run is tried again that was lost with its thread: another thread must come up anyway. */
const lostPauseMs = 200;

/** No failure of the skill: it is tried again here at once, unless it ended its thread itself too often. */
function decideLost(outcome: Extract<Outcome, { kind: "lost" }>, { lockLost, stopping, losses }: History, policy: RetryPolicy): Settlement {
  const { why, part } = outcome;
  const code = lossCode(outcome);
  if (lockLost) return { kind: "drop" };
  if (stopping) return { kind: "release" };
  return (
    crashLoop(losses, policy.lossesMax, why, code === "THREAD_LOST" ? "CrashLoop" : code) ?? {
      kind: "retry-now",
      apart: part !== "bystander",
      code,
      description: why,
      delayMs: lostPauseMs,
    }
  );
}

/** Losses at which a run is given up: its policy's, and less where an entity allows fewer deliveries, so that its end mentions them. */
export function lossesLimit({ lossesMax }: RetryPolicy = defaultRetryPolicy, deliveriesMax: number): number {
  return Math.max(2, Math.min(lossesMax, deliveriesMax - 1));
}

/** The end of a run whose executions ended with their worker or thread too often; undefined while it may be tried again. */
export function crashLoop(losses: number, limit: number, lastWords: string, code = "CrashLoop"): Extract<Settlement, { kind: "dead-letter" }> | undefined {
  if (losses < limit) return undefined;
  return {
    kind: "dead-letter",
    state: "dead",
    reason: "CrashLoop",
    description: `expected the run to end, found that ${losses} executions ended with their worker or thread, the last ones with little or nothing beside them; the last message was: ${lastWords}; look for process.exit, a native crash or memory in the skill, or for what ends its workers from outside`,
    cause: { class: "crash", code, message: lastWords },
  };
}

/** It was never tried: no attempt is counted, and it is tried again, here when a thread is back or elsewhere. */
function decideNotBegun({ lockLost, stopping, postponements }: History, random: Random): Settlement {
  if (lockLost) return { kind: "drop" };
  if (stopping) return { kind: "release" };
  return { kind: "postpone", why: "not-started", delayMs: postponeDelayMs(postponements, {}, random) };
}

function decideTransient(
  { failure, class: failureClass }: Pick<Extract<Outcome, { kind: "transient" }>, "class" | "failure">,
  history: History,
  policy: RetryPolicy,
  mayRetryHere: () => boolean,
  random: Random,
): Settlement {
  if (history.lockLost) return { kind: "drop" };
  const waitMs = askedPauseMs(failure.retryAfterMs);
  const untried = postponeReasonOf(failure.code);
  if (untried !== undefined) {
    return { kind: "postpone", why: untried, delayMs: postponeDelayMs(history.postponements, { atLeastMs: waitMs }, random) };
  }
  const executions = history.attempts + history.retriesInPlace;
  const description = failureText(failure, history.skill);
  if (executions >= policy.attemptsMax) {
    return {
      kind: "dead-letter",
      state: "dead",
      reason: "RetriesExhausted",
      description: `gave up after ${executions} ${executions === 1 ? "execution" : "executions"}, at most ${policy.attemptsMax} allowed; the last one failed with ${failure.code}: ${description}`,
      cause: causeOf(failureClass, failure),
    };
  }
  // A dependency that asks for less is not called again at once, whether or not it named a pause.
  const mayBeSoon = waitMs === 0 && failureClass !== "throttled";
  if (history.retriesInPlace < policy.immediateMax && mayBeSoon && !history.stopping && mayRetryHere()) {
    return { kind: "retry-now", apart: false, code: failure.code, description, delayMs: immediateDelayMs(policy, history.retriesInPlace + 1, random) };
  }
  return { kind: "retry-later", code: failure.code, description, delayMs: Math.max(waitMs, queueDelayMs(policy, history.attempts, random)) };
}
