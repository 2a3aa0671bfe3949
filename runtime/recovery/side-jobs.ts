/** The recovery queue of a worker, from its start to its stop, and the handlers of its jobs. */
import { messageOf } from "../core/errors.ts";
import type { JobHandler, RecoveryQueue } from "../ports/recovery-queue.ts";
import type { Reporter, Telemetry } from "../ports/telemetry.ts";

export interface SideJobsOptions {
  readonly queue: RecoveryQueue;
  readonly telemetry: Pick<Telemetry, "emit">;
  /** What each kind of job is done by; `secret` is the consumer's. */
  readonly handlers: (secret: string) => ReadonlyMap<string, JobHandler>;
}

/** Of a stop, how long handlers may take: they are asked to end, and others go on with what they leave. */
const stopBudgetMs = 2_000;

export class SideJobs implements Reporter {
  readonly #options: SideJobsOptions;

  constructor(options: SideJobsOptions) {
    this.#options = options;
  }

  start(secret: string): void {
    const { queue, telemetry, handlers } = this.#options;
    queue.start({
      failed: (job, error, isFinal) => telemetry.emit({ type: "recovery.job-failed", kind: job.kind, id: job.id, error, isFinal }),
      disturbed: (error) => telemetry.emit({ type: "recovery.down", error: messageOf(error) }),
      recovered: () => telemetry.emit({ type: "recovery.up" }),
    });
    queue.work(handlers(secret));
  }

  stop(): Promise<void> {
    return this.#options.queue.stop(stopBudgetMs);
  }

  giveUp(): void {
    // What is left goes on elsewhere, once its leases are over.
  }
}
