/** Keeps the leases of claimed runs at the store: each renewed lock extends the lease of its run, in group commits. */
import type { Clock } from "../core/clock.ts";
import type { Executor } from "../ports/executor.ts";
import type { WriteResult } from "../ports/run-store.ts";
import { GroupCommit } from "./group-commit.ts";
import { ofSource, type Source } from "./source.ts";
import type { StoreGate } from "./store-gate.ts";
import type { Work } from "./work.ts";

/** Margin taken off a lease, for what the clocks may differ. */
const leaseMarginMs = 250;

export interface LeasesOptions {
  readonly clock: Clock;
  readonly sources: readonly Source[];
  readonly gate: StoreGate;
  readonly executor: Executor;
}

/** A lease that is asked for now. */
export interface Lease {
  /** What the store is asked for. */
  readonly leaseMs: number;
  /** When it surely ends, monotonic: counted from before the store was asked. */
  readonly untilMs: number;
}

interface Extended {
  readonly untilMs: number;
  readonly results: readonly WriteResult[];
}

export class Leases {
  readonly #options: LeasesOptions;
  /** By source. */
  readonly #extensions: readonly GroupCommit<Work, Extended>[];

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.#extensions = options.sources.map(
      (source) =>
        new GroupCommit({
          clock: options.clock,
          gate: options.gate,
          write: (works) => this.#write(source, works),
          written: (works, extended) => this.#written(works, extended),
          abandoned: (works) => {
            for (const work of works) work.isExtending = false;
          },
        }),
    );
  }

  /** As long as a lock: what is taken over from a lost worker is free about when its message is redelivered. */
  ask({ lockMs: leaseMs }: Source): Lease {
    return { leaseMs, untilMs: this.#options.clock.monotonicMs() + leaseMs - leaseMarginMs };
  }

  extend(works: readonly Work[]): void {
    for (const work of works) {
      if (work.epoch === 0 || work.isExtending) continue;
      work.isExtending = true;
      ofSource(this.#extensions, work.source).add(work);
    }
  }

  async #write(source: Source, works: readonly Work[]): Promise<Extended> {
    const { leaseMs, untilMs } = this.ask(source);
    const results = await source.store.extend(
      works.map(({ eventId, epoch }) => ({ eventId, epoch })),
      leaseMs,
    );
    return { untilMs, results };
  }

  #written(works: readonly Work[], { untilMs, results }: Extended): void {
    const { executor, clock } = this.#options;
    const held: number[] = [];
    const stale: number[] = [];
    const cancelled: number[] = [];
    works.forEach((work, index) => {
      const isHeld = results[index] !== "stale";
      if (results[index] === "cancelling") {
        work.isCancelled = true;
        if (work.stage === "executing") cancelled.push(work.runId);
      }
      work.isExtending = false;
      if (isHeld) {
        work.leaseUntilMs = untilMs;
        work.renewals += 1;
      }
      // Without its lock it is not to begin another effect, whatever its lease.
      if (work.stage === "executing" && (!isHeld || !work.lockLost)) (isHeld ? held : stale).push(work.runId);
    });
    if (held.length > 0) executor.extend(held, untilMs - clock.monotonicMs());
    if (stale.length > 0) executor.interrupt(stale, "stale");
    if (cancelled.length > 0) executor.interrupt(cancelled, "interrupted");
  }
}
