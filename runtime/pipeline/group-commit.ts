/**
 * Writes to the run store in groups: what one turn of the event loop adds goes out in one call, and what arrives while the
 * calls in flight are at their maximum goes out with the next. While the store is down, items wait for it (their number is
 * bounded by the messages in flight); every write may be repeated, since each names its epoch or token.
 *
 * A store that answers but refuses a group is not down: the group is halved until the item is found that cannot be written,
 * which is given up alone.
 */
import type { Clock } from "../core/clock.ts";
import { StoreUnavailableError } from "../core/errors.ts";
import type { StoreGate } from "./store-gate.ts";

export const groupItemsMax = 500;
export const groupCallsMax = 2;

export interface GroupCommitOptions<Item, Answer> {
  readonly clock: Clock;
  readonly gate: StoreGate;
  write(items: readonly Item[]): Promise<Answer>;
  /** Hears each group that was written, with the store's answer. */
  written(items: readonly Item[], answer: Answer): void;
  /** Hears items that are given up: the store stayed down, or refuses them. */
  abandoned(items: readonly Item[]): void;
}

export class GroupCommit<Item, Answer> {
  readonly #options: GroupCommitOptions<Item, Answer>;
  #waiting: Item[] = [];
  /** Halves of groups that the store refused. */
  readonly #halves: (readonly Item[])[] = [];
  #calls = 0;
  #isFlushing = false;

  constructor(options: GroupCommitOptions<Item, Answer>) {
    this.#options = options;
    options.gate.onReopened(() => this.#flush());
    options.gate.onGaveUp(() => this.#flush());
  }

  add(item: Item): void {
    this.#waiting.push(item);
    if (this.#isFlushing || this.#calls >= groupCallsMax) return;
    this.#isFlushing = true;
    this.#options.clock.soon(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { gate } = this.#options;
    if (gate.hasGivenUp) this.#abandonAll();
    while (gate.isOpen && this.#calls < groupCallsMax) {
      const items = this.#next();
      if (items.length === 0) return;
      void this.#call(items);
    }
  }

  #next(): readonly Item[] {
    const half = this.#halves.pop();
    if (half !== undefined) return half;
    const all = this.#waiting;
    this.#waiting = all.length > groupItemsMax ? all.slice(groupItemsMax) : [];
    return all.length > groupItemsMax ? all.slice(0, groupItemsMax) : all;
  }

  #abandonAll(): void {
    const items = [...this.#halves.splice(0).flat(), ...this.#waiting];
    this.#waiting = [];
    if (items.length > 0) this.#options.abandoned(items);
  }

  async #call(items: readonly Item[]): Promise<void> {
    const { gate } = this.#options;
    let answer: { readonly value: Answer } | undefined;
    this.#calls += 1;
    try {
      answer = { value: await this.#options.write(items) };
    } catch (error) {
      this.#failed(items, error);
    }
    this.#calls -= 1;
    try {
      if (answer !== undefined) {
        gate.worked();
        this.#options.written(items, answer.value);
      }
    } finally {
      this.#flush();
    }
  }

  #failed(items: readonly Item[], error: unknown): void {
    if (error instanceof StoreUnavailableError) {
      this.#waiting = [...items, ...this.#waiting];
      this.#options.gate.close(error);
    } else if (items.length === 1) {
      this.#options.abandoned(items);
    } else {
      const middle = items.length >> 1;
      this.#halves.push(items.slice(middle), items.slice(0, middle));
    }
  }
}
