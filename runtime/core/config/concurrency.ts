// How many runs may use a dependency at once, where that is found out.
import { z } from "zod";
import type { ConcurrencyPolicy } from "../skill.ts";
import { integer } from "./fields.ts";

export const concurrencySchema: z.ZodType<ConcurrencyPolicy, ConcurrencyPolicy> = z
  .strictObject({ mode: z.literal("adaptive"), min: integer(1, 10_000), max: integer(1, 10_000) })
  .refine(({ min, max }) => min <= max, { path: ["min"], error: "expected at most max" });
