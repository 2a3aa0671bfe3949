/** Whether the main thread is what limits, which all messages pass: then to hold more of them brings nothing. */

/** How often its use is looked at. Far away work comes in bursts, one in the time of a way: a look spans several of them. */
export const loopLookMs = 1_000;
/** It limits from so much of its time on: the rest goes by in waking up. */
export const loopBusyFrom = 0.85;

export class MainLoopHeadroom {
  readonly #use: () => number;
  #lookedMs = Number.NEGATIVE_INFINITY;
  #isFree = false;

  /** @param use the part of its time that the event loop was busy since it was last asked for, 0 to 1 */
  constructor(use: () => number) {
    this.#use = use;
  }

  /** As of the last look. */
  isFree(nowMs: number): boolean {
    if (nowMs - this.#lookedMs >= loopLookMs) {
      this.#lookedMs = nowMs;
      this.#isFree = this.#use() < loopBusyFrom;
    }
    return this.#isFree;
  }
}
