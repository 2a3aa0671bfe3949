// How many retries in place the whole worker may make.
import { z } from "zod";
import { type RetryBudgetPolicy, defaultRetryBudgetPolicy } from "../skill.ts";
import { integer } from "./fields.ts";

export type RetryBudgetConfig = { readonly [key in keyof RetryBudgetPolicy]?: RetryBudgetPolicy[key] | undefined };

export const retryBudgetSchema: z.ZodType<RetryBudgetPolicy, RetryBudgetConfig> = z.strictObject({
  ratio: z.number().min(0).max(10).default(defaultRetryBudgetPolicy.ratio),
  perSecondMin: z.number().min(0).max(10_000).default(defaultRetryBudgetPolicy.perSecondMin),
  windowMs: integer(1_000, 60_000).default(defaultRetryBudgetPolicy.windowMs),
});
