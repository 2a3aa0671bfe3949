/**
 * How long what the broker took away, or refuses, is left alone before it is tried again: a connection, a link, a session. What was lost
 * comes back by itself, soon; what is refused because of the entity stays so until somebody creates it, enables it or gives a right, which
 * may be in any minute, or never.
 */
import { TransportError } from "./errors.ts";

/** After the first failure; each further one in a row doubles it. */
const pauseMinMs = 100;
/** Longest pause where it was lost. */
export const lostPauseMaxMs = 5_000;
/** Longest pause where it is refused: within so long it is noticed that it no longer is. */
export const refusedPauseMaxMs = 30_000;

/** The pause after so many failures in a row before the last one. */
export function reopenPauseMs(failures: number, maxMs: number = lostPauseMaxMs): number {
  return Math.min(maxMs, pauseMinMs * 2 ** failures);
}

/** The longest pause after this error: whether the entity is the reason, or the way to it may be. */
export function pauseMaxMsAfter(error: unknown): number {
  const isRefused = error instanceof TransportError && (error.entityTrouble !== undefined || error.isPermanent);
  return isRefused ? refusedPauseMaxMs : lostPauseMaxMs;
}
