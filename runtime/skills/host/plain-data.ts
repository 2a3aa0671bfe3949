/**
 * What may be in a step's result: data that a resumed run gets back as it was. A function, a promise or an instance of a class would
 * be lost on the way, or come back as something else, and only when a run is resumed, which is late to find out.
 */
import { types } from "node:util";
import { fieldOf } from "../../core/redact.ts";
import { refuse } from "../author/check-options.ts";

/** Names an object's class; undefined when it is a plain object. */
export function classOf(value: object): string | undefined {
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype === null || Object.getPrototypeOf(prototype) === null) return undefined;
  const name = fieldOf(fieldOf(prototype, "constructor"), "name");
  if (name === "Object") return undefined;
  return typeof name === "string" && name !== "" ? name : "a class without a name";
}

/** Kinds of objects that a checkpoint keeps whole. */
function isKept(value: object): boolean {
  return value instanceof Date || ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof RegExp || value instanceof Error;
}

/**
 * Refuses a value that is not data; see above.
 *
 * @param place names the value in the error, as `result` or `result.items[2]`
 * @throws ConfigurationError that names the place and says what to do
 */
export function checkData(place: string, value: unknown, seen?: Set<object>): void {
  if (typeof value === "function") refuse(place, "data (leave functions out)", value);
  if (typeof value === "symbol") refuse(place, "data (a symbol's text, perhaps)", String(value));
  if (typeof value === "object" && value !== null && !isKept(value)) checkObject(place, value, seen ?? new Set());
}

function checkObject(place: string, value: object, seen: Set<object>): void {
  if (seen.has(value)) return;
  seen.add(value);
  if (types.isPromise(value)) refuse(place, "data (await the promise first)", value);
  if (Array.isArray(value)) return value.forEach((item: unknown, index) => checkData(`${place}[${index}]`, item, seen));
  if (value instanceof Map) {
    for (const [key, item] of value as ReadonlyMap<unknown, unknown>) for (const part of [key, item]) checkData(`${place}, an entry of a Map`, part, seen);
    return;
  }
  if (value instanceof Set) {
    for (const item of value as ReadonlySet<unknown>) checkData(`${place}, an item of a Set`, item, seen);
    return;
  }
  const name = classOf(value);
  if (name !== undefined) refuse(place, "plain data (return its fields in an object of their own, as { ...it })", `an instance of ${name}`);
  for (const [key, item] of Object.entries(value)) if (typeof item !== "string") checkData(`${place}.${key}`, item, seen);
}
