/**
 * When messages that a worker leaves to others, because it holds as many of their skill as it can begin soon, are to come back: one after the
 * other, twice as fast as runs of the skill end here, after a leaky bucket. Were all of them to come back soon, they would be taken
 * and left again and again, each time at the cost of a copy; were they to come back only as fast as they can be run, others that have less to
 * do would wait for them.
 *
 * What a run takes while others leave the worker no time says little of how it will be without them. So messages come back faster where that
 * costs little: as one of ten that the worker ends of all skills, and as many a second as are read past what does not move. Else what was left while much
 * was going on, or while nothing moved, would return long after that.
 * Yet the tenth is never twice as fast as they could be run if each took as little as the shortest run lately, with as many at once as may be:
 * no relief makes runs shorter than that, and what comes sooner is certain to be left again.
 */

/** They come back so many times as fast as they could be run here. */
const timesAsFast = 2;
/** Or as this part of all messages that end here. */
const partOfAll = 0.1;
/** Or so many a second. */
const gapMaxMs = 10;
/** So many of the last ends say how fast messages end. */
const endsRemembered = 256;

/** How fast messages of all skills end here. */
export class EndRate {
  readonly #atMs = new Float64Array(endsRemembered).fill(Number.NEGATIVE_INFINITY);
  #next = 0;

  ended(nowMs: number): void {
    this.#atMs[this.#next] = nowMs;
    this.#next = (this.#next + 1) % endsRemembered;
  }

  /** The time between two ends lately, on average; infinite where few have ended. */
  gapMs(nowMs: number): number {
    return (nowMs - (this.#atMs[this.#next] ?? Number.NEGATIVE_INFINITY)) / endsRemembered;
  }
}

export interface ReturnPace {
  /** What a run takes, as far as is known. */
  readonly runMs: number;
  /** What the shortest took lately; 0 while it is unknown. */
  readonly leastMs: number;
  /** So many go on at once. */
  readonly atOnce: number;
  /** So many would, if as many were held. */
  readonly atOnceMax: number;
  /** The time between two ends of messages of all skills. */
  readonly endGapMs: number;
}

export class ReturnTimes {
  #lastMs = Number.NEGATIVE_INFINITY;

  /** How long the next one is to stay away, at least. */
  next(nowMs: number, { runMs, leastMs, atOnce, atOnceMax, endGapMs }: ReturnPace): number {
    const gapMs = Math.min(gapOf(runMs, atOnce), Math.max(endGapMs / partOfAll, gapOf(leastMs, atOnceMax)), gapMaxMs);
    this.#lastMs = Math.max(nowMs, this.#lastMs + gapMs);
    return this.#lastMs - nowMs;
  }
}

function gapOf(runMs: number, atOnce: number): number {
  return runMs / (Math.max(1, atOnce) * timesAsFast);
}
