// The constants of rules as AMQP carries them, each in its own type.
import { described, type Encodable, long, symbol, Typed, type TypedValue } from "#runtime/amqp/codec/types.ts";
import { uuidText } from "#runtime/amqp/codec/decode.ts";
import { timeSpan } from "../codec/time-span.ts";
import { textOfTicks, ticksOf } from "../entities/durations.ts";
import { isInt, numberOf, numberText } from "../filters/constants.ts";
import type { Constant, Exact } from "../filters/sql-ast.ts";
import { BadRequest } from "./management-fields.ts";

const uri = "com.microsoft:uri";

/** A constant out of a value of AMQP; undefined for null. */
export function constantOfTyped({ type, value }: TypedValue): Constant {
  switch (type) {
    case "null":
      return undefined;
    case "string":
    case "symbol":
    case "boolean":
    case "int":
    case "long":
      return value;
    case "ubyte":
      return { type: "unsignedByte", text: String(value) };
    case "byte":
    case "short":
      return { type, text: String(value) };
    case "ushort":
      return { type: "unsignedShort", text: String(value) };
    case "uint":
      return { type: "unsignedInt", text: String(value) };
    case "ulong":
      return { type: "unsignedLong", text: String(value) };
    case "float":
    case "double":
      return { type, text: numberText(value) };
    case "char":
      return { type, text: value };
    case "timestamp":
      return new Date(Number(value));
    case "uuid":
      return { type: "guid", text: uuidText(Buffer.from(value), 0) };
    case "binary":
      return Buffer.from(value);
    case "described":
      return ofDescribed(value.descriptor, value.value);
    default:
      throw new BadRequest(`A rule compares with text, numbers, times, true and false; it cannot with a ${type}.`);
  }
}

function ofDescribed(descriptor: TypedValue, inner: TypedValue): Constant {
  if (descriptor.value === timeSpan && inner.type === "long") return { type: "duration", text: textOfTicks(inner.value) };
  if (descriptor.value === uri && inner.type === "string") return { type: "anyURI", text: inner.value };
  return constantOfTyped(inner);
}

export function encodableOf(constant: Constant): Encodable {
  if (typeof constant === "number") return Number.isInteger(constant) && !isInt(constant) ? long(constant) : constant;
  if (typeof constant !== "object" || constant instanceof Date || constant instanceof Uint8Array) return constant;
  return typedOf(constant);
}

function typedOf({ type, text }: Exact): Encodable {
  switch (type) {
    case "unsignedByte":
      return new Typed("ubyte", Number(text));
    case "byte":
    case "short":
      return new Typed(type, Number(text));
    case "unsignedShort":
      return new Typed("ushort", Number(text));
    case "unsignedInt":
      return new Typed("uint", Number(text));
    case "unsignedLong":
      return new Typed("ulong", BigInt(text));
    case "float":
    case "double":
      return new Typed(type, numberOf(text) ?? NaN);
    case "char":
      return new Typed(type, text);
    case "guid":
      return new Typed("uuid", Buffer.from(text.replaceAll("-", ""), "hex"));
    case "duration":
      return described(symbol(timeSpan), long(ticksOf(text) ?? 0n));
    case "anyURI":
      return described(symbol(uri), new Typed("string", text));
    case "decimal":
      // No digit is lost in text; the engine has no arithmetic for decimals.
      return text;
  }
}
