/**
 * All settling of one link, in an order that the client below cannot get wrong.
 *
 * Settlements that are given in one turn of the event loop leave the client together, and it merges neighbours into one
 * frame without comparing the outcomes of the first two: a complete and a dead-letter beside each other would both go out as
 * completes. It also stops merging for good after the first gap. Frames leave on `process.nextTick` after the first
 * settlement of a turn, so the lane works in ticks of that queue:
 *
 *   - a tick holds either one contiguous run of completes, or one settlement of another kind; never two kinds;
 *   - completes are sorted into arrival order and cut into runs; a run is one frame, however long it is.
 *
 *   orders ──► pending ──(end of this turn)──► runs ──► ticks ──► client ──► broker
 *                 ▲                             │
 *                 └── held: finished before an older one ◄┘
 *
 * Completes that finish out of order would be runs of one, and a frame costs about as much as the rest of a settlement. So
 * when many come, those that are not next in line (the `head`) are held for a moment, until the gap before them closes or
 * they were held long enough; then the missing ones are passed, and nobody waits for them again. Nothing is held when few
 * come, nor when little is out, the receiver has no credit left, and half of what is out only waits here.
 *
 * When the link is lost, everything unanswered is given again over the management link; an order that failed there after
 * it may have reached the broker before is `unknown`.
 */
import type { ServiceBusReceiver } from "@azure/service-bus";
import type { Clock, Timer } from "../../core/clock.ts";
import type { SettleResult } from "../../ports/transport.ts";
import { settleResultOf } from "./errors.ts";
import { gapHoldMs, holdCountMin, ticksPerTurnMax } from "./limits.ts";
import type { ManagementLane } from "./management-lane.ts";
import { giveOrder, type Settling } from "./settling.ts";

export interface SettlementLaneOptions {
  readonly receiver: ServiceBusReceiver;
  readonly management: ManagementLane;
  readonly clock: Clock;
  /** The delivery has left the link's buffer, whatever the result. */
  settled(ordinal: number): void;
  /** Whether holding this many completes would keep the receiver from taking more. */
  isStarvedBy(held: number): boolean;
}

export class SettlementLane {
  readonly #options: SettlementLaneOptions;
  /** Completes that no tick has taken yet: new ones behind those that are held. */
  #completes: Settling[] = [];
  #others: Settling[] = [];
  #ticks: Settling[][] = [];
  readonly #inFlight = new Set<Settling>();
  /** The oldest ordinal that was neither given nor passed. */
  #head = 0;
  /** Ordinals beyond the head that were settled in another way. */
  readonly #gone = new Set<number>();
  /** How many completes came in the current stretch of time, and whether it makes holding worthwhile. */
  #stretchFromMs = 0;
  #stretchCount = 0;
  #busy = false;
  #flushing = false;
  #ticking = false;
  #severed = false;
  #hold: Timer | undefined;

  constructor(options: SettlementLaneOptions) {
    this.#options = options;
  }

  add(settling: Settling): void {
    if (settling.order.verb === "complete") {
      this.#completes.push(settling);
      this.#stretchCount += 1;
    } else {
      this.#others.push(settling);
    }
    if (this.#flushing) return;
    this.#flushing = true;
    this.#options.clock.soon(this.#flush);
  }

  /** The link is gone: settles over management from now on. Idempotent. */
  sever(): void {
    if (this.#severed) return;
    this.#severed = true;
    const given = [...this.#inFlight];
    const waiting = this.#ticks.flat();
    this.#ticks = [];
    this.#inFlight.clear();
    for (const settling of given) this.#giveOverManagement(settling, true);
    for (const settling of waiting) this.#giveOverManagement(settling, false);
    this.#flush();
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    if (this.#severed) {
      this.#hold?.cancel();
      const all = [...this.#completes, ...this.#others];
      this.#completes = [];
      this.#others = [];
      for (const settling of all) this.#giveOverManagement(settling, false);
      return;
    }
    for (const settling of this.#others) {
      this.#ticks.push([settling]);
      this.#leave(settling.delivery.ordinal);
    }
    this.#others = [];
    const nowMs = this.#options.clock.monotonicMs();
    this.#gauge(nowMs);
    this.#cutRuns(nowMs);
    this.#tickOn();
  };

  #gauge(nowMs: number): void {
    const isOver = nowMs - this.#stretchFromMs >= gapHoldMs;
    this.#busy = this.#stretchCount >= holdCountMin || (this.#busy && !isOver);
    if (!isOver) return;
    this.#stretchFromMs = nowMs;
    this.#stretchCount = 0;
  }

  /** Moves runs of completes into ticks: the one at the head, those held long enough, or all. */
  #cutRuns(nowMs: number): void {
    const completes = this.#completes;
    if (completes.length === 0) return;
    sortByOrdinal(completes);
    const all = !this.#busy || this.#options.isStarvedBy(completes.length);
    const held: Settling[] = [];
    let dueMs = Infinity;
    for (let from = 0; from < completes.length;) {
      const to = endOfRun(completes, from);
      const first = ordinalAt(completes, from);
      const heldFromMs = first === this.#head ? -Infinity : oldestOf(completes, from, to, nowMs);
      if (all || nowMs - heldFromMs >= gapHoldMs) {
        this.#ticks.push(from === 0 && to === completes.length ? completes : completes.slice(from, to));
        this.#moveHead(first + to - from);
      } else {
        for (let index = from; index < to; index += 1) held.push(completes[index] as Settling);
        dueMs = Math.min(dueMs, heldFromMs + gapHoldMs);
      }
      from = to;
    }
    this.#completes = held;
    if (held.length === 0) {
      this.#hold?.cancel();
      this.#hold = undefined;
    } else {
      this.#hold ??= this.#options.clock.after(Math.max(1, dueMs - nowMs), this.#release);
    }
  }

  readonly #release = (): void => {
    this.#hold = undefined;
    this.#cutRuns(this.#options.clock.monotonicMs());
    this.#tickOn();
  };

  /** The ordinal is given in another way than as part of a run. */
  #leave(ordinal: number): void {
    if (ordinal === this.#head) this.#moveHead(ordinal + 1);
    else if (ordinal > this.#head) this.#gone.add(ordinal);
  }

  /** The head moves up to `ordinal`, which passes what is missing before it, and over what follows and is gone. */
  #moveHead(ordinal: number): void {
    if (ordinal <= this.#head) return;
    if (this.#gone.size > 0) for (const gone of this.#gone) if (gone < ordinal) this.#gone.delete(gone);
    let head = ordinal;
    while (this.#gone.delete(head)) head += 1;
    this.#head = head;
  }

  #tickOn(): void {
    if (this.#ticking || this.#ticks.length === 0) return;
    this.#ticking = true;
    this.#tick(0);
  }

  /**
   * Gives one tick's settlements. The client writes their frame on the `nextTick` queue; the next tick stands behind it in
   * that queue, so that nothing merges across ticks. Other events get their turn every so often.
   */
  #tick(done: number): void {
    const settlings = this.#ticks.shift();
    if (settlings !== undefined) for (const settling of settlings) this.#give(settling);
    if (this.#ticks.length === 0) this.#ticking = false;
    else if (done + 1 < ticksPerTurnMax) process.nextTick(() => this.#tick(done + 1));
    else this.#options.clock.soon(() => this.#tick(0));
  }

  #give(settling: Settling): void {
    this.#inFlight.add(settling);
    const { way } = settling;
    giveOrder(this.#options.receiver, settling.order, settling.delivery).then(
      () => {
        if (settling.way === way) this.#finish(settling, "settled");
      },
      (thrown: unknown) => {
        if (settling.way === way) this.#finish(settling, settleResultOf(thrown));
      },
    );
  }

  #giveOverManagement(settling: Settling, inDoubt: boolean): void {
    settling.way += 1;
    this.#options.management.settle(settling, (result) => this.#finish(settling, inDoubt && result === "lock-lost" ? "unknown" : result));
  }

  #finish(settling: Settling, result: SettleResult): void {
    this.#inFlight.delete(settling);
    this.#options.settled(settling.delivery.ordinal);
    settling.finish(result);
  }
}

/** Completes mostly come in order already. */
function sortByOrdinal(settlings: Settling[]): void {
  for (let index = 1; index < settlings.length; index += 1) {
    if (ordinalAt(settlings, index - 1) > ordinalAt(settlings, index)) {
      settlings.sort((a, b) => a.delivery.ordinal - b.delivery.ordinal);
      return;
    }
  }
}

function endOfRun(settlings: readonly Settling[], from: number): number {
  let to = from + 1;
  while (to < settlings.length && ordinalAt(settlings, to) === ordinalAt(settlings, to - 1) + 1) to += 1;
  return to;
}

/** When the first of a run began to be held; those that are new begin now. */
function oldestOf(settlings: readonly Settling[], from: number, to: number, nowMs: number): number {
  let oldestMs = nowMs;
  for (let index = from; index < to; index += 1) {
    const settling = settlings[index];
    if (settling === undefined) continue;
    settling.heldFromMs ??= nowMs;
    if (settling.heldFromMs < oldestMs) oldestMs = settling.heldFromMs;
  }
  return oldestMs;
}

function ordinalAt(settlings: readonly Settling[], index: number): number {
  return settlings[index]?.delivery.ordinal ?? -1;
}
