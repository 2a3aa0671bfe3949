// The run store on a SQLite file as a worker uses it: in a thread of its own, so that neither the statements nor the disk
// take the main thread's time.
//
//   stopped ──start──▶ up ──(the thread is lost)──▶ down ──ping──▶ up
//      ▲               │ stop                        │ stop
//      └───────────────┴─────────────────────────────┘
//
// Calls are answered in their order. What was called when the thread was lost is rejected: as with any store that goes
// away, nothing is known of it, and asking again does no harm.
import type { ByHand } from "../../core/history.ts";
import type { Clock } from "../../core/clock.ts";
import { StoreUnavailableError } from "../../core/errors.ts";
import type { RunView } from "../../core/run.ts";
import type { Note } from "../../ports/pool-board.ts";
import type {
  CheckpointWrite,
  ClaimRequest,
  ClaimResult,
  EpochWrite,
  FailWrite,
  FinishWrite,
  ForgettingOptions,
  ReviveRequest,
  ReviveResult,
  RunStore,
  RunStoreOptions,
  WriteResult,
} from "../../ports/run-store.ts";
import type { BoardAsk, BoardPlace } from "./board.ts";
import type { JobsAnswers, JobsAsk, JobsPlace } from "./jobs-wire.ts";
import { checkOptions } from "./run-store.ts";
import { SharedStoreThread } from "./shared-thread.ts";
import type { StoreThread } from "./store-thread.ts";
import { packCheckpoints, packFinishes, packRequests, type StoreCall, unpackClaims, unpackWrites } from "./wire.ts";

export interface ThreadedRunStoreOptions extends RunStoreOptions, ForgettingOptions {
  /** The file, made with its folder when missing. */
  readonly path: string;
  /** How long steps of a run that is done stay readable; default a day, at most the retention. */
  readonly detailsMs?: number | undefined;
  /** Times the calls; the store's clock is the machine's. */
  readonly clock: Pick<Clock, "after">;
  /** How long a call may take before it is given up. 1 or more; default 5 000. */
  readonly callTimeoutMs?: number;
}

class ThreadedRunStore implements RunStore, JobsPlace, BoardPlace {
  readonly #options: ThreadedRunStoreOptions;
  /** Of the file that was opened last. */
  #mark: string | undefined;
  readonly #shared: SharedStoreThread;
  /** Of its consumer, at the thread. */
  readonly #number: number;
  #isStarted = false;

  constructor(options: ThreadedRunStoreOptions, shared: SharedStoreThread) {
    this.#options = options;
    this.#shared = shared;
    this.#number = shared.numberOf(options.consumer);
  }

  async start(): Promise<void> {
    if (this.#isStarted) return;
    this.#isStarted = true;
    const thread = this.#shared.join();
    try {
      await this.#met(thread, await thread.call(this.#number, { method: "start" }));
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    await this.#shared.leave();
  }

  async secret(): Promise<string> {
    return (await this.#call({ method: "secret" })) as string;
  }

  async ping(): Promise<boolean> {
    if (!this.#isStarted) return false;
    const thread = this.#shared.live();
    try {
      const mark = await thread.call(this.#number, { method: "ping" });
      await this.#met(thread, mark);
      return mark !== undefined;
    } catch {
      return false;
    }
  }

  async claim(requests: readonly ClaimRequest[], leaseMs: number): Promise<readonly ClaimResult[]> {
    // The values of answers are what the thread packs for the method.
    return unpackClaims((await this.#call({ method: "claim", requests: packRequests(requests), leaseMs })) as Parameters<typeof unpackClaims>[0], requests);
  }

  checkpoint(writes: readonly CheckpointWrite[]): Promise<readonly WriteResult[]> {
    return this.#write({ method: "checkpoint", writes: packCheckpoints(writes) });
  }

  finish(writes: readonly FinishWrite[]): Promise<readonly WriteResult[]> {
    return this.#write({ method: "finish", writes: packFinishes(writes) });
  }

  async clearOutbox(eventIds: readonly string[]): Promise<void> {
    await this.#call({ method: "clearOutbox", eventIds });
  }

  fail(writes: readonly FailWrite[]): Promise<readonly WriteResult[]> {
    return this.#write({ method: "fail", writes });
  }

  async revive(requests: readonly ReviveRequest[]): Promise<readonly ReviveResult[]> {
    return (await this.#call({ method: "revive", requests })) as readonly ReviveResult[];
  }

  async close(eventIds: readonly string[], by: ByHand): Promise<void> {
    await this.#call({ method: "close", eventIds, by });
  }

  extend(writes: readonly EpochWrite[], leaseMs: number): Promise<readonly WriteResult[]> {
    return this.#write({ method: "extend", writes, leaseMs });
  }

  async read(eventId: string): Promise<RunView | undefined> {
    return (await this.#call({ method: "read", eventId })) as RunView | undefined;
  }

  async jobs<Ask extends JobsAsk>(ask: Ask): Promise<JobsAnswers[Ask["ask"]]> {
    return (await this.#call({ method: "jobs", ask })) as JobsAnswers[Ask["ask"]];
  }

  async board(ask: BoardAsk): Promise<readonly Note[]> {
    return (await this.#call({ method: "board", ask })) as readonly Note[];
  }

  /** A file that was put in the place of the one that is remembered has none of its records. */
  async #met(thread: StoreThread, mark: unknown): Promise<void> {
    if (typeof mark !== "string") return;
    const { memory, onForgotten, onSuspect } = this.#options;
    const known = this.#mark ?? memory?.recall();
    // Noted in the file before it is remembered: a worker that ends in between notices it again.
    const isLoss = known !== undefined && known !== mark;
    if (isLoss) await thread.call(this.#number, { method: "noteLoss" });
    this.#mark = mark;
    if (known !== mark) memory?.keep(mark);
    if (isLoss) onForgotten?.("sentinel");
    const lostAgoMs = await thread.call(this.#number, { method: "lostAgoMs" });
    if (typeof lostAgoMs === "number") onSuspect?.({ scope: "all", agoMs: lostAgoMs, parts: [0], partOf: () => 0 });
  }

  async #write(call: StoreCall & { readonly writes: readonly unknown[] }): Promise<readonly WriteResult[]> {
    return unpackWrites((await this.#call(call)) as readonly number[], call.writes.length);
  }

  async #call(call: StoreCall): Promise<unknown> {
    const { thread } = this.#shared;
    if (!this.#isStarted || thread === undefined) throw new StoreUnavailableError("expected a started run store, found a stopped one; call start() first");
    return thread.call(this.#number, call);
  }
}

/**
 * A run store on `node:sqlite` in a thread of its own: the embedded default. Several processes may share one file. Throws
 * `ConfigurationError` for options it cannot use.
 */
export function createThreadedSqliteRunStore(
  options: ThreadedRunStoreOptions,
  shared: SharedStoreThread = sharedThreadOf(options, [options.consumer]),
): RunStore & JobsPlace & BoardPlace {
  checkOptions(options);
  return new ThreadedRunStore(options, shared);
}

/** What the stores of several consumers reach the same file by. */
export function sharedThreadOf(
  { path, retentionMs, detailsMs, clock, callTimeoutMs }: Omit<ThreadedRunStoreOptions, "consumer">,
  consumers: readonly string[],
): SharedStoreThread {
  return new SharedStoreThread({ path, retentionMs, detailsMs, clock, callTimeoutMs, consumers });
}
