/** The published schema of the configuration, and the table of its keys, as the schema that checks it and the comments of its types make them. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { configSchema } from "#runtime/core/config.ts";
import { ownVariables, variablesOf } from "#runtime/core/config/environment.ts";
import { type JsonSchema, jsonSchemaOf } from "#runtime/core/config/json-schema.ts";
import { root } from "./markdown.ts";

interface Field {
  readonly doc: string | undefined;
  /** Names that its type's text holds. */
  readonly types: readonly string[];
}

/** What the comments of interfaces and types say, by type and key. */
function readComments(): ReadonlyMap<string, ReadonlyMap<string, Field>> {
  const types = new Map<string, Map<string, Field>>();
  for (const file of globSync("runtime/core/{config,config/*,load-shedding,latency-watch,limits,skill,escalation}.ts", { cwd: root })) {
    let fields: Map<string, Field> | undefined;
    let doc: string[] = [];
    let isDoc = false;
    for (const line of readFileSync(join(root, file), "utf8").split("\n")) {
      const [, type, heirs = ""] = /^(?:export )?(?:interface|type) (\w+)(.*)/.exec(line) ?? [];
      if (type !== undefined) {
        fields = types.get(type) ?? new Map<string, Field>();
        types.set(type, fields);
        fields.set("", { doc: undefined, types: heirs.match(/\w+/g) ?? [] });
      } else if (/^[^\s/|}]/.test(line)) fields = undefined;
      const text = /^\s*(?:\/\*\*|\*(?!\/))?\s?(.*?)\s*(?:\*\/)?$/.exec(line)?.[1] ?? "";
      if (line.trim().startsWith("/**")) {
        isDoc = true;
        doc = [];
      }
      if (isDoc) doc.push(text.trim());
      if (line.includes("*/")) isDoc = false;
      else if (!isDoc && line.trim() !== "") {
        for (const [, key = "", written = ""] of line.matchAll(/readonly (\w+)\??: ([^;]*)/g)) {
          if (fields?.has(key) === true && doc.length === 0) continue;
          fields?.set(key, { doc: doc.length === 0 ? undefined : doc.join(" ").trim(), types: written.match(/\w+/g) ?? [] });
          doc = [];
        }
      }
    }
  }
  return types;
}

const comments = readComments();

function fieldOf(types: readonly string[], key: string, seen: ReadonlySet<string> = new Set()): Field | undefined {
  for (const type of types) {
    if (seen.has(type)) continue;
    const fields = comments.get(type);
    const found = fields?.get(key) ?? fieldOf(fields?.get("")?.types ?? [], key, new Set([...seen, type]));
    if (found !== undefined) return found;
  }
  return undefined;
}

function described(schema: JsonSchema, types: readonly string[]): JsonSchema {
  const { properties, anyOf, oneOf, items, additionalProperties } = schema;
  const inner = (part: JsonSchema): JsonSchema => described(part, types);
  return {
    ...schema,
    ...(properties === undefined ? {} : { properties: Object.fromEntries(Object.entries(properties).map(([key, value]) => [key, ofKey(key, value, types)])) }),
    ...(anyOf === undefined ? {} : { anyOf: anyOf.map(inner) }),
    ...(oneOf === undefined ? {} : { oneOf: oneOf.map(inner) }),
    ...(items === undefined ? {} : { items: inner(items) }),
    ...(typeof additionalProperties === "object" ? { additionalProperties: inner(additionalProperties) } : {}),
  };
}

function ofKey(key: string, value: JsonSchema, types: readonly string[]): JsonSchema {
  const field = fieldOf(types, key);
  const inner = described(value, field?.types ?? []);
  return field?.doc === undefined || inner.description !== undefined ? inner : { description: field.doc, ...inner };
}

export function publishedSchema(): JsonSchema {
  return described(jsonSchemaOf(configSchema), ["ConfigInput"]);
}

function kindOf(place: readonly JsonSchema[]): string {
  const kinds = place.map((way) => {
    const { type = "any", items } = way;
    const { minimum, maximum } = way as { readonly minimum?: number; readonly maximum?: number };
    if (way.enum !== undefined) return way.enum.map((value) => `\`${JSON.stringify(value)}\``).join(", ");
    if (way.const !== undefined) return `\`${JSON.stringify(way.const)}\``;
    const range = minimum === undefined && maximum === undefined ? "" : ` ${minimum ?? "…"} to ${maximum === Number.MAX_SAFE_INTEGER ? "…" : (maximum ?? "…")}`;
    if (type === "array") return items?.enum === undefined ? "list" : "list of these names";
    return type === "string" ? "text" : `${type}${range}`;
  });
  return [...new Set(kinds)].join(" or ");
}

/** Every key with its variable, as the documentation shows them. */
export function configTable(): string {
  const rows = variablesOf(publishedSchema()).map(({ variable, path, place }) => {
    const found = place.find((way) => way.default !== undefined)?.default;
    return `| \`${path.join(".")}\` | \`${variable}\` | ${kindOf(place)} | ${found === undefined ? "" : `\`${JSON.stringify(found)}\``} |`;
  });
  return ["| key | variable | value | default |", "|---|---|---|---|", ...rows].join("\n");
}

export function ownVariableTable(): string {
  return ["| variable | names |", "|---|---|", ...Array.from(ownVariables, ([name, what]) => `| \`${name}\` | ${what} |`)].join("\n");
}
