/**
 * How many runs of one skill may be under way at once, and the lane of those that wait for it, first in, first out. A bulkhead
 * bounds what is asked of a dependency; this bounds what one skill asks of the worker: runs that only wait for something cost a
 * thread nothing and would otherwise all begin at once.
 */
import { noFraction } from "../core/fractions.ts";
import { Bulkhead } from "./bulkhead.ts";
import type { IntakeWindow } from "./intake-window.ts";
import type { LatencyWatch } from "./latency-watch.ts";
import type { ReturnTimes } from "./return-times.ts";

/** Runs a thread has under way at once, where the author sets no limit: for work that waits more than it computes. */
export const runsPerThread = 100;
/** Work that is over sooner is handed to a thread for so long ahead. */
const aheadMs = 20;
/** Nothing is taken to be over sooner. */
const ownMinMs = aheadMs / 10_000;
/** Weight of the newest run among those that were measured. */
const sampleWeight = 0.05;
/** Code that holds its threads' loops for this part of the time leaves nothing to be gained by more runs at once; with less than the other there is. */
const loopIsFullFrom = 0.9;
const loopIsFreeBelow = 0.8;
/** So many runs can tell. */
const runsMin = 4;
/** The shortest run is believed for so many runs, and as many again. */
const leastRuns = 64;
/** When fewer runs turned out not to keep the loops busy, that is believed for so many looks. */
const believedForLooks = 60;

/** What is taken of one skill. */
export interface SkillIntake<Run> {
  /** Its index among the worker's skills. */
  readonly kind: number;
  readonly window: IntakeWindow;
  readonly slots: SkillSlots<Run>;
  /** Of its messages that are left to others. */
  readonly returns: ReturnTimes;
  /** Whether everything of it that is here has begun, and more could. */
  readonly isDry: () => boolean;
  /** Of its runs, as their threads measure them. */
  readonly latency: LatencyWatch;
}

export class SkillSlots<Run> {
  readonly #threads: number;
  readonly #isFixed: boolean;
  readonly #takesTurns: boolean;
  readonly #slots: Bulkhead<Run>;
  /** Of its runs lately, on average: how long they took, and how long without what they waited until their steps were recorded. 0 while unknown. */
  #serviceMs = noFraction;
  #ownMs = noFraction;
  /** The shortest among those of now, after so many of them, and among those before. */
  #leastMs = Number.POSITIVE_INFINITY;
  #leastBeforeMs = Number.POSITIVE_INFINITY;
  #leastOf = 0;
  /** How many at once keep the loops of the threads busy, and how many are known not to. */
  #loopBound = Number.POSITIVE_INFINITY;
  #tooFew = 0;
  #believedFor = 0;
  /** Since the loops were looked at last: runs that ended, and the most at once. */
  #ended = 0;
  #peak = 0;
  #left = 0;
  #loopUse = noFraction;
  /** The part of one run in which it holds its loop. */
  #heldMs = noFraction;

  /**
   * `concurrentMax`: undefined for the default, which is `runsPerThread` for each thread, or as many as a thread ends within 20 ms. A run that
   * waits until its step is recorded asks nothing of anybody but the store, which writes what comes at once together: it is not counted meanwhile.
   * `takesTurns`: runs of several sources wait behind it for their turn, which hands threads no more than they begin soon, and needs some of each
   * source to choose from.
   */
  constructor(threads: number, concurrentMax: number | undefined, takesTurns = false) {
    this.#threads = threads;
    this.#takesTurns = takesTurns;
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

  /** Runs that had a slot and are under way no more. */
  get left(): number {
    return this.#left;
  }

  /** How long a run takes by itself, without what it waits for the store; 0 while it is unknown. */
  get ownMs(): number {
    return this.#ownMs + 0;
  }

  /** A run has taken `serviceMs`, of which it waited `recordingMs`, as its thread has it, until its steps were recorded. */
  ran(serviceMs: number, recordingMs: number): void {
    const ownMs = Math.max(ownMinMs, serviceMs - recordingMs);
    const weight = this.#ownMs === 0 ? 1 : sampleWeight;
    this.#ended += 1;
    this.#tookAtLeast(serviceMs);
    this.#ownMs += weight * (ownMs - this.#ownMs);
    this.#serviceMs += weight * (Math.max(ownMs, serviceMs) - this.#serviceMs);
  }

  #tookAtLeast(serviceMs: number): void {
    if (this.#leastOf === leastRuns) {
      this.#leastBeforeMs = this.#leastMs;
      this.#leastMs = Number.POSITIVE_INFINITY;
      this.#leastOf = 0;
    }
    this.#leastOf += 1;
    if (serviceMs < this.#leastMs) this.#leastMs = serviceMs;
  }

  /** The shortest that a run was in its thread lately; 0 while it is unknown. */
  get leastMs(): number {
    const leastMs = Math.min(this.#leastMs, this.#leastBeforeMs);
    return leastMs === Number.POSITIVE_INFINITY ? 0 : leastMs;
  }

  /** How long a run is in its thread; 0 while it is unknown. */
  get serviceMs(): number {
    return this.#serviceMs + 0;
  }

  /** The part of its threads' time in which its runs hold their event loops; 0 while it is unknown. */
  get loopUse(): number {
    return this.#loopUse + 0;
  }

  /** Runs of it that have ended since `heldLoops`. */
  get ended(): number {
    return this.#ended;
  }

  /** Whether so many runs have ended since the loops were looked at that they can tell. */
  get canTell(): boolean {
    return this.#ended >= runsMin;
  }

  /**
   * Its runs have held the loops of its threads for `heldMs` within the last `forMs`. As long as they hold them all the time, half as many at
   * once are tried, down to what a thread does within 20 ms, one run at least: the rest waits where it can be given back.
   */
  heldLoops(heldMs: number, forMs: number): void {
    const atOnce = this.#peak;
    this.#loopUse = Math.min(1, heldMs / (forMs * this.#threads));
    this.#heldMs = heldMs / this.#ended;
    this.#ended = 0;
    this.#peak = this.inUse;
    this.#believedFor -= 1;
    if (this.#believedFor <= 0) this.#tooFew = 0;
    if (this.#takesTurns) return;
    if (this.#loopUse >= loopIsFullFrom) {
      const fewer = Math.ceil(Math.min(this.#loopBound, atOnce) / 2);
      if (fewer > this.#tooFew) this.#loopBound = Math.max(this.#threads, fewer);
    } else if (this.#loopUse < loopIsFreeBelow && atOnce >= this.#loopBound && this.waiting > 0) {
      this.#tooFew = this.#loopBound;
      this.#believedFor = believedForLooks;
      this.#loopBound *= 2;
    }
    this.adapt();
  }

  /** Goes by what was measured. */
  adapt(): void {
    if (this.#isFixed || this.#ownMs === 0) return;
    // So many times as many are in a thread as are under way there.
    const inThread = this.#serviceMs / this.#ownMs;
    const underWay = this.#threads * Math.ceil(Math.max(runsPerThread * inThread, aheadMs / this.#ownMs));
    const ahead = this.#threads * Math.ceil((inThread * aheadMs) / Math.max(ownMinMs, this.#heldMs));
    const concurrentMax = Math.min(underWay, Math.max(this.#loopBound, ahead));
    if (concurrentMax !== this.concurrentMax) this.#slots.widen(concurrentMax);
  }

  /** Takes a slot, or a place in the lane. */
  enter(run: Run): boolean {
    if (this.#slots.hasSlot()) {
      this.#take();
      return true;
    }
    this.#slots.enqueue(run);
    return false;
  }

  leave(): void {
    this.#left += 1;
    this.#slots.give();
  }

  /** The first that waits, with a slot of its own now. */
  next(): Run | undefined {
    if (!this.#slots.hasSlot()) return undefined;
    const run = this.#slots.dequeue();
    if (run !== undefined) this.#take();
    return run;
  }

  #take(): void {
    this.#slots.take();
    if (this.inUse > this.#peak) this.#peak = this.inUse;
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
