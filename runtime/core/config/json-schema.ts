/** The configuration's JSON Schema, for editors and for the names of environment variables: made from the schema that checks it. */
import { z } from "zod";
import { valuesOf } from "./fields.ts";

/** As much of JSON Schema (2020-12) as a configuration is described with. */
export interface JsonSchema {
  readonly $schema?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  /** It is shown to nobody. */
  readonly writeOnly?: boolean;
}

/** What no file of JSON or YAML can hold. */
const functionKeys = ["envelopes"];

function made(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      const values = valuesOf(zodSchema);
      if (values === undefined) return;
      const { $schema: _dialect, ...additionalProperties } = made(values);
      Object.assign(jsonSchema, { type: "object", additionalProperties });
    },
  }) as JsonSchema;
}

export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const { $schema, ...whole } = made(schema);
  const properties = Object.fromEntries(Object.entries(whole.properties ?? {}).filter(([key]) => !functionKeys.includes(key)));
  const own: JsonSchema = { type: "string", description: "Where this schema lies, for editors." };
  return { ...($schema === undefined ? {} : { $schema }), title: "Holdfast configuration", ...whole, properties: { $schema: own, ...properties } };
}
