import type { Random } from "../core/clock.ts";
import type { RetryPolicy } from "../core/skill.ts";

/** Pause before retry number `retry` (1-based) in place: doubled each time, then jittered between one and two times. */
export function immediateDelayMs(policy: RetryPolicy, retry: number, random: Random): number {
  return Math.round(policy.immediateDelayMs * 2 ** (retry - 1) * (1 + random()));
}

/** Pause before retry number `retry` (1-based) through the queue: bounded, then jittered between one and two times. */
export function queueDelayMs(policy: RetryPolicy, retry: number, random: Random): number {
  const bounded = Math.min(policy.delayMaxMs, policy.baseDelayMs * policy.delayFactor ** (retry - 1));
  return Math.round(bounded * (1 + random()));
}

export const postponeBaseMs = 1_000;
export const postponeMaxMs = 60_000;
/** Doublings stop here, whatever a header claims. */
export const postponementsCountedMax = 6;

/** Pause before a postponed message comes again: at least `atLeastMs`, longer the more often it was postponed. */
export function postponeDelayMs(postponements: number, atLeastMs: number, random: Random): number {
  const doubled = postponeBaseMs * 2 ** Math.min(postponements, postponementsCountedMax);
  return Math.round(Math.min(postponeMaxMs, Math.max(atLeastMs, doubled * (0.5 + random() / 2))) + random() * 100);
}
