// A run store as one process reaches it: over a network that can be down, slow, or lose an answer.
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { RunView } from "#runtime/core/run.ts";
import type { CheckpointWrite, ClaimRequest, ClaimResult, EpochWrite, FailWrite, FinishWrite, RunStore, WriteResult } from "#runtime/ports/run-store.ts";
import type { Faults } from "./faults.ts";
import type { ProcessClock, SimClock } from "./sim-clock.ts";

export type StoreFault =
  | "call-lost" // the store never hears of it
  | "answer-lost"; // it is carried out, nobody hears of it

export interface FaultyStoreOptions {
  readonly store: RunStore;
  readonly clock: SimClock;
  readonly process: ProcessClock;
  readonly faults: Faults<StoreFault>;
  /** There and back. */
  readonly latencyMs?: number;
}

export class FaultyStore implements RunStore {
  readonly #options: FaultyStoreOptions;
  /** Nothing arrives and nothing is answered. */
  isDown = false;
  /** The names of all calls that arrived, with their number of entries. */
  readonly calls: { readonly name: string; readonly count: number }[] = [];

  constructor(options: FaultyStoreOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    if (this.isDown) throw new StoreUnavailableError("expected the store to answer, it did not");
  }

  async stop(): Promise<void> {}

  ping(): Promise<boolean> {
    return this.#call("ping", 1, async () => !this.isDown).catch(() => false);
  }

  claim(requests: readonly ClaimRequest[], leaseMs: number): Promise<readonly ClaimResult[]> {
    return this.#call("claim", requests.length, () => this.#options.store.claim(requests, leaseMs));
  }

  checkpoint(writes: readonly CheckpointWrite[]): Promise<readonly WriteResult[]> {
    return this.#call("checkpoint", writes.length, () => this.#options.store.checkpoint(writes));
  }

  finish(writes: readonly FinishWrite[]): Promise<readonly WriteResult[]> {
    return this.#call("finish", writes.length, () => this.#options.store.finish(writes));
  }

  clearOutbox(eventIds: readonly string[]): Promise<void> {
    return this.#call("clearOutbox", eventIds.length, () => this.#options.store.clearOutbox(eventIds));
  }

  fail(writes: readonly FailWrite[]): Promise<readonly WriteResult[]> {
    return this.#call("fail", writes.length, () => this.#options.store.fail(writes));
  }

  extend(writes: readonly EpochWrite[], leaseMs: number): Promise<readonly WriteResult[]> {
    return this.#call("extend", writes.length, () => this.#options.store.extend(writes, leaseMs));
  }

  read(eventId: string): Promise<RunView | undefined> {
    return this.#call("read", 1, () => this.#options.store.read(eventId));
  }

  /** Keeps the answer to the next call of this name from coming back until it is released. */
  hold(name: string): { readonly arrived: Promise<void>; readonly release: () => void } {
    const arrived = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.#holds.set(name, { arrived: arrived.resolve, released: released.promise });
    return { arrived: arrived.promise, release: released.resolve };
  }

  readonly #holds = new Map<string, { readonly arrived: () => void; readonly released: Promise<void> }>();

  #call<T>(name: string, count: number, act: () => Promise<T>): Promise<T> {
    const { clock, process, faults, latencyMs = 1 } = this.#options;
    return process.hear(
      (async () => {
        await clock.delay(latencyMs);
        if (this.isDown || faults.hits("call-lost")) throw new StoreUnavailableError("expected the store to answer, it did not");
        this.calls.push({ name, count });
        const answer = await act();
        const hold = this.#holds.get(name);
        this.#holds.delete(name);
        hold?.arrived();
        await hold?.released;
        if (faults.hits("answer-lost")) throw new StoreUnavailableError("expected the store to answer, it did not");
        await clock.delay(latencyMs);
        return answer;
      })(),
    );
  }
}
