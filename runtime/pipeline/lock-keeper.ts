/**
 * Keeps the locks and leases of everything in flight, from receipt until settlement. One timer for all: works stand in the
 * order in which their locks end (a renewed one moves to the back), so each look stops at the first that has time left.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { RenewResult, Transport } from "../ports/transport.ts";
import type { Work } from "./work.ts";

/** How often the keeper looks. A lock must last several looks. */
export const keeperLookMs = 250;
/** A lock is renewed once less than this part of it is left. */
export const renewBelow = 0.5;
/** Locks renewed in one look. */
export const renewalsMax = 1_000;
/** What remains of a lock is taken to be no less and no more than this, however the clocks differ. */
export const lockRemainingMinMs = 1_000;
export const lockRemainingMaxMs = 300_000;

export interface LockKeeperOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** The lock holds again for `lockMs` from now. */
  renewed(works: readonly Work[], lockMs: number): void;
  /** The lock is gone: the message will come again, here or elsewhere. */
  lost(work: Work): void;
}

/** Milliseconds left of a lock, by the broker's end time and our wall clock. */
export function lockRemainingMs(lockedUntilMs: number, wallMs: number): number {
  return Math.min(lockRemainingMaxMs, Math.max(lockRemainingMinMs, lockedUntilMs - wallMs));
}

export class LockKeeper {
  readonly #options: LockKeeperOptions;
  readonly #works = new Set<Work>();
  /** Length of the locks as last seen. */
  #lockMs = lockRemainingMaxMs;
  #timer: Timer | undefined;

  constructor(options: LockKeeperOptions) {
    this.#options = options;
  }

  get lockMs(): number {
    return this.#lockMs;
  }

  start(): void {
    this.#timer = this.#options.clock.after(keeperLookMs, () => {
      this.#look();
      this.start();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Starts to keep the locks of a batch that has just arrived. */
  keep(works: readonly Work[], lockMs: number): void {
    this.#lockMs = lockMs;
    for (const work of works) this.#works.add(work);
  }

  forget(work: Work): void {
    this.#works.delete(work);
  }

  #look(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const due: Work[] = [];
    for (const work of this.#works) {
      if (work.lockUntilMs - nowMs > this.#lockMs * renewBelow || due.length >= renewalsMax) break;
      if (work.renewing) continue;
      work.renewing = true;
      due.push(work);
    }
    if (due.length > 0) void this.#renew(due);
  }

  async #renew(works: readonly Work[]): Promise<void> {
    const { transport, clock } = this.#options;
    const results = await transport.renew(works.map((work) => work.delivery));
    const nowMs = clock.monotonicMs();
    const renewed: Work[] = [];
    works.forEach((work, index) => {
      work.renewing = false;
      if (this.#works.has(work) && this.#apply(work, results[index] ?? { kind: "unknown" }, nowMs)) renewed.push(work);
    });
    if (renewed.length > 0) this.#options.renewed(renewed, this.#lockMs);
  }

  #apply(work: Work, result: RenewResult, nowMs: number): boolean {
    if (result.kind === "renewed") {
      this.#lockMs = lockRemainingMs(result.lockedUntilMs, this.#options.clock.wallMs());
      work.lockUntilMs = nowMs + this.#lockMs;
      this.#works.delete(work);
      this.#works.add(work);
      return true;
    }
    if (result.kind === "lock-lost" || nowMs >= work.lockUntilMs) {
      this.#works.delete(work);
      work.lockLost = true;
      this.#options.lost(work);
    }
    return false;
  }
}
