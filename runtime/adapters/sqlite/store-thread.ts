import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Clock, Timer } from "../../core/clock.ts";
import { messageOf, StoreUnavailableError } from "../../core/errors.ts";
import { type NumberedAnswer, type NumberedCall, type StoreCall, type ThreadSettings, unpackError } from "./wire.ts";

export interface StoreThreadOptions {
  readonly settings: ThreadSettings;
  readonly clock: Pick<Clock, "after">;
  /** How long an answer may take. */
  readonly callTimeoutMs: number;
}

/** How long a thread may take to come up and open its file. */
const startTimeoutMs = 30_000;

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
}

/** A run store's thread, as its client sees it: every call is answered, times out, or fails with the thread. */
export class StoreThread {
  readonly #options: StoreThreadOptions;
  readonly #worker: Worker;
  readonly #pending = new Map<number, PendingCall>();
  #lastNumber = 0;
  /** Why no call can be answered any more. */
  #endedFor: string | undefined;

  constructor(options: StoreThreadOptions) {
    this.#options = options;
    const entry = new URL(`./thread${extname(import.meta.url)}`, import.meta.url);
    this.#worker = new Worker(entry, { name: "run-store", workerData: options.settings });
    this.#worker.on("message", (answer: NumberedAnswer) => this.#answered(answer));
    this.#worker.on("error", (error) => this.#ended(messageOf(error)));
    this.#worker.on("exit", (code) => this.#ended(`it ended with exit code ${code}`));
  }

  get hasEnded(): boolean {
    return this.#endedFor !== undefined;
  }

  /** Rejects with `StoreUnavailableError`, or with what the store rejected with. */
  call(consumer: number, call: StoreCall): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    if (this.#endedFor !== undefined) {
      reject(threadLost(this.#endedFor));
      return promise;
    }
    const number = ++this.#lastNumber;
    this.#worker.postMessage([number, consumer, call] satisfies NumberedCall);
    const timeoutMs = call.method === "start" ? startTimeoutMs : this.#options.callTimeoutMs;
    const timer = this.#options.clock.after(timeoutMs, () => {
      this.#pending.delete(number);
      reject(
        new StoreUnavailableError(
          `expected the run store to answer '${call.method}' within ${timeoutMs} ms, it did not; look at the disk and at who holds the file`,
        ),
      );
    });
    this.#pending.set(number, { resolve, reject, timer });
    return promise;
  }

  /** Lets what was called before be done, closes the file and ends the thread. */
  async stop(): Promise<void> {
    // A thread that does not answer any more is ended all the same.
    await this.call(0, { method: "stop" }).catch(() => undefined);
    await this.#worker.terminate();
  }

  #answered([number, value, error]: NumberedAnswer): void {
    const pending = this.#pending.get(number);
    if (pending === undefined) return;
    this.#pending.delete(number);
    pending.timer.cancel();
    if (error === undefined) pending.resolve(value);
    else pending.reject(unpackError(error));
  }

  #ended(why: string): void {
    this.#endedFor ??= why;
    for (const { reject, timer } of this.#pending.values()) {
      timer.cancel();
      reject(threadLost(this.#endedFor));
    }
    this.#pending.clear();
  }
}

function threadLost(why: string): StoreUnavailableError {
  return new StoreUnavailableError(`expected the run store's thread to answer, it was lost: ${why}; the next ping starts another`);
}
