/** The run records of the drill's world. They can be lost while workers use them, as those of a Redis that someone empties. */
import type { Clock } from "#runtime/core/clock.ts";
import type { RunView } from "#runtime/core/run.ts";
import { createSqliteRunStore, type SqliteRunStore } from "#runtime/adapters/sqlite/run-store.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import type { StoreSuspicion } from "#runtime/core/store-suspicion.ts";

const retentionMs = 86_400_000;

export class Records {
  readonly #consumer: string;
  readonly #clock: Clock;
  #store: SqliteRunStore;
  /** Mark of the store that the workers' folder remembers. */
  #remembered: string | undefined;
  /** Whether records were ever lost: then a run without one may have had one. */
  wereLost = false;

  constructor(consumer: string, clock: Clock) {
    this.#consumer = consumer;
    this.#clock = clock;
    this.#store = this.#make();
  }

  start(): Promise<void> {
    return this.#store.start();
  }

  stop(): Promise<void> {
    return this.#store.stop();
  }

  read(eventId: string): Promise<RunView | undefined> {
    return this.#store.read(eventId);
  }

  /** Everything that was known is gone, and new records are taken. */
  async lose(): Promise<void> {
    const fresh = this.#make();
    await fresh.start();
    const old = this.#store;
    this.#store = fresh;
    this.wereLost = true;
    await old.stop();
  }

  /** The store as one process uses it: it notices a loss with its start and with each claim, before either is answered. */
  for(onSuspect: (suspicion: StoreSuspicion) => void): RunStore {
    let met: string | undefined;
    const meet = async (): Promise<void> => {
      const store = this.#store;
      const known = met ?? this.#remembered;
      if (known !== undefined && known !== store.mark) await store.noteLoss();
      met = store.mark;
      this.#remembered = store.mark;
      const lostAgoMs = await store.lostAgoMs();
      if (lostAgoMs !== undefined) onSuspect({ scope: "all", agoMs: lostAgoMs, parts: [0], partOf: () => 0 });
    };
    return {
      start: meet,
      stop: async () => undefined,
      secret: () => this.#store.secret(),
      ping: () => this.#store.ping(),
      claim: async (requests, leaseMs) => {
        await meet();
        return this.#store.claim(requests, leaseMs);
      },
      checkpoint: (writes) => this.#store.checkpoint(writes),
      finish: (writes) => this.#store.finish(writes),
      clearOutbox: (eventIds) => this.#store.clearOutbox(eventIds),
      fail: (writes) => this.#store.fail(writes),
      extend: (writes, leaseMs) => this.#store.extend(writes, leaseMs),
      revive: (requests) => this.#store.revive(requests),
      close: (eventIds, by) => this.#store.close(eventIds, by),
      read: (eventId) => this.#store.read(eventId),
    };
  }

  #make(): SqliteRunStore {
    return createSqliteRunStore({ consumer: this.#consumer, retentionMs, path: ":memory:", clock: this.#clock });
  }
}
