/**
 * Looks at JSON bytes without parsing them: finds a few top-level strings, and measures depth. It reads each byte at most
 * once, keeps nothing, and stops as soon as it has what is wanted. It accepts some texts that are not JSON; whoever parses
 * the body afterwards refuses those.
 */
import { type Found, type TopLevel, emptyFields, isEnough, placeOfKey } from "./wanted-keys.ts";

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

/** Longest value that is read; the fields wanted are shorter, so a longer one is kept only to be refused. */
const valueBytesMax = 4_096;

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
  let next = at;
  while (next < bytes.length) {
    const byte = bytes[next];
    if (byte === quote) return next + 1;
    next += byte === backslash ? 2 : 1;
  }
  return malformed;
}

/** From a value's first byte to just past it. `depthMax` counts the objects and lists that may be open at once. */
function skipValue(bytes: Uint8Array, at: number, depthMax: number): number {
  let next = at;
  let depth = 0;
  while (next < bytes.length) {
    const byte = bytes[next] as number;
    if (byte === quote) {
      next = skipString(bytes, next + 1);
      if (next < 0 || depth === 0) return next;
      continue;
    }
    if (byte === openBrace || byte === openBracket) {
      depth += 1;
      if (depth > depthMax) return tooDeep;
    } else if (byte === closeBrace || byte === closeBracket) {
      if (depth === 0) return next;
      depth -= 1;
      if (depth === 0) return next + 1;
    } else if (depth === 0 && (byte === comma || byte <= 0x20)) {
      return next;
    }
    next += 1;
  }
  return depth === 0 ? next : malformed;
}

/** Whether no more than `depthMax` objects and lists are open at once. */
export function isJsonWithinDepth(bytes: Uint8Array, depthMax: number): boolean {
  let depth = 0;
  let next = 0;
  while (next < bytes.length) {
    const byte = bytes[next] as number;
    next += 1;
    if (byte === quote) {
      next = skipString(bytes, next);
      if (next < 0) return true;
    } else if (byte === openBrace || byte === openBracket) {
      depth += 1;
      if (depth > depthMax) return false;
    } else if (byte === closeBrace || byte === closeBracket) {
      depth -= 1;
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

/** A string's text; most are short, plain ASCII and need no decoder. */
function readText(bytes: Uint8Array, start: number, end: number): Found {
  if (end - start > valueBytesMax) return { found: `a string of more than ${valueBytesMax} bytes` };
  let next = start;
  while (next < end && (bytes[next] as number) < 0x80 && bytes[next] !== backslash) next += 1;
  const view = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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

const notAnObject: TopLevel = { kind: "malformed", expected: "a JSON object" };
const brokenOff: TopLevel = { kind: "malformed", expected: "a whole JSON object" };

/** Finds the wanted top-level strings of a JSON object. */
export function lookAtJson(bytes: Uint8Array, cloudEvents: boolean, depthMax: number): TopLevel {
  let next = skipSpace(bytes, jsonStart(bytes));
  if (bytes[next] !== openBrace) return notAnObject;
  const fields = emptyFields();
  next = skipSpace(bytes, next + 1);
  while (bytes[next] === quote) {
    const keyStart = next + 1;
    const keyEnd = skipString(bytes, keyStart);
    if (keyEnd < 0) return brokenOff;
    next = skipSpace(bytes, keyEnd);
    if (bytes[next] !== colon) return brokenOff;
    next = skipSpace(bytes, next + 1);
    const valueStart = next;
    next = skipValue(bytes, next, depthMax - 1);
    if (next < 0) return next === tooDeep ? { kind: "too-deep" } : brokenOff;
    const place = placeOfKey(bytes, keyStart, keyEnd - 1);
    if (place >= 0) {
      fields[place] = bytes[valueStart] === quote ? readText(bytes, valueStart + 1, next - 1) : { found: typeAt(bytes[valueStart]) };
      if (isEnough(fields, cloudEvents)) return { kind: "fields", fields };
    }
    next = skipSpace(bytes, next);
    if (bytes[next] !== comma) break;
    next = skipSpace(bytes, next + 1);
  }
  return bytes[next] === closeBrace ? { kind: "fields", fields } : brokenOff;
}
