// Time as the entities see it: handed in, so that tests can turn it.

export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  /** Calls `fn` once after `delayMs`; the returned function cancels. */
  after(delayMs: number, fn: () => void): () => void;
}

/** The longest delay that a timer of the platform takes; a longer wait is made of several. */
const delayMaxMs = 2 ** 31 - 1;

/** One wake-up for many deadlines: set for the earliest, and set again when it has rung. */
export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #atMs = Infinity;
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** Makes sure that it rings at `atMs` at the latest. A ring that turns out to be too early is the owner's to ignore. */
  set(atMs: number): void {
    if (this.#isStopped || atMs >= this.#atMs) return;
    this.#cancel?.();
    this.#atMs = atMs;
    const delayMs = Math.min(delayMaxMs, Math.max(0, atMs - this.#clock.now()));
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#atMs = Infinity;
      this.#cancel = undefined;
      this.#ring();
    });
  }

  /** For good: what comes back to an entity that is gone wakes nobody. */
  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
