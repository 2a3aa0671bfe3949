/** The published JSON Schema of the configuration, as it lies in the package. */
import { readFileSync } from "node:fs";
import type { JsonSchema } from "../core/config/json-schema.ts";

export function configSchemaText(): string {
  return readFileSync(new URL("../core/config/schema.json", import.meta.url), "utf8");
}

export function readConfigSchema(): JsonSchema {
  return JSON.parse(configSchemaText()) as JsonSchema;
}
