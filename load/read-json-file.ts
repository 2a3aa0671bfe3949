import { readFileSync } from "node:fs";
import type { z } from "zod";
import { ConfigurationError, messageOf } from "#runtime/core/errors.ts";

function valueAt(input: unknown, path: readonly PropertyKey[]): unknown {
  let value = input;
  for (const name of path) value = typeof value === "object" && value !== null ? (value as Record<PropertyKey, unknown>)[name] : undefined;
  return value;
}

/** Reads a file that a person wrote; throws `ConfigurationError` that names the file, each place, what is expected there and what was found. */
export function readJsonFile<Value>(file: string, schema: z.ZodType<Value>): Value {
  let input: unknown;
  try {
    input = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ConfigurationError(`${file}: expected a file with JSON, ${messageOf(error)}`);
  }
  const parsed = schema.safeParse(input);
  if (parsed.success) return parsed.data;
  const wrong = parsed.error.issues.map(({ path, message }) => {
    const found = JSON.stringify(valueAt(input, path)) as string | undefined;
    return `${path.length === 0 ? "the whole" : path.join(".")}: ${message.replace(/, received .*$/, "")}, found ${found === undefined ? "nothing" : found.slice(0, 80)}`;
  });
  throw new ConfigurationError(`${file}: ${wrong.join("; ")}`);
}
