// From when on runs take longer than usual, and what is done then.
import { z } from "zod";
import { type LatencyWatchPolicy, defaultLatencyWatchPolicy, driftActions } from "../latency-watch.ts";
import { latencyWatchLimits } from "../policy-limits.ts";
import { numbers } from "./fields.ts";

export type LatencyWatchConfig = { readonly [Key in keyof LatencyWatchPolicy]?: LatencyWatchPolicy[Key] | undefined };

const fields = { ...numbers(latencyWatchLimits), enabled: z.boolean(), action: z.enum(driftActions) };
const defaults = defaultLatencyWatchPolicy;

export const latencyWatchSchema: z.ZodType<LatencyWatchPolicy, LatencyWatchConfig> = z.strictObject({
  enabled: fields.enabled.default(defaults.enabled),
  factor: fields.factor.default(defaults.factor),
  differenceMinMs: fields.differenceMinMs.default(defaults.differenceMinMs),
  action: fields.action.default(defaults.action),
});

/** Changes while a worker runs. */
export const latencyWatchChanges: z.ZodType<LatencyWatchConfig> = z.strictObject(fields).partial();
