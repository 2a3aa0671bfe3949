/**
 * How many runs of one skill may be under way at once, and the lane of those that wait for it, first in, first out. A bulkhead
 * bounds what is asked of a dependency; this bounds what one skill asks of the worker: runs that only wait for something cost a
 * thread nothing and would otherwise all begin at once.
 */
import { Bulkhead } from "./bulkhead.ts";
import type { IntakeWindow } from "./intake-window.ts";
import type { LatencyWatch } from "./latency-watch.ts";

/** Runs a thread has under way at once, where the author sets no limit: for work that waits more than it computes. */
export const runsPerThread = 100;
/** Work that is over sooner is handed to a thread for so long ahead. */
const aheadMs = 20;
/** Nothing is taken to be over sooner. */
const ownMinMs = aheadMs / 10_000;
/** Weight of the newest run among those that were measured. */
const sampleWeight = 0.05;

/** What is taken of one skill. */
export interface SkillIntake<Run> {
  /** Its index among the worker's skills. */
  readonly kind: number;
  readonly window: IntakeWindow;
  readonly slots: SkillSlots<Run>;
  /** Whether everything of it that is here has begun, and more could. */
  isDry(): boolean;
  /** Of its runs, as their threads measure them. */
  readonly latency: LatencyWatch;
}

export class SkillSlots<Run> {
  readonly #threads: number;
  readonly #isFixed: boolean;
  readonly #slots: Bulkhead<Run>;
  /** Of its runs lately, on average: how long they took, and how long without what they waited for their checkpoints. 0 while unknown. */
  #serviceMs = 0;
  #ownMs = 0;

  /**
   * `concurrentMax`: undefined for the default, which is `runsPerThread` for each thread, or as many as a thread ends within 20 ms. A run that
   * waits until its step is recorded asks nothing of anybody but the store, which writes what comes at once together: it is not counted meanwhile.
   */
  constructor(threads: number, concurrentMax: number | undefined) {
    this.#threads = threads;
    this.#isFixed = concurrentMax !== undefined;
    // Its lane is as long as the intake window lets it be.
    this.#slots = new Bulkhead<Run>({
      concurrentMax: concurrentMax ?? threads * runsPerThread,
      queueMax: Number.POSITIVE_INFINITY,
      waitMaxMs: 0,
      whenFull: "postpone",
    });
  }

  get concurrentMax(): number {
    return this.#slots.policy.concurrentMax;
  }

  get inUse(): number {
    return this.#slots.inUse;
  }

  get waiting(): number {
    return this.#slots.waiting;
  }

  /** How long a run takes by itself, without what it waits for the store; 0 while it is unknown. */
  get ownMs(): number {
    return this.#ownMs;
  }

  /** A run has taken `serviceMs`, of which it waited `recordingMs` for its checkpoints. */
  ran(serviceMs: number, recordingMs: number): void {
    const ownMs = Math.max(ownMinMs, serviceMs - recordingMs);
    const weight = this.#ownMs === 0 ? 1 : sampleWeight;
    this.#ownMs += weight * (ownMs - this.#ownMs);
    this.#serviceMs += weight * (Math.max(ownMs, serviceMs) - this.#serviceMs);
  }

  /** Goes by what was measured. */
  adapt(): void {
    if (this.#isFixed || this.#ownMs === 0) return;
    const underWay = (runsPerThread * this.#serviceMs) / this.#ownMs;
    const concurrentMax = this.#threads * Math.ceil(Math.max(underWay, aheadMs / this.#ownMs));
    if (concurrentMax !== this.concurrentMax) this.#slots.widen(concurrentMax);
  }

  /** Takes a slot, or a place in the lane. */
  enter(run: Run): boolean {
    if (this.#slots.hasSlot()) {
      this.#slots.take();
      return true;
    }
    this.#slots.enqueue(run);
    return false;
  }

  leave(): void {
    this.#slots.give();
  }

  /** The first that waits, with a slot of its own now. */
  next(): Run | undefined {
    if (!this.#slots.hasSlot()) return undefined;
    const run = this.#slots.dequeue();
    if (run !== undefined) this.#slots.take();
    return run;
  }

  /** The first that waits, when it has waited since `sinceMs` or longer: it is taken out. */
  expire(hasWaited: (run: Run) => boolean): Run | undefined {
    const run = this.#slots.first();
    return run !== undefined && hasWaited(run) ? this.#slots.dequeue() : undefined;
  }

  /** Takes every run out of the lane. */
  clear(): void {
    while (this.#slots.dequeue() !== undefined);
  }
}
