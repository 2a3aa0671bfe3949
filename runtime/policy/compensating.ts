/** Decides what becomes of a delivery whose run has failed for good and is being compensated. It never runs forward again. */
import type { Verdict } from "../core/compensation.ts";
import type { Random } from "../core/clock.ts";
import type { Outcome } from "../core/outcome.ts";
import type { Settlement } from "../core/settlement.ts";
import type { RetryPolicy } from "../core/skill.ts";
import { askedPauseMs, postponeDelayMs } from "./backoff.ts";
import { decide, type History, postponeReasonOf } from "./recoverability.ts";
import { abandonCompensating, decideCompensationRetry, endCompensated, mayGoOnCompensating } from "./saga.ts";

export interface SagaHistory extends History {
  readonly verdict: Verdict;
  /** How many steps are recorded. */
  readonly steps: number;
}

export function decideCompensating(outcome: Outcome, history: SagaHistory, policy: RetryPolicy, mayRetryHere: () => boolean, random: Random): Settlement {
  const { verdict } = history;
  switch (outcome.kind) {
    case "compensated":
      return endCompensated(verdict, outcome.log);
    case "compensating":
    case "transient":
      return decideFailedTry(outcome, history, policy, mayRetryHere, random);
    case "succeeded":
    case "invalid":
    case "permanent":
    case "parked":
    case "stale":
    case "interrupted":
    case "lost":
    case "not-started": {
      // Losses of the run forward are not laid to its compensation's account.
      const settlement = decide(outcome, { ...history, losses: history.losses - verdict.losses }, policy, mayRetryHere, random);
      if (settlement.kind !== "dead-letter" && settlement.kind !== "complete") return settlement;
      return abandonCompensating(verdict, settlement.kind === "complete" ? "nothing was compensated" : `${settlement.reason}: ${settlement.description}`);
    }
  }
}

function decideFailedTry(
  outcome: Extract<Outcome, { kind: "compensating" | "transient" }>,
  { verdict, steps, attempts, losses, lockLost, stopping, postponements }: SagaHistory,
  policy: RetryPolicy,
  mayRetryHere: () => boolean,
  random: Random,
): Settlement {
  const { failure } = outcome;
  if (lockLost) return { kind: "drop" };
  const untried = postponeReasonOf(failure.code);
  if (untried !== undefined) {
    return { kind: "postpone", why: untried, delayMs: postponeDelayMs(postponements, { atLeastMs: askedPauseMs(failure.retryAfterMs) }, random) };
  }
  if (!mayGoOnCompensating(verdict, { failures: attempts, losses }, steps, policy)) {
    return abandonCompensating(verdict, `compensating failed too often, the last time with ${failure.code}: ${failure.message}`);
  }
  const tries = outcome.kind === "compensating" ? outcome.tries : attempts - verdict.failures;
  return decideCompensationRetry(failure, Math.max(1, tries), policy, () => !stopping && mayRetryHere(), random);
}
