/**
 * Slots of one dependency and the bounded lane before them. What waits is first in, first out; the lane is a deque on an
 * array with a moving head, so that neither end costs more than constant time.
 *
 * The lane holds `queueMax` runs at most. When one of them waited too long, it holds no more than what got slots in that
 * time, so that less is taken the next time; each run that gets a slot widens it by one again.
 */
import type { BulkheadPolicy } from "../core/skill.ts";

/** The lane's array is cut once this many places at its head are empty, and they are more than half of it. */
const emptyPlacesMax = 64;

export interface BulkheadView {
  readonly policy: BulkheadPolicy;
  readonly inUse: number;
  readonly waiting: number;
  /** What the lane takes now: less than `queueMax` after long waits. */
  readonly laneMax: number;
  /** Runs that began without a slot, since the start. */
  readonly rejected: number;
}

export class Bulkhead<Run> {
  #policy: BulkheadPolicy;
  #inUse = 0;
  #lane: (Run | undefined)[] = [];
  /** How many runs had got slots when each run in the lane came; negative, and one less, for one that had waited in another lane. */
  #stamps: number[] = [];
  #entered = 0;
  #laneMax: number;
  #head = 0;
  #rejected = 0;

  constructor(policy: BulkheadPolicy) {
    this.#policy = policy;
    this.#laneMax = policy.queueMax;
  }

  get policy(): BulkheadPolicy {
    return this.#policy;
  }

  /** Changes its bounds from now on: who is in stays in. A lane that was narrowed by long waits is widened again. */
  change(changes: Partial<BulkheadPolicy>): void {
    this.#policy = { ...this.#policy, ...changes };
    this.#laneMax = this.#policy.queueMax;
  }

  /** Lets as many runs in at once from now on; nothing else changes. */
  widen(concurrentMax: number): void {
    if (concurrentMax !== this.#policy.concurrentMax) this.#policy = { ...this.#policy, concurrentMax };
  }

  view(): BulkheadView {
    return { policy: this.#policy, inUse: this.#inUse, waiting: this.waiting, laneMax: this.#laneMax, rejected: this.#rejected };
  }

  get inUse(): number {
    return this.#inUse;
  }

  get waiting(): number {
    return this.#lane.length - this.#head;
  }

  /** Runs that need not be postponed now: they could be taken, queued or rejected. */
  get room(): number {
    if (this.#policy.whenFull === "reject") return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#policy.concurrentMax - this.#inUse) + Math.max(0, this.#laneMax - this.waiting);
  }

  /** Runs that could be taken or rejected now, or queued with no more of them waiting than there are slots: each begins when one ends. */
  get soonRoom(): number {
    const { concurrentMax, whenFull } = this.#policy;
    if (whenFull === "reject") return Number.POSITIVE_INFINITY;
    return Math.max(0, concurrentMax - this.#inUse) + Math.max(0, Math.min(this.#laneMax, concurrentMax) - this.waiting);
  }

  hasSlot(): boolean {
    return this.#inUse < this.#policy.concurrentMax;
  }

  hasLaneSpace(): boolean {
    return this.waiting < this.#laneMax;
  }

  take(): void {
    this.#inUse += 1;
    this.#entered += 1;
    if (this.#laneMax < this.#policy.queueMax) this.#laneMax += 1;
  }

  /** Counts a run that begins without a slot. */
  reject(): void {
    this.#rejected += 1;
  }

  give(): void {
    if (this.#inUse === 0) throw new RangeError("expected a taken slot to be given back, found none in use");
    this.#inUse -= 1;
  }

  /** `hasWaited`: in another lane before, so that its wait says nothing of this one. */
  enqueue(run: Run, hasWaited = false): void {
    this.#lane.push(run);
    this.#stamps.push(hasWaited ? -1 - this.#entered : this.#entered);
  }

  first(): Run | undefined {
    return this.#lane[this.#head];
  }

  /**
   * How long the lane takes to move on by its length, judged by its first run, which has waited `waitedMs`; undefined for an empty one. Slots come free in
   * batches: until as many have as there are in use, or as the lane is long, those in use are taken to be about to, which says that a lane that has just
   * filled moves soon, and one that stands still takes longer with each look. What the first run waited in another lane counts: that makes it too long rather
   * than too short.
   */
  drainMs(waitedMs: number): number | undefined {
    const stamp = this.#stamps[this.#head];
    if (stamp === undefined) return undefined;
    const moved = this.#entered - (stamp < 0 ? -1 - stamp : stamp);
    const isKnown = moved >= Math.min(this.#inUse, this.waiting - 1);
    return (this.waiting * waitedMs) / Math.max(1, moved, isKnown ? 0 : this.#inUse);
  }

  /** Takes the first run out because it waited too long. */
  expire(): Run | undefined {
    const stamp = this.#stamps[this.#head] ?? this.#entered;
    if (stamp >= 0) this.#laneMax = Math.min(this.#laneMax, this.#entered - stamp);
    return this.dequeue();
  }

  dequeue(): Run | undefined {
    const run = this.#lane[this.#head];
    if (run === undefined) return undefined;
    this.#lane[this.#head] = undefined;
    this.#head += 1;
    // Stryker disable next-line ConditionalExpression, LogicalOperator, EqualityOperator, ArithmeticOperator: when empty places are dropped changes no answer, only the memory that they take
    if (this.#head > emptyPlacesMax && this.#head * 2 > this.#lane.length) {
      this.#lane = this.#lane.slice(this.#head);
      this.#stamps = this.#stamps.slice(this.#head);
      this.#head = 0;
    }
    return run;
  }
}
