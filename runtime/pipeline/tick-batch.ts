import type { Clock } from "../core/clock.ts";

/** Collects what one turn of the event loop adds, or what comes within `waitMs`, and hands it over in one piece. */
export class TickBatch<Item> {
  readonly #clock: Clock;
  readonly #flush: (items: Item[]) => void;
  readonly #waitMs: number;
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
    else this.#clock.after(this.#waitMs, this.#handOver);
  }

  readonly #handOver = (): void => {
    const items = this.#items;
    this.#items = [];
    this.#flush(items);
  };
}
