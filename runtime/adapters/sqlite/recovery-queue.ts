// The recovery queue on SQLite: a table of the run store's file, asked by the store's own thread. Only the processes of this machine
// share it.
//
// There is no notice when another process adds a job, so each worker looks when the next one is due, and every few seconds at least.
import { randomUUID } from "node:crypto";
import { ConfigurationError, messageOf, StoreUnavailableError } from "../../core/errors.ts";
import type { AddResult, JobCounts, JobHandler, JobResult, JobView, NewJob, RecoveryQueue, RecoveryQueueListener } from "../../ports/recovery-queue.ts";
import { checkedJob, retryDelayMs } from "../support/job-rules.ts";
import { settledWithin } from "../support/settled-within.ts";
import type { JobEnd, JobsPlace, TakenJob } from "./jobs-wire.ts";

export interface SqliteRecoveryQueueOptions {
  /** The run store, started and stopped by whoever made it. */
  readonly place: JobsPlace;
  /** How long a worker that gives no sign is taken to be at its jobs. Default 15 000. */
  readonly leaseMs?: number;
  /** Jobs that one worker is at. Default 8. */
  readonly concurrencyMax?: number;
}

const leaseMsDefault = 15_000;
const concurrencyMaxDefault = 8;
/** How late a job may be noticed that another process has added. */
const lookEveryMs = 2_000;
const troublePauseMs = 1_000;

class SqliteRecoveryQueue implements RecoveryQueue {
  readonly limits = "its jobs are in the run store's file: workers of other machines neither see nor do them, and with the file they are lost";
  readonly #place: JobsPlace;
  readonly #leaseMs: number;
  readonly #concurrencyMax: number;
  readonly #stopping = new AbortController();
  readonly #atWork = new Map<TakenJob, Promise<void>>();
  #listener: RecoveryQueueListener | undefined;
  #isDisturbed = false;
  #handlers: ReadonlyMap<string, JobHandler> | undefined;
  #isLooking = false;
  #looksAgain = false;
  #lookTimer: NodeJS.Timeout | undefined;
  #renewTimer: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;

  constructor({ place, leaseMs = leaseMsDefault, concurrencyMax = concurrencyMaxDefault }: SqliteRecoveryQueueOptions) {
    this.#place = place;
    this.#leaseMs = leaseMs;
    this.#concurrencyMax = concurrencyMax;
  }

  start(listener: RecoveryQueueListener): void {
    this.#listener ??= listener;
  }

  work(handlers: ReadonlyMap<string, JobHandler>): Promise<void> {
    if (this.#listener === undefined) throw new ConfigurationError("expected a started recovery queue, found a stopped one; call start() first");
    if (this.#handlers === undefined && !this.#isStopping) {
      this.#handlers = handlers;
      this.#renewTimer = setInterval(() => void this.#renew(), Math.max(1, this.#leaseMs / 3));
      this.#look();
    }
    return Promise.resolve();
  }

  stop(budgetMs: number): Promise<void> {
    this.#stopped ??= this.#stop(budgetMs);
    return this.#stopped;
  }

  async add(job: NewJob): Promise<AddResult> {
    const { data, ...whole } = checkedJob(job);
    const result = await this.#asked().jobs({ ask: "add", job: { ...whole, data: JSON.stringify(data ?? null) } });
    this.#look();
    return result;
  }

  async hurry(kind: string, id: string): Promise<boolean> {
    const isHurried = await this.#asked().jobs({ ask: "hurry", kind, id });
    this.#look();
    return isHurried;
  }

  async remove(kind: string, id: string): Promise<boolean> {
    return this.#asked().jobs({ ask: "remove", kind, id });
  }

  async find(kind: string, id: string): Promise<JobView | undefined> {
    return this.#asked().jobs({ ask: "find", kind, id });
  }

  async list(kind: string): Promise<readonly JobView[]> {
    return this.#asked().jobs({ ask: "list", kind });
  }

  async counts(): Promise<JobCounts> {
    return this.#asked().jobs({ ask: "counts" });
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  #asked(): JobsPlace {
    if (this.#listener === undefined || this.#isStopping) throw new StoreUnavailableError("expected a started recovery queue, found a stopped one");
    return this.#place;
  }

  /** Takes what is due, once it has taken what was due before. */
  #look(): void {
    if (this.#handlers === undefined || this.#isStopping) return;
    this.#looksAgain = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    clearTimeout(this.#lookTimer);
    void this.#takeDue(this.#handlers).then((nextInMs) => {
      this.#isLooking = false;
      if (!this.#isStopping) this.#lookTimer = setTimeout(() => this.#look(), nextInMs);
    });
  }

  /** Answers how long to wait for the next look. */
  async #takeDue(handlers: ReadonlyMap<string, JobHandler>): Promise<number> {
    let nextInMs = lookEveryMs;
    while (this.#looksAgain && !this.#isStopping) {
      this.#looksAgain = false;
      const count = this.#concurrencyMax - this.#atWork.size;
      // What ends makes room, and looks.
      if (count <= 0) return lookEveryMs;
      try {
        const taken = await this.#place.jobs({ ask: "take", kinds: [...handlers.keys()], count, token: randomUUID(), leaseMs: this.#leaseMs });
        this.#recovered();
        for (const job of taken.lost) this.#listener?.failed(job, "too many workers have ended at it", true);
        for (const job of taken.jobs) this.#begin(job, handlers.get(job.kind));
        if (taken.jobs.length === count) return lookEveryMs;
        nextInMs = Math.min(lookEveryMs, (taken.nextInMs ?? lookEveryMs) + 1);
      } catch (error) {
        this.#disturbed(error);
        return troublePauseMs;
      }
    }
    return nextInMs;
  }

  #begin(job: TakenJob, handler: JobHandler | undefined): void {
    if (handler === undefined) return;
    const work = this.#perform(job, handler).finally(() => {
      this.#atWork.delete(job);
      this.#look();
    });
    this.#atWork.set(job, work);
  }

  async #perform(job: TakenJob, handler: JobHandler): Promise<void> {
    const end = await this.#handle(job, handler);
    try {
      await this.#place.jobs({ ask: "end", lease: { row: job.row, token: job.token }, end });
    } catch (error) {
      // Its lease runs out, and it is done once more.
      this.#disturbed(error);
    }
  }

  async #handle({ kind, id, data, retry, failures }: TakenJob, handler: JobHandler): Promise<JobEnd> {
    try {
      const given: unknown = JSON.parse(data);
      const result: JobResult = await handler({ kind, id, data: given, attempt: failures + 1 }, this.#stopping.signal);
      if (result.kind === "done") return result;
      return { kind: "again", afterMs: result.afterMs, data: "data" in result ? JSON.stringify(result.data ?? null) : data, failures: 0, failure: "" };
    } catch (error) {
      const failure = messageOf(error);
      const isFinal = failures + 1 >= retry.attemptsMax;
      this.#listener?.failed({ kind, id }, failure, isFinal);
      if (isFinal) return { kind: "failed", failures: failures + 1, failure };
      return { kind: "again", afterMs: retryDelayMs(retry, failures + 1), data, failures: failures + 1, failure };
    }
  }

  async #renew(): Promise<void> {
    if (this.#atWork.size === 0) return;
    const leases = [...this.#atWork.keys()].map(({ row, token }) => ({ row, token }));
    // Leases that are over are seen when their jobs end.
    await this.#place.jobs({ ask: "renew", leases, leaseMs: this.#leaseMs }).catch((error: unknown) => this.#disturbed(error));
  }

  #disturbed(error: unknown): void {
    if (this.#isDisturbed || this.#isStopping) return;
    this.#isDisturbed = true;
    this.#listener?.disturbed(messageOf(error));
  }

  #recovered(): void {
    if (!this.#isDisturbed) return;
    this.#isDisturbed = false;
    this.#listener?.recovered();
  }

  async #stop(budgetMs: number): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#lookTimer);
    // What is at work ends, or is left to its lease.
    await settledWithin(Promise.all(this.#atWork.values()), budgetMs);
    clearInterval(this.#renewTimer);
  }
}

/** A recovery queue in the file of a run store, shared by the workers of this machine. */
export function createSqliteRecoveryQueue(options: SqliteRecoveryQueueOptions): RecoveryQueue {
  return new SqliteRecoveryQueue(options);
}
