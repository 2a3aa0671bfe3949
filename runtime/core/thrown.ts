/**
 * What was thrown, as text. Anything can be thrown, and reading it may throw in turn: a getter, a proxy, a `toString` of its own.
 * Nothing here does.
 */
import { types } from "node:util";
import { fieldOf, redactValue } from "./redact.ts";

/** Errors that a text describes, their causes and what they hold included. */
const errorsMax = 12;
const depthMax = 6;
/** Of one error's own message; whoever shows the text cuts it again. */
const messageMax = 2_000;

/** Whether it is an Error, of whatever realm; a proxy counts as what it stands for, as far as it can be seen. */
export function isError(value: unknown): value is Error {
  try {
    return value instanceof Error || types.isNativeError(value);
  } catch {
    return false;
  }
}

/** The text of anything that was thrown: an error's message with what it holds and what caused it, and other values by content. */
export function textOf(thrown: unknown): string {
  if (typeof thrown === "string") return thrown;
  return isError(thrown) ? textOfError(thrown, new Set(), 0) : `expected an Error to be thrown, got ${contentOf(thrown)}`;
}

/** A value as it is, in words or as JSON. */
function contentOf(value: unknown): string {
  switch (typeof value) {
    case "function":
      return "a function";
    case "symbol":
      return String(value);
    case "bigint":
      return `${value}n`;
    case "object":
      if (value === null) return "null";
      return types.isPromise(value) ? "a promise; await it first" : (JSON.stringify(redactValue(value)) ?? "an object");
    default:
      return typeof value === "string" ? value : String(value);
  }
}

function ownText(error: Error): string {
  const message = fieldOf(error, "message");
  if (message !== undefined && message !== "") return (typeof message === "string" ? message : contentOf(message)).slice(0, messageMax);
  const name = fieldOf(error, "name");
  const known = typeof name === "string" && name !== "" ? name.slice(0, messageMax) : "an error";
  return `${known} ${message === "" ? "without a message" : "whose message cannot be read"}`;
}

function textOfError(error: Error, seen: Set<unknown>, depth: number): string {
  seen.add(error);
  const own = ownText(error);
  if (depth >= depthMax) return own;
  const cause = fieldOf(error, "cause");
  return `${own}${textOfHeld(fieldOf(error, "errors"), seen, depth)}${cause === undefined || cause === null ? "" : textOfCause(own, cause, seen, depth)}`;
}

function textOfInner(inner: unknown, seen: Set<unknown>, depth: number): string | undefined {
  if (!isError(inner)) return contentOf(inner);
  return seen.has(inner) || seen.size >= errorsMax ? undefined : textOfError(inner, seen, depth + 1);
}

/** What an AggregateError holds. */
function textOfHeld(held: unknown, seen: Set<unknown>, depth: number): string {
  if (!isList(held)) return "";
  const shown: string[] = [];
  const length = fieldOf(held, "length");
  const count = typeof length === "number" ? length : 0;
  for (let index = 0; index < Math.min(count, errorsMax); index += 1) {
    const text = textOfInner(fieldOf(held, index), seen, depth);
    if (text !== undefined) shown.push(`[${index + 1}] ${text}`);
  }
  if (shown.length === 0) return "";
  const more = count - shown.length;
  return `: ${shown.join("; ")}${more > 0 ? `; and ${more} more` : ""}`;
}

/** A wrapper often repeats what it wraps; then that is not said twice. */
function textOfCause(own: string, cause: unknown, seen: Set<unknown>, depth: number): string {
  const text = textOfInner(cause, seen, depth);
  if (text === undefined || own.includes(text)) return "";
  const first = isError(cause) ? ownText(cause) : text;
  return own.includes(first) && text.startsWith(first) ? text.slice(first.length) : `; caused by: ${text}`;
}

function isList(value: unknown): value is readonly unknown[] {
  try {
    return Array.isArray(value);
  } catch {
    return false;
  }
}
