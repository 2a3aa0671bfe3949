// A run store as one process reaches it: over a network that can be down, slow, or lose an answer.
import type { ByHand } from "../../core/history.ts";
import { StoreUnavailableError } from "../../core/errors.ts";
import type { RunView } from "../../core/run.ts";
import type {
  CheckpointWrite,
  ClaimRequest,
  ClaimResult,
  EpochWrite,
  FailWrite,
  FinishWrite,
  ReviveRequest,
  ReviveResult,
  RunStore,
  WriteResult,
} from "../../ports/run-store.ts";
import type { Faults } from "./faults.ts";
import type { ProcessClock, SimClock } from "./sim-clock.ts";

export type StoreFault =
  | "call-lost" // it never reaches the store
  | "answer-lost"; // it is carried out, its answer is lost

interface FaultyStoreOptions {
  readonly store: RunStore;
  readonly clock: SimClock;
  readonly process: ProcessClock;
  readonly faults: Faults<StoreFault>;
  /** Hears each call as it is made, but pings and reads. */
  readonly trace: (call: string) => void;
  /** There and back. */
  readonly latencyMs?: number | undefined;
}

export class FaultyStore implements RunStore {
  readonly #options: FaultyStoreOptions;
  /** Nothing arrives and nothing is answered. */
  isDown = false;

  readonly #holds = new Map<string, { readonly arrived: () => void; readonly released: Promise<void> }>();
  readonly #lostAnswers = new Set<string>();

  constructor(options: FaultyStoreOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    if (this.isDown) throw new StoreUnavailableError("expected the store to answer, it did not");
    await this.#options.store.start();
  }

  async stop(): Promise<void> {}

  async secret(): Promise<string> {
    return this.#options.store.secret();
  }

  ping(): Promise<boolean> {
    return this.#call("ping", async () => !this.isDown).catch(() => false);
  }

  claim(requests: readonly ClaimRequest[], leaseMs: number): Promise<readonly ClaimResult[]> {
    this.#options.trace(`claim ${requests.length}`);
    return this.#call("claim", () => this.#options.store.claim(requests, leaseMs));
  }

  checkpoint(writes: readonly CheckpointWrite[]): Promise<readonly WriteResult[]> {
    this.#options.trace(`checkpoint ${writes.map((write) => `${write.step.name} ${write.step.state}`).join(", ")}`);
    return this.#call("checkpoint", () => this.#options.store.checkpoint(writes));
  }

  finish(writes: readonly FinishWrite[]): Promise<readonly WriteResult[]> {
    this.#options.trace(`finish ${writes.length}`);
    return this.#call("finish", () => this.#options.store.finish(writes));
  }

  clearOutbox(eventIds: readonly string[]): Promise<void> {
    this.#options.trace(`clear outbox ${eventIds.length}`);
    return this.#call("clearOutbox", () => this.#options.store.clearOutbox(eventIds));
  }

  fail(writes: readonly FailWrite[]): Promise<readonly WriteResult[]> {
    this.#options.trace(`fail as ${writes.map((write) => write.state).join(", ")}`);
    return this.#call("fail", () => this.#options.store.fail(writes));
  }

  revive(requests: readonly ReviveRequest[]): Promise<readonly ReviveResult[]> {
    this.#options.trace(`revive ${requests.length}`);
    return this.#call("revive", () => this.#options.store.revive(requests));
  }

  close(eventIds: readonly string[], by: ByHand): Promise<void> {
    return this.#call("close", () => this.#options.store.close(eventIds, by));
  }

  extend(writes: readonly EpochWrite[], leaseMs: number): Promise<readonly WriteResult[]> {
    this.#options.trace(`extend ${writes.length}`);
    return this.#call("extend", () => this.#options.store.extend(writes, leaseMs));
  }

  read(eventId: string): Promise<RunView | undefined> {
    return this.#call("read", () => this.#options.store.read(eventId));
  }

  /** Keeps the answer to the next call of this name from coming back until it is released. */
  hold(name: string): { readonly arrived: Promise<void>; readonly release: () => void } {
    const arrived = Promise.withResolvers<void>();
    const released = Promise.withResolvers<void>();
    this.#holds.set(name, { arrived: arrived.resolve, released: released.promise });
    return { arrived: arrived.promise, release: released.resolve };
  }

  /** Carries out the next call of this name, and loses its answer. */
  loseNextAnswer(name: string): void {
    this.#lostAnswers.add(name);
  }

  #call<T>(name: string, act: () => Promise<T>): Promise<T> {
    const { clock, process, faults, latencyMs = 1 } = this.#options;
    if (process.isDead) return new Promise(() => undefined);
    return process.hear(
      (async () => {
        await clock.delay(latencyMs);
        if (this.isDown || faults.hits("call-lost")) throw new StoreUnavailableError("expected the store to answer, it did not");
        const answer = await act();
        const hold = this.#holds.get(name);
        this.#holds.delete(name);
        hold?.arrived();
        await hold?.released;
        if (this.#lostAnswers.delete(name) || faults.hits("answer-lost")) throw new StoreUnavailableError("expected the store to answer, it did not");
        await clock.delay(latencyMs);
        return answer;
      })(),
    );
  }
}
