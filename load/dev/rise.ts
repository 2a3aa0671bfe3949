/** Whether a rate still rises, from looks at a count that grows, taken at any time. */

/** The rate is taken over so long; it rises while a span brings more than the best before. */
const spanMs = 500;
/** So many spans in a row in which it does not rise are enough: a single one may have been slow for a reason of its own. */
const stillSpansMax = 3;

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
      this.#stillSpans = rate > this.#best ? 0 : this.#stillSpans + 1;
      this.#best = Math.max(this.#best, rate);
      this.#fromMs = nowMs;
      this.#from = count;
    }
    return this.#stillSpans >= stillSpansMax;
  }
}
