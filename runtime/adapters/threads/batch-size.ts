/** How many runs go to a thread in one task: enough that the task's own cost is small beside their work, few enough to share out. */

/** Work that one task should hold. */
export const taskWorkMs = 1;
export const batchMax = 64;
/** Work below which it does not pay to cut a batch in two for the sake of another idle thread. */
const shareWorthMs = 0.2;

export interface BatchSizing {
  /** Runs of the skill that wait; at least 1. */
  readonly queued: number;
  /** Threads that have nothing to do, the one that gets this batch included; 0 when it only gets ready for what comes next. */
  readonly idleThreads: number;
  /** Measured work of one run on its thread; undefined before the first. */
  readonly workMs: number | undefined;
}

export function batchSize({ queued, idleThreads, workMs }: BatchSizing): number {
  if (workMs === undefined) return 1;
  const byWork = Math.floor(taskWorkMs / Math.max(workMs, taskWorkMs / batchMax));
  const share = Math.max(Math.ceil(queued / Math.max(idleThreads, 1)), Math.ceil(shareWorthMs / Math.max(workMs, shareWorthMs / batchMax)));
  return Math.max(1, Math.min(queued, byWork, share, batchMax));
}

/** How much the newest measurement weighs. */
const weight = 0.2;

/** The measure of work a run, after a task of `runs` runs that kept its thread busy for `busyMs`. */
export function measuredWorkMs(beforeMs: number | undefined, busyMs: number, runs: number): number {
  const newestMs = busyMs / runs;
  return beforeMs === undefined ? newestMs : beforeMs + weight * (newestMs - beforeMs);
}
