/** How often a job is tried whose handler rejects. */
export interface JobRetry {
  /** Tries that may fail, 1 or more; after the last one the job is kept as failed. */
  readonly attemptsMax: number;
  /** Pause after the first failed try; it doubles with each further one, half of it at random. */
  readonly baseDelayMs: number;
  readonly delayMaxMs: number;
}

export const jobRetryDefault: JobRetry = { attemptsMax: 5, baseDelayMs: 1_000, delayMaxMs: 60_000 };

/** How many workers may end while they are at a job before it is kept as failed: it may be what ends them. */
export const jobLossesMax = 10;

export interface NewJob {
  /** Chooses the handler; 1 to 64 of `a-z`, `0-9` and `-`. */
  readonly kind: string;
  /** Names the job among those of its kind, 1 to 512 characters: made once more, it is the same job. */
  readonly id: string;
  /** Anything that JSON holds. */
  readonly data: unknown;
  /** When it is due, from now. Default 0. */
  readonly delayMs?: number;
  /** Default: `jobRetryDefault`. */
  readonly retry?: JobRetry;
  /** How long its id is remembered once it is done; 0 forgets it at once. Default an hour. Failed ones are kept for a week. */
  readonly keepDoneMs?: number;
  /** A job of the same id that is done or failed gives way to it. Default false: it is known as long as it is kept. */
  readonly replacesEnded?: boolean;
}

/** `known`: there is a job of this kind and id already, and it is as it was. */
export type AddResult = "added" | "known";

/** A job at the hands of its handler. */
export interface RecoveryJob {
  readonly kind: string;
  readonly id: string;
  readonly data: unknown;
  /** 1, and one more for each try since the job was added or last went on with `again` that failed. */
  readonly attempt: number;
}

export type JobResult =
  | { readonly kind: "done" }
  /** It goes on later, as one that has not failed: with other data where some is given, and for as often as it likes. */
  | { readonly kind: "again"; readonly afterMs: number; readonly data?: unknown };

/**
 * Does a job, by one worker of the pool at a time and at least once: when a worker dies, or cannot reach the queue for longer
 * than its lease, another one does it from the start. Rejecting is a failed try. When `signal` is aborted the worker stops: the
 * handler ends soon, with `again`.
 */
export type JobHandler = (job: RecoveryJob, signal: AbortSignal) => Promise<JobResult>;

/** `waiting`: for its time, or for a worker. */
export type JobState = "waiting" | "active" | "done" | "failed";

export interface JobView extends Pick<RecoveryJob, "kind" | "id" | "data"> {
  readonly state: JobState;
  /** Tries that have failed. */
  readonly failures: number;
  /** Why the last one failed; empty where none did. */
  readonly failure: string;
}

export type JobCounts = Readonly<Record<JobState, number>>;

export interface RecoveryQueueListener {
  /** A try failed. `isFinal`: it was the last one, and the job is kept as failed. */
  failed(job: Pick<RecoveryJob, "kind" | "id">, error: string, isFinal: boolean): void;
  /** The queue cannot be used now, and goes on trying; said once until `recovered`. */
  disturbed(error: string): void;
  recovered(): void;
}

/**
 * Side jobs that belong to the whole pool of workers of a consumer and outlive any of them: compensations without a message,
 * escalations, paced replays, sweeps. A job is durable once `add` has resolved. Methods that ask for something reject with
 * `StoreUnavailableError` when the queue did not answer in time; what was asked may happen all the same.
 *
 * A sweep is a job with a fixed id whose handler answers `again`: every worker adds it, and there is one for the whole pool.
 */
export interface RecoveryQueue {
  /** What of this a queue of this kind cannot do, in a sentence; undefined where nothing is left out. */
  readonly limits: string | undefined;
  /** Begins to connect, and goes on trying by itself: it does not wait, and does not reject for a store that is away. */
  start(listener: RecoveryQueueListener): void;
  /**
   * Begins to take jobs of these kinds; those of others are left to workers that know them. Once, after `start`. Resolves when it takes them,
   * which is late where its store is away, or when it has stopped.
   */
  work(handlers: ReadonlyMap<string, JobHandler>): Promise<void>;
  /** Takes no more, aborts the signal of handlers, and waits for them that long; what they leave goes on elsewhere. Idempotent. */
  stop(budgetMs: number): Promise<void>;
  add(job: NewJob): Promise<AddResult>;
  /**
   * Makes a job that waits for its time due now, and one that has failed start over; false where there is none of either, for it is
   * due, at work, done or unknown.
   */
  hurry(kind: string, id: string): Promise<boolean>;
  /** Forgets a job that is not at work; false where it is at work or unknown. */
  remove(kind: string, id: string): Promise<boolean>;
  find(kind: string, id: string): Promise<JobView | undefined>;
  /** All jobs of a kind that are kept, at most 1 000, those that wait or are at work first. */
  list(kind: string): Promise<readonly JobView[]>;
  /** Of all kinds. */
  counts(): Promise<JobCounts>;
}
