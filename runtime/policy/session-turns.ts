/**
 * Who has a turn, for how long, and what a failure does to it. A session's turn lasts while it has messages: until it is over
 * and others wait, or nothing came for a while.
 */
import type { Random } from "../core/clock.ts";
import { failureText, type Outcome } from "../core/outcome.ts";
import { lostPauseMaxMs } from "../core/reopen-pause.ts";
import type { RunStanding, RunView } from "../core/run.ts";
import type { Settlement } from "../core/settlement.ts";
import type { RetryPolicy } from "../core/skill.ts";
import { queueDelayMs } from "./backoff.ts";
import { decide, type History } from "./recoverability.ts";

/** A session without a message for so long is taken to have none, or for twice as long as its first took: one that is there comes within a round trip. */
export const dryAfterMs = 50;
/** A session is had because it has a message, which is waited for so long, however far it has to come. */
const firstWaitMs = 2_000;
/** A session that is had waits for a place for so long at most: another worker may have one. */
const readyMaxMs = 2_000;
/** That one had to be let go for it says for so long that others wait. */
const passedOnMs = 15_000;
/** Sessions that are asked for at once. */
const acceptsMax = 8;
/** The pause before sessions are asked for again, when one had to be given back, or could not be had. */
const pauseMinMs = 50;

/** Sessions whose message waits, and that stay here: so many, or as many as there are places. */
const restsMin = 64;

export function restsMax({ concurrentMax }: Pick<TurnPolicy, "concurrentMax">): number {
  return Math.max(restsMin, concurrentMax);
}

/** Sessions that a worker holds at once, or asks for, at the most. */
export function sessionsHeldMax(policy: Pick<TurnPolicy, "concurrentMax">): number {
  return policy.concurrentMax + restsMax(policy) + acceptsMax;
}

export interface TurnPolicy {
  readonly concurrentMax: number;
  readonly idleMs: number;
  readonly turnMs: number;
}

/** What a session that is held is at. */
export interface TurnView {
  /** Since its turn began. */
  readonly usedMs: number;
  /** Without a message; 0 while it has one. */
  readonly idleMs: number;
  /** How long its first message took to come; undefined before that. */
  readonly tripMs: number | undefined;
}

/** After a message: whether the next one of the session follows. */
export function goesOn({ usedMs }: Pick<TurnView, "usedMs">, othersWait: boolean, { turnMs }: TurnPolicy): boolean {
  return !othersWait || usedMs < turnMs;
}

/** How long a message that is there may take to come. */
function patienceMs(tripMs: number | undefined): number {
  return tripMs === undefined ? firstWaitMs : Math.min(firstWaitMs, 2 * tripMs);
}

/** Whether it is to be let go though nobody waits. */
export function isIdle({ idleMs, tripMs }: TurnView, policy: TurnPolicy): boolean {
  return idleMs > 0 && idleMs >= Math.max(policy.idleMs, patienceMs(tripMs));
}

/** Whether it has no message for now, and makes room for one that waits. */
export function isDry({ idleMs, tripMs }: TurnView): boolean {
  return idleMs >= Math.max(dryAfterMs, patienceMs(tripMs));
}

/** Whether it would make room for another session, now or after its present message. */
export function wouldGiveWay(view: TurnView, { turnMs }: TurnPolicy): boolean {
  return isDry(view) || view.usedMs >= turnMs;
}

/** Whether a session that waits for a place is let go, for a worker that has one. */
export function isPassedOn(waitedMs: number): boolean {
  return waitedMs >= readyMaxMs;
}

/** Whether one was let go so lately that others are still taken to wait. */
export function isLately(sincePassedOnMs: number): boolean {
  return sincePassedOnMs < passedOnMs;
}

export interface Places {
  /** Sessions that may begin now. */
  readonly free: number;
  /** Messages that may be taken. */
  readonly room: number;
  /** Sessions that were accepted and wait for a place. */
  readonly waiting: number;
  /** Whether one that is held would give way. */
  readonly someGiveWay: boolean;
  /** How many of the last accepts in a row brought a session. */
  readonly streak: number;
}

/** How many sessions to ask for at once: more, the more there are. */
export function acceptsWanted({ free, room, waiting, someGiveWay, streak }: Places): number {
  if (waiting > 0) return 0;
  if (free > 0) return Math.max(0, Math.min(free, room, acceptsMax, 2 ** Math.min(streak, 3)));
  return someGiveWay ? 1 : 0;
}

/** The pause after so many accepts in a row that led to nothing, longer where the last one was refused. */
export function acceptPauseMs(inVain: number, maxMs: number = lostPauseMaxMs): number {
  return inVain === 0 ? 0 : Math.min(maxMs, pauseMinMs * 2 ** (inVain - 1));
}

/** A run that failed, or was put off, waits on where another worker, or this one before, had it wait. */
export function restLeftMs(view: (Pick<RunStanding, "state" | "writtenAgoMs"> & Pick<RunView, "setbacks">) | undefined): number {
  const last = view?.setbacks.at(-1);
  if (view === undefined || view.state !== "waiting" || last === undefined || (last.kind !== "failed" && last.kind !== "postponed")) return 0;
  return Math.max(0, last.delayMs - view.writtenAgoMs);
}

/**
 * As `decide`, where nothing of the session may go before the message: what fails is tried until it passes, with the pauses of
 * its policy, and also what its skill says can never pass: a new version of the skill may let it.
 */
export function decideBlocking(outcome: Outcome, history: History, policy: RetryPolicy, mayRetryHere: () => boolean, random: Random): Settlement {
  if (outcome.kind !== "permanent") return decide(outcome, history, { ...policy, attemptsMax: Number.POSITIVE_INFINITY }, mayRetryHere, random);
  const { failure } = outcome;
  return {
    kind: "retry-later",
    code: failure.code,
    description: failureText(failure, history.skill),
    delayMs: queueDelayMs(policy, history.attempts, random),
  };
}
