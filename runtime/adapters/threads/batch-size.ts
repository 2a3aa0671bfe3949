/** How many runs go to a thread in one task: enough that the task's own cost is small beside their work, few enough to share out. */

/**
 * Work that one task should hold, and the longest that a busy thread keeps an answer back for others to go with it. What a task and an answer cost the
 * main thread, the store and the broker is shared by so many runs: with 2 ms, runs of 100 µs cost each of them up to a third more.
 */
export const taskWorkMs = 5;
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

/** How much the newest measurement weighs when it is less than the ones before, and when it is more. */
const fallingWeight = 0.3;
const risingWeight = 0.05;
/** More than this many times as much is taken for that. */
const riseMax = 8;

/**
 * The measure of work a run, after a task of `runs` runs that took `taskMs`. A thread that had to wait for a core, or compiled
 * code for the first time, measures too much and never too little; so the measure falls fast and rises slowly.
 */
export function measuredWorkMs(beforeMs: number | undefined, taskMs: number, runs: number): number {
  const newestMs = taskMs / runs;
  if (beforeMs === undefined) return newestMs;
  if (newestMs <= beforeMs) return beforeMs + fallingWeight * (newestMs - beforeMs);
  return beforeMs + risingWeight * (Math.min(newestMs, Math.max(beforeMs, shareWorthMs / batchMax) * riseMax) - beforeMs);
}
