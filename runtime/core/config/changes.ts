// Changes of a running worker's policies: checked as the configuration is, and named as they are named there.
import type { z } from "zod";
import { type Given, given } from "../given.ts";
import { describeIssue, knownKeys } from "./explain.ts";

/** Checks changes of what stands at this place of the configuration; throws `RangeError` naming each key, what was expected and what was found. */
export function checkChanges<Changes extends object>(place: readonly string[], schema: z.ZodType<Changes>, changes: unknown): Given<Changes> {
  const result = schema.safeParse(changes, { error: knownKeys });
  if (result.success) return given(result.data);
  const whole = place.reduceRight<unknown>((inner, key) => ({ [key]: inner }), changes);
  const lines = result.error.issues.flatMap((issue) => describeIssue({ ...issue, path: [...place, ...issue.path] }, whole));
  throw new RangeError(`${lines.join("; ")}; nothing was changed, give values within the limits`);
}
