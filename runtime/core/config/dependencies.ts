// What the configuration says of dependencies and skills, in place of what their plugins say.
import { z } from "zod";
import type { BulkheadPolicy, CircuitPolicy, RetryPolicy } from "../skill.ts";
import { failureClasses } from "../failure-class.ts";
import { dayMs, hourMs, integer } from "./fields.ts";

type Loose<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** Replaces what the plugin says of a dependency; see `defineDependency` for units, ranges and defaults. */
export interface DependencyConfig {
  readonly baseUrl?: string | undefined;
  readonly bulkhead?: Loose<BulkheadPolicy> | undefined;
  readonly circuit?: Loose<CircuitPolicy> | undefined;
  readonly timeouts?: Loose<{ connectMs: number; headersMs: number; bodyMs: number; idleMs: number; totalMs: number }> | undefined;
  readonly retry?: Loose<{ attemptsMax: number; baseDelayMs: number; delayMaxMs: number }> | undefined;
}

/** Replaces what the plugin says of a skill; see `defineSkill`. */
export interface SkillConfig {
  readonly timeoutMs?: number | undefined;
  /** 1 to 10 000. */
  readonly concurrentMax?: number | undefined;
  readonly retry?: Loose<RetryPolicy> | undefined;
}

const bulkhead = z.strictObject({ concurrentMax: integer(1, 10_000), queueMax: integer(0, 10_000), waitMaxMs: integer(1, 150_000) }).partial();
const circuit = z
  .strictObject({
    mode: z.enum(["rate", "consecutive"]),
    failureThreshold: integer(1, 1_000),
    windowCalls: integer(0, 10_000),
    callsMin: integer(0, 10_000),
    slowCallMs: integer(0, 600_000),
    counts: z.array(z.enum(failureClasses)),
    resetTimeoutMs: integer(1, hourMs),
    resetFactor: integer(1, 10),
    resetTimeoutMaxMs: integer(1, hourMs),
    halfOpenMax: integer(1, 100),
    probesToClose: integer(1, 100),
  })
  .partial();
const timeouts = z
  .strictObject({
    connectMs: integer(1, 600_000),
    headersMs: integer(1, 600_000),
    bodyMs: integer(1, 600_000),
    idleMs: integer(1, 600_000),
    totalMs: integer(1, 600_000),
  })
  .partial();
const callRetry = z.strictObject({ attemptsMax: integer(1, 10), baseDelayMs: integer(1, 60_000), delayMaxMs: integer(1, 60_000) }).partial();
const skillRetry = z
  .strictObject({
    attemptsMax: integer(1, 20),
    immediateMax: integer(0, 5),
    immediateDelayMs: integer(0, dayMs),
    baseDelayMs: integer(0, dayMs),
    delayFactor: z.number().min(1).max(100),
    delayMaxMs: integer(0, dayMs),
    jitter: z.enum(["none", "equal", "full", "decorrelated"]),
    lossesMax: integer(2, 100),
  })
  .partial();

export const dependencySchema: z.ZodType<DependencyConfig, DependencyConfig> = z
  .strictObject({ baseUrl: z.string(), bulkhead, circuit, timeouts, retry: callRetry })
  .partial();

export const skillSchema: z.ZodType<SkillConfig, SkillConfig> = z
  .strictObject({ timeoutMs: integer(1, hourMs), concurrentMax: integer(1, 10_000), retry: skillRetry })
  .partial();
