/**
 * How many reports may go out: so many a second, and so many that wait. What there is a lot of leaves a quarter of both to what is
 * rare, so that a thousand failures do not hide the circuit that opened because of them.
 */
export interface ReportBounds {
  readonly perSecondMax: number;
  /** Of those that wait to be sent. */
  readonly bufferMax: number;
}

const keptForRare = 0.25;

export class ReportBudget {
  readonly #bounds: ReportBounds;
  #left: number;
  #atMs = Number.NEGATIVE_INFINITY;

  constructor(bounds: ReportBounds) {
    this.#bounds = bounds;
    this.#left = bounds.perSecondMax;
  }

  /** Takes one, while `waiting` others wait; else says what there is too much of. */
  take(isFrequent: boolean, waiting: number, nowMs: number): "taken" | "rate" | "buffer" {
    const { perSecondMax, bufferMax } = this.#bounds;
    if (nowMs > this.#atMs) {
      this.#left = Math.min(perSecondMax, this.#left + ((nowMs - Math.max(this.#atMs, nowMs - 1_000)) / 1_000) * perSecondMax);
      this.#atMs = nowMs;
    }
    const kept = isFrequent ? keptForRare : 0;
    if (waiting >= bufferMax * (1 - kept)) return "buffer";
    if (this.#left < 1 || this.#left - 1 < perSecondMax * kept) return "rate";
    this.#left -= 1;
    return "taken";
  }
}
