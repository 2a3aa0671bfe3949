// What the configuration says of dependencies and skills, in place of what their plugins say.
import { z } from "zod";
import type { LimitPolicy } from "../limits.ts";
import { type BulkheadPolicy, type CircuitPolicy, type ConcurrencyPolicy, type Jitter, type RetryPolicy, jitters, whenFullChoices } from "../skill.ts";
import { failureClasses } from "../failure-class.ts";
import { bulkheadLimits, callRetryLimits, callTimeoutLimits, circuitLimits, skillRetryLimits } from "../policy-limits.ts";
import { hourMs, integer, numbers } from "./fields.ts";
import { concurrencySchema } from "./concurrency.ts";
import { estimatedTokensSchema, limitsSchema } from "./limits.ts";

type Loose<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** Replaces what the plugin says of a dependency; see `defineDependency` for units, ranges and defaults. */
export interface DependencyConfig {
  readonly baseUrl?: string | undefined;
  readonly bulkhead?: Loose<BulkheadPolicy> | undefined;
  readonly circuit?: Loose<CircuitPolicy> | undefined;
  readonly timeouts?: Loose<{ connectMs: number; headersMs: number; bodyMs: number; idleMs: number; totalMs: number }> | undefined;
  readonly retry?: Loose<{ attemptsMax: number; baseDelayMs: number; delayMaxMs: number; jitter: Jitter }> | undefined;
  /** In place of all that the plugin has. */
  readonly limits?: readonly LimitPolicy[] | undefined;
  readonly estimatedTokens?: number | undefined;
  readonly concurrency?: ConcurrencyPolicy | undefined;
}

/** Replaces what the plugin says of a skill; see `defineSkill`. */
export interface SkillConfig {
  readonly timeoutMs?: number | undefined;
  /** 1 to 10 000. */
  readonly concurrentMax?: number | undefined;
  readonly retry?: Loose<RetryPolicy> | undefined;
}

const bulkhead = z.strictObject({ ...numbers(bulkheadLimits), whenFull: z.enum(whenFullChoices) }).partial();
const circuit = z.strictObject({ ...numbers(circuitLimits), mode: z.enum(["rate", "consecutive"]), counts: z.array(z.enum(failureClasses)) }).partial();
const timeouts = z.strictObject(numbers(callTimeoutLimits)).partial();
const jitter = z.enum(jitters);
const callRetry = z.strictObject({ ...numbers(callRetryLimits), jitter }).partial();
const skillRetry = z.strictObject({ ...numbers(skillRetryLimits), jitter }).partial();

/** Changes of a bulkhead while a worker runs. */
export const bulkheadChanges: z.ZodType<Loose<BulkheadPolicy>> = bulkhead;

export const dependencySchema: z.ZodType<DependencyConfig, DependencyConfig> = z
  .strictObject({
    baseUrl: z.string(),
    bulkhead,
    circuit,
    timeouts,
    retry: callRetry,
    limits: limitsSchema,
    estimatedTokens: estimatedTokensSchema,
    concurrency: concurrencySchema,
  })
  .partial();

export const skillSchema: z.ZodType<SkillConfig, SkillConfig> = z
  .strictObject({ timeoutMs: integer(1, hourMs), concurrentMax: integer(1, 10_000), retry: skillRetry })
  .partial();
