import type { LimitPolicy } from "./limits.ts";
import type { FailureClass } from "./failure-class.ts";

export const jitters = ["none", "equal", "full", "decorrelated"] as const;

export type Jitter = (typeof jitters)[number];

/**
 * When and how often a failed run is tried again. The default timeline: once in place after a short pause, then after
 * 30–60 s, then after 5–10 min, then dead-letter.
 */
export interface RetryPolicy {
  /** Executions that may end in a failure, the first included; 1 to 20. */
  readonly attemptsMax: number;
  /** Of these, how many retries happen in place under the same claim; 0 to 5. */
  readonly immediateMax: number;
  /** Pause before a retry in place, doubled each time, before jitter. */
  readonly immediateDelayMs: number;
  /** Pause before the first retry through the queue, before jitter. */
  readonly baseDelayMs: number;
  /** Each later retry waits this many times longer. */
  readonly delayFactor: number;
  /** Upper bound before jitter; of `decorrelated`, with it. */
  readonly delayMaxMs: number;
  /**
   * How pauses are spread. `none`: as they are. `equal`: between one and two times as long. `full`: between nothing and two times.
   * `decorrelated`: each between the first one and three times the one before it.
   */
  readonly jitter: Jitter;
  /**
   * Executions that may end with their worker or thread before the run is dead-lettered as `CrashLoop`; 2 to 100. They are no
   * failures of the skill, which `attemptsMax` bounds.
   */
  readonly lossesMax: number;
}

/** What holds of the retries of a run where neither the skill nor the configuration says otherwise; times in milliseconds. */
export const defaultRetryPolicy: RetryPolicy = {
  attemptsMax: 4,
  immediateMax: 1,
  immediateDelayMs: 200,
  baseDelayMs: 30_000,
  delayFactor: 10,
  delayMaxMs: 300_000,
  jitter: "equal",
  lossesMax: 5,
};

/** How many retries the whole worker may make, of runs in place and of calls within runs. */
export interface RetryBudgetPolicy {
  /** Retries for each message that arrived within the window; 0 to 10. */
  readonly ratio: number;
  /** Retries a second on top of that; 0 to 10 000. */
  readonly perSecondMin: number;
  /** How long a message counts, and a retry; 1 000 to 60 000. */
  readonly windowMs: number;
}

export const defaultRetryBudgetPolicy: RetryBudgetPolicy = { ratio: 0.2, perSecondMin: 10, windowMs: 10_000 };

/** How many runs may use a dependency at once is found out, from how long its calls take; it begins with the bulkhead's `concurrentMax`. */
export interface ConcurrencyPolicy {
  readonly mode: "adaptive";
  /** 1 to 10 000. */
  readonly min: number;
  /** At least `min`; 1 to 10 000. */
  readonly max: number;
}

/** How many runs may use a dependency at once in a worker, and what becomes of those that find no place. */
export interface BulkheadPolicy {
  /** Runs that may use the dependency at once; 1 to 10 000. */
  readonly concurrentMax: number;
  /** Runs that may wait for a slot in its lane; 0 to 10 000. */
  readonly queueMax: number;
  /**
   * How long a run may wait in the lane before its message is returned to the queue, for any worker; 1 to 150 000, and never
   * longer than half a message lock.
   */
  readonly waitMaxMs: number;
  /**
   * What becomes of a run that finds no slot and no place in the lane, or waited there for too long. `postpone`: its message
   * returns later, and no attempt is counted. `reject`: it starts without a slot, and its calls of the dependency fail at
   * once as `BULKHEAD_FULL`, so that fallbacks answer, or it is retried later as one that was throttled.
   */
  readonly whenFull: WhenFull;
}

export const whenFullChoices = ["postpone", "reject"] as const;

export type WhenFull = (typeof whenFullChoices)[number];

/** What holds of a bulkhead where neither the code nor the configuration says otherwise; times in milliseconds. */
export const defaultBulkheadPolicy: BulkheadPolicy = { concurrentMax: 32, queueMax: 64, waitMaxMs: 5_000, whenFull: "postpone" };

/**
 * The circuit opens when too many runs that used the dependency failed on it, stays open for `resetTimeoutMs`, then lets
 * `halfOpenMax` runs probe: `probesToClose` successes close it, one failure opens it again, for longer.
 */
export interface CircuitPolicy {
  /**
   * `rate`: it opens when `failureThreshold` of the last `windowCalls` runs failed. `consecutive`: when as many failed in a row.
   */
  readonly mode: "rate" | "consecutive";
  /** 1 to 1 000. */
  readonly failureThreshold: number;
  /** At least `failureThreshold`; 0 to 10 000, 0 for twice `failureThreshold`. */
  readonly windowCalls: number;
  /** Before it has seen as many runs it does not open, in the mode `rate` at most `windowCalls`; 0 to 10 000. */
  readonly callsMin: number;
  /** A call with a try that took so long counts as a failure, however it ended; 0 to 600 000, 0 for never. */
  readonly slowCallMs: number;
  /** Classes of errors that count as failures; of others a refusal (`permanent`) is an answer, and the rest says nothing. */
  readonly counts: readonly FailureClass[];
  /** 1 to 3 600 000. */
  readonly resetTimeoutMs: number;
  /** Each time that it opens without having closed it stays open so many times longer; 1 to 10. */
  readonly resetFactor: number;
  /** Upper bound of that; less than `resetTimeoutMs` counts as that. 1 to 3 600 000. */
  readonly resetTimeoutMaxMs: number;
  /** 1 to 100. */
  readonly halfOpenMax: number;
  /** 1 to 100. */
  readonly probesToClose: number;
}

/** What holds of a circuit where neither the code nor the configuration says otherwise; times in milliseconds. */
export const defaultCircuitPolicy: CircuitPolicy = {
  mode: "rate",
  failureThreshold: 10,
  windowCalls: 0,
  callsMin: 0,
  slowCallMs: 0,
  counts: ["transient", "unavailable", "outcome-unknown", "throttled"],
  resetTimeoutMs: 10_000,
  resetFactor: 2,
  resetTimeoutMaxMs: 60_000,
  halfOpenMax: 2,
  probesToClose: 1,
};

/** What the main thread knows of a dependency. Its place in the list of all dependencies is its number. */
export interface DependencyPolicy {
  readonly name: string;
  readonly bulkhead: BulkheadPolicy;
  readonly circuit: CircuitPolicy;
  readonly limits?: readonly LimitPolicy[];
  /** Undefined where the bulkhead's own number counts. */
  readonly concurrency?: ConcurrencyPolicy | undefined;
  /** Tokens that a call is expected to use, while nothing else says. */
  readonly estimatedTokens?: number | undefined;
}

/** What the main thread knows of a skill. */
export interface SkillPolicy {
  readonly name: string;
  /** Of the plugin that it belongs to. */
  readonly version: string;
  /** Milliseconds one execution may take. */
  readonly timeoutMs: number;
  readonly retry: RetryPolicy;
  /** Numbers of the dependencies it uses. */
  readonly uses: readonly number[];
  /** Runs of it that may be under way at once in a worker; undefined for the default. */
  readonly concurrentMax?: number | undefined;
  /** Its threads are its alone. */
  readonly hasOwnThreads?: boolean;
  /** A run of it that fails for good is compensated. */
  readonly critical: boolean;
  /** Of the skill's name, the event's type and the steps: changes when these do. */
  readonly pipelineHash: string;
}

/** Finds the skill for an event. */
export interface SkillTable {
  /** All that it may find. */
  readonly policies: readonly SkillPolicy[];
  /** `unrouted`: a skill handles it, and may not get it here. */
  find(eventType: string, version: string): SkillPolicy | "unknown-type" | "unsupported-version" | "unrouted";
  /** All event types that it knows, each with the ranges of versions that a skill handles. */
  readonly handled: ReadonlyMap<string, readonly string[]>;
}
