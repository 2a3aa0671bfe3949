// Checks of what authors define. Each failure is a ConfigurationError that says what was expected and what was found.
import { types } from "node:util";
import { ConfigurationError } from "../../core/errors.ts";
import { didYouMean } from "../../core/near-name.ts";
import type { Limits, LimitsOf } from "../../core/policy-limits.ts";
import { type Jitter, jitters } from "../../core/skill.ts";

const shownMax = 80;

/** A value as an error shows it. */
export function show(value: unknown): string {
  if (typeof value === "function") return "a function";
  if (types.isPromise(value)) return "a promise";
  let text: string | undefined;
  try {
    text = typeof value === "bigint" ? `${value}n` : JSON.stringify(value);
    text ??= String(value);
  } catch {
    text = "a value that cannot be shown";
  }
  return text.length > shownMax ? `${text.slice(0, shownMax)}…` : text;
}

export function refuse(owner: string, expected: string, got: unknown): never {
  throw new ConfigurationError(`${owner}: expected ${expected}, got ${show(got)}`);
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Refuses anything but an object whose keys are all known. */
export function checkKeys(owner: string, value: unknown, known: readonly string[]): asserts value is Readonly<Record<string, unknown>> {
  if (!isRecord(value)) refuse(owner, "an object", value);
  for (const key of Object.keys(value)) {
    if (!known.includes(key))
      throw new ConfigurationError(`${owner}: expected only the keys ${known.join(", ")}, got '${show(key).slice(1, -1)}'${didYouMean(key, known)}`);
  }
}

export function checkNumber(owner: string, value: unknown, { min, max, isFraction }: Limits): number {
  const isOfItsKind = isFraction === true ? Number.isFinite(value) : Number.isInteger(value);
  if (typeof value !== "number" || !isOfItsKind || value < min || value > max) {
    refuse(owner, `a ${isFraction === true ? "number" : "whole number"} from ${min} to ${max}`, value);
  }
  return value;
}

const namePattern = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/;

export function checkName(owner: string, value: unknown): string {
  if (typeof value !== "string" || !namePattern.test(value)) {
    refuse(owner, "1 to 64 characters of A-Z a-z 0-9 . _ - beginning with a letter", value);
  }
  return value;
}

export function checkOneOf<const Choice extends string>(owner: string, value: unknown, choices: readonly Choice[]): Choice {
  if (!(choices as readonly unknown[]).includes(value)) refuse(owner, `one of ${choices.map((choice) => `'${choice}'`).join(", ")}`, value);
  return value as Choice;
}

export function checkFunction(owner: string, value: unknown): void {
  if (typeof value !== "function") refuse(owner, "a function", value);
}

/** Fills a record of numbers from defaults; unknown keys and values out of range are refused. */
export function checkNumbers<Settings extends object>(owner: string, value: unknown, defaults: Settings, limits: LimitsOf<Settings>): Settings {
  if (value === undefined) return defaults;
  checkKeys(owner, value, Object.keys(limits));
  const given = Object.entries<Limits>(limits)
    .filter(([key]) => value[key] !== undefined)
    .map(([key, range]) => [key, checkNumber(`${owner}.${key}`, value[key], range)] as const);
  return { ...defaults, ...Object.fromEntries(given) };
}

/** Numbers, and how pauses are spread. */
export function checkRetry<Retry extends { readonly jitter: Jitter }>(owner: string, given: unknown, defaults: Retry, limits: LimitsOf<Retry>): Retry {
  if (given === undefined) return defaults;
  checkKeys(owner, given, [...Object.keys(limits), "jitter"]);
  const { jitter = defaults.jitter, ...numbers } = given;
  return { ...checkNumbers(owner, numbers, defaults, limits), jitter: checkOneOf(`${owner}.jitter`, jitter, jitters) };
}
