import type { Clock, Timer } from "../core/clock.ts";

/** Collects what one turn of the event loop adds, or what comes within `waitMs`, and hands it over in one piece. */
export class TickBatch<Item> {
  readonly #clock: Clock;
  readonly #flush: (items: Item[]) => void;
  #waitMs: number;
  #timer: Timer | undefined;
  #items: Item[] = [];

  constructor(clock: Clock, flush: (items: Item[]) => void, waitMs = 0) {
    this.#clock = clock;
    this.#flush = flush;
    this.#waitMs = waitMs;
  }

  add(item: Item): void {
    this.#items.push(item);
    if (this.#items.length > 1) return;
    if (this.#waitMs === 0) this.#clock.soon(this.#handOver);
    else this.#timer = this.#clock.after(this.#waitMs, this.#handOver);
  }

  /** Nothing waits longer than its turn of the event loop any more. */
  stop(): void {
    this.#waitMs = 0;
    if (this.#timer !== undefined) this.#handOver();
  }

  readonly #handOver = (): void => {
    this.#timer?.cancel();
    this.#timer = undefined;
    const items = this.#items;
    this.#items = [];
    this.#flush(items);
  };
}
