// What is said of a configuration that is refused: each key, what was expected and what was found.
import { z } from "zod";
import { nearName } from "../near-name.ts";
import { expectation } from "./expectation.ts";
import { valueAt } from "./value-at.ts";

const secretKey = /connectionString|password|secret|token|key|url|headers\./i;

const keySeparator = " ";
const namedMax = 8;

/** Makes the message of an issue about unknown keys the list of those that are known there: the issue itself does not hold them. */
export function knownKeys(issue: z.core.$ZodRawIssue): string | undefined {
  return issue.code === "unrecognized_keys" && issue.inst instanceof z.ZodObject ? Object.keys(issue.inst.shape).join(keySeparator) : undefined;
}

/** One line for each thing that is wrong. */
export function describeIssue(issue: z.core.$ZodIssue, input: unknown): string[] {
  const place = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const chosen = choose(place, valueAt(input, issue.path));
    if (typeof chosen === "string") return [chosen];
    return issue.keys.map((key) => {
      const known = issue.message.split(keySeparator);
      const near = nearName(key, known);
      const remedy = near === undefined ? withoutNear(known) : `did you mean '${near}'?`;
      return `${place === "" ? key : `${place}.${key}`}: unknown key; ${remedy}`;
    });
  }
  if (issue.code === "invalid_union" && issue.errors.length > 0) {
    const chosen = choose(place, valueAt(input, issue.path));
    if (typeof chosen === "string") return [chosen];
    const nearest = issue.errors[chosen ?? -1] ?? issue.errors.toSorted((a, b) => a.length - b.length)[0] ?? [];
    const inner = nearest.flatMap((nested) => describeIssue({ ...nested, path: [...issue.path, ...nested.path] }, input));
    if (inner.length > 0) return inner;
  }
  const unit = place.endsWith("Ms") ? " (milliseconds, as a whole number)" : "";
  return [`${place || "configuration"}: ${expectation(issue.message)}${unit}, got ${shown(place, valueAt(input, issue.path))}`];
}

/** Of few keys all are named: the key may be right elsewhere, as `threads` is in the configuration and not among live settings. */
function withoutNear(known: readonly string[]): string {
  return known.length <= namedMax ? `expected one of ${known.join(", ")}` : "check its spelling or remove it";
}

/** What can be said in two ways, of which one is chosen: the keys of each, in the order of the schema. */
export const choices: ReadonlyMap<string, readonly (readonly string[])[]> = new Map([
  ["sources.#", [["queue"], ["topic", "subscription", "retryQueue"]]],
  ["serviceBus", [["connectionString"], ["fullyQualifiedNamespace"]]],
]);

/** Which way was meant, by the keys that are there; a text when it is none or more than one. */
function choose(place: string, value: unknown): number | string | undefined {
  const ways = choices.get(place.replace(/\.\d+$/, ".#"));
  if (ways === undefined || typeof value !== "object" || value === null) return undefined;
  const given = Object.keys(value);
  const meant = ways.flatMap((keys, index) => (keys.some((key) => given.includes(key)) ? [index] : []));
  if (meant.length === 1) return meant[0];
  const expected = ways.map((keys) => keys.join(" + ")).join(", or ");
  return `${place}: expected either ${expected}, got ${given.join(" + ") || "nothing"}; ${meant.length === 0 ? "give one of the two" : "keep one of the two"}`;
}

function shown(place: string, value: unknown): string {
  if (value === undefined) return "nothing";
  if (secretKey.test(place)) {
    if (typeof value === "string") return `text of ${value.length} characters`;
    if (typeof value === "object" && value !== null) return `an object with ${Object.keys(value).join(", ") || "no keys"}`;
    return `a ${typeof value}`;
  }
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
