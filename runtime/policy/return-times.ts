/**
 * When messages that a worker leaves to others, because it holds as many of their skill as it can begin soon, are to come back: one after the
 * other, twice as fast as runs of the skill end here, after a leaky bucket. Were all of them to come back soon, they would be taken
 * and left again and again, each time at the cost of a copy; were they to come back only as fast as they can be run, others that have less to
 * do would wait for them.
 */

/** They come back so many times as fast as they could be run here. */
const timesAsFast = 2;

export class ReturnTimes {
  #lastMs = Number.NEGATIVE_INFINITY;

  /** How long the next one is to stay away, at least. `runMs`: what a run takes, as far as is known; `atOnce`: so many go on at once. */
  next(nowMs: number, runMs: number, atOnce: number): number {
    const gapMs = runMs / (Math.max(1, atOnce) * timesAsFast);
    this.#lastMs = Math.max(nowMs, this.#lastMs + gapMs);
    return this.#lastMs - nowMs;
  }
}
