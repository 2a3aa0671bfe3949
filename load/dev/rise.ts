/** Whether a rate still rises, from looks at a count that grows, taken at any time. */

/** The rate is taken over so long. */
const spanMs = 500;
/** It rises while a span brings this much more than the best before. */
const riseMin = 1.05;
/** So many spans in a row in which it does not rise are enough. */
const stillSpansMax = 2;

export class Rise {
  #fromMs: number;
  #from = 0;
  #best = 0;
  #stillSpans = 0;

  constructor(nowMs: number) {
    this.#fromMs = nowMs;
  }

  isOver(nowMs: number, count: number): boolean {
    const tookMs = nowMs - this.#fromMs;
    if (tookMs >= spanMs) {
      const rate = (count - this.#from) / tookMs;
      this.#stillSpans = rate > this.#best * riseMin ? 0 : this.#stillSpans + 1;
      this.#best = Math.max(this.#best, rate);
      this.#fromMs = nowMs;
      this.#from = count;
    }
    return this.#stillSpans >= stillSpansMax;
  }
}
