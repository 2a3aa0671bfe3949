/**
 * A budget for retries in place, across the whole worker: each fresh run earns `ratio` of a token, each retry spends one.
 * It keeps a worker from doubling the load on a dependency that is already failing. `reserve` tokens are there at the
 * start and the most that can be saved.
 */
export class RetryBudget {
  readonly #ratio: number;
  readonly #reserve: number;
  #tokens: number;

  constructor(ratio = 0.2, reserve = 100) {
    this.#ratio = ratio;
    this.#reserve = reserve;
    this.#tokens = reserve;
  }

  /** Counts fresh runs. */
  earn(runs: number): void {
    this.#tokens = Math.min(this.#reserve, this.#tokens + runs * this.#ratio);
  }

  /** Takes one token; false when there is none. */
  spend(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
