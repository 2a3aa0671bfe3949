// A growing buffer and the primitive types on it (part 1, 1.6), each in its shortest encoding.
//
// A writer fills one slab after another. What was written since the last `take` may move when the slab grows, so positions
// inside it are marks relative to the start of that stretch.
import { copyBytes } from "./bytes.ts";
import { format } from "./formats.ts";

const slabBytesDefault = 16_384;

/** Longer strings are measured before they are written; up to here three bytes a UTF-16 unit are simply reserved. */
const shortStringUnits = 85;

export class Writer {
  bytes: Buffer;
  /** Where the stretch begins that has not been taken yet. */
  start = 0;
  /** Where the next byte goes. */
  at = 0;
  protected slabBytes: number;

  constructor(slabBytes: number = slabBytesDefault) {
    this.slabBytes = slabBytes;
    this.bytes = Buffer.allocUnsafeSlow(slabBytes);
  }

  /** What was written since the last take. The slice stays valid: its bytes are never written again. */
  take(): Buffer {
    const taken = this.bytes.subarray(this.start, this.at);
    this.start = this.at;
    return taken;
  }

  /** Makes room for `count` more bytes. */
  ensure(count: number): void {
    if (this.at + count > this.bytes.length) this.#grow(count);
  }

  /** Goes on in a new slab, leaving what is left of this one. All that was written must be taken. */
  protected renew(): void {
    this.bytes = Buffer.allocUnsafeSlow(this.slabBytes);
    this.start = this.at = 0;
  }

  #grow(count: number): void {
    const held = this.at - this.start;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.slabBytes, held * 2 + count));
    this.bytes.copy(larger, 0, this.start, this.at);
    this.bytes = larger;
    this.start = 0;
    this.at = held;
  }

  /** Bytes as they are, without a type. */
  raw(source: Uint8Array): void {
    this.part(source, 0, source.length);
  }

  /** The same for `source[from, to)`. */
  part(source: Uint8Array, from: number, to: number): void {
    this.ensure(to - from);
    copyBytes(source, this.bytes, this.at, from, to);
    this.at += to - from;
  }

  byteOf(value: number): void {
    this.ensure(1);
    this.bytes[this.at++] = value;
  }

  /** A code and one byte. */
  pair(code: number, value: number): void {
    this.ensure(2);
    this.bytes[this.at++] = code;
    this.bytes[this.at++] = value;
  }

  u32(value: number): void {
    this.ensure(4);
    this.#put32(value);
  }

  #put32(value: number): void {
    const { bytes } = this;
    bytes[this.at++] = value >>> 24;
    bytes[this.at++] = value >>> 16;
    bytes[this.at++] = value >>> 8;
    bytes[this.at++] = value;
  }

  u64(value: bigint): void {
    this.ensure(8);
    this.at = this.bytes.writeBigUInt64BE(BigInt.asUintN(64, value), this.at);
  }

  null(): void {
    this.byteOf(format.null);
  }

  boolean(value: boolean): void {
    this.byteOf(value ? format.true : format.false);
  }

  uint(value: number): void {
    if (value === 0) this.byteOf(format.uint0);
    else if (value <= 0xff) this.pair(format.smallUint, value);
    else this.wide32(format.uint, value);
  }

  /** A code and four bytes. */
  wide32(code: number, value: number): void {
    this.ensure(5);
    this.bytes[this.at++] = code;
    this.#put32(value);
  }

  /** A code and eight bytes. */
  wide64(code: number, value: bigint): void {
    this.byteOf(code);
    this.u64(value);
  }

  ulong(value: bigint): void {
    if (value === 0n) this.byteOf(format.ulong0);
    else if (value <= 0xffn) this.pair(format.smallUlong, Number(value));
    else this.wide64(format.ulong, value);
  }

  int(value: number): void {
    if (value >= -128 && value <= 127) this.pair(format.smallInt, value);
    else this.wide32(format.int, value);
  }

  long(value: bigint): void {
    if (value >= -128n && value <= 127n) this.pair(format.smallLong, Number(value));
    else this.wide64(format.long, value);
  }

  /** A long from a whole number, without a bigint. */
  longOf(value: number): void {
    if (value >= -128 && value <= 127) {
      this.pair(format.smallLong, value);
      return;
    }
    this.#safe64(format.long, value);
  }

  /** A timestamp, in ms since 1970 UTC. */
  timestamp(ms: number): void {
    this.#safe64(format.timestamp, ms);
  }

  #safe64(code: number, value: number): void {
    this.ensure(9);
    this.bytes[this.at++] = code;
    this.#put32(Math.floor(value / 0x1_0000_0000));
    this.#put32(value);
  }

  double(value: number): void {
    this.ensure(9);
    this.bytes[this.at++] = format.double;
    this.at = this.bytes.writeDoubleBE(value, this.at);
  }

  binary(value: Uint8Array): void {
    this.#length(value.length, format.binary8, format.binary32);
    this.raw(value);
  }

  string(value: string): void {
    this.#text(value, format.string8, format.string32);
  }

  symbol(value: string): void {
    const length = this.#text(value, format.symbol8, format.symbol32);
    if (length !== value.length) throw new TypeError(`symbol ${JSON.stringify(value)}: expected ASCII only`);
  }

  /** Returns the length in bytes. */
  #text(value: string, code8: number, code32: number): number {
    if (value.length > shortStringUnits) {
      const length = Buffer.byteLength(value);
      this.#length(length, code8, code32);
      this.ensure(length);
      this.at += this.bytes.write(value, this.at, "utf8");
      return length;
    }
    this.ensure(2 + 3 * value.length);
    this.bytes[this.at++] = code8;
    const lengthAt = this.at++;
    const length = this.#utf8(value);
    this.at += length;
    this.bytes[lengthAt] = length;
    return length;
  }

  /** Writes a short string, by a loop as long as it is ASCII. */
  #utf8(value: string): number {
    const { bytes, at } = this;
    for (let i = 0; i < value.length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) return bytes.write(value, at, "utf8");
      bytes[at + i] = unit;
    }
    return value.length;
  }

  #length(length: number, code8: number, code32: number): void {
    if (length <= 0xff) this.pair(code8, length);
    else this.wide32(code32, length);
  }

  /** The descriptor of a composite or section that the specification names by a number below 256. */
  descriptor(code: number): void {
    this.ensure(3);
    const { bytes } = this;
    bytes[this.at++] = format.described;
    bytes[this.at++] = format.smallUlong;
    bytes[this.at++] = code;
  }

  /** Begins a list, map or array and leaves room for its short form. Pass the mark on to `closeCompound`. */
  openCompound(code8: number): number {
    this.ensure(3);
    const mark = this.at - this.start;
    this.bytes[this.at] = code8;
    this.at += 3;
    return mark;
  }

  /** Ends what `openCompound` began, in its long form when the short one does not reach. */
  closeCompound(mark: number, count: number): void {
    const size = this.at - this.start - mark - 2;
    if (size <= 0xff && count <= 0xff) {
      this.bytes[this.start + mark + 1] = size;
      this.bytes[this.start + mark + 2] = count;
      return;
    }
    this.ensure(6);
    const { bytes } = this;
    const from = this.start + mark;
    const code32 = bytes[from]! | 0x10;
    bytes.copyWithin(from + 9, from + 3, this.at);
    const end = this.at + 6;
    this.at = from;
    bytes[this.at++] = code32;
    this.#put32(size + 3);
    this.#put32(count);
    this.at = end;
  }
}
