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
/** Upper bound of the doubled pause; a longer one comes only from who asks for it. */
export const postponeMaxMs = 60_000;
/** Doublings stop here, whatever a header claims. */
export const postponementsCountedMax = 6;
const postponeSpreadMs = 100;

/** What is known of when a postponed message can be used. */
export interface PauseBounds {
  /** Before that it would be in vain; default 0. */
  readonly atLeastMs?: number | undefined;
  /** By then there should be room; default `postponeMaxMs`. Never makes a pause shorter than `postponeBaseMs`. */
  readonly atMostMs?: number | undefined;
}

/**
 * Pause before a postponed message is received again: at least `atLeastMs`, longer the more often it was postponed but doubled
 * no further than `atMostMs`, and spread so that messages that were postponed together do not come back together.
 */
export function postponeDelayMs(postponements: number, { atLeastMs = 0, atMostMs = postponeMaxMs }: PauseBounds, random: Random): number {
  const doubled = postponeBaseMs * 2 ** Math.min(postponements, postponementsCountedMax);
  const jittered = Math.min(postponeMaxMs, doubled, Math.max(postponeBaseMs, atMostMs)) * (0.5 + random() / 2);
  return Math.round(Math.max(atLeastMs, jittered) + random() * postponeSpreadMs);
}

/** The longest pause that a dependency may ask for. */
export const askedPauseMaxMs = 3_600_000;

/** The pause that a failed dependency asked for, bounded; 0 when it asked for none, or for nonsense. */
export function askedPauseMs(retryAfterMs: number | undefined): number {
  return retryAfterMs !== undefined && retryAfterMs > 0 ? Math.min(askedPauseMaxMs, retryAfterMs) : 0;
}
