import type { Clock } from "../core/clock.ts";

/** Collects what one turn of the event loop adds, and hands it over in one piece. */
export class TickBatch<Item> {
  readonly #clock: Clock;
  readonly #flush: (items: Item[]) => void;
  #items: Item[] = [];

  constructor(clock: Clock, flush: (items: Item[]) => void) {
    this.#clock = clock;
    this.#flush = flush;
  }

  add(item: Item): void {
    this.#items.push(item);
    if (this.#items.length > 1) return;
    this.#clock.soon(() => {
      const items = this.#items;
      this.#items = [];
      this.#flush(items);
    });
  }
}
