// How a job of the port is kept as one of BullMQ's: its name is the kind, its id is made of kind and id, and what BullMQ has no
// place for goes beside the data.
import type { Job, JobsOptions } from "bullmq";
import type { JobRetry, JobState, JobView, NewJob } from "../../ports/recovery-queue.ts";
import { keepFailedMs } from "../support/job-rules.ts";

export interface JobForm {
  readonly id: string;
  readonly data: unknown;
  readonly retry: JobRetry;
  readonly keepDoneMs: number;
  /** Tries that have failed since it was added or last went on. */
  readonly failures: number;
  readonly failure: string;
}

export type QueuedJob = Job<JobForm, unknown>;

const failedMax = 10_000;
const doneMax = 10_000;
/** BullMQ's own tries are for what goes wrong between it and Redis; the port's are counted beside the data. */
const ownTriesMax = 1_000_000;
const ownPauseMs = 1_000;

/** No id of BullMQ's may have a colon. */
export function jobIdOf(kind: string, id: string): string {
  return `${kind}.${encodeURIComponent(id)}`;
}

export function formOf({ id, data, retry, keepDoneMs }: Required<NewJob>): JobForm {
  return { id, data, retry, keepDoneMs, failures: 0, failure: "" };
}

export function optionsOf({ kind, id, delayMs, keepDoneMs }: Required<NewJob>): JobsOptions {
  return {
    jobId: jobIdOf(kind, id),
    delay: delayMs,
    attempts: ownTriesMax,
    backoff: ownPauseMs,
    removeOnComplete: keepDoneMs === 0 ? true : { age: Math.ceil(keepDoneMs / 1_000), count: doneMax },
    removeOnFail: { age: Math.ceil(keepFailedMs / 1_000), count: failedMax },
    stackTraceLimit: 0,
  };
}

/** Whether a job that is done, or has failed, is past the time for which it is kept: BullMQ deletes such jobs when the next one ends. */
export function isForgotten({ data, finishedOn, failedReason }: QueuedJob, nowMs: number): boolean {
  if (finishedOn === undefined) return false;
  return finishedOn + (failedReason === undefined ? data.keepDoneMs : keepFailedMs) <= nowMs;
}

export function stateOf(state: string): JobState {
  switch (state) {
    case "active":
      return "active";
    case "completed":
      return "done";
    case "failed":
      return "failed";
    default:
      return "waiting";
  }
}

export function viewOf(job: QueuedJob, state: string): JobView {
  const { id, data, failures, failure } = job.data;
  return { kind: job.name, id, data, state: stateOf(state), failures, failure: failure === "" && state === "failed" ? (job.failedReason ?? "") : failure };
}
