// Checks values against what an author says they are: a Standard Schema validator or a JSON Schema.
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Ajv, ErrorObject } from "ajv";
import { ConfigurationError, messageOf } from "../../core/errors.ts";
import { show } from "../author/check-options.ts";
import type { JsonSchema, PayloadSchema } from "../author/schema.ts";

/** One thing that is wrong with a value. */
export interface SchemaIssue {
  /** Where it is; empty for the value itself. */
  readonly path: readonly string[];
  readonly message: string;
  /** The key that is not there, of what stands at `path`. */
  readonly missing?: string | undefined;
  /** The key that is there and may not be, of what stands at `path`. */
  readonly additional?: string | undefined;
}

export type Checked = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly issues: readonly SchemaIssue[] };

/** Answers at once where the validator does. */
export type CheckValue = (value: unknown) => Checked | Promise<Checked>;

function issueOf({ path = [], message }: StandardSchemaV1.Issue): SchemaIssue {
  return { path: path.map((segment) => String(typeof segment === "object" ? segment.key : segment)), message };
}

function judge(result: StandardSchemaV1.Result<unknown>): Checked {
  return result.issues === undefined ? { ok: true, value: result.value } : { ok: false, issues: result.issues.map(issueOf) };
}

async function judgeLater(result: PromiseLike<StandardSchemaV1.Result<unknown>>): Promise<Checked> {
  return judge(await result);
}

function checkByStandard(schema: StandardSchemaV1<unknown, unknown>): CheckValue {
  const standard = schema["~standard"];
  return (value) => {
    const result = standard.validate(value);
    // A promise may be of another realm, or of a library of its own.
    return "then" in result ? judgeLater(result) : judge(result);
  };
}

/** What a schema's document may do beside judging: to fill its defaults in. */
interface Compiling {
  readonly fillsDefaults?: boolean;
}

/** One compiler a draft, way and thread. Strict mode is off: published documents of older drafts use keywords it refuses. */
const compilers = new Map<string, Promise<Ajv>>();

async function makeCompiler(draft: string, { fillsDefaults = false }: Compiling): Promise<Ajv> {
  const options = { strict: false, allErrors: false, validateFormats: true, useDefaults: fillsDefaults };
  const { default: formats } = await import("ajv-formats");
  const addFormats = formats as unknown as (ajv: Ajv) => Ajv;
  if (draft === "2020-12") return addFormats(new (await import("ajv/dist/2020.js")).Ajv2020(options));
  if (draft === "2019-09") return addFormats(new (await import("ajv/dist/2019.js")).Ajv2019(options));
  return addFormats(new (await import("ajv")).Ajv(options));
}

const drafts: readonly (readonly [pattern: RegExp, draft: string])[] = [
  [/^https?:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/, "2020-12"],
  [/^https?:\/\/json-schema\.org\/draft\/2019-09\/schema#?$/, "2019-09"],
  [/^https?:\/\/json-schema\.org\/draft-07\/schema#?$/, "07"],
];

function draftOf(owner: string, schema: JsonSchema): string {
  const named = schema["$schema"];
  if (named === undefined) return "07";
  const draft = typeof named === "string" ? drafts.find(([pattern]) => pattern.test(named))?.[1] : undefined;
  if (draft === undefined) throw new ConfigurationError(`${owner}.$schema: expected draft-07, 2019-09 or 2020-12, got ${show(named)}`);
  return draft;
}

function issueOfError({ instancePath, message, keyword, params }: ErrorObject): SchemaIssue {
  const { missingProperty, additionalProperty, unevaluatedProperty } = params as Readonly<Record<string, string | undefined>>;
  const additional = additionalProperty ?? unevaluatedProperty;
  return {
    path: instancePath
      .split("/")
      .slice(1)
      .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~")),
    message: message ?? keyword,
    ...(missingProperty === undefined ? {} : { missing: missingProperty }),
    ...(additional === undefined ? {} : { additional }),
  };
}

async function checkByJsonSchema(owner: string, schema: JsonSchema, how: Compiling): Promise<CheckValue> {
  const draft = draftOf(owner, schema);
  const way = `${draft} ${how.fillsDefaults === true}`;
  let compiler = compilers.get(way);
  if (compiler === undefined) {
    compiler = makeCompiler(draft, how);
    compilers.set(way, compiler);
  }
  const ajv = await compiler;
  let validate: ReturnType<Ajv["compile"]>;
  try {
    validate = ajv.compile(schema);
  } catch (error) {
    throw new ConfigurationError(`${owner}: expected a JSON Schema that compiles, got: ${messageOf(error, 500)}`, { cause: error });
  } finally {
    // Only the check is kept: two skills may bring documents of the same `$id`, also where the first does not compile.
    ajv.removeSchema(schema);
  }
  if ("$async" in validate) throw new ConfigurationError(`${owner}: expected a JSON Schema that answers at once, got one with $async`);
  return (value) => (validate(value) ? { ok: true, value } : { ok: false, issues: (validate.errors ?? []).map(issueOfError) });
}

function isStandard(schema: PayloadSchema<unknown>): schema is StandardSchemaV1<unknown, unknown> {
  return schema["~standard"] !== undefined;
}

/** Compiles a schema; `owner` names it in errors. Throws `ConfigurationError` when it cannot be. */
export async function compileSchema(owner: string, schema: PayloadSchema<unknown>, how: Compiling = {}): Promise<CheckValue> {
  return isStandard(schema) ? checkByStandard(schema) : await checkByJsonSchema(owner, schema, how);
}
