// Stepping over an encoded value without decoding it: what lazy reading is made of.
import { u8, u32 } from "./bytes.ts";
import { malformed } from "./errors.ts";
import { format, layout, layouts } from "./formats.ts";
import { nestingMax } from "./limits.ts";

/** Where the value that begins at `at` ends. Throws when it is not whole before `end`. Looks at its outermost layer only. */
export function skipValue(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) throw truncated();
  const code = u8(bytes, at);
  const kind = layouts[code]!;
  let next = at + 1;
  if (kind <= 16) next += kind;
  else if (kind === layout.size8) next = next < end ? next + 1 + u8(bytes, next) : end + 1;
  else if (kind === layout.size32) next = next + 4 <= end ? next + 4 + u32(bytes, next) : end + 1;
  else if (kind === layout.described) return skipDescribed(bytes, at, end, nestingMax);
  else throw unknownCode(code);
  if (next > end) throw truncated();
  return next;
}

/** A value that may be described. Apart, because only what does not call itself can be compiled into its callers. */
function skipDescribed(bytes: Uint8Array, at: number, end: number, depth: number): number {
  if (at >= end) throw truncated();
  if (u8(bytes, at) !== format.described) return skipValue(bytes, at, end);
  if (depth === 0) throw tooDeep();
  return skipDescribed(bytes, skipDescribed(bytes, at + 1, end, depth - 1), end, depth - 1);
}

export function truncated(): Error {
  return malformed("expected a whole value, found the end of the bytes that hold it");
}

export function tooDeep(): Error {
  return malformed(`expected values nested at most ${nestingMax} deep`);
}

export function unknownCode(code: number): Error {
  return malformed(`expected a format code of the specification, found 0x${code.toString(16).padStart(2, "0")}`);
}
