// Reads AMQP 1.0 values out of bytes, as much or as little of them as the caller wants: a message is mostly skipped.

/** Bytes that are not what AMQP 1.0 says they should be. */
export class MalformedError extends Error {
  readonly code = "MalformedAmqp";
  constructor(message: string) {
    super(message);
    this.name = "MalformedError";
  }
}

/** A UUID as its 16 bytes, in the order in which they were on the wire. */
export class Uuid {
  readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
  toString(): string {
    const hex = this.bytes.toString("hex");
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }
}

/** A value under a descriptor that nobody here knows. */
export class Described {
  readonly descriptor: AmqpValue;
  readonly value: AmqpValue;
  constructor(descriptor: AmqpValue, value: AmqpValue) {
    this.descriptor = descriptor;
    this.value = value;
  }
}

/** What reading yields: 64-bit integers are numbers while they are safe, and bigints beyond; symbols are strings. */
export type AmqpValue = null | boolean | number | bigint | string | Date | Buffer | Uuid | Described | AmqpValue[] | Map<AmqpValue, AmqpValue>;

/** Nesting of lists, maps, arrays and descriptors that is still read; deeper bytes are an attack, not a message. */
const depthMax = 32;

const codeNames = {
  described: 0x00,
  null: 0x40,
  true: 0x41,
  false: 0x42,
  uint0: 0x43,
  ulong0: 0x44,
  list0: 0x45,
};

/** 1 for each type code that AMQP 1.0 defines. */
const isTypeCode = new Uint8Array(256);
for (const code of [
  0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x60, 0x61, 0x70, 0x71, 0x72, 0x73, 0x74, 0x80, 0x81, 0x82, 0x83, 0x84, 0x94, 0x98, 0xa0, 0xa1, 0xa3, 0xb0, 0xb1,
  0xb3, 0xc0, 0xc1, 0xd0, 0xd1, 0xe0, 0xf0,
]) {
  isTypeCode[code] = 1;
}

export class Reader {
  readonly buffer: Buffer;
  readonly end: number;
  position: number;
  #depth = 0;

  constructor(buffer: Buffer, position = 0, end: number = buffer.length) {
    this.buffer = buffer;
    this.position = position;
    this.end = end;
  }

  get done(): boolean {
    return this.position >= this.end;
  }

  /** Advances by `length` and returns where it was. */
  advance(length: number): number {
    const start = this.position;
    if (length < 0 || start + length > this.end) throw new MalformedError(`expected ${length} more bytes at ${start}, found ${this.end - start}`);
    this.position = start + length;
    return start;
  }

  byte(): number {
    const value = this.buffer[this.advance(1)];
    return value ?? 0;
  }

  uint32(): number {
    return this.buffer.readUInt32BE(this.advance(4));
  }

  bytes(length: number): Buffer {
    const start = this.advance(length);
    return this.buffer.subarray(start, start + length);
  }

  /** Passes over one value, whatever it is. */
  skip(): void {
    let code = this.byte();
    while (code === codeNames.described) {
      this.#enter();
      this.skip();
      this.#depth--;
      code = this.byte();
    }
    if (isTypeCode[code] !== 1) throw new MalformedError(`expected a type code, found 0x${code.toString(16)} at ${this.position - 1}`);
    switch (code >>> 4) {
      case 0x4:
        return;
      case 0x5:
        this.advance(1);
        return;
      case 0x6:
        this.advance(2);
        return;
      case 0x7:
        this.advance(4);
        return;
      case 0x8:
        this.advance(8);
        return;
      case 0x9:
        this.advance(16);
        return;
      case 0xa:
      case 0xc:
      case 0xe:
        this.advance(this.byte());
        return;
      default:
        this.advance(this.uint32());
        return;
    }
  }

  /** The bytes of the next value, constructor included. */
  raw(): Buffer {
    const start = this.position;
    this.skip();
    return this.buffer.subarray(start, this.position);
  }

  /** Where the list or map ends whose header was read last. */
  compoundEnd = 0;

  /** Enters a list: returns how many items follow. */
  listHeader(): number {
    const code = this.byte();
    if (code === 0xc0 || code === 0xd0) return this.#header(code === 0xd0);
    this.compoundEnd = this.position;
    if (code === codeNames.list0) return 0;
    throw new MalformedError(`expected a list, found type code 0x${code.toString(16)}`);
  }

  /** Enters a map: returns how many items (keys and values together) follow. A null counts as an empty map. */
  mapHeader(): number {
    const code = this.byte();
    if (code === 0xc1 || code === 0xd1) return this.#even(this.#header(code === 0xd1));
    this.compoundEnd = this.position;
    if (code === codeNames.null) return 0;
    throw new MalformedError(`expected a map, found type code 0x${code.toString(16)}`);
  }

  /** Checks that the items which were read end where `end`, an earlier `compoundEnd`, says. */
  leave(end: number): void {
    if (this.position !== end) throw new MalformedError(`expected the items of a list or map to end at ${end}, found ${this.position}`);
  }

  #header(wide: boolean): number {
    const size = wide ? this.uint32() : this.byte();
    this.compoundEnd = this.position + size;
    return wide ? this.uint32() : this.byte();
  }

  /** Reads one value. */
  read(): AmqpValue {
    const code = this.byte();
    if (code === codeNames.described) {
      this.#enter();
      const described = new Described(this.read(), this.read());
      this.#depth--;
      return described;
    }
    return this.#valueOf(code);
  }

  #even(count: number): number {
    if (count % 2 !== 0) throw new MalformedError(`expected keys and values in pairs, found ${count} items in a map`);
    return count;
  }

  #enter(): void {
    if (++this.#depth > depthMax) throw new MalformedError(`expected at most ${depthMax} levels of nesting`);
  }

  #valueOf(code: number): AmqpValue {
    if (code >= 0xc0 || code === codeNames.list0) return this.#compound(code);
    switch (code) {
      case codeNames.null:
        return null;
      case codeNames.true:
        return true;
      case codeNames.false:
        return false;
      case codeNames.uint0:
      case codeNames.ulong0:
        return 0;
      case 0x56:
        return this.byte() !== 0;
      case 0x50:
      case 0x52:
      case 0x53:
        return this.byte();
      case 0x51:
      case 0x54:
      case 0x55:
        return this.buffer.readInt8(this.advance(1));
      case 0x60:
        return this.buffer.readUInt16BE(this.advance(2));
      case 0x61:
        return this.buffer.readInt16BE(this.advance(2));
      case 0x70:
        return this.uint32();
      case 0x71:
        return this.buffer.readInt32BE(this.advance(4));
      case 0x72:
        return this.buffer.readFloatBE(this.advance(4));
      case 0x73:
        return String.fromCodePoint(this.#codePoint());
      case 0x80:
        return narrow(this.buffer.readBigUInt64BE(this.advance(8)));
      case 0x81:
        return narrow(this.buffer.readBigInt64BE(this.advance(8)));
      case 0x82:
        return this.buffer.readDoubleBE(this.advance(8));
      case 0x83:
        return new Date(Number(this.buffer.readBigInt64BE(this.advance(8))));
      case 0x98:
        return new Uuid(this.bytes(16));
      default:
        return this.#variable(code);
    }
  }

  #codePoint(): number {
    const point = this.uint32();
    if (point > 0x10ffff) throw new MalformedError(`expected a Unicode code point, found ${point}`);
    return point;
  }

  #variable(code: number): AmqpValue {
    switch (code) {
      case 0x74:
        return this.bytes(4);
      case 0x84:
        return this.bytes(8);
      case 0x94:
        return this.bytes(16);
      case 0xa0:
        return this.bytes(this.byte());
      case 0xb0:
        return this.bytes(this.uint32());
      case 0xa1:
      case 0xa3:
        return this.#text(this.byte());
      case 0xb1:
      case 0xb3:
        return this.#text(this.uint32());
      default:
        throw new MalformedError(`expected a type code, found 0x${code.toString(16)} at ${this.position - 1}`);
    }
  }

  #text(length: number): string {
    const start = this.advance(length);
    return this.buffer.toString("utf8", start, start + length);
  }

  #compound(code: number): AmqpValue {
    if (code === codeNames.list0) return [];
    const wide = code >= 0xd0 && code !== 0xe0;
    const size = wide ? this.uint32() : this.byte();
    const end = this.position + size;
    if (end > this.end) throw new MalformedError(`expected a compound of ${size} bytes at ${this.position}, found ${this.end - this.position}`);
    const count = wide ? this.uint32() : this.byte();
    this.#enter();
    let value: AmqpValue;
    if (code === 0xc0 || code === 0xd0) value = this.#items(count, end);
    else if (code === 0xc1 || code === 0xd1) value = this.#pairs(this.#even(count), end);
    else if (code === 0xe0 || code === 0xf0) value = this.#elements(count, end);
    else throw new MalformedError(`expected a type code, found 0x${code.toString(16)}`);
    this.#depth--;
    this.position = end;
    return value;
  }

  #items(count: number, end: number): AmqpValue[] {
    const items: AmqpValue[] = [];
    for (let i = 0; i < count; i++) {
      if (this.position >= end) throw new MalformedError(`expected ${count} items, found ${i}`);
      items.push(this.read());
    }
    return items;
  }

  #pairs(count: number, end: number): Map<AmqpValue, AmqpValue> {
    const items = this.#items(count, end);
    const map = new Map<AmqpValue, AmqpValue>();
    for (let i = 0; i < items.length; i += 2) map.set(items[i] ?? null, items[i + 1] ?? null);
    return map;
  }

  #elements(count: number, end: number): AmqpValue[] {
    let code = this.byte();
    if (code === codeNames.described) {
      this.skip();
      code = this.byte();
    }
    // Elements of a type without bytes would let a few bytes claim billions of elements.
    if (code >>> 4 === 4 && count > end) throw new MalformedError(`expected an array that fits its bytes, found ${count} elements`);
    const elements: AmqpValue[] = [];
    for (let i = 0; i < count; i++) {
      if (this.position > end) throw new MalformedError(`expected ${count} elements, found ${i}`);
      elements.push(this.#valueOf(code));
    }
    return elements;
  }
}

function narrow(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}
