// Reading any value (part 1), as plain JavaScript or typed. Nothing is trusted: sizes are compared with what is there,
// nesting and the number of elements are bounded, and a compound value must end where it says. Strings that are not UTF-8
// are read with U+FFFD where they are not: they are their sender's data, and passed on as bytes they stay what they were.
import { u8, u16, u32 } from "./bytes.ts";
import { malformed } from "./errors.ts";
import { format, layout, layouts, typeNames } from "./formats.ts";
import { elementsMax, nestingMax, widthlessElementsMax } from "./limits.ts";
import { tooDeep, truncated, unknownCode } from "./skip.ts";
import { Described, Typed } from "./types.ts";
import type { ElementType, Plain, TypedArrayValue, TypedValue } from "./types.ts";

/** Reads the one value that `bytes` holds, and refuses anything after it. */
export function decode(bytes: Buffer): Plain {
  return whole(bytes, (decoder) => decoder.plain());
}

/** As `decode`, keeping every type. */
export function decodeTyped(bytes: Buffer): TypedValue {
  return whole(bytes, (decoder) => decoder.typed());
}

function whole<Value>(bytes: Buffer, read: (decoder: Decoder) => Value): Value {
  const decoder = new Decoder(bytes, 0, bytes.length);
  const value = read(decoder);
  if (decoder.at !== bytes.length) throw malformed(`expected one value, found ${bytes.length - decoder.at} bytes after it`);
  return value;
}

type Scalar = null | boolean | number | bigint | string | Buffer;

export class Decoder {
  readonly bytes: Buffer;
  at: number;
  readonly end: number;
  #depth = 0;
  #elementsLeft = elementsMax;

  constructor(bytes: Buffer, at: number, end: number) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  plain(): Plain {
    return this.#plainOf(this.#code());
  }

  typed(): TypedValue {
    return this.#typedOf(this.#code());
  }

  #code(): number {
    if (this.at >= this.end) throw truncated();
    return u8(this.bytes, this.at++);
  }

  /** Moves over `count` bytes and returns where they begin. */
  #take(count: number): number {
    const from = this.at;
    if (count > this.end - from) throw truncated();
    this.at = from + count;
    return from;
  }

  #plainOf(code: number): Plain {
    switch (code) {
      case format.list0:
        return [];
      case format.list8:
      case format.list32:
        return this.#compound(code, (count) => this.#times(count, () => this.plain()));
      case format.map8:
      case format.map32:
        return this.#compound(code, (count) => this.#plainMap(count));
      case format.array8:
      case format.array32:
        return this.#compound(code, (count) => this.#plainArray(count));
      case format.described:
        return this.#nested(() => new Described(this.plain(), this.plain()));
      case format.timestamp:
        return clampedDate(this.#int64());
      case format.uuid:
        return uuidText(this.bytes, this.#take(16));
      case format.decimal32:
        return new Typed("decimal32", this.#slice(4));
      case format.decimal64:
        return new Typed("decimal64", this.#slice(8));
      case format.decimal128:
        return new Typed("decimal128", this.#slice(16));
      default:
        return this.#scalar(code);
    }
  }

  #plainMap(count: number): ReadonlyMap<Plain, Plain> {
    if (count % 2 !== 0) throw oddMap(count);
    const map = new Map<Plain, Plain>();
    for (let left = count; left > 0; left -= 2) map.set(this.plain(), this.plain());
    return map;
  }

  #plainArray(count: number): Plain[] {
    return this.#times(count, this.#plainElement(count));
  }

  /** Reads an array's constructor (part 1, 1.4) and returns what reads one element. */
  #plainElement(count: number): () => Plain {
    const code = this.#elementCode(count);
    if (code !== format.described) return () => this.#plainOf(code);
    return this.#nested(() => {
      const descriptor = this.plain();
      const read = this.#plainElement(count);
      return () => new Described(descriptor, read());
    });
  }

  #typedOf(code: number): TypedValue {
    switch (code) {
      case format.list0:
        return new Typed("list", []);
      case format.list8:
      case format.list32:
        return new Typed(
          "list",
          this.#compound(code, (count) => this.#times(count, () => this.typed())),
        );
      case format.map8:
      case format.map32:
        return new Typed(
          "map",
          this.#compound(code, (count) => this.#typedMap(count)),
        );
      case format.array8:
      case format.array32:
        return new Typed(
          "array",
          this.#compound(code, (count) => this.#typedArray(count)),
        );
      case format.described:
        return this.#nested(() => new Typed("described", { descriptor: this.typed(), value: this.typed() }));
      default:
        return this.#typedScalar(code);
    }
  }

  #typedMap(count: number): (readonly [TypedValue, TypedValue])[] {
    if (count % 2 !== 0) throw oddMap(count);
    return this.#times(count / 2, () => [this.typed(), this.typed()] as const);
  }

  #typedArray(count: number): TypedArrayValue {
    const { of, read } = this.#typedElement(count);
    return { of, items: this.#times(count, read) };
  }

  /** The code that `count` elements share. */
  #elementCode(count: number): number {
    const code = this.#code();
    if (layouts[code] === 0 && count > widthlessElementsMax)
      throw malformed(`array: expected at most ${widthlessElementsMax} elements of no width, found ${count}`);
    return code;
  }

  #typedElement(count: number): { readonly of: ElementType; readonly read: () => TypedValue } {
    const code = this.#elementCode(count);
    if (code !== format.described) {
      const of = typeNames[code];
      if (of === undefined) throw unknownCode(code);
      return { of, read: () => this.#typedOf(code) };
    }
    return this.#nested(() => {
      const descriptor = this.typed();
      const inner = this.#typedElement(count);
      return { of: { descriptor, of: inner.of }, read: () => new Typed("described", { descriptor, value: inner.read() }) };
    });
  }

  #typedScalar(code: number): TypedValue {
    const type = typeNames[code];
    if (type === undefined) throw unknownCode(code);
    switch (type) {
      case "ulong":
      case "long":
      case "timestamp":
        return new Typed(type, BigInt(type === "timestamp" ? this.#int64() : (this.#scalar(code) as number | bigint)));
      case "uuid":
      case "decimal128":
        return new Typed(type, this.#slice(16));
      case "decimal64":
        return new Typed(type, this.#slice(8));
      case "decimal32":
        return new Typed(type, this.#slice(4));
      default:
        return new Typed(type, this.#scalar(code) as never) as TypedValue;
    }
  }

  /** The values that both readings share. */
  #scalar(code: number): Scalar {
    const { bytes } = this;
    switch (code) {
      case format.null:
        return null;
      case format.true:
        return true;
      case format.false:
        return false;
      case format.boolean:
        return this.#booleanByte();
      case format.uint0:
      case format.ulong0:
        return 0;
      case format.ubyte:
      case format.smallUint:
      case format.smallUlong:
        return u8(bytes, this.#take(1));
      case format.byte:
      case format.smallInt:
      case format.smallLong:
        return (u8(bytes, this.#take(1)) << 24) >> 24;
      case format.ushort:
        return u16(bytes, this.#take(2));
      case format.short:
        return (u16(bytes, this.#take(2)) << 16) >> 16;
      case format.uint:
        return u32(bytes, this.#take(4));
      case format.int:
        return u32(bytes, this.#take(4)) | 0;
      case format.ulong:
        return this.#uint64();
      case format.long:
        return this.#int64();
      case format.float:
        return bytes.readFloatBE(this.#take(4));
      case format.double:
        return bytes.readDoubleBE(this.#take(8));
      case format.char:
        return this.#char();
      default:
        return this.#variable(code);
    }
  }

  #variable(code: number): string | Buffer {
    const kind = layouts[code]!;
    if (kind !== layout.size8 && kind !== layout.size32) throw unknownCode(code);
    const length = kind === layout.size8 ? u8(this.bytes, this.#take(1)) : u32(this.bytes, this.#take(4));
    const from = this.#take(length);
    switch (code) {
      case format.string8:
      case format.string32:
        return this.bytes.toString("utf8", from, this.at);
      case format.symbol8:
      case format.symbol32:
        return this.#symbol(from);
      default:
        return this.bytes.subarray(from, this.at);
    }
  }

  /** ASCII (part 1, 1.6.21). */
  #symbol(from: number): string {
    for (let at = from; at < this.at; at++) if (u8(this.bytes, at) > 0x7f) throw malformed("symbol: expected ASCII");
    return this.bytes.toString("latin1", from, this.at);
  }

  #booleanByte(): boolean {
    const value = u8(this.bytes, this.#take(1));
    if (value > 1) throw malformed(`boolean: expected 0x00 or 0x01, found 0x${value.toString(16)}`);
    return value === 1;
  }

  #char(): string {
    const point = u32(this.bytes, this.#take(4));
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) throw malformed(`char: expected a Unicode code point, found 0x${point.toString(16)}`);
    return String.fromCodePoint(point);
  }

  #uint64(): number | bigint {
    const from = this.#take(8);
    const value = u32(this.bytes, from) * 0x1_0000_0000 + u32(this.bytes, from + 4);
    return Number.isSafeInteger(value) ? value : this.bytes.readBigUInt64BE(from);
  }

  #int64(): number | bigint {
    const from = this.#take(8);
    const value = (u32(this.bytes, from) | 0) * 0x1_0000_0000 + u32(this.bytes, from + 4);
    return Number.isSafeInteger(value) ? value : this.bytes.readBigInt64BE(from);
  }

  #slice(count: number): Buffer {
    const from = this.#take(count);
    return this.bytes.subarray(from, this.at);
  }

  /** Reads size and count, lets `read` read the elements, and holds it to the size. */
  #compound<Value>(code: number, read: (count: number) => Value): Value {
    const wide = layouts[code] === layout.size32;
    const size = wide ? u32(this.bytes, this.#take(4)) : u8(this.bytes, this.#take(1));
    if (size > this.end - this.at) throw truncated();
    const end = this.at + size;
    const count = wide ? u32(this.bytes, this.#take(4)) : u8(this.bytes, this.#take(1));
    if (count > this.#elementsLeft) throw malformed(`expected at most ${elementsMax} elements in one value`);
    this.#elementsLeft -= count;
    const value = this.#nested(() => read(count));
    if (this.at !== end) throw malformed(`expected a compound value of ${size} bytes to end there, found its end ${this.at - end} bytes away`);
    return value;
  }

  #nested<Value>(read: () => Value): Value {
    if (this.#depth === nestingMax) throw tooDeep();
    this.#depth++;
    const value = read();
    this.#depth--;
    return value;
  }

  #times<Value>(count: number, read: () => Value): Value[] {
    const values: Value[] = [];
    for (let left = count; left > 0; left--) values.push(read());
    return values;
  }
}

/** The value that begins at `at`, as `Decoder` reads it. Text, which most lookups are for, is read without one. */
export function plainAt(bytes: Buffer, at: number, end: number): Plain {
  if (u8(bytes, at) === format.string8) {
    const textEnd = at + 2 + u8(bytes, at + 1);
    if (textEnd <= end) return bytes.toString("utf8", at + 2, textEnd);
  }
  return new Decoder(bytes, at, end).plain();
}

/** The timestamp that begins at `at`, in milliseconds; undefined when there is none. */
export function timestampAt(bytes: Buffer, at: number, end: number): number | undefined {
  if (u8(bytes, at) !== format.timestamp || at + 9 > end) return undefined;
  return (u32(bytes, at + 1) | 0) * 0x1_0000_0000 + u32(bytes, at + 5);
}

function oddMap(count: number): Error {
  return malformed(`map: expected as many values as keys, found ${count} elements`);
}

const dateMsMax = 8_640_000_000_000_000;

function clampedDate(ms: number | bigint): Date {
  return new Date(Math.max(-dateMsMax, Math.min(dateMsMax, Number(ms))));
}

/** The usual text of a uuid. */
export function uuidText(bytes: Buffer, at: number): string {
  const hex = bytes.toString("hex", at, at + 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
