// Settings that may change while the worker runs: where they are read, and what they may say.
import { z } from "zod";
import type { LimitPolicy } from "../limits.ts";
import type { BulkheadPolicy } from "../skill.ts";
import type { LatencyWatchConfig } from "./latency-watch.ts";
import { latencyWatchChanges } from "./latency-watch.ts";
import { bulkheadChanges } from "./dependencies.ts";
import { byName, dayMs, hourMs, integer } from "./fields.ts";
import { limitsSchema } from "./limits.ts";
import { loadSheddingChanges } from "./load-shedding.ts";
import { type RetryBudgetConfig, retryBudgetChanges } from "./retry-budget.ts";

export interface LiveConfig {
  /** A file of JSON or YAML, relative to the configuration's folder; looked at four times a second. Default `holdfast.live.yaml`, unless `appConfiguration` is given. */
  readonly file?: string | undefined;
  /** One key of Azure App Configuration in place of a file: its value is the same as JSON. */
  readonly appConfiguration?: AppConfigurationConfig | undefined;
  /** A change after which the worker is no longer ready within this time is taken back; 1 000 to 3 600 000, default 10 000. */
  readonly trialMs?: number | undefined;
}

export interface AppConfigurationConfig {
  /** `https://NAME.azconfig.io`; the workload's identity logs in. */
  readonly endpoint: string;
  /** Default `holdfast`. */
  readonly key?: string | undefined;
  readonly label?: string | undefined;
  /** How often it is asked whether there is anything new; 1 000 to 86 400 000, default 30 000. */
  readonly everyMs?: number | undefined;
}

export interface AppConfigurationSettings {
  readonly endpoint: string;
  readonly key: string;
  readonly label?: string | undefined;
  readonly everyMs: number;
}

export interface LiveSourceSettings {
  readonly file: string;
  readonly appConfiguration?: AppConfigurationSettings | undefined;
  readonly trialMs: number;
}

export const liveSchema: z.ZodType<LiveSourceSettings, LiveConfig> = z.strictObject({
  file: z.string().min(1).default("holdfast.live.yaml"),
  appConfiguration: z
    .strictObject({
      endpoint: z.string().regex(/^https:\/\/[A-Za-z0-9.:-]+\/?$/, "expected https://NAME.azconfig.io"),
      key: z.string().min(1).default("holdfast"),
      label: z.string().min(1).optional(),
      everyMs: integer(1_000, dayMs).default(30_000),
    })
    .optional(),
  trialMs: integer(1_000, hourMs).default(10_000),
});

export const logLevels = ["trace", "debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** What a live document may say; what it leaves out is as the configuration has it. */
export interface LiveDocument {
  readonly logLevel?: LogLevel | undefined;
  /** No more messages are taken. */
  readonly isPaused?: boolean | undefined;
  /** Of those that the configuration has. */
  readonly flags?: ReadonlyMap<string, boolean> | undefined;
  readonly retryBudget?: RetryBudgetConfig | undefined;
  readonly loadShedding?: object | undefined;
  readonly latencyWatch?: LatencyWatchConfig | undefined;
  /** By name. */
  readonly dependencies?: ReadonlyMap<string, LiveDependency> | undefined;
}

export interface LiveDependency {
  readonly bulkhead?: { readonly [K in keyof BulkheadPolicy]?: BulkheadPolicy[K] | undefined } | undefined;
  /** Of limits that it has; each is named by what it counts. */
  readonly limits?: readonly LimitPolicy[] | undefined;
}

export const liveDocumentSchema: z.ZodType<LiveDocument> = z.strictObject({
  logLevel: z.enum(logLevels).optional(),
  isPaused: z.boolean().optional(),
  flags: byName(z.boolean()).optional(),
  retryBudget: retryBudgetChanges.optional(),
  loadShedding: loadSheddingChanges.optional(),
  latencyWatch: latencyWatchChanges.optional(),
  dependencies: byName(z.strictObject({ bulkhead: bulkheadChanges.optional(), limits: limitsSchema.optional() })).optional(),
}) as z.ZodType<LiveDocument>;
