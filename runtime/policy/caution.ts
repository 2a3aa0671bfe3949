/**
 * How many messages a worker dares to take while one of them may end its process. A run whose lease nobody gave back is a
 * suspect: the worker that held it ended without returning it, perhaps because of it. Everything that is held when a process
 * ends pays with a delivery, so little is held until it is known what came back:
 *
 *   start (window 4) ──┐
 *   careful (window 1) ┴─(each message that proved harmless: window + 1)──▶ calm (no bound)
 *        ▲                                                                   │
 *        └──────────────────────(a suspect is found)─────────────────────────┘
 *
 * A worker begins carefully, for it cannot know how the one before it ended. With clean claims the window doubles with every
 * round trip to the store, so that this costs a few milliseconds. A fresh run proves harmless by being claimed, a suspect by
 * ending or by living through its probation.
 */
const windowAtStart = 4;

export class Caution {
  readonly #calmAt: number;
  #window = windowAtStart;
  /** Suspects were found, and the window has not grown to its end since. */
  #isAlarmed = false;

  /** From this window on there is no bound; with 1 it begins without one. */
  constructor(calmAt = 256) {
    this.#calmAt = calmAt;
    this.passed(0);
  }

  /** How many messages may be held that have not proved harmless yet. */
  get window(): number {
    return this.#window;
  }

  /** Counts messages that proved harmless. */
  passed(count: number): void {
    this.#window += count;
    if (this.#window < this.#calmAt) return;
    this.#window = Number.POSITIVE_INFINITY;
    this.#isAlarmed = false;
  }

  /** Suspects were found; true for the first of a series. */
  alarm(): boolean {
    if (this.#isAlarmed) return false;
    this.#isAlarmed = true;
    this.#window = 1;
    return true;
  }
}
