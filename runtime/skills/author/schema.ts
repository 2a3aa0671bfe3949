// Schemas that authors give: of payloads, of settings, of what a dependency is asked and answers.
import type { StandardSchemaV1 } from "@standard-schema/spec";
import { isRecord, refuse } from "./check-options.ts";

/** A JSON Schema document: draft-07, 2019-09 or 2020-12 by its `$schema`, draft-07 without one. */
export interface JsonSchema {
  readonly "~standard"?: never;
  readonly [keyword: string]: unknown;
}

/** Describes a payload: any Standard Schema validator (zod, valibot, …), or a JSON Schema document. */
export type PayloadSchema<Payload> = StandardSchemaV1<unknown, Payload> | JsonSchema;

/** Describes what is given, and what a validator makes of it. */
export type GivenSchema<Given, Made> = StandardSchemaV1<Given, Made> | JsonSchema;

/** Refuses what is no schema; nothing is compiled. */
export function checkSchema(owner: string, schema: unknown): void {
  if (schema === undefined || schema === null) refuse(owner, "a Standard Schema validator or a JSON Schema object", schema);
  // Some Standard Schema validators are callable.
  const standard = (schema as { readonly "~standard"?: unknown })["~standard"];
  if (standard === undefined) {
    if (!isRecord(schema)) refuse(owner, "a Standard Schema validator or a JSON Schema object", schema);
    return;
  }
  if (!isRecord(standard) || standard["version"] !== 1 || typeof standard["validate"] !== "function") {
    refuse(owner, "a Standard Schema of version 1 with a validate function", standard);
  }
}
