// Writes AMQP 1.0 values into a buffer that grows.
import { Uuid } from "./reader.ts";

/** A value whose AMQP type its JavaScript type does not tell. */
export interface Typed {
  readonly type: "int" | "symbol" | "longArray" | "timestampArray" | "stringArray";
  readonly value: number | string | readonly number[] | readonly string[];
}

/** A list under a descriptor, which is a code. */
export class DescribedList {
  readonly code: number;
  readonly items: readonly Writable[];
  constructor(code: number, items: readonly Writable[]) {
    this.code = code;
    this.items = items;
  }
}

export const described = (code: number, items: readonly Writable[]): DescribedList => new DescribedList(code, items);

/** What can be written: strings as strings, buffers as binary, Maps as maps, whole numbers as longs, others as doubles, and `Typed` for the rest. */
export type Writable = null | boolean | number | string | Buffer | Date | Uuid | Typed | DescribedList | readonly Writable[] | ReadonlyMap<string, Writable>;

export const int = (value: number): Typed => ({ type: "int", value });
export const symbol = (value: string): Typed => ({ type: "symbol", value });
export const longArray = (value: readonly number[]): Typed => ({ type: "longArray", value });
export const stringArray = (value: readonly string[]): Typed => ({ type: "stringArray", value });
export const timestampArray = (value: readonly number[]): Typed => ({ type: "timestampArray", value });

const two32 = 2 ** 32;

export class Writer {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity = 256) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  reset(): void {
    this.#length = 0;
  }

  /** What was written, without a copy: valid until the next write or reset. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** What was written, copied. */
  take(): Buffer {
    return Buffer.from(this.view());
  }

  reserve(bytes: number): number {
    const start = this.#length;
    const needed = start + bytes;
    if (needed > this.#buffer.length) {
      const bigger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(bigger, 0, 0, start);
      this.#buffer = bigger;
    }
    this.#length = needed;
    return start;
  }

  byte(value: number): void {
    const at = this.reserve(1);
    this.#buffer[at] = value;
  }

  uint32(value: number): void {
    const at = this.reserve(4);
    this.#buffer.writeUInt32BE(value, at);
  }

  setUint32(at: number, value: number): void {
    this.#buffer.writeUInt32BE(value, at);
  }

  setByte(at: number, value: number): void {
    this.#buffer[at] = value;
  }

  bytes(value: Buffer): void {
    const at = this.reserve(value.length);
    value.copy(this.#buffer, at);
  }

  uint(value: number): void {
    if (value === 0) this.byte(0x43);
    else if (value < 256) {
      this.byte(0x52);
      this.byte(value);
    } else {
      this.byte(0x70);
      this.uint32(value);
    }
  }

  int(value: number): void {
    const at = this.reserve(5);
    this.#buffer[at] = 0x71;
    this.#buffer.writeInt32BE(value, at + 1);
  }

  double(value: number): void {
    const at = this.reserve(9);
    this.#buffer[at] = 0x82;
    this.#buffer.writeDoubleBE(value, at + 1);
  }

  long(value: number): void {
    this.byte(0x81);
    this.int64(value);
  }

  timestamp(ms: number): void {
    this.byte(0x83);
    this.int64(ms);
  }

  /** Eight bytes of a safe integer, without a constructor. */
  int64(value: number): void {
    const at = this.reserve(8);
    const high = Math.floor(value / two32);
    this.#buffer.writeInt32BE(high, at);
    this.#buffer.writeUInt32BE(value - high * two32, at + 4);
  }

  string(value: string): void {
    this.#text(value, 0xa1, 0xb1);
  }

  symbol(value: string): void {
    this.#text(value, 0xa3, 0xb3);
  }

  binary(value: Buffer): void {
    if (value.length < 256) {
      this.byte(0xa0);
      this.byte(value.length);
    } else {
      this.byte(0xb0);
      this.uint32(value.length);
    }
    this.bytes(value);
  }

  /** The descriptor of a section or a composite with a code under 256. */
  descriptor(code: number): void {
    const at = this.reserve(3);
    this.#buffer[at] = 0;
    this.#buffer[at + 1] = 0x53;
    this.#buffer[at + 2] = code;
  }

  /** Opens a list32 (0xd0) or map32 (0xd1); `close` fills in its size. */
  open(code: 0xd0 | 0xd1, count: number): number {
    this.byte(code);
    const at = this.reserve(4);
    this.uint32(count);
    return at;
  }

  close(openedAt: number): void {
    this.#buffer.writeUInt32BE(this.#length - openedAt - 4, openedAt);
  }

  value(value: Writable): void {
    if (value === null) this.byte(0x40);
    else if (typeof value === "boolean") this.byte(value ? 0x41 : 0x42);
    else if (typeof value === "string") this.string(value);
    else if (Buffer.isBuffer(value)) this.binary(value);
    else if (typeof value === "number") this.number(value);
    else if (value instanceof Uuid) {
      this.byte(0x98);
      this.bytes(value.bytes);
    } else if (value instanceof Date) this.timestamp(value.getTime());
    else if (value instanceof DescribedList) {
      this.byte(0);
      this.ulong(value.code);
      this.list(value.items);
    } else if (value instanceof Map) this.map(value);
    else if (isList(value)) this.list(value);
    else this.#typed(value as Typed);
  }

  /** A whole number as a long, any other as a double. */
  number(value: number): void {
    if (Number.isSafeInteger(value)) this.long(value);
    else this.double(value);
  }

  ulong(value: number): void {
    this.byte(0x80);
    this.int64(value);
  }

  list(items: readonly Writable[]): void {
    const at = this.open(0xd0, items.length);
    for (const item of items) this.value(item);
    this.close(at);
  }

  map(entries: ReadonlyMap<string, Writable>, symbolKeys = false): void {
    const at = this.open(0xd1, entries.size * 2);
    for (const [key, value] of entries) {
      if (symbolKeys) this.symbol(key);
      else this.string(key);
      this.value(value);
    }
    this.close(at);
  }

  #typed({ type, value }: Typed): void {
    switch (type) {
      case "int":
        return this.int(value as number);
      case "symbol":
        return this.symbol(value as string);
      case "longArray":
        return this.#array64(0x81, value as readonly number[]);
      case "timestampArray":
        return this.#array64(0x83, value as readonly number[]);
      case "stringArray":
        return this.#strings(value as readonly string[]);
    }
  }

  #array64(code: number, items: readonly number[]): void {
    this.byte(0xf0);
    const at = this.reserve(4);
    this.uint32(items.length);
    this.byte(code);
    for (const item of items) this.int64(item);
    this.close(at);
  }

  #strings(items: readonly string[]): void {
    this.byte(0xf0);
    const at = this.reserve(4);
    this.uint32(items.length);
    this.byte(0xb1);
    for (const item of items) {
      const bytes = Buffer.from(item);
      this.uint32(bytes.length);
      this.bytes(bytes);
    }
    this.close(at);
  }

  #text(value: string, narrow: number, wide: number): void {
    const length = Buffer.byteLength(value);
    if (length < 256) {
      this.byte(narrow);
      this.byte(length);
    } else {
      this.byte(wide);
      this.uint32(length);
    }
    const at = this.reserve(length);
    this.#buffer.write(value, at, length, "utf8");
  }
}

function isList(value: Writable): value is readonly Writable[] {
  return Array.isArray(value);
}
