/**
 * Slots of one dependency and the bounded lane before them. What waits is first in, first out; the lane is a deque on an
 * array with a moving head, so that neither end costs more than constant time.
 */
import type { BulkheadPolicy } from "../core/skill.ts";

/** The lane's array is cut once this many places at its head are empty, and they are more than half of it. */
const emptyPlacesMax = 64;

export class Bulkhead<Run> {
  readonly policy: BulkheadPolicy;
  #inUse = 0;
  #lane: (Run | undefined)[] = [];
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

  /** Runs that could be taken or queued now. */
  get room(): number {
    return Math.max(0, this.policy.concurrentMax - this.#inUse) + Math.max(0, this.policy.queueMax - this.waiting);
  }

  /** Runs that could be taken now, or queued with no more of them waiting than there are slots: each begins when one ends. */
  get soonRoom(): number {
    const { concurrentMax, queueMax } = this.policy;
    return Math.max(0, concurrentMax - this.#inUse) + Math.max(0, Math.min(queueMax, concurrentMax) - this.waiting);
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

  enqueue(run: Run): void {
    this.#lane.push(run);
  }

  first(): Run | undefined {
    return this.#lane[this.#head];
  }

  dequeue(): Run | undefined {
    const run = this.#lane[this.#head];
    if (run === undefined) return undefined;
    this.#lane[this.#head] = undefined;
    this.#head += 1;
    if (this.#head > emptyPlacesMax && this.#head * 2 > this.#lane.length) {
      this.#lane = this.#lane.slice(this.#head);
      this.#head = 0;
    }
    return run;
  }
}
