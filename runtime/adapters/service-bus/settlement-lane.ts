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
 * Completes that finish out of order would be runs of one. Those beyond the `frontier` (the oldest delivery that was not yet
 * passed) are held for a few milliseconds, so that the ones before them can close the gap. What is still missing then is
 * passed: the frontier moves on, and a straggler goes out alone when it comes. A lone consumer in order is never held.
 *
 * When the link is lost, everything unanswered is given again over the management link; an order that failed there after
 * it may have reached the broker before is `unknown`.
 */
import type { ServiceBusReceiver } from "@azure/service-bus";
import type { Clock, Timer } from "../../core/clock.ts";
import type { SettleResult } from "../../ports/transport.ts";
import { settleResultOf } from "./errors.ts";
import { gapHoldMs, ticksPerTurnMax } from "./limits.ts";
import type { ManagementLane } from "./management-lane.ts";
import { giveOrder, type Settling } from "./settling.ts";

export interface SettlementLaneOptions {
  readonly receiver: ServiceBusReceiver;
  readonly management: ManagementLane;
  readonly clock: Clock;
  /** The delivery has left the link's buffer, whatever the result. */
  settled(ordinal: number): void;
}

export class SettlementLane {
  readonly #options: SettlementLaneOptions;
  #completes: Settling[] = [];
  #others: Settling[] = [];
  #ticks: Settling[][] = [];
  readonly #inFlight = new Set<Settling>();
  /** Every ordinal below it was settled or passed over. */
  #frontier = 0;
  /** Ordinals at or beyond the frontier whose settlement of another kind was given. */
  readonly #passed = new Set<number>();
  #flushing = false;
  #ticking = false;
  #severed = false;
  #hold: Timer | undefined;

  constructor(options: SettlementLaneOptions) {
    this.#options = options;
  }

  add(settling: Settling): void {
    if (settling.order.verb === "complete") this.#completes.push(settling);
    else this.#others.push(settling);
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
      this.#pass(settling.delivery.ordinal);
    }
    this.#others = [];
    this.#cutRuns(false);
    this.#tickOn();
  };

  /** Moves runs of completes into ticks: those at or below the frontier, or all of them. */
  #cutRuns(all: boolean): void {
    const completes = this.#completes;
    if (completes.length === 0) return;
    sortByOrdinal(completes);
    const held: Settling[] = [];
    for (let from = 0; from < completes.length; ) {
      const to = endOfRun(completes, from);
      const first = completes[from]?.delivery.ordinal ?? 0;
      const run = from === 0 && to === completes.length ? completes : completes.slice(from, to);
      if (all || first <= this.#frontier) {
        this.#ticks.push(run);
        this.#advance(first + (to - from));
      } else {
        held.push(...run);
      }
      from = to;
    }
    this.#completes = held;
    if (held.length > 0) {
      this.#hold ??= this.#options.clock.after(gapHoldMs, this.#release);
    } else {
      this.#hold?.cancel();
      this.#hold = undefined;
    }
  }

  readonly #release = (): void => {
    this.#hold = undefined;
    this.#cutRuns(true);
    this.#tickOn();
  };

  #pass(ordinal: number): void {
    if (ordinal === this.#frontier) this.#advance(ordinal + 1);
    else if (ordinal > this.#frontier) this.#passed.add(ordinal);
  }

  /** The frontier moves to `ordinal` at least, and over what follows it and was passed. */
  #advance(ordinal: number): void {
    if (ordinal <= this.#frontier) return;
    if (this.#passed.size > 0) for (const passed of this.#passed) if (passed < ordinal) this.#passed.delete(passed);
    let frontier = ordinal;
    while (this.#passed.delete(frontier)) frontier += 1;
    this.#frontier = frontier;
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

function ordinalAt(settlings: readonly Settling[], index: number): number {
  return settlings[index]?.delivery.ordinal ?? -1;
}
