/**
 * What becomes of the skill threads. One that is lost has another in its place, one that is stuck is seen to by the executor; one that is
 * leaked keeps memory, and a core perhaps, for as long as the process lives. When too many are, the worker is worn out: a new
 * process is the only way to be rid of them. So it is when some skills have no thread left, and none could be started several times.
 */
import type { ThreadLeaked, ThreadReplaced, ThreadStuck } from "../ports/executor.ts";
import type { Telemetry } from "../ports/telemetry.ts";

export interface ThreadHealthOptions {
  readonly telemetry: Telemetry;
  readonly leakedThreadsMax: number;
}

export class ThreadHealth {
  readonly #options: ThreadHealthOptions;
  readonly #wornOut = Promise.withResolvers<string>();

  constructor(options: ThreadHealthOptions) {
    this.#options = options;
  }

  /** Resolves with the reason when this process should be replaced. */
  get wornOut(): Promise<string> {
    return this.#wornOut.promise;
  }

  lost(why: string, replaced: boolean): void {
    this.#options.telemetry.emit({ type: "thread.lost", why, replaced });
  }

  replaced({ why, missing }: ThreadReplaced): void {
    this.#options.telemetry.emit({ type: "thread.replaced", why, missing });
  }

  stuck({ isOver, ...stuck }: ThreadStuck): void {
    this.#options.telemetry.emit({ type: "thread.stuck", state: isOver ? "end" : "begin", ...stuck, forMs: Math.round(stuck.forMs) });
  }

  /** What kept threads from starting may be over for a process that begins afresh; here nothing is tried any more. */
  down(why: string): void {
    this.#wornOut.resolve(why);
  }

  leaked({ isOver, why, leaked }: ThreadLeaked): void {
    const { telemetry, leakedThreadsMax: leakedMax } = this.#options;
    telemetry.emit({ type: "thread.leaked", state: isOver ? "end" : "begin", why, leaked, leakedMax });
    if (leaked >= leakedMax) this.#wornOut.resolve(`${leaked} skill threads do not end, at most ${leakedMax - 1} may be left like that`);
  }
}
