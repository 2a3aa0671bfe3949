/**
 * What to think of a run while its store may have lost what it knew. A store that was emptied, brought back from a backup, or
 * left by a failover without its last writes, answers as if runs had never been, or had not come as far. Nobody can tell which
 * ones. But an event that was enqueued after the loss cannot have been executed before it. So, from when a loss is noticed until
 * no event from before it can come any more:
 *
 *   enqueued after the loss     as always
 *   enqueued before it          recorded steps count; a step without a record may have been executed all the same
 *
 * The loss is placed rather too late than too early: at the latest time by the broker's clock at which it can have been. It is
 * remembered on the monotonic clock, and the broker's times are compared with the broker's clock alone.
 */
import type { Clock } from "../core/clock.ts";
import type { StoreSuspectEvent } from "../core/catalogue.ts";
import type { BrokerClock } from "./broker-clock.ts";

export interface StoreDoubtOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  /** How long after a loss events from before it may still come; 0 for never: then nothing is doubted. */
  readonly windowMs: number;
  readonly tell: (event: StoreSuspectEvent) => void;
}

export class StoreDoubt {
  readonly #options: StoreDoubtOptions;
  /** When records were last lost, monotonic; undefined while nothing is in doubt. */
  #lostAtMs: number | undefined;

  constructor(options: StoreDoubtOptions) {
    this.#options = options;
  }

  /** How long runs will be in doubt yet; 0 while none is. */
  get leftMs(): number {
    if (this.#lostAtMs === undefined) return 0;
    return Math.max(0, this.#lostAtMs + this.#options.windowMs - this.#options.clock.monotonicMs());
  }

  /** Records were lost, at most so long ago. Hearing of it again does no harm. */
  lost(agoMs: number): void {
    const { clock, windowMs, tell } = this.#options;
    const lostAtMs = clock.monotonicMs() - agoMs;
    if (agoMs >= windowMs || (this.#lostAtMs !== undefined && lostAtMs <= this.#lostAtMs)) return;
    this.#lostAtMs = lostAtMs;
    tell({ type: "store.suspect", state: "begin", lostAgoMs: Math.round(agoMs), forMs: Math.round(this.leftMs) });
  }

  /** Looks whether it is over; called from time to time. */
  look(): void {
    if (this.#lostAtMs === undefined || this.leftMs > 0) return;
    const lostAgoMs = Math.round(this.#options.clock.monotonicMs() - this.#lostAtMs);
    this.#lostAtMs = undefined;
    this.#options.tell({ type: "store.suspect", state: "end", lostAgoMs, forMs: 0 });
  }

  /** Whether there is anything to doubt. */
  get isActive(): boolean {
    return this.#lostAtMs !== undefined && this.leftMs > 0;
  }

  /** Whether an event may have been executed without a record of it. `enqueuedAtMs`: of the first of its messages' copies. */
  covers(enqueuedAtMs: number, brokerClock: Pick<BrokerClock, "latestMs">): boolean {
    if (this.#lostAtMs === undefined || this.leftMs === 0) return false;
    const lostAgoMs = this.#options.clock.monotonicMs() - this.#lostAtMs;
    return enqueuedAtMs <= brokerClock.latestMs() - lostAgoMs;
  }
}
