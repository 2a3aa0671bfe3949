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

/** What is taken of one skill. */
export interface SkillIntake<Run> {
  /** Its index among the worker's skills. */
  readonly kind: number;
  readonly window: IntakeWindow;
  readonly slots: SkillSlots<Run>;
  /** Of its runs, as their threads measure them. */
  readonly latency: LatencyWatch;
}

export class SkillSlots<Run> {
  readonly #threads: number;
  readonly #isFixed: boolean;
  readonly #slots: Bulkhead<Run>;

  /** `concurrentMax`: undefined for the default, which is `runsPerThread` for each thread, or as many as a thread ends within 20 ms. */
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

  /** How long runs take by themselves. */
  measured(serviceMs: number): void {
    if (this.#isFixed) return;
    const concurrentMax = this.#threads * Math.max(runsPerThread, Math.ceil(aheadMs / Math.max(serviceMs, aheadMs / 10_000)));
    if (concurrentMax !== this.concurrentMax) this.#slots.change({ concurrentMax });
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
