/**
 * When and how often a failed run is tried again. The default timeline: once in place after a short pause, then after
 * 30–60 s, then after 5–10 min, then dead-letter.
 */
export interface RetryPolicy {
  /** Executions that may end in a failure, the first included; 1 to 20. */
  readonly attemptsMax: number;
  /** Of these, how many retries happen in place under the same claim; 0 to 5. */
  readonly immediateMax: number;
  /** Pause before a retry in place, doubled each time; jittered up to twice. */
  readonly immediateDelayMs: number;
  /** Pause before the first retry through the queue; jittered up to twice. */
  readonly baseDelayMs: number;
  /** Each later retry waits this many times longer. */
  readonly delayFactor: number;
  /** Upper bound before jitter. */
  readonly delayMaxMs: number;
  /**
   * Executions that may end with their worker or thread before the run is dead-lettered as `CrashLoop`; 2 to 100. They are no
   * failures of the skill, which `attemptsMax` bounds.
   */
  readonly lossesMax: number;
}

export const defaultRetryPolicy: RetryPolicy = {
  attemptsMax: 4,
  immediateMax: 1,
  immediateDelayMs: 200,
  baseDelayMs: 30_000,
  delayFactor: 10,
  delayMaxMs: 300_000,
  lossesMax: 5,
};

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
}

export const defaultBulkheadPolicy: BulkheadPolicy = { concurrentMax: 32, queueMax: 64, waitMaxMs: 5_000 };

/**
 * The circuit opens when `failureThreshold` of the last `2 × failureThreshold` runs that used the dependency failed on it,
 * stays open for `resetTimeoutMs`, then lets `halfOpenMax` runs probe: one success closes it, one failure opens it again.
 */
export interface CircuitPolicy {
  /** 1 to 1 000. */
  readonly failureThreshold: number;
  readonly resetTimeoutMs: number;
  /** 1 to 100. */
  readonly halfOpenMax: number;
}

export const defaultCircuitPolicy: CircuitPolicy = { failureThreshold: 10, resetTimeoutMs: 10_000, halfOpenMax: 2 };

/** What the main thread knows of a dependency. Its place in the list of all dependencies is its number. */
export interface DependencyPolicy {
  readonly name: string;
  readonly bulkhead: BulkheadPolicy;
  readonly circuit: CircuitPolicy;
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
  /** A run of it that fails for good is compensated. */
  readonly critical: boolean;
  /** Changes when the skill's steps do. */
  readonly pipelineHash: string;
}

/** Finds the skill for an event. */
export interface SkillTable {
  /** All that it may find. */
  readonly policies: readonly SkillPolicy[];
  find(eventType: string, version: string): SkillPolicy | "unknown-type" | "unsupported-version";
}
