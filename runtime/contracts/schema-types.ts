/** A JSON Schema as TypeScript: what its payloads are, as far as types can say it. */
import { isRecord } from "../skills/author/check-options.ts";
import type { JsonSchema } from "../skills/author/schema.ts";
import { type Node, listOf, recordOf, viewOf } from "./schema-view.ts";

/** Deeper ones are `unknown`. */
const depthMax = 32;
const anything = "unknown";
/** Types that are written themselves. */
const reservedNames = ["Readonly", "Record"];

/** `export type Payload = …`, and a type for each part that the schema refers to. */
export function typesOfSchema(schema: JsonSchema): string {
  return new TypeWriter(schema).write();
}

class TypeWriter {
  readonly #root: JsonSchema;
  /** Names of the parts that are referred to, by reference; `#` is the whole. */
  readonly #names = new Map<string, string>([["#", "Payload"]]);
  readonly #written: string[] = [];

  constructor(root: JsonSchema) {
    this.#root = root;
  }

  write(): string {
    // What is referred to by one is written after it, and may refer to more.
    for (const [reference, name] of this.#names) {
      const view = viewOf(this.#root, { $ref: reference });
      this.#written.push(`${comment(view, "")}export type ${name} = ${this.#bare(view, "", 0)};\n`);
    }
    return this.#written.join("\n");
  }

  #nameOf(reference: string): string {
    const known = this.#names.get(reference);
    if (known !== undefined) return known;
    const wanted = (reference.split("/").at(-1) ?? "").replaceAll(/[^A-Za-z0-9_]/g, "_").replace(/^(?=\d|$)/, "_");
    const taken = new Set([...reservedNames, ...this.#names.values()]);
    const first = `${wanted.slice(0, 1).toUpperCase()}${wanted.slice(1)}`;
    let name = first;
    for (let number = 2; taken.has(name); number += 1) name = `${first}${number}`;
    this.#names.set(reference, name);
    return name;
  }

  #type(schema: unknown, indent: string, depth: number): string {
    if (depth > depthMax) return anything;
    const reference = recordOf(schema)["$ref"];
    if (typeof reference === "string" && reference.startsWith("#")) return this.#nameOf(reference);
    return this.#bare(viewOf(this.#root, schema), indent, depth);
  }

  #bare(view: Node, indent: string, depth: number): string {
    const values = view["enum"];
    if (Array.isArray(values)) return union((values as readonly unknown[]).map(literal));
    const parts: string[] = [];
    const alternatives = listOf(view["oneOf"] ?? view["anyOf"]);
    const own = this.#ofTypes(view, indent, depth);
    if (own !== anything || alternatives.length === 0) parts.push(own);
    if (alternatives.length > 0) parts.push(union(alternatives.map((part) => this.#type(part, indent, depth + 1))));
    for (const part of listOf(view["allOf"])) parts.push(this.#type(part, indent, depth + 1));
    return parts.length === 1 ? (parts[0] ?? anything) : parts.map((part) => (part.includes(" | ") ? `(${part})` : part)).join(" & ");
  }

  #ofTypes(view: Node, indent: string, depth: number): string {
    const { type } = view;
    const hasFields = view["properties"] !== undefined || view["additionalProperties"] !== undefined;
    const types =
      typeof type === "string"
        ? [type]
        : type === undefined
          ? hasFields
            ? ["object"]
            : view["items"] === undefined
              ? []
              : ["array"]
          : listOf(type).map(String);
    return types.length === 0
      ? isRecord(view["not"]) && Object.keys(view["not"]).length === 0
        ? "never"
        : anything
      : union(types.map((one) => this.#ofType(one, view, indent, depth)));
  }

  #ofType(type: string, view: Node, indent: string, depth: number): string {
    switch (type) {
      case "integer":
        return "number";
      case "object":
        return this.#object(view, indent, depth);
      case "array":
        return this.#array(view, indent, depth);
      default:
        return ["string", "number", "boolean", "null"].includes(type) ? type : anything;
    }
  }

  #array({ items, prefixItems, additionalItems }: Node, indent: string, depth: number): string {
    const places = Array.isArray(prefixItems) ? listOf(prefixItems) : Array.isArray(items) ? listOf(items) : undefined;
    const rest: unknown = places === undefined || Array.isArray(prefixItems) ? items : additionalItems;
    const each = rest === false ? undefined : rest === undefined || rest === true ? anything : this.#type(rest, indent, depth + 1);
    if (places === undefined) return each === undefined ? "readonly []" : `readonly ${/[|&]/.test(each) ? `(${each})` : each}[]`;
    const listed = places.map((place) => this.#type(place, indent, depth + 1));
    return `readonly [${[...listed, ...(each === undefined ? [] : [`...${/[|&]/.test(each) ? `(${each})` : each}[]`])].join(", ")}]`;
  }

  /** Readers leave alone what they do not know, and cannot rely on it: other fields are there for who asks for them in the schema. */
  #object({ properties, required, additionalProperties: more }: Node, indent: string, depth: number): string {
    const needed = new Set(listOf(required).map(String));
    const inner = `${indent}  `;
    const fields = Object.entries(recordOf(properties)).map(([name, field]) => {
      return `${comment(viewOf(this.#root, field), inner)}${inner}readonly ${keyOf(name)}${needed.has(name) ? "" : "?"}: ${this.#type(field, inner, depth + 1)};\n`;
    });
    for (const name of needed) if (recordOf(properties)[name] === undefined) fields.push(`${inner}readonly ${keyOf(name)}: ${anything};\n`);
    const others = isRecord(more) ? this.#type(more, inner, depth + 1) : anything;
    if (fields.length === 0) return `Readonly<Record<string, ${more === false ? "never" : others}>>`;
    const index = more === true || isRecord(more) ? `${inner}readonly [name: string]: ${isRecord(more) ? anything : others};\n` : "";
    return `{\n${fields.join("")}${index}${indent}}`;
  }
}

/** A name as a key: with quotes where it needs them. */
export function keyOf(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

function union(types: readonly string[]): string {
  const different = [...new Set(types)];
  return different.length === 0 ? "never" : different.includes(anything) ? anything : different.join(" | ");
}

function literal(value: unknown): string {
  if (Array.isArray(value)) return `readonly [${value.map(literal).join(", ")}]`;
  if (isRecord(value))
    return `{ ${Object.entries(value)
      .map(([name, item]) => `readonly ${keyOf(name)}: ${literal(item)}`)
      .join("; ")} }`;
  return JSON.stringify(value) ?? anything;
}

function comment(view: Node, indent: string): string {
  const { title, description, deprecated } = view;
  const said = [description ?? title].filter((line) => typeof line === "string").flatMap((line) => line.split("\n"));
  const lines = [...said, ...(deprecated === true ? ["@deprecated"] : [])].map((line) => line.replaceAll("*/", "*\\/").trim());
  if (lines.length === 0) return "";
  return lines.length === 1 ? `${indent}/** ${lines[0]} */\n` : `${indent}/**\n${lines.map((line) => `${indent} * ${line}\n`).join("")}${indent} */\n`;
}
