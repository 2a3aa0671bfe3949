// How many retries the whole worker may make.
import { z } from "zod";
import { type RetryBudgetPolicy, defaultRetryBudgetPolicy } from "../skill.ts";
import { retryBudgetLimits } from "../policy-limits.ts";
import { numbers } from "./fields.ts";

export type RetryBudgetConfig = { readonly [key in keyof RetryBudgetPolicy]?: RetryBudgetPolicy[key] | undefined };

const fields = numbers(retryBudgetLimits);

export const retryBudgetSchema: z.ZodType<RetryBudgetPolicy, RetryBudgetConfig> = z.strictObject({
  ratio: fields.ratio.default(defaultRetryBudgetPolicy.ratio),
  perSecondMin: fields.perSecondMin.default(defaultRetryBudgetPolicy.perSecondMin),
  windowMs: fields.windowMs.default(defaultRetryBudgetPolicy.windowMs),
});

/** Changes while a worker runs. */
export const retryBudgetChanges: z.ZodType<RetryBudgetConfig> = z.strictObject(fields).partial();
