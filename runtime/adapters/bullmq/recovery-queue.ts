// The recovery queue on BullMQ, in the Redis of the run store: one queue a consumer, whose keys have the hash tag of the consumer,
//
//   holdfast:{orders}:recovery:…
//
// so that a cluster keeps them in one slot. BullMQ's library is loaded when the queue is first started: it takes some 12 MB.
// CONFIG is not used; without INFO, jobs may begin up to a second late.
//
//   stopped ──start──▶ connecting ⇄ (tries again) ──▶ open ──work──▶ open, taking jobs
//
// A worker holds a lease on each job it is at, and renews it. One that dies lets it run out; the others look for such jobs every
// half a lease. Commands wait while Redis is away, and whoever asked for something is answered after `commandTimeoutMs` all the same.
import type * as BullMQ from "bullmq";
import type { BackendFactory, Queue, KeyPrefixOptions, QueueBaseOptions, RedisQueueBackend, Worker } from "bullmq";
import { ConfigurationError, messageOf, StoreUnavailableError } from "../../core/errors.ts";
import { reveal } from "../../core/secret.ts";
import {
  type AddResult,
  type JobCounts,
  type JobHandler,
  jobLossesMax,
  type JobResult,
  type JobView,
  type NewJob,
  type RecoveryQueue,
  type RecoveryQueueListener,
} from "../../ports/recovery-queue.ts";
import { consumerTag } from "../redis/tags.ts";
import type { RedisPlace } from "../redis/connect.ts";
import { checkedJob, listedMax, retryDelayMs, unknownKindPauseMs } from "../support/job-rules.ts";
import { answeredWithin, settledWithin } from "../support/settled-within.ts";
import { Connection } from "./connections.ts";
import { formOf, isForgotten, type JobForm, jobIdOf, optionsOf, type QueuedJob, stateOf, viewOf } from "./job-form.ts";

export interface BullmqRecoveryQueueOptions extends RedisPlace {
  readonly consumer: string;
  /** Begins every key. Default `holdfast`. */
  readonly prefix?: string;
  /** How long Redis may take to answer, once BullMQ is loaded. Default 2 000. */
  readonly commandTimeoutMs?: number;
  /** How long a worker that gives no sign is taken to be at its jobs. Default 15 000. */
  readonly leaseMs?: number;
  /** Jobs that one worker is at. Default 8. */
  readonly concurrencyMax?: number;
}

/** It is tried again. */
interface FailedTry {
  readonly kind: "again";
  readonly afterMs: number;
  readonly failures: number;
  readonly failure: string;
}

type Library = typeof BullMQ;
type JobQueue = Queue<JobForm, unknown>;
type JobWorker = Worker<JobForm, unknown>;

const queueName = "recovery";
const commandTimeoutMsDefault = 2_000;
const leaseMsDefault = 15_000;
const concurrencyMaxDefault = 8;
/** Between two tries to connect, and after an error of the queue's, before the next job is asked for. */
const troublePauseMs = 1_000;
/** BullMQ notes every change of a job in a stream that nobody reads here. */
const eventsKept = 100;
/** How long BullMQ may take to let go of jobs whose handlers have not ended. */
const abandonedMs = 500;
const statesListed = ["active", "wait", "delayed", "failed", "completed"] as const;

async function loadLibrary(): Promise<Library> {
  try {
    return await import("bullmq");
  } catch (cause) {
    throw new ConfigurationError(
      `expected to load the package 'bullmq', which the recovery queue in Redis is built on, found ${messageOf(cause, 300)}; install it with the worker's other dependencies, or switch the queue off with recovery.enabled: false`,
      { cause },
    );
  }
}

/** Redis 6 and later wait for parts of a second; one that does not say what it is, is asked for whole ones. */
async function canWaitExactly({ client }: Connection): Promise<boolean> {
  const info = await client.info("server").catch(() => "");
  return Number(/^redis_version:(\d+)/m.exec(info)?.[1] ?? 0) >= 6;
}

class BullmqRecoveryQueue implements RecoveryQueue {
  readonly limits = undefined;
  readonly #options: BullmqRecoveryQueueOptions;
  readonly #stopping = new AbortController();
  readonly #connections: Connection[] = [];
  #listener: RecoveryQueueListener | undefined;
  /** Resolves when a stop waits for handlers no longer. */
  readonly #abandoned = Promise.withResolvers<"abandoned">();
  #isDisturbed = false;
  #waitsExactly = false;
  #library: Promise<Library> | undefined;
  #opening: Promise<{ readonly library: Library; readonly queue: JobQueue }> | undefined;
  #worker: JobWorker | undefined;
  #working: Promise<void> | undefined;
  /** Jobs that are at work here, with the tokens of their leases. */
  readonly #atWork = new Map<string, string>();
  #renewTimer: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: BullmqRecoveryQueueOptions) {
    this.#options = options;
  }

  start(listener: RecoveryQueueListener): void {
    if (this.#opening !== undefined) return;
    this.#listener = listener;
    this.#library = loadLibrary();
    this.#opening = this.#open(this.#library);
    // Whoever asks for something is told.
    this.#opening.catch(() => undefined);
  }

  work(handlers: ReadonlyMap<string, JobHandler>): Promise<void> {
    this.#working ??= this.#beginToWork(handlers).catch((error: unknown) => {
      if (!this.#isStopping) this.#disturbed(error);
    });
    return this.#working;
  }

  stop(budgetMs: number): Promise<void> {
    this.#stopped ??= this.#stop(budgetMs);
    return this.#stopped;
  }

  async add(job: NewJob): Promise<AddResult> {
    const whole = checkedJob(job);
    return this.#ask(async (queue) => {
      const known = await queue.getJob(jobIdOf(whole.kind, whole.id));
      if (known !== undefined) {
        const isOver = known.finishedOn !== undefined && (whole.replacesEnded || isForgotten(known, Date.now()));
        if (!isOver) return "known";
        await known.remove();
      }
      await queue.add(whole.kind, formOf(whole), optionsOf(whole));
      return "added";
    });
  }

  async hurry(kind: string, id: string): Promise<boolean> {
    return this.#ask(async (queue) => {
      const job = await queue.getJob(jobIdOf(kind, id));
      const state = await job?.getState();
      if (job === undefined || (state !== "delayed" && state !== "failed")) return false;
      if (state === "failed") {
        await job.remove();
        const { retry, keepDoneMs, data } = job.data;
        const next: Required<NewJob> = { kind, id, data, delayMs: 0, retry, keepDoneMs, replacesEnded: true };
        await queue.add(kind, formOf(next), optionsOf(next));
        return true;
      }
      // Somebody else may have been faster.
      return job.promote().then(
        () => true,
        () => false,
      );
    });
  }

  async remove(kind: string, id: string): Promise<boolean> {
    return this.#ask(async (queue) => {
      const job = await queue.getJob(jobIdOf(kind, id));
      if (job === undefined || (await job.isActive())) return false;
      return job.remove().then(
        () => true,
        () => false,
      );
    });
  }

  async find(kind: string, id: string): Promise<JobView | undefined> {
    return this.#ask(async (queue) => {
      const job = await queue.getJob(jobIdOf(kind, id));
      if (job === undefined || isForgotten(job, Date.now())) return undefined;
      return viewOf(job, await job.getState());
    });
  }

  async list(kind: string): Promise<readonly JobView[]> {
    return this.#ask(async (queue) => {
      const views: JobView[] = [];
      for (const state of statesListed) {
        // A job that was deleted meanwhile is missing among them.
        const jobs = (await queue.getJobs([state], 0, listedMax - 1)) as (QueuedJob | undefined)[];
        for (const job of jobs) if (job?.name === kind && !isForgotten(job, Date.now())) views.push(viewOf(job, state === "wait" ? "waiting" : state));
      }
      return views.slice(0, listedMax);
    });
  }

  async counts(): Promise<JobCounts> {
    return this.#ask(async (queue) => {
      const counts = { waiting: 0, active: 0, done: 0, failed: 0 };
      for (const [state, count] of Object.entries(await queue.getJobCounts("wait", "delayed", "active", "completed", "failed")))
        counts[stateOf(state)] += count;
      return counts;
    });
  }

  get #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** What is asked of the queue is answered in time, or refused. */
  async #ask<T>(question: (queue: JobQueue) => Promise<T>): Promise<T> {
    const { commandTimeoutMs = commandTimeoutMsDefault } = this.#options;
    if (this.#opening === undefined || this.#isStopping) throw new StoreUnavailableError("expected a started recovery queue, found a stopped one");
    await this.#library;
    const asked = this.#opening.then(({ queue }) => question(queue));
    const answer = await answeredWithin(asked, commandTimeoutMs).catch((error: unknown) => {
      throw this.#unavailable(messageOf(error), error);
    });
    if (answer === undefined) throw this.#unavailable(messageOf(this.#connections[0]?.lastError ?? `no answer within ${commandTimeoutMs} ms`), undefined);
    return answer.value;
  }

  #unavailable(found: string, cause: unknown): StoreUnavailableError {
    const address = new URL(reveal(this.#options.url)).host;
    return new StoreUnavailableError(`expected the recovery queue in Redis at ${address} to answer, found: ${found}; look at the server and the way to it`, {
      cause,
    });
  }

  async #open(loading: Promise<Library>): Promise<{ readonly library: Library; readonly queue: JobQueue }> {
    const [library, connection] = await Promise.all([loading, this.#connect()]);
    this.#waitsExactly = await canWaitExactly(connection);
    const queue: JobQueue = new library.Queue<JobForm, unknown>(
      queueName,
      { ...this.#queueOptions(connection), streams: { events: { maxLen: eventsKept } } },
      this.#backend(library, connection),
    );
    queue.on("error", () => undefined);
    return { library, queue };
  }

  #queueOptions({ client }: Connection): QueueBaseOptions & KeyPrefixOptions {
    const { prefix = "holdfast", consumer } = this.#options;
    return { connection: client, prefix: `${prefix}:{${consumerTag(consumer)}}`, skipVersionCheck: true };
  }

  /** BullMQ would make connections of its own, that could not log in again. */
  #backend(library: Library, connection: Connection, blocking?: Connection): BackendFactory<RedisQueueBackend> {
    const { RedisConnection, RedisQueueBackend, QueueKeys } = library;
    const own = { shared: true, skipVersionCheck: true, skipWaitingForReady: true };
    const keys = new QueueKeys(this.#queueOptions(connection).prefix);
    return (name, options) => {
      const waiting = blocking && new RedisConnection(blocking.client, { ...own, blocking: true });
      const calls = new RedisConnection(connection.client, { ...own, blocking: false });
      if (waiting !== undefined && this.#waitsExactly) void waiting.client.then(() => (waiting.capabilities.canDoubleTimeout = true));
      const backend = new RedisQueueBackend(calls, name, keys.getKeys(name), (type) => keys.toKey(name, type), options, waiting);
      return this.#tame(backend);
    };
  }

  /** What BullMQ does to a connection that waits for jobs can hang while Redis is away; here a stop ends the wait itself. */
  #tame(backend: RedisQueueBackend): RedisQueueBackend {
    const moveToActive = backend.moveToActive.bind(backend);
    const waitForJob = backend.waitForJob.bind(backend);
    const stopping = new Promise<null>((resolve) => this.#stopping.signal.addEventListener("abort", () => resolve(null)));
    backend.moveToActive = (...asked) => this.#unhurried(moveToActive(...asked));
    backend.waitForJob = (timeout) => Promise.race([waitForJob(timeout), stopping]);
    backend.disconnectBlocking = () => Promise.resolve();
    return backend;
  }

  /** BullMQ asks for the next job as fast as it is refused. */
  async #unhurried<T>(asked: Promise<T>): Promise<T> {
    try {
      const answer = await asked;
      this.#recovered();
      return answer;
    } catch (error) {
      this.#disturbed(error);
      await this.#pause(troublePauseMs);
      throw error;
    }
  }

  /** Resolves once it is connected, however long that takes. */
  async #connect(): Promise<Connection> {
    const { commandTimeoutMs = commandTimeoutMsDefault } = this.#options;
    const purpose = this.#connections.length === 0 ? "the recovery queue" : "jobs of the recovery queue";
    const connection = new Connection({ ...this.#options, purpose }, commandTimeoutMs, () => this.#looked());
    this.#connections.push(connection);
    while (!connection.isReady) {
      if (this.#isStopping) throw new StoreUnavailableError("expected a recovery queue that is not stopped, found one that stops");
      await connection.open().catch((error: unknown) => this.#disturbed(connection.lastError ?? error));
      if (!connection.isReady) await this.#pause(troublePauseMs);
    }
    return connection;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#stopping;
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, delayMs);
      signal.addEventListener("abort", end);
    });
  }

  async #beginToWork(handlers: ReadonlyMap<string, JobHandler>): Promise<void> {
    const { leaseMs = leaseMsDefault, concurrencyMax = concurrencyMaxDefault } = this.#options;
    if (this.#opening === undefined) throw new ConfigurationError("expected a started recovery queue, found a stopped one; call start() first");
    const { library } = await this.#opening;
    const [connection] = this.#connections;
    if (connection === undefined) return;
    const blocking = await this.#connect();
    if (this.#isStopping) return;
    const worker: JobWorker = new library.Worker<JobForm, unknown>(
      queueName,
      (job, token) => this.#perform(library, handlers, job, token),
      {
        ...this.#queueOptions(connection),
        concurrency: concurrencyMax,
        lockDuration: leaseMs,
        stalledInterval: Math.max(1, Math.round(leaseMs / 2)),
        maxStalledCount: jobLossesMax,
        runRetryDelay: troublePauseMs,
        skipLockRenewal: true,
      },
      this.#backend(library, connection, blocking),
    );
    this.#worker = worker;
    worker.on("error", (error) => this.#disturbed(error));
    this.#renewTimer = setInterval(() => void this.#renew(worker, leaseMs), Math.max(1, leaseMs / 3));
    worker.on("failed", (job, error) => this.#failed(job, error));
  }

  async #perform(library: Library, handlers: ReadonlyMap<string, JobHandler>, job: QueuedJob, token: string | undefined): Promise<void> {
    const jobId = job.id ?? "";
    this.#atWork.set(jobId, token ?? "");
    try {
      await this.#performUnderLease(library, handlers, job, token);
    } finally {
      this.#atWork.delete(jobId);
    }
  }

  async #performUnderLease(library: Library, handlers: ReadonlyMap<string, JobHandler>, job: QueuedJob, token: string | undefined): Promise<void> {
    const handler = handlers.get(job.name);
    const handled = handler === undefined || this.#isStopping ? this.#leave(handler) : this.#handle(library, handler, job);
    const result = await Promise.race([handled, this.#abandoned.promise]);
    // BullMQ takes this for a job that was moved: it stays with us until its lease is over, and then goes on elsewhere.
    if (result === "abandoned") throw new library.DelayedError();
    if (result.kind === "done") return;
    const data = "data" in result ? result.data : job.data.data;
    const { failures, failure } = "failure" in result ? result : { failures: 0, failure: "" };
    if (data !== job.data.data || failures !== job.data.failures) await job.updateData({ ...job.data, data, failures, failure });
    await job.moveToDelayed(Date.now() + result.afterMs, token);
    throw new library.DelayedError();
  }

  /** BullMQ would go on renewing after a stop that could not wait for the end of every job. */
  async #renew(worker: JobWorker, leaseMs: number): Promise<void> {
    const jobs = [...this.#atWork];
    // Leases that are over are seen when their jobs end.
    if (jobs.length > 0)
      await worker
        .extendJobLocks(
          jobs.map(([id]) => id),
          jobs.map(([, token]) => token),
          leaseMs,
        )
        .catch(() => undefined);
  }

  /** It is for others: those that know its kind, or those that do not stop. */
  #leave(handler: JobHandler | undefined): JobResult {
    return { kind: "again", afterMs: handler === undefined ? unknownKindPauseMs * (0.5 + Math.random()) : 0 };
  }

  /** A try that failed goes on later, as one with a failure more; the last one ends the job. */
  async #handle(library: Library, handler: JobHandler, job: QueuedJob): Promise<JobResult | FailedTry> {
    const { id, data, retry } = job.data;
    const failures = job.data.failures + 1;
    try {
      return await handler({ kind: job.name, id, data, attempt: failures }, this.#stopping.signal);
    } catch (error) {
      const failure = messageOf(error);
      if (failures >= retry.attemptsMax) {
        await job.updateData({ ...job.data, failures, failure });
        throw new library.UnrecoverableError(failure);
      }
      this.#listener?.failed({ kind: job.name, id }, failure, false);
      return { kind: "again", afterMs: retryDelayMs(retry, failures), failures, failure };
    }
  }

  #failed(job: QueuedJob | undefined, error: Error): void {
    if (job?.finishedOn === undefined) return;
    this.#listener?.failed({ kind: job.name, id: job.data.id }, messageOf(error), true);
  }

  #disturbed(error: unknown): void {
    if (this.#isDisturbed || this.#isStopping) return;
    this.#isDisturbed = true;
    this.#listener?.disturbed(messageOf(error));
  }

  /** A connection has changed. */
  #looked(): void {
    const lost = this.#connections.find(({ isReady }) => !isReady);
    if (lost !== undefined) return this.#opening === undefined || lost.lastError === undefined ? undefined : this.#disturbed(lost.lastError);
    this.#recovered();
  }

  #recovered(): void {
    if (!this.#isDisturbed || this.#isStopping) return;
    this.#isDisturbed = false;
    this.#listener?.recovered();
  }

  async #stop(budgetMs: number): Promise<void> {
    this.#stopping.abort();
    const closing = this.#worker?.close() ?? Promise.resolve();
    const isClosed = (withinMs: number): Promise<unknown> => settledWithin(closing, withinMs).catch(() => undefined);
    await isClosed(budgetMs);
    this.#abandoned.resolve("abandoned");
    await isClosed(abandonedMs);
    clearInterval(this.#renewTimer);
    for (const connection of this.#connections) connection.close();
    await this.#working;
  }
}

/** A recovery queue in Redis, shared by all workers of the pool. */
export function createBullmqRecoveryQueue(options: BullmqRecoveryQueueOptions): RecoveryQueue {
  return new BullmqRecoveryQueue(options);
}
