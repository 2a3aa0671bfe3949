/** How many messages ended in each second of a trial, from looks at a count that grows, taken at any time. */
export class BySecond {
  readonly #secondsMax: number;
  /** What had ended by the end of each second that is over. */
  readonly #upTo: number[] = [];
  #lastMs = 0;
  #last = 0;

  /** Seconds after the first `secondsMax` are not kept. */
  constructor(secondsMax: number) {
    this.#secondsMax = secondsMax;
  }

  /** `ended` messages had ended `atMs` after the first one was sent. Between two looks they ended evenly. */
  look(atMs: number, ended: number): void {
    if (atMs <= this.#lastMs) return;
    const count = Math.max(ended, this.#last);
    for (let second = this.#upTo.length; second < this.#secondsMax && (second + 1) * 1_000 <= atMs; second++) {
      const share = ((second + 1) * 1_000 - this.#lastMs) / (atMs - this.#lastMs);
      this.#upTo.push(Math.round(this.#last + (count - this.#last) * share));
    }
    this.#lastMs = atMs;
    this.#last = count;
  }

  /** Messages that ended in each second; the last second may have been cut short by the end. */
  list(): number[] {
    const isCut = this.#upTo.length < this.#secondsMax && this.#last > (this.#upTo.at(-1) ?? 0);
    const upTo = isCut ? [...this.#upTo, this.#last] : this.#upTo;
    return upTo.map((count, second) => count - (upTo[second - 1] ?? 0));
  }
}
