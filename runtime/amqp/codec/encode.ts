// Writing any value (part 1). Plain values are written as their most natural type, typed ones as their own; all in their
// shortest encoding. The elements of an array share one constructor, so there the encoding is the shortest that fits all.
import { format } from "./formats.ts";
import { Described, Raw, Typed } from "./types.ts";
import type { ElementType, Encodable, TypedArrayValue, TypedValue } from "./types.ts";
import { Writer } from "./writer.ts";

/** The bytes of one value. */
export function encode(value: Encodable): Buffer {
  const writer = new Writer(256);
  writeValue(writer, value);
  return writer.take();
}

export function writeValue(writer: Writer, value: Encodable): void {
  switch (typeof value) {
    case "undefined":
      writer.null();
      return;
    case "boolean":
      writer.boolean(value);
      return;
    case "number":
      writeNumber(writer, value);
      return;
    case "bigint":
      writer.long(inRange("long", value));
      return;
    case "string":
      writer.string(value);
      return;
    default:
      writeObject(writer, value);
  }
}

function writeNumber(writer: Writer, value: number): void {
  if (!Number.isSafeInteger(value)) writer.double(value);
  else if (value >= -0x8000_0000 && value <= 0x7fff_ffff) writer.int(value);
  else writer.longOf(value);
}

type EncodableObject = Exclude<Encodable, undefined | boolean | number | bigint | string>;

function writeObject(writer: Writer, value: EncodableObject): void {
  if (value === null) writer.null();
  else if (value instanceof Typed) writeTyped(writer, value);
  else if (value instanceof Uint8Array) writer.binary(value);
  else if (value instanceof Raw) writer.raw(value.bytes);
  else if (value instanceof Date) writeDate(writer, value);
  else if (Array.isArray(value)) writeList(writer, value);
  else if (value instanceof Described) {
    writer.byteOf(format.described);
    writeValue(writer, value.descriptor);
    writeValue(writer, value.value);
  } else if (value instanceof Map) writeEntries(writer, value, value.size);
  else {
    const entries = Object.entries(value as { readonly [key: string]: Encodable });
    writeEntries(writer, entries, entries.length);
  }
}

function writeDate(writer: Writer, date: Date): void {
  const ms = date.getTime();
  if (Number.isNaN(ms)) throw new RangeError("timestamp: expected a valid Date");
  writer.timestamp(ms);
}

function writeList(writer: Writer, items: readonly Encodable[]): void {
  if (items.length === 0) {
    writer.byteOf(format.list0);
    return;
  }
  const mark = writer.openCompound(format.list8);
  for (const item of items) writeValue(writer, item);
  writer.closeCompound(mark, items.length);
}

function writeEntries(writer: Writer, entries: Iterable<readonly [Encodable, Encodable]>, count: number): void {
  const mark = writer.openCompound(format.map8);
  for (const [key, value] of entries) {
    writeValue(writer, key);
    writeValue(writer, value);
  }
  writer.closeCompound(mark, count * 2);
}

/** A described list, without the nulls at its end, which may be left out (part 1, 1.4). */
export function writeComposite(writer: Writer, descriptor: number, fields: readonly Encodable[]): void {
  let count = fields.length;
  while (count > 0 && (fields[count - 1] === undefined || fields[count - 1] === null)) count--;
  writer.descriptor(descriptor);
  writeList(writer, count === fields.length ? fields : fields.slice(0, count));
}

/**
 * A described list with all its fields, null or not. The fields of frames are written so, though the specification lets them
 * out at the end: there are clients that read them by their place and do not look how many there are.
 */
export function encodeWhole(descriptor: number, fields: readonly Encodable[]): Buffer {
  const writer = new Writer(512);
  writer.descriptor(descriptor);
  writeList(writer, fields);
  return writer.take();
}

export function encodeComposite(descriptor: number, fields: readonly Encodable[]): Buffer {
  const writer = new Writer(512);
  writeComposite(writer, descriptor, fields);
  return writer.take();
}

function writeTyped(writer: Writer, typed: TypedValue): void {
  switch (typed.type) {
    case "null":
      writer.null();
      return;
    case "boolean":
      writer.boolean(typed.value);
      return;
    case "uint":
      writer.uint(inRange("uint", typed.value));
      return;
    case "ulong":
      writer.ulong(inRange("ulong", typed.value));
      return;
    case "int":
      writer.int(inRange("int", typed.value));
      return;
    case "long":
      writer.long(inRange("long", typed.value));
      return;
    case "string":
      writer.string(typed.value);
      return;
    case "symbol":
      writer.symbol(typed.value);
      return;
    case "binary":
      writer.binary(typed.value);
      return;
    case "list":
      writeList(writer, typed.value);
      return;
    case "map":
      writeEntries(writer, typed.value, typed.value.length);
      return;
    case "array":
      writeArray(writer, typed.value);
      return;
    case "described":
      writer.byteOf(format.described);
      writeTyped(writer, typed.value.descriptor);
      writeTyped(writer, typed.value.value);
      return;
    default:
      writer.byteOf(format[typed.type]);
      writeFixed(writer, typed);
  }
}

/** The types with one encoding only, without their code. */
type FixedType = "ubyte" | "ushort" | "byte" | "short" | "float" | "double" | "decimal32" | "decimal64" | "decimal128" | "char" | "timestamp" | "uuid";
type FixedValue = Extract<TypedValue, { readonly type: FixedType }>;

const fixedBytes = { decimal32: 4, decimal64: 8, decimal128: 16, uuid: 16 } as const;

function writeFixed(writer: Writer, typed: FixedValue): void {
  writer.ensure(16);
  const { bytes, at } = writer;
  switch (typed.type) {
    case "ubyte":
    case "byte":
      bytes[at] = inRange(typed.type, typed.value);
      writer.at = at + 1;
      return;
    case "ushort":
      writer.at = bytes.writeUInt16BE(inRange("ushort", typed.value), at);
      return;
    case "short":
      writer.at = bytes.writeInt16BE(inRange("short", typed.value), at);
      return;
    case "float":
      writer.at = bytes.writeFloatBE(typed.value, at);
      return;
    case "double":
      writer.at = bytes.writeDoubleBE(typed.value, at);
      return;
    case "char":
      writer.u32(codePoint(typed.value));
      return;
    case "timestamp":
      writer.u64(inRange("timestamp", typed.value));
      return;
    default: {
      const expected = fixedBytes[typed.type];
      if (typed.value.length !== expected) throw new TypeError(`${typed.type}: expected ${expected} bytes, got ${typed.value.length}`);
      writer.raw(typed.value);
    }
  }
}

function codePoint(text: string): number {
  const point = text.codePointAt(0);
  if (point === undefined || text.length !== (point > 0xffff ? 2 : 1) || (point >= 0xd800 && point <= 0xdfff)) {
    throw new TypeError(`char: expected one Unicode code point, got ${JSON.stringify(text)}`);
  }
  return point;
}

const integerRanges: { readonly [name: string]: readonly [min: number | bigint, max: number | bigint] } = {
  ubyte: [0, 0xff],
  ushort: [0, 0xffff],
  uint: [0, 0xffff_ffff],
  ulong: [0n, 0xffff_ffff_ffff_ffffn],
  byte: [-0x80, 0x7f],
  short: [-0x8000, 0x7fff],
  int: [-0x8000_0000, 0x7fff_ffff],
  long: [-0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn],
  timestamp: [-0x8000_0000_0000_0000n, 0x7fff_ffff_ffff_ffffn],
};

function inRange<Value extends number | bigint>(name: keyof typeof integerRanges, value: Value): Value {
  const [min, max] = integerRanges[name]!;
  const whole = typeof value === "bigint" || Number.isInteger(value);
  if (!whole || value < min || value > max) throw new RangeError(`${name}: expected a whole number from ${min} to ${max}, got ${value}`);
  return value;
}

function writeArray(writer: Writer, array: TypedArrayValue): void {
  const mark = writer.openCompound(format.array8);
  const items = array.items.map((item) => undescribed(array.of, item));
  const code = writeConstructor(writer, array.of, items);
  for (const item of items) writeElement(writer, code, item);
  writer.closeCompound(mark, items.length);
}

/** An element without the descriptors that the constructor carries for all. */
function undescribed(of: ElementType, item: TypedValue): TypedValue {
  if (typeof of === "string") {
    if (item.type !== of) throw new TypeError(`array of ${of}: expected every element to be one, got ${item.type}`);
    return item;
  }
  if (item.type !== "described") throw new TypeError(`array of described values: expected every element to be one, got ${item.type}`);
  return undescribed(of.of, item.value.value);
}

/** Returns the code that all elements are written in. */
function writeConstructor(writer: Writer, of: ElementType, items: readonly TypedValue[]): number {
  if (typeof of !== "string") {
    writer.byteOf(format.described);
    writeTyped(writer, of.descriptor);
    return writeConstructor(writer, of.of, items);
  }
  const code = elementCode(of, items);
  writer.byteOf(code);
  return code;
}

function elementCode(of: Exclude<ElementType, object>, items: readonly TypedValue[]): number {
  switch (of) {
    case "binary":
    case "string":
    case "symbol": {
      const short = items.every((item) => Buffer.byteLength(item.value as string | Uint8Array) <= 0xff);
      return format[`${of}${short ? "8" : "32"}`];
    }
    case "list":
    case "map":
    case "array":
      return format[`${of}32`];
    default:
      return format[of];
  }
}

/** Writes an element in the array's code: as a value of its own, less its constructor. */
function writeElement(writer: Writer, code: number, item: TypedValue): void {
  switch (item.type) {
    case "null":
      return;
    case "boolean":
      writer.byteOf(item.value ? 1 : 0);
      return;
    case "uint":
    case "int":
      writer.u32(inRange(item.type, item.value));
      return;
    case "ulong":
    case "long":
      writer.u64(inRange(item.type, item.value));
      return;
    case "binary":
    case "string":
    case "symbol": {
      const bytes = typeof item.value === "string" ? Buffer.from(item.value, "utf8") : item.value;
      if (item.type === "symbol" && bytes.length !== item.value.length) throw new TypeError(`symbol ${JSON.stringify(item.value)}: expected ASCII only`);
      if (code >>> 4 === 0xa) writer.byteOf(bytes.length);
      else writer.u32(bytes.length);
      writer.raw(bytes);
      return;
    }
    case "list":
    case "map":
    case "array":
      writeCompoundElement(writer, item);
      return;
    case "described":
      throw new TypeError("array: expected the descriptor of its elements in `of`");
    default:
      writeFixed(writer, item);
  }
}

/** Size and count in four bytes each, whatever their values. */
function writeCompoundElement(writer: Writer, item: Typed<"list"> | Typed<"map"> | Typed<"array">): void {
  const inner = new Writer(256);
  let count = 0;
  if (item.type === "array") {
    const { of } = item.value;
    const items = item.value.items.map((element) => undescribed(of, element));
    const code = writeConstructor(inner, of, items);
    for (const element of items) writeElement(inner, code, element);
    count = items.length;
  } else {
    const values = item.type === "map" ? item.value.flat() : item.value;
    for (const value of values) writeTyped(inner, value);
    count = values.length;
  }
  const body = inner.take();
  writer.u32(body.length + 4);
  writer.u32(count);
  writer.raw(body);
}
