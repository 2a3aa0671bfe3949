/**
 * The broker's wall clock, as far as it can be known from here. Times that the broker sets or reads (when a message was
 * enqueued, when a lock ends, when a copy is due, when it expires) are compared with this clock alone and never with our own
 * wall clock, which may be set wrongly.
 *
 * The broker never says what time it is. For a message that comes at m, by our monotonic clock, the distance d from that clock
 * to the broker's wall clock has these bounds:
 *
 *   it was enqueued before       d >= enqueuedAt - m
 *   its lock has begun           d >= lockedUntil - m - the longest lock there is
 *   its lock has not ended       d <= lockedUntil - m, but for messages that lay here for too long
 *
 * Each is best where the way was shortest, which is where it is largest. How long a lock is cannot be learned from locks and
 * their renewals, which show no more than the sum of d and that length. But a message that comes to a receiver that had credit
 * and waited was enqueued just now: such a fresh receipt makes the first bound as good as the way from the broker is short.
 * How good the result is:
 *
 *   before any receipt       our wall clock is believed
 *   without fresh receipts   our wall clock is believed while it lies within the bounds, which are a lock's length apart for new
 *                            messages, and five minutes for old ones; beyond them a lock is taken to be of the default length,
 *                            and the result is wrong by the difference, at most four minutes
 *   with fresh receipts      our wall clock is believed while it is within two seconds of them; else they are, and are late by
 *                            the way from the broker
 */
import { noFraction } from "../core/fractions.ts";
import type { Clock } from "../core/clock.ts";
import { lockMaxMs } from "../core/delivery.ts";

/** How long an entity locks that was not told otherwise. */
const lockDefaultMs = 60_000;
/** What is left of a lock is taken to be no more than this while it is measured by our own wall clock, which may be behind. */
const lockLeftUnsureMs = 30_000;
/** The same, while not even that can be believed. */
const lockLeftDoubtfulMs = 5_000;
/** A lock is always taken to last so long: whether it does is for the broker to say. */
const lockLeftMinMs = 1_000;
/** Fresh receipts before they are believed more than our wall clock: one can have been held up on its way. */
const freshMin = 3;
/** How far our wall clock may be from them. */
const agreesWithinMs = 2_000;
/** A distance of this much is reported, and reported again when it has changed by as much. */
const toldFromMs = 3_000;
/** Bounds are kept for once to twice as long: clocks drift. */
const windowMs = 300_000;

/** What is known of a delivery's times. */
interface Receipt {
  readonly attempt: number;
  readonly enqueuedAtMs: number;
  readonly lockedUntilMs: number;
}

/** The largest of what was found lately; the last ones stay when nothing more is found. */
class LatelyLargest {
  #current = Number.NEGATIVE_INFINITY;
  #before = Number.NEGATIVE_INFINITY;
  #sinceMs = Number.NEGATIVE_INFINITY;

  get value(): number {
    return Math.max(this.#current, this.#before);
  }

  found(value: number, nowMs: number): void {
    if (nowMs - this.#sinceMs >= windowMs) {
      this.#before = this.#current;
      this.#current = value;
      this.#sinceMs = nowMs;
    } else this.#current = Math.max(this.#current, value);
  }

  forget(): void {
    this.#current = Number.NEGATIVE_INFINITY;
    this.#before = Number.NEGATIVE_INFINITY;
  }
}

export class BrokerClock {
  readonly #clock: Pick<Clock, "wallMs" | "monotonicMs">;
  readonly #tell: (distanceMs: number) => void;
  // Each is a distance from our monotonic clock to the broker's wall clock.
  readonly #enqueued = new LatelyLargest();
  readonly #fresh = new LatelyLargest();
  readonly #lockEnd = new LatelyLargest();
  /** Undefined while nothing is known. */
  #distanceMs: number | undefined;
  #freshCount = 0;
  #isDoubtful = false;
  /** From our monotonic to our wall clock, at the last receipt. */
  #ownMs = noFraction;
  #toldMs = noFraction;

  /** `tell` hears how far the broker's clock is ahead of our wall clock, in whole milliseconds, when that is much. */
  constructor(clock: Pick<Clock, "wallMs" | "monotonicMs">, tell: (aheadMs: number) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** The broker's wall clock. */
  nowMs(): number {
    return this.#distanceMs === undefined ? this.#clock.wallMs() : this.#clock.monotonicMs() + this.#distanceMs;
  }

  /**
   * Surely not before the broker's present time, as far as messages tell: a message that was enqueued later than this was
   * enqueued after now. It is ahead by no more than two seconds once a message has come fresh, and by a lock's length before.
   */
  latestMs(): number {
    const nowMs = this.#clock.monotonicMs();
    const mostMs = this.#freshCount > 0 ? this.#fresh.value + agreesWithinMs : this.#lockEnd.value;
    return Math.max(this.nowMs(), Number.isFinite(mostMs) ? nowMs + mostMs : nowMs);
  }

  /** What is left of a lock at `nowMs` of the broker's clock: rather less than it is than more, and 1 s to 5 min whatever the clocks say. */
  lockLeftMs(lockedUntilMs: number, nowMs: number = this.nowMs()): number {
    const mostMs = this.#freshCount >= freshMin ? lockMaxMs : this.#isDoubtful ? lockLeftDoubtfulMs : lockLeftUnsureMs;
    return Math.min(mostMs, Math.max(lockLeftMinMs, lockedUntilMs - nowMs));
  }

  /** A message has come. `wasAwaited`: its receiver had credit and waited, so that the broker need not have held it back. */
  received({ attempt, enqueuedAtMs, lockedUntilMs }: Receipt, wasAwaited: boolean): void {
    // A message whose annotations cannot be read says nothing.
    if (enqueuedAtMs <= 0 || lockedUntilMs <= 0) return;
    const nowMs = this.#clock.monotonicMs();
    this.#look(nowMs);
    this.#lockEnd.found(lockedUntilMs - nowMs, nowMs);
    this.#enqueued.found(enqueuedAtMs - nowMs, nowMs);
    if (wasAwaited && attempt === 1) {
      this.#fresh.found(enqueuedAtMs - nowMs, nowMs);
      this.#freshCount += 1;
    }
    this.#compute();
  }

  /** A lock was renewed, and lasts until then. */
  renewed(lockedUntilMs: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#look(nowMs);
    this.#lockEnd.found(lockedUntilMs - nowMs, nowMs);
    this.#compute();
  }

  /** When our two clocks have moved apart, one was set or the other stood still while the machine slept: nothing from before holds. */
  #look(nowMs: number): void {
    const ownMs = this.#clock.wallMs() - nowMs;
    if (Math.abs(ownMs - this.#ownMs) > agreesWithinMs) this.#forget();
    this.#ownMs = ownMs;
  }

  #forget(): void {
    this.#enqueued.forget();
    this.#fresh.forget();
    this.#lockEnd.forget();
    this.#freshCount = 0;
  }

  #compute(): void {
    const ownMs = this.#ownMs;
    const lockEndMs = this.#lockEnd.value;
    const leastMs = Math.max(this.#enqueued.value, this.#fresh.value, lockEndMs - lockMaxMs);
    const mostMs = this.#freshCount >= freshMin ? leastMs + agreesWithinMs : lockEndMs;
    const isOwnRight = ownMs >= leastMs - agreesWithinMs && ownMs <= mostMs;
    this.#isDoubtful = !isOwnRight;
    if (isOwnRight) this.#distanceMs = Math.max(ownMs, leastMs);
    else this.#distanceMs = this.#freshCount > 0 ? leastMs : Math.max(leastMs, lockEndMs - lockDefaultMs);
    const aheadMs = Math.round(this.#distanceMs - ownMs);
    if (Math.abs(aheadMs - this.#toldMs) < toldFromMs) return;
    this.#toldMs = aheadMs;
    this.#tell(aheadMs);
  }
}
