/** What may stand at a place of the configuration, by its JSON Schema. */
import type { JsonSchema } from "./json-schema.ts";

/** The ways in which a schema may be met, one by one. */
function waysOf(schema: JsonSchema): readonly JsonSchema[] {
  const ways = schema.anyOf ?? schema.oneOf;
  return ways === undefined ? [schema] : ways.flatMap(waysOf);
}

/** All that may stand at one place: several, where it can be said in several ways. */
export type Place = readonly JsonSchema[];

export function placeOf(schema: JsonSchema): Place {
  return waysOf(schema);
}

/** The keys that are known there; not those of an object with any names. */
export function keysOf(place: Place): readonly string[] {
  return [...new Set(place.flatMap(({ properties = {} }) => Object.keys(properties)))];
}

/** The values of an object with any names; undefined where names are not free. */
export function namedOf(place: Place): Place | undefined {
  const found = place.flatMap(({ additionalProperties }) => (typeof additionalProperties === "object" ? waysOf(additionalProperties) : []));
  return found.length === 0 ? undefined : found;
}

/** The entries of a list; undefined where there is none. */
export function entriesOf(place: Place): Place | undefined {
  const found = place.flatMap(({ items }) => (items === undefined ? [] : waysOf(items)));
  return found.length === 0 ? undefined : found;
}

/** What may stand below the place; empty where nothing may. */
export function below(place: Place, key: string): Place {
  const own = place.flatMap(({ properties }) => (properties !== undefined && Object.hasOwn(properties, key) ? waysOf(properties[key] ?? {}) : []));
  if (own.length > 0) return own;
  return (/^\d+$/.test(key) ? entriesOf(place) : undefined) ?? namedOf(place) ?? [];
}

export function at(schema: JsonSchema, path: readonly string[]): Place {
  return path.reduce<Place>((place, key) => below(place, key), placeOf(schema));
}

/** Whether what stands there is shown to nobody. */
export function isSecret(place: Place): boolean {
  return place.some(({ writeOnly }) => writeOnly === true);
}

/** A value that is written as text, as it is meant there; what cannot be meant stays text, and is refused as such. */
export function valueOf(place: Place, text: string): unknown {
  const allows = (...types: readonly string[]): boolean => place.some(({ type }) => type !== undefined && types.includes(type));
  if (allows("number", "integer") && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (allows("boolean") && (text === "true" || text === "false")) return text === "true";
  if ((allows("object") && text.startsWith("{")) || (allows("array") && text.startsWith("["))) return parsed(text);
  if (allows("array") && !allows("string")) {
    const entries = entriesOf(place) ?? [];
    return text.split(",").map((entry) => valueOf(entries, entry.trim()));
  }
  return text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
