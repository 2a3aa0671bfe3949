/**
 * Slots of one dependency and the bounded lane before them. `items` that wait are first in, first out; the lane is a deque
 * on an array with a moving head, so that neither end costs more than constant time.
 */
import type { BulkheadPolicy } from "../core/skill.ts";

export class Bulkhead<Item> {
  readonly policy: BulkheadPolicy;
  #inUse = 0;
  #lane: Item[] = [];
  #head = 0;

  constructor(policy: BulkheadPolicy) {
    this.policy = policy;
  }

  get inUse(): number {
    return this.#inUse;
  }

  get waiting(): number {
    return this.#lane.length - this.#head;
  }

  hasSlot(): boolean {
    return this.#inUse < this.policy.concurrentMax;
  }

  hasLaneSpace(): boolean {
    return this.waiting < this.policy.queueMax;
  }

  take(): void {
    this.#inUse += 1;
  }

  give(): void {
    if (this.#inUse === 0) throw new RangeError("expected a taken slot to be given back, found none in use");
    this.#inUse -= 1;
  }

  enqueue(item: Item): void {
    this.#lane.push(item);
  }

  first(): Item | undefined {
    return this.#lane[this.#head];
  }

  dequeue(): Item | undefined {
    const item = this.#lane[this.#head];
    if (item === undefined) return undefined;
    this.#head += 1;
    if (this.#head > 64 && this.#head * 2 > this.#lane.length) {
      this.#lane = this.#lane.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  /** Empties the lane. */
  drain(): Item[] {
    const items = this.#lane.slice(this.#head);
    this.#lane = [];
    this.#head = 0;
    return items;
  }
}
