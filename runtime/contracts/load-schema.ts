// Loads a contract: a JSON Schema from a file, or what a module exports.
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import type { StandardJSONSchemaV1 } from "@standard-schema/spec";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import { isRecord, show } from "../skills/author/check-options.ts";
import type { JsonSchema, PayloadSchema } from "../skills/author/schema.ts";
import { importModule, readJson } from "../skills/host/import-module.ts";
import { compilePayloadCheck } from "../skills/host/payload.ts";

export interface LoadedSchema {
  readonly schema: PayloadSchema<unknown>;
  readonly jsonSchema: JsonSchema;
}

/** A failed import is shown with the code around it. */
const textMax = 4_000;

/** The default export of a module, or what a file of JSON holds. Throws `ConfigurationError`. */
export async function loadDefault(folder: string, file: string): Promise<unknown> {
  const path = join(folder, file);
  try {
    if (file.endsWith(".json")) return readJson(path, folder);
    const module = await importModule({ name: `contract ${file}`, url: pathToFileURL(path).href, folder: dirname(path) });
    return module.default;
  } catch (error) {
    throw new ConfigurationError(messageOf(error, textMax), { cause: error });
  }
}

/** Throws `ConfigurationError` for what can neither check a payload nor say as a JSON Schema what it is. */
export async function loadSchema(folder: string, file: string): Promise<LoadedSchema> {
  const found = await loadDefault(folder, file);
  const where = file.endsWith(".json")
    ? "a JSON Schema, which is an object"
    : "its default export to be a JSON Schema, or a Standard Schema such as z.object({ … })";
  // Some Standard Schema validators are callable.
  if (!isRecord(found) && typeof found !== "function") throw new ConfigurationError(`expected ${where}, got ${show(found)}`);
  const schema = found as PayloadSchema<unknown>;
  const jsonSchema = jsonSchemaOf(schema);
  // The main thread learns of a schema that no thread could check by.
  await compilePayloadCheck("contract", schema, "its schema");
  return { schema, jsonSchema };
}

function jsonSchemaOf(schema: PayloadSchema<unknown>): JsonSchema {
  const standard = schema["~standard"] as (StandardJSONSchemaV1["~standard"] & { readonly validate?: unknown }) | undefined;
  if (standard === undefined) return schema as JsonSchema;
  if (typeof standard.validate !== "function" || typeof standard.jsonSchema?.input !== "function")
    throw new ConfigurationError(
      "expected a Standard Schema that can say what it is as a JSON Schema (`~standard.jsonSchema`), got one that cannot; zod has it from 4.2 on, valibot in @valibot/to-json-schema, or export a JSON Schema",
    );
  try {
    return standard.jsonSchema.input({ target: "draft-2020-12" });
  } catch (cause) {
    throw new ConfigurationError(
      `expected a schema of what JSON holds, its JSON Schema could not be made: ${messageOf(cause)}; describe the payload as it is sent, such as a date as text`,
      { cause },
    );
  }
}
