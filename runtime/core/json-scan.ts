/**
 * Looks at JSON bytes without parsing them: finds top-level members, and measures depth. It reads each byte at most once, keeps
 * nothing, and stops as soon as it has what is wanted. It accepts some texts that are not JSON; whoever parses the body
 * afterwards refuses those.
 */
import { type Found, type TopLevel, emptyFields, isEnough, wantedKeys } from "./wanted-keys.ts";

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const colon = 0x3a;
const openBrace = 0x7b;
const closeBrace = 0x7d;
const openBracket = 0x5b;
const closeBracket = 0x5d;

/** What a scan gives instead of a position. */
const malformed = -1;
const tooDeep = -2;

/** What a byte outside of strings means for depth: one table look-up decides over most bytes. Past the end it is undefined. */
const plain = 0;
const quotes = 1;
const opens = 2;
const closes = 3;
const meaning = new Uint8Array(256);
meaning[quote] = quotes;
meaning[openBrace] = opens;
meaning[openBracket] = opens;
meaning[closeBrace] = closes;
meaning[closeBracket] = closes;

/** Longest value that is read; the fields wanted are shorter, so a longer one is kept only to be refused. */
const valueBytesMax = 4_096;

/** A string that goes on after this many bytes is searched natively: a call costs as much as a few dozen bytes looked at here. */
const nearBytes = 48;
const nativeIndexOf: (this: Uint8Array, value: number, from: number) => number = Buffer.prototype.indexOf;

function skipSpace(bytes: Uint8Array, at: number): number {
  let next = at;
  for (;;) {
    const byte = bytes[next];
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return next;
    next += 1;
  }
}

/** From just past the opening quote to just past the closing one. */
function skipString(bytes: Uint8Array, at: number): number {
  const { length } = bytes;
  let next = at;
  for (;;) {
    const near = next + nearBytes < length ? next + nearBytes : length;
    while (next < near) {
      const byte = bytes[next];
      if (byte === quote) return next + 1;
      next += byte === backslash ? 2 : 1;
    }
    if (next >= length) return malformed;
    const found = nativeIndexOf.call(bytes, quote, next);
    if (found < 0) return malformed;
    let escapes = found;
    while (escapes > next && bytes[escapes - 1] === backslash) escapes -= 1;
    if ((found - escapes) % 2 === 0) return found + 1;
    next = found + 1;
  }
}

/**
 * From an object's or list's first byte to just past its last. `depthMax` counts those that may be open at once. Every byte of
 * large bodies passes here, so the loop over a short string stands in it.
 */
function skipNested(bytes: Uint8Array, at: number, depthMax: number): number {
  let next = at;
  let depth = 0;
  for (;;) {
    let what: number;
    do {
      what = meaning[bytes[next] as number] as number;
      next += 1;
    } while (what === plain);
    if (what === quotes) {
      const near = next + nearBytes;
      for (;;) {
        const byte = bytes[next];
        next += byte === backslash ? 2 : 1;
        if (byte === quote) break;
        if (next < near) continue;
        next = skipString(bytes, next);
        if (next < 0) return malformed;
        break;
      }
    } else if (what === opens) {
      depth += 1;
      if (depth > depthMax) return tooDeep;
    } else if (what === closes) {
      depth -= 1;
      if (depth === 0) return next;
    } else {
      return malformed;
    }
  }
}

/** From a value's first byte to just past it. */
function skipValue(bytes: Uint8Array, at: number, depthMax: number): number {
  const what = meaning[bytes[at] as number];
  if (what === quotes) return skipString(bytes, at + 1);
  if (what === opens) return skipNested(bytes, at, depthMax);
  let next = at;
  while (next < bytes.length) {
    const byte = bytes[next] as number;
    if (byte === comma || byte <= 0x20 || meaning[byte] === closes) return next;
    next += 1;
  }
  return next;
}

/** Whether no more than `depthMax` objects and lists are open at once, in a text of any number of values. */
export function isJsonWithinDepth(bytes: Uint8Array, depthMax: number): boolean {
  let next = 0;
  while (next < bytes.length) {
    const what = meaning[bytes[next] as number];
    if (what === opens) {
      next = skipNested(bytes, next, depthMax);
      if (next < 0) return next !== tooDeep;
    } else if (what === quotes) {
      next = skipString(bytes, next + 1);
      if (next < 0) return true;
    } else {
      next += 1;
    }
  }
  return true;
}

function typeAt(byte: number | undefined): string {
  switch (byte) {
    case openBrace:
      return "an object";
    case openBracket:
      return "a list";
    case 0x74:
    case 0x66:
      return "a boolean";
    case 0x6e:
      return "null";
    default:
      return "a number";
  }
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A string's text; most are short, plain ASCII and need no decoder. */
function readText(bytes: Uint8Array, start: number, end: number): Found {
  if (end - start > valueBytesMax) return { found: `a string of more than ${valueBytesMax} bytes` };
  let next = start;
  while (next < end && (bytes[next] as number) < 0x80 && bytes[next] !== backslash) next += 1;
  const view = viewOf(bytes);
  if (next === end) return view.toString("latin1", start, end);
  try {
    return JSON.parse(view.toString("utf8", start - 1, end + 1)) as string;
  } catch {
    return { found: "a malformed string" };
  }
}

/** Skips a byte order mark. */
export function jsonStart(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

/** Why a walk over members ended early. */
export type JsonFault = "not-an-object" | "broken-off" | "too-deep" | "several";

/**
 * Walks the members of a body's object, or of the object that is the one item of a list. After a `next` that is true, the fields
 * tell of the member it came to; after one that is false, `fault` tells whether that was the end.
 */
export class JsonMembers {
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #depthMax = 0;
  isListed = false;
  fault: JsonFault | undefined = undefined;
  /** A key's bytes, without its quotes. */
  keyStart = 0;
  keyEnd = 0;
  /** A value's bytes, with the quotes of a string. */
  valueStart = 0;
  valueEnd = 0;

  /** Goes to the first member. */
  open(bytes: Uint8Array, depthMax: number): this {
    this.#bytes = bytes;
    this.fault = undefined;
    let next = skipSpace(bytes, jsonStart(bytes));
    this.isListed = bytes[next] === openBracket;
    if (this.isListed) next = skipSpace(bytes, next + 1);
    this.#depthMax = depthMax - (this.isListed ? 2 : 1);
    if (bytes[next] !== openBrace) this.fault = "not-an-object";
    this.#at = skipSpace(bytes, next + 1);
    return this;
  }

  next(): boolean {
    if (this.fault !== undefined) return false;
    const bytes = this.#bytes;
    if (bytes[this.#at] !== quote) return this.#close();
    this.keyStart = this.#at + 1;
    let next = skipString(bytes, this.keyStart);
    if (next < 0) return this.#fail("broken-off");
    this.keyEnd = next - 1;
    next = skipSpace(bytes, next);
    if (bytes[next] !== colon) return this.#fail("broken-off");
    this.valueStart = skipSpace(bytes, next + 1);
    next = skipValue(bytes, this.valueStart, this.#depthMax);
    if (next < 0) return this.#fail(next === tooDeep ? "too-deep" : "broken-off");
    this.valueEnd = next;
    next = skipSpace(bytes, next);
    if (bytes[next] === comma) {
      next = skipSpace(bytes, next + 1);
      if (bytes[next] !== quote) return this.#fail("broken-off");
    }
    this.#at = next;
    return true;
  }

  #close(): boolean {
    const bytes = this.#bytes;
    if (bytes[this.#at] !== closeBrace) return this.#fail("broken-off");
    if (!this.isListed) return false;
    const next = skipSpace(bytes, this.#at + 1);
    if (bytes[next] === closeBracket) return false;
    return this.#fail(bytes[next] === comma ? "several" : "broken-off");
  }

  #fail(fault: JsonFault): false {
    this.fault = fault;
    return false;
  }
}

const members = new JsonMembers();

const faults: Readonly<Record<JsonFault, TopLevel>> = {
  "not-an-object": { kind: "malformed", expected: "a JSON object" },
  "broken-off": { kind: "malformed", expected: "a whole JSON object" },
  several: { kind: "malformed", expected: "one event (send each as a message of its own)" },
  "too-deep": { kind: "too-deep" },
};

/** Finds the wanted top-level strings of a JSON object, alone or as the one item of a list. */
export function lookAtJson(bytes: Uint8Array, cloudEvents: boolean, depthMax: number): TopLevel {
  const fields = emptyFields();
  members.open(bytes, depthMax);
  while (members.next()) {
    const { keyStart, keyEnd, valueStart, valueEnd } = members;
    const place = wantedKeys.placeOf(bytes, keyStart, keyEnd);
    if (place < 0) continue;
    fields[place] = bytes[valueStart] === quote ? readText(bytes, valueStart + 1, valueEnd - 1) : { found: typeAt(bytes[valueStart]) };
    if (!members.isListed && isEnough(fields, cloudEvents)) return { kind: "fields", fields, isListed: false };
  }
  return members.fault === undefined ? { kind: "fields", fields, isListed: members.isListed } : faults[members.fault];
}

/** The bytes of one top-level member's value; undefined when there is none. */
export function jsonValueOf(bytes: Uint8Array, name: string, depthMax: number): Uint8Array | undefined {
  const key = Buffer.from(name, "utf8");
  members.open(bytes, depthMax);
  while (members.next()) {
    const { keyStart, keyEnd } = members;
    if (keyEnd - keyStart === key.length && key.equals(bytes.subarray(keyStart, keyEnd))) return bytes.subarray(members.valueStart, members.valueEnd);
  }
  return undefined;
}
