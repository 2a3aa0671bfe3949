import { noFraction } from "../../core/fractions.ts";
import type { RunOrder } from "../../ports/executor.ts";
import { fits } from "./free-thread.ts";
import type { TicketedOrder } from "./orders.ts";
import type { PoolThread } from "./thread-pool.ts";

/**
 * `guilty`: it held the thread past its time, at this place of its code where that is known. `suspect`: it or another did. `bystander`:
 * another did.
 */
export type Blame = { readonly part: "guilty"; readonly at: string } | { readonly part: "suspect" | "bystander" };

/** Where a run waits, and where it is known with which thread it is. */
export interface RunPlace {
  readonly isOneAtATime: boolean;
  /** Whether others may get a thread for it. */
  forget(entry: RunEntry): boolean;
  dispatch(): void;
}

/** A posted run until it is answered. */
export class RunEntry implements TicketedOrder {
  /** The run's id: a run that is posted again has another. */
  readonly ticket: number;
  readonly lane: RunPlace;
  readonly order: RunOrder;
  readonly body: Uint8Array;
  /** Monotonic. */
  leaseUntilMs: number;
  isAnswered = false;
  thread: PoolThread | undefined;
  /** Its number among the runs posted to its thread. */
  sequence = 0;
  /** To the executor, then to its thread. */
  postedAtMs: number;
  /** When it was first seen to have begun; 0 before. */
  begunSeenAtMs: number = noFraction;
  /** What it has to do with its thread's being ended; undefined while that is not ended for what runs there. */
  blame: Blame | undefined;
  /** How often a thread was lost that had not begun it. */
  moves = 0;
  /** It was asked to stop, which its thread may never have read. */
  stopAs: "interrupted" | "stale" | undefined;
  /** The step requests that wait for their acknowledgements: as the pipeline numbers them, to the number in its thread. */
  requests: Map<number, number> | undefined;

  constructor(lane: RunPlace, order: RunOrder, nowMs: number) {
    this.ticket = order.runId;
    this.lane = lane;
    this.order = order;
    this.body = order.body;
    this.leaseUntilMs = nowMs + order.leaseMs;
    this.postedAtMs = nowMs;
  }
}

/** Runs that wait, first in, first out. Runs that are answered meanwhile are left where they are and passed over. */
export class RunQueue {
  #entries: RunEntry[] = [];
  #head = 0;
  #waiting = 0;

  /** Runs that wait. */
  get size(): number {
    return this.#waiting;
  }

  push(entry: RunEntry): void {
    this.#entries.push(entry);
    this.#waiting += 1;
  }

  /** Puts runs that were taken back in front, in their order. */
  putBack(entries: readonly RunEntry[]): void {
    this.#entries = [...entries, ...this.#entries.slice(this.#head)];
    this.#head = 0;
    this.#waiting += entries.length;
  }

  /** The bytes of the body that is taken next; 0 where none is. */
  get nextBytes(): number {
    for (let at = this.#head; at < this.#entries.length; at += 1) {
      const entry = this.#entries[at] as RunEntry;
      if (!entry.isAnswered) return entry.body.byteLength;
    }
    return 0;
  }

  /** Takes up to `count` runs from the front: the first, and others as long as they fit what its thread may hold. */
  take(count: number, { held, heldBytes }: Pick<PoolThread, "held" | "heldBytes">, bytesMax: number): RunEntry[] {
    const taken: RunEntry[] = [];
    let bytes = heldBytes;
    while (taken.length < count && this.#head < this.#entries.length) {
      const entry = this.#entries[this.#head] as RunEntry;
      const { byteLength } = entry.body;
      if (taken.length > 0 && !entry.isAnswered && !fits(byteLength, { held: held + taken.length, heldBytes: bytes }, bytesMax)) break;
      this.#head += 1;
      if (entry.isAnswered) continue;
      taken.push(entry);
      bytes += byteLength;
    }
    this.#waiting -= taken.length;
    if (this.#head === this.#entries.length) {
      this.#entries = [];
      this.#head = 0;
    }
    return taken;
  }

  /** A waiting run was answered. */
  forget(): void {
    this.#waiting -= 1;
  }

  /** What waits, and what was answered and is still in its place. */
  *entries(): Iterable<RunEntry> {
    for (let at = this.#head; at < this.#entries.length; at += 1) yield this.#entries[at] as RunEntry;
  }
}
