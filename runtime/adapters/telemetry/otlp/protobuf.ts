/** Writes messages of Protocol Buffers into one buffer that grows and is used again. What is ASCII, as nearly all is, is written character by character. */

const bytesAtFirst = 64 * 1024;
/** Lengths below this take one byte; what is longer is moved on by what its length takes more. */
const oneByteMax = 0x7f;
const asciiMax = 0x7f;
/** A varint of 64 bits. */
const varintBytesMax = 10;
const utf8BytesMax = 3;
const word = 0x1_0000_0000;

/** What a field is written as. */
export const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

export function tagOf(field: number, wireType: keyof typeof wireTypes): number {
  return (field << 3) | wireTypes[wireType];
}

export class ProtobufWriter {
  #bytes = Buffer.allocUnsafeSlow(bytesAtFirst);
  #at = 0;

  /** What was written, for whoever keeps it; the next message begins. */
  take(): Uint8Array {
    const bytes = Uint8Array.prototype.slice.call(this.#bytes, 0, this.#at);
    this.#at = 0;
    return bytes;
  }

  /** Begins what is written with its length before it; returns where, for its end. */
  begin(tag: number): number {
    this.varint(tag);
    this.#reserve(1);
    this.#at += 1;
    return this.#at;
  }

  end(from: number): void {
    const length = this.#at - from;
    if (length > oneByteMax) {
      let more = 0;
      for (let rest = length; rest > oneByteMax; rest >>>= 7) more += 1;
      this.#reserve(more);
      this.#bytes.copyWithin(from + more, from, this.#at);
    }
    const to = this.#at;
    this.#at = from - 1;
    this.varint(length);
    this.#at += to - from;
  }

  /** A whole number of 64 bits. */
  varint(value: number): void {
    this.#reserve(varintBytesMax);
    if (!(value >= 0 && value < word)) return this.#longVarint(value);
    let rest = value;
    if (rest <= oneByteMax) {
      this.#bytes[this.#at++] = rest;
      return;
    }
    while (rest > oneByteMax) {
      this.#bytes[this.#at++] = (rest & oneByteMax) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#at++] = rest;
  }

  #longVarint(value: number): void {
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.#at++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.#at++] = Number(rest);
  }

  fixed32(value: number): void {
    this.#reserve(4);
    this.#at = this.#bytes.writeUInt32LE(value, this.#at);
  }

  /** Nanoseconds, of whole microseconds: a double has no room for them all. */
  nanosecondsOf(microseconds: number): void {
    this.#reserve(8);
    const high = Math.floor(microseconds / word);
    const low = (microseconds - high * word) * 1_000;
    const carry = Math.floor(low / word);
    this.#bytes.writeUInt32LE(low - carry * word, this.#at);
    this.#bytes.writeUInt32LE(high * 1_000 + carry, this.#at + 4);
    this.#at += 8;
  }

  double(value: number): void {
    this.#reserve(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  /** As it stands. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** The bytes that an id names in hexadecimal, with their number before them. */
  hex(id: string): void {
    const count = id.length >> 1;
    this.varint(count);
    this.#reserve(count);
    const bytes = this.#bytes;
    const at = this.#at;
    for (let place = 0; place < count; place += 1) bytes[at + place] = (digitOf(id.charCodeAt(place * 2)) << 4) | digitOf(id.charCodeAt(place * 2 + 1));
    this.#at = at + count;
  }

  /** With the number of its bytes before it. */
  text(value: string): void {
    const { length } = value;
    const from = this.#at;
    this.varint(length);
    this.#reserve(length);
    const bytes = this.#bytes;
    const at = this.#at;
    let all = 0;
    for (let place = 0; place < length; place += 1) {
      const unit = value.charCodeAt(place);
      bytes[at + place] = unit;
      all |= unit;
    }
    this.#at = at + length;
    if (all <= asciiMax) return;
    this.#at = from;
    this.#utf8(value);
  }

  #utf8(value: string): void {
    this.varint(Buffer.byteLength(value, "utf8"));
    this.#reserve(value.length * utf8BytesMax);
    this.#at += this.#bytes.write(value, this.#at, "utf8");
  }

  #reserve(count: number): void {
    const needed = this.#at + count;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

/** Of a character that is known to be a digit. */
function digitOf(unit: number): number {
  return (unit & 0xf) + (unit >> 6) * 9;
}
