/**
 * Keeps the locks of everything in flight, from receipt until settlement; leases follow the locks (leases.ts). One timer
 * for all. Locks of a source are of one length, the entity's, but what is left of one differs: each work is looked at.
 */
import type { Clock, Timer } from "../core/clock.ts";
import type { BrokerClock } from "../policy/broker-clock.ts";
import type { RenewResult } from "../ports/transport.ts";
import type { InFlight } from "./in-flight.ts";
import type { Source } from "./source.ts";
import type { Work } from "./work.ts";

/** How often the keeper looks. A lock must last several looks. */
const keeperLookMs = 250;
/** A lock is renewed once less than this part of it is left. */
const renewBelow = 0.5;
/** Locks renewed in one look. */
const renewalsMax = 1_000;

export interface LockKeeperOptions {
  readonly clock: Clock;
  readonly brokerClock: BrokerClock;
  readonly inFlight: InFlight;
  /** These locks have been renewed; all are of one source. */
  renewed(works: readonly Work[]): void;
  /** The lock is gone: the message will be redelivered, here or elsewhere. Called once a work. */
  lost(work: Work): void;
}

export class LockKeeper {
  readonly #options: LockKeeperOptions;
  #timer: Timer | undefined;
  #renewed = 0;

  constructor(options: LockKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = this.#options.clock.after(keeperLookMs, () => {
      this.start();
      this.#look();
    });
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Locks, since the start. */
  get renewed(): number {
    return this.#renewed;
  }

  /** Hears how much was left of a lock on arrival: a part of its whole length. */
  arrived(source: Source, remainingMs: number): void {
    if (remainingMs > source.lockMs) source.lockMs = remainingMs;
  }

  #look(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const ending: Work[] = [];
    this.#options.inFlight.forEach((work) => {
      if (work.lockUntilMs - nowMs <= work.source.lockMs * renewBelow && !work.lockLost && work.stage !== "settling") ending.push(work);
    });
    const due: Work[] = [];
    // Few of many, in the order of arrival.
    for (const work of ending.sort((one, other) => one.runId - other.runId)) {
      if (!work.isRenewing && due.length < renewalsMax) due.push(work);
      else if (work.isRenewing && work.lockUntilMs <= nowMs) this.#lost(work);
    }
    for (const [source, works] of Map.groupBy(due, (work) => work.source)) void this.#renew(source, works);
  }

  async #renew(source: Source, works: readonly Work[]): Promise<void> {
    const { clock, brokerClock } = this.#options;
    for (const work of works) work.isRenewing = true;
    const results = await source.transport.renew(works.map((work) => work.delivery));
    const nowMs = clock.monotonicMs();
    const latestMs = results.reduce((latest, result) => (result.kind === "renewed" ? Math.max(latest, result.lockedUntilMs) : latest), 0);
    if (latestMs > 0) brokerClock.renewed(latestMs);
    const renewed: Work[] = [];
    works.forEach((work, index) => {
      work.isRenewing = false;
      if (work.lockLost || work.stage === "settling" || work.stage === "gone") return;
      if (this.#apply(work, results[index] ?? { kind: "unknown" }, nowMs)) renewed.push(work);
    });
    if (renewed.length > 0) this.#options.renewed(renewed);
  }

  #apply(work: Work, result: RenewResult, nowMs: number): boolean {
    if (result.kind === "renewed") {
      const lockMs = this.#options.brokerClock.lockLeftMs(result.lockedUntilMs);
      work.source.lockMs = lockMs;
      work.lockUntilMs = nowMs + lockMs;
      this.#renewed += 1;
      return true;
    }
    if (result.kind === "lock-lost" || nowMs >= work.lockUntilMs) this.#lost(work);
    return false;
  }

  #lost(work: Work): void {
    work.lockLost = true;
    this.#options.lost(work);
  }
}
