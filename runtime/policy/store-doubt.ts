/**
 * What to think of a run while its store may have lost what it knew. A store that was emptied, brought back from a backup, or
 * left by a failover without its last writes, answers as if runs had never been, or had not come as far. Nobody can tell which
 * ones. But an event that was enqueued after the loss cannot have been executed before it. So, from when a loss is noticed until
 * no event from before it can come any more:
 *
 *   enqueued after the loss     as always
 *   enqueued before it          recorded steps count; a step without a record may have been executed all the same
 *
 * Where the store has shown that it kept all that could be looked for (`redelivered`), that holds for those messages alone that
 * were delivered before; and a store of several parts is in doubt only where it has lost something.
 *
 * The loss is placed rather too late than too early: at the latest time by the broker's clock at which it can have been. It is
 * remembered on the monotonic clock, and the broker's times are compared with the broker's clock alone.
 */
import type { Clock } from "../core/clock.ts";
import type { StoreSuspectEvent } from "../core/catalogue.ts";
import type { DoubtScope, StoreSuspicion } from "../core/store-suspicion.ts";
import type { BrokerClock } from "./broker-clock.ts";

export interface StoreDoubtOptions {
  readonly clock: Pick<Clock, "monotonicMs">;
  /** How long after a loss events from before may still come; 0 for never: then nothing is doubted. */
  readonly windowMs: number;
  readonly tell: (event: StoreSuspectEvent) => void;
}

export interface DoubtedEvent {
  readonly eventId: string;
  /** Of the first of its messages' copies, by the broker's clock. */
  readonly enqueuedAtMs: number;
  /** Its message, or one that it is a copy of, was handed to a worker before. */
  readonly wasDelivered: boolean;
}

/** What is in doubt, for people to read. */
export interface DoubtView {
  readonly scope: DoubtScope;
  /** When it was lost, the latest time of it. */
  readonly lostAgoMs: number;
  /** How long it lasts yet. */
  readonly forMs: number;
  /** Parts of the store that it is about. */
  readonly parts: number;
}

/** A part of the store that has lost something. */
interface Loss {
  readonly scope: DoubtScope;
  readonly part: number;
  readonly partOf: StoreSuspicion["partOf"];
  /** Monotonic. */
  readonly atMs: number;
  /** How often this part has lost something since the doubt began, this time included. */
  readonly times: number;
}

const scopes: readonly DoubtScope[] = ["all", "redelivered"];

export class StoreDoubt {
  readonly #options: StoreDoubtOptions;
  /** By scope and part. */
  readonly #losses = new Map<string, Loss>();
  /** Most losses of one part that were reported; parts that are lost one after the other are reported as one. */
  readonly #told = new Map<DoubtScope, number>();

  constructor(options: StoreDoubtOptions) {
    this.#options = options;
  }

  /** Records were lost. Hearing of it again does no harm. */
  lost({ scope, agoMs, parts, partOf }: StoreSuspicion): void {
    const { clock, windowMs, tell } = this.#options;
    if (agoMs >= windowMs) return;
    const atMs = clock.monotonicMs() - agoMs;
    const told = this.#told.get(scope) ?? 0;
    let most = told;
    for (const part of parts) {
      const key = `${scope} ${part}`;
      const before = this.#losses.get(key);
      if (before !== undefined && atMs <= before.atMs) continue;
      const times = (before?.times ?? 0) + 1;
      this.#losses.set(key, { scope, part, partOf, atMs, times });
      most = Math.max(most, times);
    }
    if (most === told) return;
    this.#told.set(scope, most);
    tell({ type: "store.suspect", state: told === 0 ? "begin" : "extended", scope, lostAgoMs: Math.round(agoMs), forMs: Math.round(windowMs - agoMs) });
  }

  /** Looks whether it is over; called from time to time. */
  look(): void {
    if (this.#losses.size === 0) return;
    for (const scope of scopes) {
      const before = this.#of(scope);
      if (before.length === 0) continue;
      for (const [key, loss] of this.#losses) if (loss.scope === scope && this.#leftMs(loss) === 0) this.#losses.delete(key);
      if (this.#of(scope).length > 0) continue;
      this.#told.delete(scope);
      const latestMs = Math.max(...before.map(({ atMs }) => atMs));
      const lostAgoMs = Math.round(this.#options.clock.monotonicMs() - latestMs);
      this.#options.tell({ type: "store.suspect", state: "end", scope, lostAgoMs, forMs: 0 });
    }
  }

  /** Whether there is anything to doubt. */
  get isActive(): boolean {
    return this.#losses.size > 0;
  }

  /** What is in doubt now; empty when nothing is. */
  view(): readonly DoubtView[] {
    const nowMs = this.#options.clock.monotonicMs();
    return scopes.flatMap((scope) => {
      const losses = this.#of(scope).filter((loss) => this.#leftMs(loss) > 0);
      if (losses.length === 0) return [];
      const latestMs = Math.max(...losses.map(({ atMs }) => atMs));
      return [{ scope, lostAgoMs: nowMs - latestMs, forMs: latestMs + this.#options.windowMs - nowMs, parts: losses.length }];
    });
  }

  /** Whether an event may have been executed without a record of it. */
  covers({ eventId, enqueuedAtMs, wasDelivered }: DoubtedEvent, brokerClock: Pick<BrokerClock, "latestMs">): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    for (const loss of this.#losses.values()) {
      if (loss.scope === "redelivered" && !wasDelivered) continue;
      if (this.#leftMs(loss) === 0 || enqueuedAtMs > brokerClock.latestMs() - (nowMs - loss.atMs)) continue;
      if (loss.partOf(eventId) === loss.part) return true;
    }
    return false;
  }

  #of(scope: DoubtScope): readonly Loss[] {
    return [...this.#losses.values()].filter((loss) => loss.scope === scope);
  }

  #leftMs({ atMs }: Loss): number {
    return Math.max(0, atMs + this.#options.windowMs - this.#options.clock.monotonicMs());
  }
}
