/**
 * Writes to the run store in groups: what one turn of the event loop adds goes out in one call, and what arrives while the
 * calls in flight are at their maximum goes out with the next. Two calls keep a store busy that is near. One that is far away would
 * stand still between them: where it takes more at once, more are on their way, each of them full, or a few milliseconds after the last.
 *
 * While the store is down, items wait for it (their number is bounded by the messages in flight); every write may be repeated, since each
 * names its epoch or token.
 *
 * A store that answers but refuses a group is not down: the group is halved until the item is found that cannot be written,
 * which is given up alone.
 *
 * A store of which a part is down carries out the rest: that rest is sent again without what it could not reach (a repeat does no
 * harm), which is asked for at intervals until it has waited for too long.
 */
import { noFraction } from "../core/fractions.ts";
import type { Clock, Timer } from "../core/clock.ts";
import { StorePartlyUnavailableError, StoreUnavailableError } from "../core/errors.ts";
import type { StoreGate } from "./store-gate.ts";

export const groupItemsMax = 500;
/** So many calls go out whatever they hold. */
export const groupCallsMax = 2;
/** Any beyond those goes out so long after the last, unless it is full. */
export const groupEveryMs = 5;
/** Between two attempts to reach the part of a store that is down. */
export const partPauseMs = 250;

export interface GroupCommitOptions<Item, Answer> {
  readonly clock: Clock;
  readonly gate: StoreGate;
  write(items: readonly Item[]): Promise<Answer>;
  /** Hears each group that was written, with the store's answer. */
  written(items: readonly Item[], answer: Answer): void;
  /** Hears items that are given up: the store stayed down (all of it, or the part that holds them), or refuses them. */
  abandoned(items: readonly Item[], why: "down" | "refused"): void;
  /** How long an item waits for a part of the store that is down; the gate's time for the whole store where it is left out. */
  readonly partHoldMaxMs?: number;
  /** How many calls the store takes at once; `groupCallsMax` where it is left out. */
  readonly callsMax?: number | undefined;
}

export class GroupCommit<Item, Answer> {
  readonly #options: GroupCommitOptions<Item, Answer>;
  #waiting: Item[] = [];
  /** Halves of groups that the store refused. */
  readonly #halves: (readonly Item[])[] = [];
  /** What lies in a part of the store that is down, until it is asked again; and since when. */
  #unreached: Item[] = [];
  readonly #unreachedSinceMs = new Map<Item, number>();
  #calls = 0;
  #calledMs = noFraction;
  #isFlushing = false;
  #later: Timer | undefined;
  /** When what lies in a part that is down is asked for again. */
  #again: Timer | undefined;

  constructor(options: GroupCommitOptions<Item, Answer>) {
    this.#options = options;
    options.gate.onReopened(() => this.#flush());
    options.gate.onGaveUp(() => this.#flush());
  }

  add(item: Item): void {
    this.#waiting.push(item);
    if (this.#isFlushing || this.#calls >= this.#callsMax) return;
    this.#isFlushing = true;
    this.#options.clock.soon(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    const { gate } = this.#options;
    if (gate.hasGivenUp) this.#abandonAll();
    while (gate.isOpen && this.#mayCall()) {
      const items = this.#next();
      if (items.length === 0) return;
      void this.#call(items);
    }
    if (gate.isOpen && this.#waiting.length > 0 && this.#calls < this.#callsMax) this.#flushLater();
  }

  get #callsMax(): number {
    return this.#options.callsMax ?? groupCallsMax;
  }

  #mayCall(): boolean {
    if (this.#calls < groupCallsMax) return true;
    if (this.#calls >= this.#callsMax) return false;
    return this.#waiting.length >= groupItemsMax || this.#options.clock.monotonicMs() - this.#calledMs >= groupEveryMs;
  }

  #flushLater(): void {
    if (this.#later !== undefined) return;
    this.#later = this.#options.clock.after(groupEveryMs, () => {
      this.#later = undefined;
      this.#flush();
    });
  }

  #next(): readonly Item[] {
    const half = this.#halves.pop();
    if (half !== undefined) return half;
    const all = this.#waiting;
    this.#waiting = all.length > groupItemsMax ? all.slice(groupItemsMax) : [];
    return all.length > groupItemsMax ? all.slice(0, groupItemsMax) : all;
  }

  /** Nothing waits any more, so nothing is waited for. */
  #abandonAll(): void {
    this.#later?.cancel();
    this.#again?.cancel();
    this.#later = this.#again = undefined;
    const items = [...this.#halves.splice(0).flat(), ...this.#waiting, ...this.#unreached.splice(0)];
    this.#waiting = [];
    this.#unreachedSinceMs.clear();
    if (items.length > 0) this.#options.abandoned(items, "down");
  }

  async #call(items: readonly Item[]): Promise<void> {
    const { gate } = this.#options;
    let answer: { readonly value: Answer } | undefined;
    this.#calls += 1;
    this.#calledMs = this.#options.clock.monotonicMs();
    try {
      answer = { value: await this.#options.write(items) };
    } catch (error) {
      this.#failed(items, error);
    }
    this.#calls -= 1;
    try {
      if (answer !== undefined) {
        gate.worked();
        if (this.#unreachedSinceMs.size > 0) for (const item of items) this.#unreachedSinceMs.delete(item);
        this.#options.written(items, answer.value);
      }
    } finally {
      this.#flush();
    }
  }

  #failed(items: readonly Item[], error: unknown): void {
    if (error instanceof StorePartlyUnavailableError) {
      this.#partlyFailed(items, new Set(error.unreachable));
    } else if (error instanceof StoreUnavailableError) {
      this.#waiting = [...items, ...this.#waiting];
      this.#options.gate.close(error);
    } else if (items.length === 1) {
      for (const item of items) this.#unreachedSinceMs.delete(item);
      this.#options.abandoned(items, "refused");
    } else {
      const middle = items.length >> 1;
      this.#halves.push(items.slice(middle), items.slice(0, middle));
    }
  }

  #partlyFailed(items: readonly Item[], unreachable: ReadonlySet<number>): void {
    const { clock, gate, partHoldMaxMs = gate.holdMaxMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const reached = items.filter((_, index) => !unreachable.has(index));
    if (reached.length > 0) this.#halves.push(reached);
    const over: Item[] = [];
    for (const index of unreachable) {
      const item = items[index];
      if (item === undefined) continue;
      const sinceMs = this.#unreachedSinceMs.get(item) ?? nowMs;
      if (nowMs - sinceMs >= partHoldMaxMs) {
        this.#unreachedSinceMs.delete(item);
        over.push(item);
      } else {
        this.#unreachedSinceMs.set(item, sinceMs);
        this.#unreached.push(item);
      }
    }
    if (this.#unreached.length > 0) this.#again ??= clock.after(partPauseMs, () => this.#askAgain());
    if (over.length > 0) this.#options.abandoned(over, "down");
  }

  /** In groups of their own, which hold nobody else up. */
  #askAgain(): void {
    this.#again = undefined;
    const items = this.#unreached.splice(0);
    for (let at = 0; at < items.length; at += groupItemsMax) this.#halves.push(items.slice(at, at + groupItemsMax));
    this.#flush();
  }
}
