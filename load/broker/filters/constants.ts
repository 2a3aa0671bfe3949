// The constants that rules name, and the types that they have. A type that JavaScript has is a value of it: text, a whole number
// of 32 bits (int), a bigint (long), true and false, a Date, bytes. Every other one is kept as the text that it was written in,
// so that it reads back as it was given, with no digit lost.
import { Double } from "../codec/encoded.ts";
import { ticksOf } from "../entities/durations.ts";
import { timeOf } from "./times.ts";
import type { Constant, ExactType, Value } from "./sql-ast.ts";

const wholePattern = /^[+-]?\d+$/;
const decimalPattern = /^[+-]?(?:\d+\.?\d*|\.\d+)$/;
const guidPattern = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The least and the greatest of each type of whole numbers. */
const wholeRanges: ReadonlyMap<string, readonly [bigint, bigint]> = new Map([
  ["byte", [-0x80n, 0x7fn]],
  ["unsignedByte", [0n, 0xffn]],
  ["short", [-0x8000n, 0x7fffn]],
  ["unsignedShort", [0n, 0xffffn]],
  ["int", [-0x8000_0000n, 0x7fff_ffffn]],
  ["unsignedInt", [0n, 0xffff_ffffn]],
  ["long", [-(2n ** 63n), 2n ** 63n - 1n]],
  ["unsignedLong", [0n, 2n ** 64n - 1n]],
]);

/** What a text of an exact type may be. */
const isWritten: Readonly<
  Record<Exclude<ExactType, "byte" | "unsignedByte" | "short" | "unsignedShort" | "unsignedInt" | "unsignedLong">, (text: string) => boolean>
> = {
  float: (text) => numberOf(text) !== undefined,
  double: (text) => numberOf(text) !== undefined,
  decimal: (text) => decimalPattern.test(text),
  duration: (text) => durationMs(text) !== undefined,
  char: (text) => /^.$/su.test(text),
  guid: (text) => guidPattern.test(text),
  anyURI: () => true,
};

/** A constant out of its text; undefined when the text is none of that type, or there is no such type. */
export function constantOf(type: string, text: string): Constant {
  const trimmed = text.trim();
  const range = wholeRanges.get(type);
  if (range !== undefined) {
    const whole = wholePattern.test(trimmed) ? BigInt(trimmed.replace(/^\+/, "")) : undefined;
    if (whole === undefined || whole < range[0] || whole > range[1]) return undefined;
    return type === "int" ? Number(whole) : type === "long" ? whole : { type: type as ExactType, text: String(whole) };
  }
  switch (type) {
    case "string":
      return text;
    case "boolean":
      return /^(?:true|1)$/i.test(trimmed) ? true : /^(?:false|0)$/i.test(trimmed) ? false : undefined;
    case "dateTime":
      return timeOf(trimmed);
    case "base64Binary":
      return Buffer.from(trimmed, "base64");
    case "char":
      return isWritten.char(text) ? { type, text } : undefined;
    default:
      return Object.hasOwn(isWritten, type) && isWritten[type as keyof typeof isWritten](trimmed) ? { type: type as ExactType, text: trimmed } : undefined;
  }
}

/** A constant's type by its XML Schema name, and its text. */
export function writtenOf(constant: NonNullable<Constant>): { readonly type: string; readonly text: string } {
  switch (typeof constant) {
    case "string":
      return { type: "string", text: constant };
    case "boolean":
      return { type: "boolean", text: String(constant) };
    case "bigint":
      return { type: "long", text: String(constant) };
    case "number":
      return { type: !Number.isInteger(constant) ? "double" : isInt(constant) ? "int" : "long", text: String(constant) };
    default:
      if (constant instanceof Date) return { type: "dateTime", text: constant.toISOString() };
      return constant instanceof Uint8Array ? { type: "base64Binary", text: Buffer.from(constant).toString("base64") } : constant;
  }
}

/** Whether a whole number has 32 bits. */
export function isInt(value: number): boolean {
  return Number.isInteger(value) && Math.abs(value + 0.5) < 2 ** 31;
}

/** What conditions compute and compare with. A duration is its milliseconds, as `sys.TimeToLive` is. */
export function valueOf(constant: Constant): Value {
  if (typeof constant === "number") return Number.isInteger(constant) ? constant : new Double(constant);
  if (typeof constant !== "object" || constant instanceof Date) return constant;
  if (constant instanceof Uint8Array) return Buffer.from(constant);
  const { type, text } = constant;
  switch (type) {
    case "float":
    case "double":
    case "decimal":
      return new Double(numberOf(text) ?? NaN);
    case "duration":
      return durationMs(text);
    case "char":
    case "guid":
    case "anyURI":
      return text;
    default: {
      const whole = BigInt(text);
      return Number.isSafeInteger(Number(whole)) ? Number(whole) : whole;
    }
  }
}

const special: ReadonlyMap<string, number> = new Map([
  ["INF", Infinity],
  ["-INF", -Infinity],
  ["NaN", NaN],
]);

/** A number as XML Schema writes it. */
export function numberOf(text: string): number | undefined {
  if (special.has(text)) return special.get(text);
  const value = text === "" ? NaN : Number(text);
  return Number.isNaN(value) ? undefined : value;
}

/** The same, written. */
export function numberText(value: number): string {
  for (const [text, other] of special) if (Object.is(other, value)) return text;
  return String(value);
}

/** Milliseconds of a duration; .NET counts its ticks. */
function durationMs(text: string): number | undefined {
  const ticks = ticksOf(text);
  return ticks === undefined ? undefined : Number(ticks) / 10_000;
}
