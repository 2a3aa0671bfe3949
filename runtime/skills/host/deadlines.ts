import type { Clock, Timer } from "../../core/clock.ts";

/**
 * Deadlines of many runs on one timer. The timer is set for the earliest deadline that was known when it was last looked for;
 * a run that ends just leaves the set. Adding one costs no timer unless it comes before all others, so with runs of one
 * time-out a timer fires about once a time-out, however many runs there are.
 */
export interface Expiring {
  /** Monotonic. */
  readonly deadlineMs: number;
}

/** Least pause between two looks. */
const restMs = 2;

export class Deadlines<Item extends Expiring> {
  readonly #items = new Set<Item>();
  readonly #clock: Pick<Clock, "monotonicMs" | "after">;
  readonly #expired: (item: Item) => void;
  #timer: Timer | undefined;
  #firesAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Pick<Clock, "monotonicMs" | "after">, expired: (item: Item) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  add(item: Item): void {
    this.#items.add(item);
    if (item.deadlineMs < this.#firesAtMs) this.#arm(item.deadlineMs);
  }

  delete(item: Item): void {
    this.#items.delete(item);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#items.clear();
    this.#firesAtMs = Number.POSITIVE_INFINITY;
  }

  #arm(atMs: number): void {
    this.#timer?.cancel();
    this.#firesAtMs = atMs;
    this.#timer = this.#clock.after(Math.max(restMs, Math.ceil(atMs - this.#clock.monotonicMs())), () => this.#look());
  }

  #look(): void {
    this.#firesAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.monotonicMs();
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const item of this.#items) {
      if (item.deadlineMs <= nowMs) {
        this.#items.delete(item);
        this.#expired(item);
      } else if (item.deadlineMs < earliestMs) {
        earliestMs = item.deadlineMs;
      }
    }
    if (earliestMs < this.#firesAtMs) this.#arm(earliestMs);
  }
}
