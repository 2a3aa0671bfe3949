import type { Clock } from "../../core/clock.ts";
import { StoreThread } from "./store-thread.ts";
import type { ThreadSettings } from "./wire.ts";

export interface SharedThreadOptions extends ThreadSettings {
  /** Times the calls; the store's clock is the machine's. */
  readonly clock: Pick<Clock, "after">;
  /** How long a call may take before it is given up. 1 or more; default 5 000. */
  readonly callTimeoutMs?: number | undefined;
}

/** Longer than a transaction waits for the file's lock, and another one that was called before. */
const callTimeoutMsDefault = 5_000;

/** One thread and one file for the run stores of several consumers: there from the first start to the last stop. */
export class SharedStoreThread {
  readonly #options: SharedThreadOptions;
  #thread: StoreThread | undefined;
  #users = 0;

  constructor(options: SharedThreadOptions) {
    this.#options = options;
  }

  /** Who joins leaves once. */
  join(): StoreThread {
    this.#users += 1;
    return this.live();
  }

  /** Another one in place of one that was lost. */
  live(): StoreThread {
    if (this.#thread === undefined || this.#thread.hasEnded) this.#thread = this.#start();
    return this.#thread;
  }

  /** The thread as it is, also one that was lost. */
  get thread(): StoreThread | undefined {
    return this.#thread;
  }

  numberOf(consumer: string): number {
    const number = this.#options.consumers.indexOf(consumer);
    if (number < 0) throw new RangeError(`expected one of the consumers ${this.#options.consumers.join(", ")}, got '${consumer}'`);
    return number;
  }

  async leave(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0) return;
    const thread = this.#thread;
    this.#thread = undefined;
    await thread?.stop();
  }

  #start(): StoreThread {
    const { clock, callTimeoutMs = callTimeoutMsDefault, ...settings } = this.#options;
    return new StoreThread({ clock, callTimeoutMs, settings });
  }
}
