/** What is the same for every recovery queue. */
import { ConfigurationError } from "../../core/errors.ts";
import { type JobRetry, jobRetryDefault, type NewJob } from "../../ports/recovery-queue.ts";

export const keepDoneMsDefault = 3_600_000;
export const keepFailedMs: number = 7 * 24 * 3_600_000;
/** A job that no worker here has a handler for is looked at again after this, by whichever worker. */
export const unknownKindPauseMs = 1_000;
export const listedMax = 1_000;

export function retryDelayMs({ baseDelayMs, delayMaxMs }: JobRetry, failures: number): number {
  const delayMs = Math.min(baseDelayMs * 2 ** Math.min(failures - 1, 30), delayMaxMs);
  return Math.round(delayMs * (0.5 + Math.random() / 2));
}

/** A job with its defaults filled in. Throws `ConfigurationError` for one that no queue takes. */
export function checkedJob(job: NewJob): Required<NewJob> {
  const { kind, id, data, delayMs = 0, retry = jobRetryDefault, keepDoneMs = keepDoneMsDefault, replacesEnded = false } = job;
  if (!/^[a-z0-9-]{1,64}$/.test(kind))
    throw new ConfigurationError(`expected the kind of a job to be 1 to 64 of a-z, 0-9 and -, found ${JSON.stringify(kind)}; correct it`);
  if (id.length < 1 || id.length > 512) throw new ConfigurationError(`expected the id of a job to have 1 to 512 characters, found ${id.length}; shorten it`);
  return { kind, id, data, delayMs: Math.max(0, Math.round(delayMs)), retry, keepDoneMs, replacesEnded };
}
