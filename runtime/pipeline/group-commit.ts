/**
 * Writes to the run store in groups: what one turn of the event loop adds goes out in one call, and what arrives while the
 * calls in flight are at their maximum goes out with the next. When the store is down, items wait for it (their number is
 * bounded by the messages in flight); every write may be repeated, since each names its epoch or token.
 */
import type { Clock } from "../core/clock.ts";
import type { StoreGate } from "./store-gate.ts";

export const groupItemsMax = 500;
export const groupCallsMax = 2;

export interface GroupCommitOptions<Item, Result> {
  readonly clock: Clock;
  readonly gate: StoreGate;
  write(items: readonly Item[]): Promise<readonly Result[]>;
  /** Hears each group that was written, results in the order of the items. */
  written(items: readonly Item[], results: readonly Result[]): void;
  /** Hears items that were given up because the store stayed down. */
  abandoned(items: readonly Item[]): void;
}

export class GroupCommit<Item, Result> {
  readonly #options: GroupCommitOptions<Item, Result>;
  #waiting: Item[] = [];
  #calls = 0;
  #flushing = false;

  constructor(options: GroupCommitOptions<Item, Result>) {
    this.#options = options;
    options.gate.onReopened(() => this.#flush());
    options.gate.onGaveUp(() => {
      const items = this.#waiting;
      this.#waiting = [];
      if (items.length > 0) options.abandoned(items);
    });
  }

  add(item: Item): void {
    this.#waiting.push(item);
    if (this.#flushing || this.#calls >= groupCallsMax) return;
    this.#flushing = true;
    this.#options.clock.soon(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#waiting.length > 0 && this.#calls < groupCallsMax && this.#options.gate.isOpen) {
      const items = this.#waiting.length <= groupItemsMax ? this.#waiting : this.#waiting.slice(0, groupItemsMax);
      this.#waiting = this.#waiting.length <= groupItemsMax ? [] : this.#waiting.slice(groupItemsMax);
      void this.#call(items);
    }
  }

  async #call(items: readonly Item[]): Promise<void> {
    this.#calls += 1;
    let results: readonly Result[] | undefined;
    try {
      results = await this.#options.write(items);
    } catch (error) {
      this.#waiting = [...items, ...this.#waiting];
      this.#options.gate.close(error);
    }
    this.#calls -= 1;
    if (results !== undefined) this.#options.written(items, results);
    this.#flush();
  }
}
