// What a dependency may be asked for in a minute.
import { z } from "zod";
import { type LimitPolicy, limitScopes, limitsProblem } from "../limits.ts";
import { integer } from "./fields.ts";

const rates = {
  requestsPerMinute: integer(1, 10_000_000).optional(),
  tokensPerMinute: integer(1, 1_000_000_000).optional(),
  burstMs: integer(0, 60_000).optional(),
};
const limit = z.strictObject({ by: z.enum(limitScopes).optional(), ...rates });

/** Changes of a limit while a worker runs. */
export const limitChanges: z.ZodType<Omit<LimitPolicy, "by">> = z.strictObject(rates);

export const limitsSchema: z.ZodType<readonly LimitPolicy[], readonly LimitPolicy[]> = z.array(limit).superRefine((limits, context) => {
  const problem = limitsProblem(limits);
  if (problem !== undefined) context.addIssue({ code: "custom", message: `expected ${problem.expected}, got ${problem.got}` });
});

export const estimatedTokensSchema: z.ZodInt = integer(0, 1_000_000_000);
