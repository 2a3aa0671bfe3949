/**
 * What the numbers of policies may be. Definitions in plugins, the configuration, and changes while a worker runs are all checked
 * against these.
 */
import type { LatencyWatchPolicy } from "./latency-watch.ts";
import type { LoadSheddingPolicy } from "./load-shedding.ts";
import type { BulkheadPolicy, CircuitPolicy, RetryBudgetPolicy, RetryPolicy } from "./skill.ts";

export interface Limits {
  readonly min: number;
  readonly max: number;
  /** Not only whole numbers. */
  readonly isFraction?: true;
}

/** Limits for each key that is a number. */
export type LimitsOf<Settings> = { readonly [Key in keyof Settings & string as Settings[Key] extends number ? Key : never]: Limits };

const upTo = (max: number): Limits => ({ min: 1, max });
const dayMs = 86_400_000;

export const bulkheadLimits: LimitsOf<BulkheadPolicy> = {
  concurrentMax: upTo(10_000),
  queueMax: { min: 0, max: 10_000 },
  waitMaxMs: upTo(150_000),
};

export const circuitLimits: LimitsOf<CircuitPolicy> = {
  failureThreshold: upTo(1_000),
  windowCalls: { min: 0, max: 10_000 },
  callsMin: { min: 0, max: 10_000 },
  slowCallMs: { min: 0, max: 600_000 },
  resetTimeoutMs: upTo(3_600_000),
  resetFactor: upTo(10),
  resetTimeoutMaxMs: upTo(3_600_000),
  halfOpenMax: upTo(100),
  probesToClose: upTo(100),
};

export const callTimeoutLimits: Readonly<Record<"connectMs" | "headersMs" | "bodyMs" | "idleMs" | "totalMs", Limits>> = {
  connectMs: upTo(600_000),
  headersMs: upTo(600_000),
  bodyMs: upTo(600_000),
  idleMs: upTo(600_000),
  totalMs: upTo(600_000),
};

export const callRetryLimits: Readonly<Record<"attemptsMax" | "baseDelayMs" | "delayMaxMs", Limits>> = {
  attemptsMax: upTo(10),
  baseDelayMs: upTo(60_000),
  delayMaxMs: upTo(60_000),
};

export const skillRetryLimits: LimitsOf<RetryPolicy> = {
  attemptsMax: upTo(20),
  immediateMax: { min: 0, max: 5 },
  immediateDelayMs: { min: 0, max: dayMs },
  baseDelayMs: { min: 0, max: dayMs },
  delayFactor: { min: 1, max: 100, isFraction: true },
  delayMaxMs: { min: 0, max: dayMs },
  lossesMax: { min: 2, max: 100 },
};

export const loadSheddingLimits: LimitsOf<LoadSheddingPolicy> = {
  queueAgeMs: { min: 100, max: dayMs },
  ratio: { min: 0, max: 1_000, isFraction: true },
  perSecondMin: { min: 0, max: 10_000, isFraction: true },
  postponementsMax: upTo(10_000),
};

export const latencyWatchLimits: LimitsOf<LatencyWatchPolicy> = {
  factor: { min: 1.1, max: 100, isFraction: true },
  differenceMinMs: { min: 0, max: 3_600_000 },
};

export const retryBudgetLimits: LimitsOf<RetryBudgetPolicy> = {
  ratio: { min: 0, max: 10, isFraction: true },
  perSecondMin: { min: 0, max: 10_000, isFraction: true },
  windowMs: { min: 1_000, max: 60_000 },
};
