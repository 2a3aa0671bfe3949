// What JSON would change or drop silently is refused instead: an event says what its author wrote, or is not sent.
import { types } from "node:util";
import { refuse } from "../author/check-options.ts";
import { classOf } from "./plain-data.ts";

/** Objects and lists in one another at most; deeper ones are refused by who reads the event. */
const depthMax = 64;

/**
 * Refuses a value that does not come back from JSON as it was: NaN and infinities, bigints, functions, symbols, Maps, Sets,
 * bytes, promises, instances of classes, an undefined item of a list. A property that is undefined counts as one that is not
 * there, and what has a `toJSON`, such as a Date, as what that returns.
 *
 * @param place names the value in the error, as `payload` or `payload.items[2].price`
 * @throws ConfigurationError that names the place
 */
export function checkJson(place: string, value: unknown, depth = 0): void {
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number") {
    if (!Number.isFinite(value)) refuse(place, "a finite number", String(value));
    return;
  }
  if (typeof value === "bigint") refuse(place, "a value of JSON (a bigint as text, String(it))", value);
  if (typeof value !== "object") refuse(place, "a value of JSON", typeof value === "undefined" ? "undefined" : value);
  if (depth === depthMax) refuse(place, `values nested at most ${depthMax} deep`, "deeper ones");
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) checkJson(`${place}[${index}]`, value[index], depth + 1);
    return;
  }
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) refuse(place, "a value of JSON (bytes as base64 text, or an artifact's URI)", "bytes");
  if (types.isDate(value) && Number.isNaN(value.getTime())) refuse(place, "a value of JSON (a date that exists)", "an invalid Date");
  if ("toJSON" in value && typeof value.toJSON === "function") return checkJson(place, value.toJSON(""), depth + 1);
  if (value instanceof Map || value instanceof Set) refuse(place, "a value of JSON (entries as an object or a list)", `a ${value.constructor.name}`);
  if (types.isPromise(value)) refuse(place, "a value of JSON (await the promise first)", value);
  const name = classOf(value);
  if (name !== undefined) refuse(place, "a value of JSON (an object of its fields, as { ...it }, or a class with a toJSON)", `an instance of ${name}`);
  for (const [key, item] of Object.entries(value)) if (item !== undefined) checkJson(`${place}.${key}`, item, depth + 1);
}
