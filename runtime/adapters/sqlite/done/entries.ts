// How the record of a run that is done is laid out once nothing of it can change any more: a few bytes, one after the other.
//
//   consumer · 2, + 1 for text   variable length
//   event id                     16 bytes of a UUID in lower case, else its length (2) and text
//   flags                        1
//   payload's hash               the first 6 bytes of a SHA-1, else its length (2) and text
//   pipeline                     variable length: a number of the table `pipelines`
//   end of life                  6, milliseconds; 0 takes back what the log had of the key before
//   details                      variable length: a number of the table `done_details`; only with its flag
//   epoch, failures, losses, generation, restarts   variable length each; only where they are not those of a first claim

/** What is kept of it. */
export interface DoneRecord {
  /** The beginning alone of one that was a SHA-1. */
  readonly payloadHash: string;
  readonly pipeline: number;
  readonly expiresAtMs: number;
  /** Where its steps lie, for as long as they are kept; 0 for none. */
  readonly details: number;
  readonly epoch: number;
  readonly failures: number;
  readonly losses: number;
  readonly generation: number;
  readonly restarts: number;
}

export interface DoneEntry extends DoneRecord {
  readonly consumer: number;
  readonly eventId: string;
}

const sha1Characters = 28;
const shortHashBytes = 6;
const uuidBytes = 16;
const uuidCharacters = 36;
const isShortHash = 1;
const hasDetails = 2;
const hasCounts = 4;
/** Of an entry without its texts. */
const restBytesMax = 80;

/** Values of the lower-case hexadecimal digits by character code; 255 for any other. */
const nibbles = Uint8Array.from({ length: 128 }, (_, code) => {
  const digit = "0123456789abcdef".indexOf(String.fromCharCode(code));
  return digit === -1 ? 255 : digit;
});
/** Where the bytes of a UUID begin in its text. */
const uuidPlaces = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const dash = 0x2d;

function writeVarint(bytes: Uint8Array, at: number, value: number): number {
  let left = value;
  let next = at;
  while (left > 127) {
    bytes[next++] = (left % 128) | 128;
    left = Math.floor(left / 128);
  }
  bytes[next] = left;
  return next + 1;
}

/** A number of variable length, and where what follows it begins. */
class Varints {
  next = 0;

  read(bytes: Uint8Array, at: number): number {
    let value = 0;
    let factor = 1;
    let place = at;
    for (;;) {
      const byte = bytes[place++] as number;
      value += (byte & 127) * factor;
      if (byte < 128) break;
      factor *= 128;
    }
    this.next = place;
    return value;
  }
}

const varints = new Varints();

function afterVarint(bytes: Uint8Array, at: number): number {
  let place = at;
  while ((bytes[place++] as number) > 127);
  return place;
}

function afterText(bytes: Uint8Array, at: number): number {
  return at + 2 + (bytes[at] as number) * 256 + (bytes[at + 1] as number);
}

function afterKey(bytes: Uint8Array, at: number): number {
  const isText = ((bytes[at] as number) & 1) === 1;
  const id = afterVarint(bytes, at);
  return isText ? afterText(bytes, id) : id + uuidBytes;
}

/** Where the end of life of an entry stands. */
function endOfLifeAt(bytes: Uint8Array, flagsAt: number): number {
  const isShort = ((bytes[flagsAt] as number) & isShortHash) !== 0;
  return afterVarint(bytes, isShort ? flagsAt + 1 + shortHashBytes : afterText(bytes, flagsAt + 1));
}

export function isTakenBack(bytes: Uint8Array, at: number): boolean {
  const place = endOfLifeAt(bytes, afterKey(bytes, at));
  for (let index = 0; index < 6; index += 1) if (bytes[place + index] !== 0) return false;
  return true;
}

/** Marks the entry at `at` as one that is taken back. */
export function takeBack(bytes: Uint8Array, at: number): void {
  const place = endOfLifeAt(bytes, afterKey(bytes, at));
  bytes.fill(0, place, place + 6);
}

/** Where the entry after the one at `at` begins. */
export function afterEntry(bytes: Uint8Array, at: number): number {
  const flagsAt = afterKey(bytes, at);
  const flags = bytes[flagsAt] as number;
  let place = endOfLifeAt(bytes, flagsAt) + 6;
  if ((flags & hasDetails) !== 0) place = afterVarint(bytes, place);
  if ((flags & hasCounts) !== 0) for (let count = 0; count < 5; count += 1) place = afterVarint(bytes, place);
  return place;
}

function writeText(buffer: Buffer, at: number, text: string): number {
  const length = buffer.write(text, at + 2, "utf8");
  buffer.writeUInt16BE(length, at);
  return at + 2 + length;
}

/** The key of one record at a time, and what it hashes to: two numbers of 32 bits. */
export class DoneKey {
  bytes: Buffer = Buffer.alloc(1_024);
  length = 0;
  one = 0;
  two = 0;

  set(consumer: number, eventId: string): void {
    if (eventId.length * 3 + 16 > this.bytes.length) this.bytes = Buffer.alloc(eventId.length * 3 + 16);
    const id = writeVarint(this.bytes, 0, consumer * 2);
    if (!this.#writeUuid(id, eventId)) {
      writeVarint(this.bytes, 0, consumer * 2 + 1);
      this.length = writeText(this.bytes, id, eventId);
    }
    this.#hash(this.bytes, 0, this.length);
  }

  /** That of the entry at `at`. */
  hashOf(bytes: Uint8Array, at: number): void {
    this.#hash(bytes, at, afterKey(bytes, at));
  }

  /** Becomes that of the entry at `at`. */
  copyOf(bytes: Uint8Array, at: number): void {
    this.bytes = Buffer.from(bytes.subarray(at, afterKey(bytes, at)));
    this.length = this.bytes.length;
    this.#hash(this.bytes, 0, this.length);
  }

  isAt(bytes: Uint8Array, at: number): boolean {
    const { bytes: own, length } = this;
    for (let index = length - 1; index >= 0; index -= 1) if (own[index] !== bytes[at + index]) return false;
    return true;
  }

  #writeUuid(at: number, text: string): boolean {
    if (text.length !== uuidCharacters) return false;
    if (text.charCodeAt(8) !== dash || text.charCodeAt(13) !== dash || text.charCodeAt(18) !== dash || text.charCodeAt(23) !== dash) return false;
    for (let index = 0; index < uuidBytes; index += 1) {
      const place = uuidPlaces[index] as number;
      const high = nibbles[text.charCodeAt(place)] ?? 255;
      const low = nibbles[text.charCodeAt(place + 1)] ?? 255;
      if ((high | low) > 15) return false;
      this.bytes[at + index] = (high << 4) | low;
    }
    this.length = at + uuidBytes;
    return true;
  }

  #hash(bytes: Uint8Array, from: number, to: number): void {
    let one = 0xdeadbeef;
    let two = 0x41c6ce57;
    for (let index = from; index < to; index += 1) {
      const byte = bytes[index] as number;
      one = Math.imul(one ^ byte, 2_654_435_761);
      two = Math.imul(two ^ byte, 1_597_334_677);
    }
    one = Math.imul(one ^ (one >>> 16), 2_246_822_507) ^ Math.imul(two ^ (two >>> 13), 3_266_489_909);
    two = Math.imul(two ^ (two >>> 16), 2_246_822_507) ^ Math.imul(one ^ (one >>> 13), 3_266_489_909);
    this.one = one >>> 0;
    this.two = two >>> 0;
  }
}

/** Bytes that an entry takes at most. */
export function entryBytesMax(key: DoneKey, { payloadHash }: DoneRecord): number {
  return key.length + restBytesMax + payloadHash.length * 3;
}

/** Returns where what follows begins. */
export function writeEntry(buffer: Buffer, at: number, key: DoneKey, record: DoneRecord): number {
  const { payloadHash, pipeline, expiresAtMs, details, epoch, failures, losses, generation, restarts } = record;
  buffer.set(key.bytes.subarray(0, key.length), at);
  const flagsAt = at + key.length;
  let place = flagsAt + 1;
  let flags = 0;
  if (payloadHash.length === sha1Characters && payloadHash.endsWith("=") && /^[A-Za-z0-9+/]{27}=$/.test(payloadHash)) {
    flags |= isShortHash;
    buffer.write(payloadHash.slice(0, 8), place, "base64");
    place += shortHashBytes;
  } else place = writeText(buffer, place, payloadHash);
  place = writeVarint(buffer, place, pipeline);
  place = buffer.writeUIntBE(expiresAtMs, place, 6);
  if (details > 0) {
    flags |= hasDetails;
    place = writeVarint(buffer, place, details);
  }
  if (epoch !== 1 || failures + losses + generation + restarts > 0) {
    flags |= hasCounts;
    for (const count of [epoch, failures, losses, generation, restarts]) place = writeVarint(buffer, place, count);
  }
  buffer[flagsAt] = flags;
  return place;
}

function textAt(buffer: Buffer, at: number): string {
  return buffer.toString("utf8", at + 2, afterText(buffer, at));
}

function eventIdAt(buffer: Buffer, at: number, isText: boolean): string {
  if (isText) return textAt(buffer, at);
  const hex = buffer.toString("hex", at, at + uuidBytes);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function readEntry(bytes: Uint8Array, at: number): DoneEntry {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const consumer = Math.floor(varints.read(buffer, at) / 2);
  const eventId = eventIdAt(buffer, varints.next, ((buffer[at] as number) & 1) === 1);
  let place = afterKey(buffer, at);
  const flags = buffer[place++] as number;
  const isShort = (flags & isShortHash) !== 0;
  const payloadHash = isShort ? buffer.toString("base64", place, place + shortHashBytes) : textAt(buffer, place);
  const pipeline = varints.read(buffer, isShort ? place + shortHashBytes : afterText(buffer, place));
  const expiresAtMs = buffer.readUIntBE(varints.next, 6);
  place = varints.next + 6;
  const details = (flags & hasDetails) === 0 ? 0 : varints.read(buffer, place);
  if (details > 0) place = varints.next;
  const counts = [1, 0, 0, 0, 0];
  if ((flags & hasCounts) !== 0) {
    for (let index = 0; index < counts.length; index += 1) {
      counts[index] = varints.read(buffer, place);
      place = varints.next;
    }
  }
  const [epoch = 1, failures = 0, losses = 0, generation = 0, restarts = 0] = counts;
  return { consumer, eventId, payloadHash, pipeline, expiresAtMs, details, epoch, failures, losses, generation, restarts };
}
