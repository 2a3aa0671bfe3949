/**
 * Looks at msgpack bytes without unpacking them. A container's header may claim four thousand million elements in five bytes,
 * and an unpacker that believes it allocates them; so every element still owed by all open containers together must have at
 * least one byte left, before anything is unpacked. Extension types other than the timestamp are refused: some unpackers
 * give them powers.
 */
import { Unpackr } from "msgpackr/unpack";
import { type TopLevel, emptyFields, isEnough, wantedKeys } from "./wanted-keys.ts";

export type MsgpackFault = "malformed" | "too-deep" | "too-many-elements" | "extension" | "forbidden-key";

/** Kind of the element whose header was read last. */
type Kind = "scalar" | "string" | "array" | "map";

const timestampType = 0xff;
const prototypeKey = Uint8Array.from("__proto__", (character) => character.charCodeAt(0));

/** Reads element headers one after the other. After `advance`, the fields describe the element it read. */
class MsgpackReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;
  kind: Kind = "scalar";
  /** Elements of a container: twice the pairs for a map. */
  count = 0;
  /** Where a string's bytes begin; they end at `at`. */
  start = 0;
  code = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  isString(): boolean {
    return this.kind === "string";
  }

  /** Reads one header, and skips the content of anything but a container. */
  advance(): MsgpackFault | undefined {
    if (this.at >= this.#bytes.length) return "malformed";
    const code = this.#bytes[this.at] as number;
    this.code = code;
    this.at += 1;
    if (code <= 0x7f || code >= 0xe0) return this.#skip("scalar", 0);
    if (code <= 0x8f) return this.#open("map", (code & 0x0f) * 2);
    if (code <= 0x9f) return this.#open("array", code & 0x0f);
    if (code <= 0xbf) return this.#skip("string", code & 0x1f);
    try {
      return this.#advanceLong(code);
    } catch (error) {
      if (error instanceof RangeError) return "malformed";
      throw error;
    }
  }

  #advanceLong(code: number): MsgpackFault | undefined {
    if (code === 0xc1) return "malformed";
    if (code <= 0xc3) return this.#skip("scalar", 0);
    if (code <= 0xc6) return this.#skip("scalar", this.#length(code - 0xc4));
    if (code <= 0xc9) return this.#extension(this.#length(code - 0xc7));
    if (code <= 0xcb) return this.#skip("scalar", code === 0xca ? 4 : 8);
    if (code <= 0xd3) return this.#skip("scalar", 1 << (code & 3));
    if (code <= 0xd8) return this.#extension(1 << (code - 0xd4));
    if (code <= 0xdb) return this.#skip("string", this.#length(code - 0xd9));
    const count = this.#length(code & 1 ? 2 : 1);
    return code <= 0xdd ? this.#open("array", count) : this.#open("map", count * 2);
  }

  /** A length of 1, 2 or 4 bytes. */
  #length(exponent: number): number {
    const at = this.at;
    this.at += 1 << exponent;
    if (exponent === 0) return this.#view.getUint8(at);
    return exponent === 1 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #extension(length: number): MsgpackFault | undefined {
    if (this.#view.getUint8(this.at) !== timestampType) return "extension";
    return this.#skip("scalar", length + 1);
  }

  #skip(kind: Kind, length: number): MsgpackFault | undefined {
    this.kind = kind;
    this.count = 0;
    this.start = this.at;
    this.at += length;
    return this.at > this.#bytes.length ? "malformed" : undefined;
  }

  #open(kind: Kind, count: number): MsgpackFault | undefined {
    this.kind = kind;
    this.count = count;
    return count > this.#bytes.length - this.at ? "too-many-elements" : undefined;
  }
}

function isPrototypeKey(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start === prototypeKey.length && prototypeKey.every((byte, at) => bytes[start + at] === byte);
}

/** Walks one whole element. `depthMax` counts the containers that may be open at once. */
function walk(bytes: Uint8Array, reader: MsgpackReader, depthMax: number): MsgpackFault | undefined {
  /** Elements still owed by each open container, and whether it is a map. */
  const owed: number[] = [];
  const isMap: boolean[] = [];
  let owedInAll = 0;
  for (;;) {
    const depth = owed.length - 1;
    const isKey = depth >= 0 && isMap[depth] === true && (owed[depth] as number) % 2 === 0;
    const fault = reader.advance();
    if (fault !== undefined) return fault;
    if (isKey && reader.kind !== "string" && reader.kind !== "scalar") return "malformed";
    if (isKey && isPrototypeKey(bytes, reader.start, reader.at)) return "forbidden-key";
    if (depth >= 0) {
      owed[depth] = (owed[depth] as number) - 1;
      owedInAll -= 1;
    }
    if (reader.count > 0) {
      if (owed.length >= depthMax) return "too-deep";
      owed.push(reader.count);
      isMap.push(reader.kind === "map");
      owedInAll += reader.count;
      if (owedInAll > bytes.length - reader.at) return "too-many-elements";
    }
    while (owed.length > 0 && owed.at(-1) === 0) {
      owed.pop();
      isMap.pop();
    }
    if (owed.length === 0) return undefined;
  }
}

/** Why these bytes must not be unpacked; undefined when they are one whole, harmless element. */
export function findMsgpackFault(bytes: Uint8Array, depthMax: number): MsgpackFault | undefined {
  const reader = new MsgpackReader(bytes);
  return walk(bytes, reader, depthMax) ?? (reader.at === bytes.length ? undefined : "malformed");
}

/** Whether a body that says nothing of its codec begins like a msgpack map. */
export function beginsLikeMsgpackMap(bytes: Uint8Array): boolean {
  const first = bytes[0] as number;
  return (first >= 0x80 && first <= 0x8f) || first === 0xde || first === 0xdf;
}

function describe(reader: MsgpackReader): string {
  if (reader.kind === "map") return "an object";
  if (reader.kind === "array") return "a list";
  if (reader.code === 0xc0) return "null";
  return reader.code === 0xc2 || reader.code === 0xc3 ? "a boolean" : "a number or bytes";
}

/** Finds the wanted top-level strings of a msgpack map. */
export function lookAtMsgpack(bytes: Uint8Array, cloudEvents: boolean, depthMax: number): TopLevel {
  const reader = new MsgpackReader(bytes);
  if (reader.advance() !== undefined || reader.kind !== "map") return { kind: "malformed", expected: "a msgpack map" };
  const fields = emptyFields();
  for (let pairs = reader.count / 2; pairs > 0; pairs -= 1) {
    if (reader.advance() !== undefined || reader.count > 0) return { kind: "malformed", expected: "a whole msgpack map" };
    const place = reader.isString() ? wantedKeys.placeOf(bytes, reader.start, reader.at) : -1;
    const valueAt = reader.at;
    const fault = walk(bytes, reader, depthMax - 1);
    if (fault === "too-deep") return { kind: "too-deep" };
    if (fault !== undefined) return { kind: "malformed", expected: "a whole msgpack map without extension types" };
    if (place < 0) continue;
    const end = reader.at;
    reader.at = valueAt;
    reader.advance();
    fields[place] = reader.isString()
      ? Buffer.from(bytes.buffer, bytes.byteOffset + reader.start, reader.at - reader.start).toString("utf8")
      : { found: describe(reader) };
    reader.at = end;
    if (isEnough(fields, cloudEvents)) break;
  }
  return { kind: "fields", fields, isListed: false };
}

/** Hears where a member's key and value lie; true ends the walk. */
export type MsgpackMember = (keyStart: number, keyEnd: number, valueStart: number, valueEnd: number) => boolean;

/** Walks the top-level members of a msgpack map that have text for a key; false when it is no whole map. */
export function walkMsgpack(bytes: Uint8Array, depthMax: number, member: MsgpackMember): boolean {
  const reader = new MsgpackReader(bytes);
  if (reader.advance() !== undefined || reader.kind !== "map") return false;
  for (let pairs = reader.count / 2; pairs > 0; pairs -= 1) {
    if (reader.advance() !== undefined || reader.count > 0) return false;
    const keyStart = reader.isString() ? reader.start : -1;
    const keyEnd = reader.at;
    if (walk(bytes, reader, depthMax - 1) !== undefined) return false;
    if (keyStart >= 0 && member(keyStart, keyEnd, keyEnd, reader.at)) return true;
  }
  return true;
}

/** Integers that no double holds exactly come as bigint (`auto`, which the package's types leave out). */
const options: unknown = { useRecords: false, mapsAsObjects: true, int64AsType: "auto" };
const unpackr = new Unpackr(options as ConstructorParameters<typeof Unpackr>[0]);

/** Unpacks bytes in which `findMsgpackFault` found nothing. */
export function unpackMsgpack(bytes: Uint8Array): unknown {
  return unpackr.unpack(bytes);
}
