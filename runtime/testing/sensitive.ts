/**
 * What a payload's schema marks as nobody's business: `x-sensitive: true`, `sensitive: true` (as zod's `.meta({ sensitive: true })` becomes),
 * `writeOnly: true` or `format: "password"`; and fields whose names are those of secrets. What takes its place has its type, its length and
 * its shape, so that what the value leads to stays the same where that is possible.
 */
import { isSecretName, redact } from "../core/redact.ts";
import type { PayloadSchema } from "../skills/author/schema.ts";

type Schema = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The schema as a JSON Schema; `unreadable` for a validator that does not say what it checks. */
export function jsonSchemaOf(schema: PayloadSchema<unknown> | undefined): Schema | "unreadable" | undefined {
  if (schema === undefined) return undefined;
  const standard = (schema as { readonly "~standard"?: unknown })["~standard"];
  if (standard === undefined) return schema as Schema;
  const { jsonSchema } = standard as { readonly jsonSchema?: { input?: (options: { readonly target: string }) => unknown } };
  try {
    const json = jsonSchema?.input?.({ target: "draft-2020-12" });
    return isObject(json) ? json : "unreadable";
  } catch {
    return "unreadable";
  }
}

const isMarked = (schema: Schema): boolean =>
  schema["x-sensitive"] === true || schema["sensitive"] === true || schema["writeOnly"] === true || schema["format"] === "password";

const depthMax = 64;

/** All parts of a schema that say something of this very value. */
function partsOf(schema: unknown, root: Schema, depth = 0): readonly Schema[] {
  if (!isObject(schema) || depth > depthMax) return [];
  const more = ["allOf", "anyOf", "oneOf"].flatMap((name) => (Array.isArray(schema[name]) ? (schema[name] as unknown[]) : []));
  const reference = typeof schema["$ref"] === "string" ? [resolved(schema["$ref"], root)] : [];
  return [schema, ...[...more, ...reference, schema["then"], schema["else"]].flatMap((part) => partsOf(part, root, depth + 1))];
}

function resolved(reference: string, root: Schema): unknown {
  if (!reference.startsWith("#")) return undefined;
  let at: unknown = root;
  for (const key of reference.slice(1).split("/").filter(Boolean))
    at = isObject(at) ? at[decodeURIComponent(key).replaceAll("~1", "/").replaceAll("~0", "~")] : undefined;
  return at;
}

function schemasOfField(parts: readonly Schema[], name: string): readonly unknown[] {
  return parts.flatMap((part) => {
    const { properties, patternProperties, additionalProperties } = part;
    const own = isObject(properties) && Object.hasOwn(properties, name) ? [properties[name]] : [];
    const patterns = isObject(patternProperties)
      ? Object.entries(patternProperties).flatMap(([pattern, one]) => (new RegExp(pattern, "u").test(name) ? [one] : []))
      : [];
    return own.length + patterns.length > 0 ? [...own, ...patterns] : [additionalProperties];
  });
}

function schemasOfItem(parts: readonly Schema[], index: number): readonly unknown[] {
  return parts.flatMap(({ items, prefixItems }) => {
    const listed = Array.isArray(prefixItems) ? prefixItems : Array.isArray(items) ? items : [];
    return index < listed.length ? [listed[index] as unknown] : [Array.isArray(items) ? undefined : items];
  });
}

/** Of one value, with the schema that their references are of. */
interface SchemasOf {
  readonly root: Schema;
  readonly schemas: readonly unknown[];
}

/** What was redacted, and how. */
export class Redaction {
  /** Where, such as `card.number`. */
  readonly places: string[] = [];
  /** Texts that were redacted, to find them again elsewhere, also as JSON has them. */
  readonly #texts = new Map<string, string>();
  /** Numbers as well, by their digits. */
  readonly #numbers = new Map<string, number | bigint>();
  /** The longest first: of two that begin alike, the shorter would leave the rest of the longer. Made when it is first needed. */
  #longestFirst: readonly (readonly [RegExp | string, string])[] | undefined;

  /** What one of the schemas marks, and what is called as secrets are; also without a schema. `place`: what places begin with; default nothing, as of a payload. */
  value(value: unknown, schemas: readonly (PayloadSchema<unknown> | undefined)[], place = ""): unknown {
    return schemas.reduce((given, schema) => {
      const known = jsonSchemaOf(schema);
      // Of one that does not say what it marks, everything counts as marked.
      const root = known === "unreadable" ? { "x-sensitive": true } : (known ?? {});
      return this.#part(given, { root, schemas: [root] }, place, false);
    }, value);
  }

  /** What a service answered, a step has left, or a message says: what the payload held is redacted there as well. */
  elsewhere(value: unknown): unknown {
    if (typeof value === "string") return this.#textElsewhere(value);
    if (typeof value === "number" || typeof value === "bigint") return this.#numbers.get(String(value)) ?? value;
    if (Array.isArray(value)) return value.map((item) => this.elsewhere(item));
    if (value instanceof Set) return new Set(Array.from(value as ReadonlySet<unknown>, (item) => this.elsewhere(item)));
    if (value instanceof Map)
      return new Map(Array.from(value as ReadonlyMap<unknown, unknown>, ([key, item]) => [this.elsewhere(key), this.#fieldElsewhere(key, item)]));
    if (!isPlain(value)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, field]) => [this.#textElsewhere(name), this.#fieldElsewhere(name, field)]));
  }

  #fieldElsewhere(name: unknown, field: unknown): unknown {
    if (typeof name === "string" && isSecretName(name)) return this.#part(field, { root: {}, schemas: [] }, name, true);
    // Of an answer over HTTP: what comes of it hangs on it, and it says nothing of anybody.
    return name === "status" && typeof field === "number" ? field : this.elsewhere(field);
  }

  #textElsewhere(text: string): string {
    this.#longestFirst ??= [
      ...Array.from(this.#texts, ([secret, shown]): [string, string] => [secret, shown]),
      ...Array.from(this.#numbers, ([digits, shown]): [string, string, RegExp] => [digits, String(shown), numberIn(digits)]),
    ]
      .toSorted(([one], [other]) => other.length - one.length)
      .map(([secret, shown, pattern]) => [pattern ?? secret, shown]);
    let clean = text;
    for (const [secret, shown] of this.#longestFirst) {
      clean = clean.replaceAll(secret, () => shown);
      if (typeof secret === "string") clean = withoutBeginnings(clean, secret, shown);
    }
    return redact(clean);
  }

  #part(value: unknown, { root, schemas }: SchemasOf, place: string, isWithin: boolean): unknown {
    const parts = schemas.flatMap((schema) => partsOf(schema, root));
    const within = (inner: readonly unknown[]): SchemasOf => ({ root, schemas: inner });
    const isSensitive = isWithin || parts.some(isMarked);
    if (Array.isArray(value)) return value.map((item, index) => this.#part(item, within(schemasOfItem(parts, index)), `${place}[${index}]`, isSensitive));
    if (isPlain(value)) {
      const entries = Object.entries(value).map(([name, field]) => {
        const inner = place === "" ? name : `${place}.${name}`;
        return [name, this.#part(field, within(schemasOfField(parts, name)), inner, isSensitive || isSecretName(name))] as const;
      });
      return Object.fromEntries(entries);
    }
    if (isSensitive) return this.#leaf(value, place === "" ? "the payload" : place);
    if (typeof value !== "string" || redact(value) === value) return value;
    return this.#leaf(value, place);
  }

  #leaf(value: unknown, place: string): unknown {
    const instead = sameShape(value);
    if (instead !== value && !this.places.includes(place)) this.places.push(place);
    this.#remember(value, instead);
    return instead;
  }

  #remember(value: unknown, instead: unknown): void {
    if (String(value).length < rememberedMin) return;
    if (typeof value === "string" && typeof instead === "string") {
      this.#texts.set(value, instead);
      this.#texts.set(JSON.stringify(value).slice(1, -1), JSON.stringify(instead).slice(1, -1));
    } else if (typeof instead === "number" || typeof instead === "bigint") this.#numbers.set(String(value), instead);
    else return;
    this.#longestFirst = undefined;
  }
}

/** What is shorter is found everywhere. */
const rememberedMin = 3;

/** Not within a longer number or a word. */
function numberIn(digits: string): RegExp {
  return new RegExp(String.raw`(?<![\w.])${digits.replaceAll(/[.+]/g, String.raw`\$&`)}(?!\w|\.\d)`, "g");
}

/** Texts are cut where they are long, and so is what they quote last. */
function withoutBeginnings(text: string, secret: string, shown: string): string {
  let clean = text;
  for (let at = clean.indexOf("…"); at >= 0; at = clean.indexOf("…", at + 1)) {
    let length = Math.min(secret.length - 1, at);
    while (length >= rememberedMin && !clean.startsWith(secret.slice(0, length), at - length)) length -= 1;
    if (length < rememberedMin) continue;
    const instead = shown.slice(0, length);
    clean = clean.slice(0, at - length) + instead + clean.slice(at);
    at += instead.length - length;
  }
  return clean;
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return isObject(value) && !ArrayBuffer.isView(value) && !(value instanceof Date) && !(value instanceof Map) && !(value instanceof Set);
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const date = /^\d{4}-\d{2}-\d{2}/;

/** Another value of the same type, length and shape. */
export function sameShape(value: unknown): unknown {
  if (typeof value === "number" || typeof value === "bigint") {
    const text = String(value)
      .replace(/^(-?\d+(?:\.\d+)?)(?:e.*)?$/, "$1")
      .replaceAll(/\d/g, "1");
    return typeof value === "bigint" ? BigInt(text) : Number.isFinite(value) ? Number(text) : value;
  }
  if (typeof value === "boolean") return false;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.byteLength);
  if (value instanceof Date) return new Date(0);
  if (Array.isArray(value)) return value.map(sameShape);
  if (value instanceof Set) return new Set(Array.from(value as ReadonlySet<unknown>, sameShape));
  if (value instanceof Map) return new Map(Array.from(value as ReadonlyMap<unknown, unknown>, ([key, item]) => [sameShape(key), sameShape(item)]));
  if (isPlain(value)) return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, sameShape(field)]));
  if (typeof value !== "string") return value;
  if (uuid.test(value)) return "00000000-0000-4000-8000-000000000000";
  if (date.test(value)) return `2000-01-01${masked(value.slice(10), "TZ")}`;
  return masked(value, "");
}

function masked(text: string, kept: string): string {
  return text.replaceAll(/\p{L}|\d/gu, (character) => {
    if (kept.includes(character)) return character;
    if (/\d/.test(character)) return "0";
    return character === character.toLowerCase() ? "x".repeat(character.length) : "X".repeat(character.length);
  });
}
