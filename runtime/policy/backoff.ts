import type { Random } from "../core/clock.ts";
import type { RetryPolicy } from "../core/skill.ts";

/** Pause before retry number `retry` (1-based) in place: doubled each time, and jittered. */
export function immediateDelayMs({ immediateDelayMs: baseMs, jitter }: RetryPolicy, retry: number, random: Random): number {
  return backoffMs({ baseMs, factor: 2, maxMs: Number.POSITIVE_INFINITY, jitter }, retry, random);
}

/** Pause before retry number `retry` (1-based) through the queue: bounded, and jittered. */
export function queueDelayMs({ baseDelayMs, delayFactor, delayMaxMs, jitter }: RetryPolicy, retry: number, random: Random): number {
  return backoffMs({ baseMs: baseDelayMs, factor: delayFactor, maxMs: delayMaxMs, jitter }, retry, random);
}

/** Pause before try number `retry` + 1 of a call within its run: doubled each time, bounded, and jittered. */
export function callDelayMs(
  { baseDelayMs: baseMs, delayMaxMs: maxMs, jitter }: Pick<RetryPolicy, "baseDelayMs" | "delayMaxMs" | "jitter">,
  retry: number,
  random: Random,
): number {
  return backoffMs({ baseMs, factor: 2, maxMs, jitter }, retry, random);
}

interface Backoff {
  readonly baseMs: number;
  readonly factor: number;
  readonly maxMs: number;
  readonly jitter: RetryPolicy["jitter"];
}

function backoffMs({ baseMs, factor, maxMs, jitter }: Backoff, retry: number, random: Random): number {
  const plainMs = Math.min(maxMs, baseMs * factor ** (retry - 1));
  switch (jitter) {
    case "none":
      return Math.round(plainMs);
    case "equal":
      return Math.round(plainMs * (1 + random()));
    case "full":
      return Math.round(plainMs * 2 * random());
    case "decorrelated":
      return Math.round(decorrelatedMs(baseMs, maxMs, retry, random));
  }
}

/** The pauses before it are drawn again, since nobody remembers them: that leaves the spread of this one as it is. */
function decorrelatedMs(baseMs: number, maxMs: number, retry: number, random: Random): number {
  let pauseMs = Math.min(maxMs, baseMs);
  for (let drawn = 0; drawn < retry; drawn += 1) pauseMs = Math.min(maxMs, baseMs + (3 * pauseMs - baseMs) * random());
  return pauseMs;
}

export const postponeBaseMs = 1_000;
/** Upper bound of the doubled pause; a longer one comes only from who asks for it. */
export const postponeMaxMs = 60_000;
/** Doublings stop here, whatever a header claims. */
export const postponementsCountedMax = 6;
const postponeSpreadMs = 100;

/**
 * How many of a message's postponements lengthen its next pause: no more than make it about as long as the message has been here in all, `ageMs`. Where each
 * doubled the one before, those are all of them. Several short ones, for want of room, say nothing of how long an open circuit lasts.
 */
export function countedPostponements(postponements: number, ageMs: number): number {
  return Math.min(postponements, Math.ceil(Math.log2(1 + Math.max(0, ageMs) / postponeBaseMs)));
}

/** What is known of when a postponed message can be used. */
export interface PauseBounds {
  /** Before that it would be of no help; default 0. */
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
  return Math.max(0, Math.min(askedPauseMaxMs, retryAfterMs || 0));
}
