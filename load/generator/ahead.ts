import { setImmediate as turn } from "node:timers/promises";

export interface AheadLimits {
  readonly itemsMax: number;
  readonly bytesMax: number;
}

/** Items between two turns of the event loop: a few milliseconds of making them. */
const itemsPerTurn = 32;

/** Items that are made before they are wanted, as far as that was asked for, and the rest as they are read. */
export class Ahead<Item extends object> implements Iterator<Item> {
  readonly #items: Iterator<Item>;
  readonly #bytesOf: (item: Item) => number;
  #made: (Item | undefined)[] = [];
  #taken = 0;

  constructor(items: Iterable<Item>, bytesOf: (item: Item) => number) {
    this.#items = items[Symbol.iterator]();
    this.#bytesOf = bytesOf;
  }

  /** Makes items until one of the limits is reached, there are no more, or the signal. */
  async make({ itemsMax, bytesMax }: AheadLimits, signal: AbortSignal): Promise<void> {
    let bytes = 0;
    for (let count = 0; count < itemsMax && bytes < bytesMax && !signal.aborted; count++) {
      const next = this.#items.next();
      if (next.done === true) return;
      this.#made.push(next.value);
      bytes += this.#bytesOf(next.value);
      if (count % itemsPerTurn === itemsPerTurn - 1) await turn();
    }
  }

  next(): IteratorResult<Item, undefined> {
    const item = this.#made[this.#taken];
    if (item === undefined) {
      this.#made = [];
      this.#taken = 0;
      const next = this.#items.next();
      return next.done === true ? { done: true, value: undefined } : next;
    }
    // What has been handed out is not held on to.
    this.#made[this.#taken] = undefined;
    this.#taken += 1;
    return { done: false, value: item };
  }
}
