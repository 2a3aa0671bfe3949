// Reading the fields of a composite, one after the other, from its encoded list (part 1, 1.4). A field that is null, or
// left out at the end, has the value that the caller passes as its default. Fields past those that are asked for are not
// looked at. One reader is used for frame after frame, so that reading a transfer leaves no garbage.
import { u8, u16, u32 } from "./bytes.ts";
import { Decoder, plainAt } from "./decode.ts";
import { ProtocolError, conditions, malformed } from "./errors.ts";
import { format } from "./formats.ts";
import { skipValue, truncated } from "./skip.ts";
import type { Plain, TypedValue } from "./types.ts";
import { MapView, ValueView } from "./views.ts";

const noBytes = Buffer.alloc(0);

export class FieldReader {
  bytes: Buffer = noBytes;
  /** Where the next field begins. */
  at = 0;
  /** Where the list ends: in a frame, where the payload begins. */
  end = 0;
  /** Where the value began and ended that `span` or `binary` stepped over last. */
  spanStart = 0;
  spanEnd = 0;
  #left = 0;
  #start = 0;

  /** Begins with the list whose constructor lies at `at`. */
  open(bytes: Buffer, at: number, end: number): this {
    if (at >= end) throw truncated();
    const code = u8(bytes, at);
    this.bytes = bytes;
    this.#start = at;
    if (code === format.list8 && at + 3 <= end) {
      this.end = at + 2 + u8(bytes, at + 1);
      this.#left = u8(bytes, at + 2);
      this.at = at + 3;
    } else if (code === format.list32 && at + 9 <= end) {
      this.end = at + 5 + u32(bytes, at + 1);
      this.#left = u32(bytes, at + 5);
      this.at = at + 9;
    } else if (code === format.list0) {
      this.end = at + 1;
      this.#left = 0;
      this.at = this.end;
    } else throw malformed("expected the fields of a composite as a list");
    if (this.end > end || this.at > this.end) throw truncated();
    return this;
  }

  /** A reader of the same fields, from the first on, in bytes of their own: for what outlives the chunk they came in. */
  copied(): FieldReader {
    const bytes = Buffer.from(this.bytes.subarray(this.#start, this.end));
    return new FieldReader().open(bytes, 0, bytes.length);
  }

  /** How many fields have not been read yet. */
  get left(): number {
    return this.#left;
  }

  /** Steps over the fields that are left. Throws unless they fill the list to its end. */
  checkRest(): void {
    while (this.#left > 0) this.span();
    if (this.at !== this.end) throw malformed(`expected the fields of a list to fill it, found ${this.end - this.at} bytes after them`);
  }

  /** The code of the next field, or null's when there is none. */
  #code(): number {
    if (this.#left === 0) return format.null;
    this.#left--;
    if (this.at >= this.end) throw truncated();
    return u8(this.bytes, this.at++);
  }

  /** Moves over `count` bytes and returns where they begin. */
  #take(count: number): number {
    const from = this.at;
    if (from + count > this.end) throw truncated();
    this.at = from + count;
    return from;
  }

  /** A uint. */
  uint(otherwise: number): number {
    const code = this.#code();
    if (code === format.smallUint) return u8(this.bytes, this.#take(1));
    if (code === format.uint) return u32(this.bytes, this.#take(4));
    if (code === format.uint0) return 0;
    if (code === format.null) return otherwise;
    throw unexpected("a uint", code);
  }

  /** A uint that must be there; `field` names it to the peer when it is not. */
  mandatoryUint(field: string): number {
    const value = this.uint(-1);
    return value < 0 ? missing(field) : value;
  }

  ushort(otherwise: number): number {
    const code = this.#code();
    if (code === format.null) return otherwise;
    if (code !== format.ushort) throw unexpected("a ushort", code);
    return u16(this.bytes, this.#take(2));
  }

  ubyte(otherwise: number): number {
    const code = this.#code();
    if (code === format.null) return otherwise;
    if (code !== format.ubyte) throw unexpected("a ubyte", code);
    return u8(this.bytes, this.#take(1));
  }

  /** A ulong as a number; one that a double does not hold exactly comes as the nearest it does. */
  ulong(otherwise: number): number {
    const code = this.#code();
    if (code === format.null) return otherwise;
    if (code === format.ulong0) return 0;
    if (code === format.smallUlong) return u8(this.bytes, this.#take(1));
    if (code !== format.ulong) throw unexpected("a ulong", code);
    const from = this.#take(8);
    return u32(this.bytes, from) * 0x1_0000_0000 + u32(this.bytes, from + 4);
  }

  boolean(otherwise: boolean): boolean {
    const code = this.#code();
    if (code === format.true) return true;
    if (code === format.false) return false;
    if (code === format.null) return otherwise;
    if (code !== format.boolean) throw unexpected("a boolean", code);
    const value = u8(this.bytes, this.#take(1));
    if (value > 1) throw unexpected("a boolean", value);
    return value === 1;
  }

  /** A boolean that must be there. */
  mandatoryBoolean(field: string): boolean {
    if (this.#left === 0 || (this.at < this.end && u8(this.bytes, this.at) === format.null)) missing(field);
    return this.boolean(false);
  }

  /** Sets the span to the bytes of a binary; false when it is null. */
  binary(): boolean {
    const code = this.#code();
    if (code === format.null) return false;
    if (code !== format.binary8 && code !== format.binary32) throw unexpected("binary", code);
    const length = code === format.binary8 ? u8(this.bytes, this.#take(1)) : u32(this.bytes, this.#take(4));
    this.spanStart = this.#take(length);
    this.spanEnd = this.at;
    return true;
  }

  /** Sets the span to the next value, of whatever type; false when it is null. */
  span(): boolean {
    const code = this.#code();
    if (code === format.null) return false;
    this.spanStart = this.at - 1;
    this.at = skipValue(this.bytes, this.spanStart, this.end);
    this.spanEnd = this.at;
    return true;
  }

  /** The next value, whatever it is; undefined when it is null. */
  plain(): Plain | undefined {
    return this.span() ? plainAt(this.bytes, this.spanStart, this.spanEnd) : undefined;
  }

  view(): ValueView | undefined {
    return this.span() ? new ValueView(this.bytes, this.spanStart, this.spanEnd) : undefined;
  }

  map(): MapView | undefined {
    return this.span() ? new MapView(this.bytes, this.spanStart, this.spanEnd) : undefined;
  }

  /** A string or symbol. */
  text(): string | undefined {
    if (!this.span()) return undefined;
    return this.#textOf(new Decoder(this.bytes, this.spanStart, this.spanEnd).typed(), "text");
  }

  /** The symbols of a field that the specification marks `multiple`: none, one on its own, or an array. Some peers send a list. */
  symbols(): readonly string[] {
    if (!this.span()) return [];
    const value = new Decoder(this.bytes, this.spanStart, this.spanEnd).typed();
    const items = value.type === "array" ? value.value.items : value.type === "list" ? value.value : [value];
    return items.map((item) => this.#textOf(item, "symbols"));
  }

  /** Strings and symbols stand for one another here: peers mix them up, and nothing is lost. */
  #textOf(value: TypedValue, expected: string): string {
    if (value.type !== "string" && value.type !== "symbol") throw unexpected(expected, u8(this.bytes, this.spanStart));
    return value.value;
  }
}

function unexpected(expected: string, code: number): ProtocolError {
  return malformed(`expected ${expected} in a field, found format code 0x${code.toString(16).padStart(2, "0")}`);
}

/** The mandatory field is not there (part 1, 1.4). */
export function missing(field: string): never {
  throw new ProtocolError(conditions.invalidField, `expected the mandatory ${field}, found null`);
}
