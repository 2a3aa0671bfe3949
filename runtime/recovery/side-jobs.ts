/** The recovery queue of a running worker: it takes jobs from its start to its stop, and says what is wrong with the queue. */
import type { JobHandler, RecoveryQueue, RecoveryQueueListener } from "../ports/recovery-queue.ts";
import type { Reporter, Telemetry } from "../ports/telemetry.ts";

/** What a job at work may still take when the worker stops; another worker goes on with it. */
const stopWaitMs = 1_000;

export interface SideJobsOptions {
  readonly queue: RecoveryQueue;
  /** By kind. */
  readonly handlers: ReadonlyMap<string, JobHandler>;
  readonly telemetry: Pick<Telemetry, "emit">;
}

export class SideJobs implements Reporter {
  readonly #options: SideJobsOptions;

  constructor(options: SideJobsOptions) {
    this.#options = options;
  }

  start(): void {
    const { queue, handlers, telemetry } = this.#options;
    const listener: RecoveryQueueListener = {
      // A try that is followed by another one is its handler's to report.
      failed({ kind, id }, error, isFinal) {
        if (isFinal) telemetry.emit({ type: "job.failed", kind, id, error });
      },
      disturbed: (error) => telemetry.emit({ type: "jobs.disturbed", error }),
      recovered: () => telemetry.emit({ type: "jobs.recovered" }),
    };
    queue.start(listener);
    queue.work(handlers);
  }

  stop(): Promise<void> {
    return this.#options.queue.stop(stopWaitMs);
  }

  giveUp(): void {
    // What is at work is left to other workers.
  }
}
