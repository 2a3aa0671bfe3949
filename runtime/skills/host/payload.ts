// Checks payloads against what a skill says they are: a Standard Schema validator or a JSON Schema.
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { Ajv, ErrorObject } from "ajv";
import { ConfigurationError, messageOf } from "../../core/errors.ts";
import { show } from "../author/check-options.ts";
import { type Decoded, refuse } from "./decode-body.ts";
import type { JsonSchema, PayloadSchema } from "../author/define-skill.ts";

/** Answers at once where the validator does. */
export type CheckPayload = (payload: unknown) => Decoded<unknown> | Promise<Decoded<unknown>>;

const issuesShownMax = 3;
const pathMax = 120;
const messageMax = 200;

function describe(owner: string, issues: readonly { readonly path: string; readonly message: string }[]): Decoded<unknown> {
  const shown = issues.slice(0, issuesShownMax).map(({ path, message }) => `${`payload${path}`.slice(0, pathMax)}: ${message.slice(0, messageMax)}`);
  const more = issues.length - shown.length;
  return refuse("InvalidPayload", `${owner}: ${shown.join("; ")}${more > 0 ? `; and ${more} more` : ""}`);
}

function pathOf(issue: StandardSchemaV1.Issue): string {
  return (issue.path ?? []).map((segment) => `/${String(typeof segment === "object" ? segment.key : segment)}`).join("");
}

function judge(owner: string, result: StandardSchemaV1.Result<unknown>): Decoded<unknown> {
  if (result.issues === undefined) return { ok: true, value: result.value };
  return describe(
    owner,
    result.issues.map((issue) => ({ path: pathOf(issue), message: issue.message })),
  );
}

function checkByStandard(owner: string, schema: StandardSchemaV1<unknown, unknown>): CheckPayload {
  const standard = schema["~standard"];
  return (payload) => {
    const result = standard.validate(payload);
    return result instanceof Promise ? result.then((later) => judge(owner, later)) : judge(owner, result);
  };
}

/** One compiler a draft and thread. Strict mode is off: published documents of older drafts use keywords it refuses. */
const compilers = new Map<string, Promise<Ajv>>();

async function makeCompiler(draft: string): Promise<Ajv> {
  const options = { strict: false, allErrors: false, validateFormats: true };
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
  if (draft === undefined) throw new ConfigurationError(`${owner}.payload.$schema: expected draft-07, 2019-09 or 2020-12, got ${show(named)}`);
  return draft;
}

function describeErrors(owner: string, errors: readonly ErrorObject[]): Decoded<unknown> {
  return describe(
    owner,
    errors.map((error) => ({ path: error.instancePath, message: error.message ?? error.keyword })),
  );
}

async function checkByJsonSchema(owner: string, schema: JsonSchema): Promise<CheckPayload> {
  const draft = draftOf(owner, schema);
  let compiler = compilers.get(draft);
  if (compiler === undefined) {
    compiler = makeCompiler(draft);
    compilers.set(draft, compiler);
  }
  let validate: ReturnType<Ajv["compile"]>;
  try {
    // Only the check is kept: two skills may bring documents of the same `$id`.
    const ajv = await compiler;
    validate = ajv.compile(schema);
    ajv.removeSchema(schema);
  } catch (error) {
    throw new ConfigurationError(`${owner}.payload: expected a JSON Schema that compiles, got: ${messageOf(error, 500)}`, { cause: error });
  }
  if ("$async" in validate) throw new ConfigurationError(`${owner}.payload: expected a JSON Schema that answers at once, got one with $async`);
  return (payload) => (validate(payload) ? { ok: true, value: payload } : describeErrors(owner, validate.errors ?? []));
}

function isStandard(schema: PayloadSchema<unknown>): schema is StandardSchemaV1<unknown, unknown> {
  return schema["~standard"] !== undefined;
}

/** Compiles a skill's schema, once a thread. Throws `ConfigurationError` when it cannot be. */
export async function compilePayloadCheck(owner: string, schema: PayloadSchema<unknown> | undefined): Promise<CheckPayload> {
  if (schema === undefined) return (payload) => ({ ok: true, value: payload });
  return isStandard(schema) ? checkByStandard(owner, schema) : await checkByJsonSchema(owner, schema);
}
