/**
 * A JSON Schema in one form, so that documents which mean the same look the same to who compares them: references followed, `allOf` merged, a constant as a
 * list of one value, a nullable alternative as a type of two.
 */
import { isRecord } from "../skills/author/check-options.ts";
import type { JsonSchema } from "../skills/author/schema.ts";

export type Node = Readonly<Record<string, unknown>>;

/** References in one another at most. */
const referencesMax = 32;
/** zod writes these bounds at every integer: they are those of the numbers themselves. */
const safeBounds = new Map<string, number>([
  ["minimum", Number.MIN_SAFE_INTEGER],
  ["maximum", Number.MAX_SAFE_INTEGER],
]);

function follow(root: JsonSchema, pointer: string): unknown {
  if (pointer !== "#" && !pointer.startsWith("#/")) return anchored(root, pointer.slice(1));
  let at: unknown = root;
  for (const part of pointer.split("/").slice(1)) {
    const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    at = isRecord(at) || Array.isArray(at) ? (at as Node)[key] : undefined;
  }
  return at;
}

function anchored(root: JsonSchema, anchor: string): unknown {
  const definitions = [root["$defs"], root["definitions"]].flatMap((found) => Object.values(recordOf(found)));
  return definitions.find((one) => isRecord(one) && (one["$anchor"] === anchor || one["$dynamicAnchor"] === anchor || one["$id"] === `#${anchor}`));
}

function dereferenced(root: JsonSchema, node: Node): Node {
  let found = node;
  for (let depth = 0; depth < referencesMax; depth += 1) {
    const { $ref, ...beside } = found;
    const target = typeof $ref === "string" && $ref.startsWith("#") ? follow(root, $ref) : undefined;
    if (!isRecord(target)) break;
    found = { ...target, ...beside };
  }
  return found;
}

/** Of parts that must all hold; those that say of one keyword something else stay in `allOf`. */
function merged(root: JsonSchema, { allOf, ...node }: Node): Node {
  if (!Array.isArray(allOf)) return node;
  let all: Node = node;
  const kept: unknown[] = [];
  for (const part of allOf as readonly unknown[]) {
    const view = viewOf(root, part);
    const clash = Object.keys(view).some((key) => key !== "properties" && key !== "required" && key in all && textOf(all[key]) !== textOf(view[key]));
    if (clash) kept.push(part);
    else
      all = {
        ...all,
        ...view,
        ...("properties" in all || "properties" in view ? { properties: { ...recordOf(all["properties"]), ...recordOf(view["properties"]) } } : {}),
        ...("required" in all || "required" in view ? { required: [...new Set([...listOf(all["required"]), ...listOf(view["required"])])] } : {}),
      };
  }
  return kept.length === 0 ? all : { ...all, allOf: kept };
}

/** `anyOf` of a type and null, as `type: [TYPE, "null"]`. */
function nullable(node: Node): Node {
  for (const keyword of ["anyOf", "oneOf"]) {
    const { [keyword]: parts, ...beside } = node;
    if (!Array.isArray(parts) || parts.length !== 2) continue;
    const isNull = (part: unknown): boolean => isRecord(part) && part["type"] === "null";
    const other: unknown = parts.find((part) => !isNull(part));
    if (!parts.some(isNull) || !isRecord(other) || typeof other["type"] !== "string") continue;
    const values = other["enum"];
    return { ...beside, ...other, type: [other["type"], "null"], ...(Array.isArray(values) ? { enum: [...(values as readonly unknown[]), null] } : {}) };
  }
  return node;
}

function typeOfValue(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value === "number" ? (Number.isInteger(value) ? "integer" : "number") : typeof value;
}

/** A subschema as it is compared; `root` is the document that its references lead into. */
export function viewOf(root: JsonSchema, schema: unknown): Node {
  if (schema === false) return { not: {} };
  if (!isRecord(schema)) return {};
  const plain = nullable(merged(root, dereferenced(root, schema)));
  const { const: constant, ...rest } = plain;
  const view: Record<string, unknown> = Object.assign(Object.create(null) as Record<string, unknown>, rest, "const" in plain ? { enum: [constant] } : {});
  if (view["type"] === undefined && Array.isArray(view["enum"])) view["type"] = [...new Set((view["enum"] as readonly unknown[]).map(typeOfValue))];
  for (const [key, bound] of safeBounds) if (view[key] === bound) delete view[key];
  return view;
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function recordOf(value: unknown): Node {
  return isRecord(value) ? value : {};
}

/** What says nothing of which payloads are good. Definitions are looked at where something refers to them. */
const annotations = new Set(
  "title description $comment examples default deprecated readOnly writeOnly $schema $id id $defs definitions $anchor $dynamicAnchor".split(" "),
);
/** Below them names are those of fields, which may be called like annotations. */
const maps = new Set(["properties", "patternProperties", "dependentSchemas", "dependentRequired", "dependencies"]);

/** The same for schemas that take the same payloads, as far as their texts go: without annotations, keys in one order. */
export function textOf(value: unknown, isSchema = true): string {
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item, isSchema)).join(",")}]`;
  if (!isRecord(value)) return JSON.stringify(value) ?? "";
  const entries = Object.entries(value)
    .filter(([key]) => !(isSchema && annotations.has(key)))
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, item]) => `${JSON.stringify(key)}:${isSchema && maps.has(key) ? mapText(item) : textOf(item, isSchema && key !== "enum" && key !== "const")}`);
  return `{${entries.join(",")}}`;
}

function mapText(map: unknown): string {
  const entries = Object.entries(recordOf(map)).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return `{${entries.map(([name, schema]) => `${JSON.stringify(name)}:${textOf(schema)}`).join(",")}}`;
}

const reference = /"\$(?:ref|dynamicRef)":("#(?:[^"\\]|\\.)*")/g;

function referencesIn(text: string): readonly string[] {
  return Array.from(text.matchAll(reference), ([, quoted = '""']) => String(JSON.parse(quoted)));
}

/** Whether what a text says lies in part elsewhere. */
export function refersElsewhere(text: string): boolean {
  return referencesIn(text).length > 0;
}

/** A text, and those of all that it refers to, however far: equal for two documents only where nothing of it is another. */
export function wholeTextOf(root: JsonSchema, value: unknown): string {
  const text = textOf(value);
  const found = new Map<string, string>();
  for (const left = [...referencesIn(text)]; ;) {
    const pointer = left.pop();
    if (pointer === undefined) break;
    if (found.has(pointer)) continue;
    const target = textOf(follow(root, pointer));
    found.set(pointer, target);
    left.push(...referencesIn(target));
  }
  return [text, ...Array.from(found, ([pointer, target]) => `${pointer} ${target}`).sort()].join("\n");
}
