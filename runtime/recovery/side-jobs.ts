/** The recovery queue of a worker, from its start to its stop, and the handlers of its jobs. */
import type { Clock, Timer } from "../core/clock.ts";
import { messageOf } from "../core/errors.ts";
import type { JobHandler, NewJob, RecoveryQueue } from "../ports/recovery-queue.ts";
import type { Reporter, Telemetry } from "../ports/telemetry.ts";

export interface SideJobsOptions {
  readonly queue: RecoveryQueue;
  readonly telemetry: Pick<Telemetry, "emit">;
  /** What each kind of job is done by; `secret` is the consumer's. */
  readonly handlers: (secret: string) => ReadonlyMap<string, JobHandler>;
  /** Kinds whose handlers report failed tries by themselves; what the queue gives up alone, because workers ended at it, is reported here. */
  readonly reported: ReadonlySet<string>;
  readonly clock: Pick<Clock, "after">;
  /** Added again and again, so that it is there whatever becomes of it. */
  readonly regular: { readonly job: NewJob; readonly everyMs: number } | undefined;
}

/** Of a stop, how long handlers may take: they are asked to end, and others go on with what they leave. */
const stopBudgetMs = 2_000;
/** A regular job that could not be added is tried again after this. */
const addAgainMs = 10_000;

export class SideJobs implements Reporter {
  readonly #options: SideJobsOptions;
  readonly #loaded = Promise.withResolvers<void>();
  #timer: Timer | undefined;
  #isStopped = false;

  constructor(options: SideJobsOptions) {
    this.#options = options;
  }

  start(secret: string): void {
    const { queue, telemetry, handlers, reported } = this.#options;
    queue.start({
      failed({ kind, id }, error, isFinal) {
        if (isFinal || !reported.has(kind)) telemetry.emit({ type: "recovery.job-failed", kind, id, error, isFinal });
      },
      disturbed: (error) => telemetry.emit({ type: "recovery.down", error: messageOf(error) }),
      recovered: () => telemetry.emit({ type: "recovery.up" }),
    });
    void queue.work(handlers(secret)).then(this.#loaded.resolve);
    void this.#addRegular();
  }

  get loaded(): Promise<void> {
    return this.#loaded.promise;
  }

  async #addRegular(): Promise<void> {
    const { queue, regular, clock } = this.#options;
    if (regular === undefined) return;
    const isThere = await queue.add(regular.job).then(
      () => true,
      () => false,
    );
    if (!this.#isStopped) this.#timer = clock.after(isThere ? regular.everyMs : addAgainMs, () => void this.#addRegular());
  }

  stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    return this.#options.queue.stop(stopBudgetMs);
  }

  giveUp(): void {
    // What is left goes on elsewhere, once its leases are over.
  }
}
