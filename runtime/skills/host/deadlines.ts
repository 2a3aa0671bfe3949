import type { Clock, Timer } from "../../core/clock.ts";

/**
 * Deadlines of many runs on one timer. The timer is set for the earliest deadline that was known when it was last looked for;
 * a run that ends just leaves the set. Adding one costs no timer unless it comes before all others, so with runs of one
 * time-out a timer fires about once a time-out, however many runs there are.
 */
export interface Expiring {
  /** Monotonic. */
  readonly deadlineMs: number;
  /** Where it stands among those of its `Deadlines`; -1 while it does not. */
  place: number;
}

/** Least pause between two looks. */
const restMs = 2;

export class Deadlines<Item extends Expiring> {
  /** Each knows its place: a Set of what comes and goes all the time is rebuilt over and over. */
  readonly #items: Item[] = [];
  readonly #clock: Pick<Clock, "monotonicMs" | "after">;
  readonly #expired: (item: Item) => void;
  #timer: Timer | undefined;
  #firesAtMs = Number.POSITIVE_INFINITY;

  constructor(clock: Pick<Clock, "monotonicMs" | "after">, expired: (item: Item) => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  add(item: Item): void {
    if (item.place < 0) item.place = this.#items.push(item) - 1;
    if (item.deadlineMs < this.#firesAtMs) this.#arm(item.deadlineMs);
  }

  delete(item: Item): void {
    if (item.place < 0) return;
    const last = this.#items.pop();
    if (last !== undefined && last !== item) {
      this.#items[item.place] = last;
      last.place = item.place;
    }
    item.place = -1;
  }

  stop(): void {
    this.#timer?.cancel();
    for (const item of this.#items.splice(0)) item.place = -1;
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
    const over = this.#items.filter((item) => item.deadlineMs <= nowMs).sort((one, other) => one.deadlineMs - other.deadlineMs);
    for (const item of over) {
      // One that expires may end others.
      if (item.place < 0) continue;
      this.delete(item);
      this.#expired(item);
    }
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const { deadlineMs } of this.#items) if (deadlineMs < earliestMs) earliestMs = deadlineMs;
    if (earliestMs < this.#firesAtMs) this.#arm(earliestMs);
  }
}
