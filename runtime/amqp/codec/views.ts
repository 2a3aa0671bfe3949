// Maps and lists as byte ranges: an entry is found by walking over the encoded ones, and decoded only when it is read.
// A view stays valid as long as its bytes are not written to; it keeps the whole buffer that they lie in alive.
import { u8, u32 } from "./bytes.ts";
import { Decoder, plainAt, timestampAt } from "./decode.ts";
import { malformed } from "./errors.ts";
import { format, layout, layouts } from "./formats.ts";
import { skipValue } from "./skip.ts";
import { Raw } from "./types.ts";
import type { Plain, TypedValue } from "./types.ts";

/** The encoded value at a place, and the readings of it that callers ask for most. */
export class ValueView {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes;
    this.start = start;
    this.end = end;
  }

  plain(): Plain {
    return new Decoder(this.bytes, this.start, this.end).plain();
  }

  typed(): TypedValue {
    return new Decoder(this.bytes, this.start, this.end).typed();
  }

  /** The value as it is encoded, to be written elsewhere with its exact type. */
  raw(): Raw {
    return new Raw(this.bytes.subarray(this.start, this.end));
  }

  /** The value as a map; undefined when it is none. */
  asMap(): MapView | undefined {
    const code = u8(this.bytes, this.start);
    return code === format.map8 || code === format.map32 ? new MapView(this.bytes, this.start, this.end) : undefined;
  }
}

/** A map whose entries are looked up by the text of their key, be it a string or a symbol. */
export class MapView extends ValueView {
  readonly #firstAt: number;
  /** Keys and values together. */
  readonly #elements: number;

  /** The map whose constructor lies at `start`; it ends at `limit` or before. Throws when what lies there is no map. */
  constructor(bytes: Buffer, start: number, limit: number) {
    const code = start < limit ? u8(bytes, start) : -1;
    if (code !== format.map8 && code !== format.map32) throw malformed("expected a map");
    super(bytes, start, skipValue(bytes, start, limit));
    const wide = code === format.map32;
    this.#firstAt = start + (wide ? 9 : 3);
    if (this.#firstAt > this.end) throw malformed("expected a map to have a count");
    this.#elements = wide ? u32(bytes, start + 5) : u8(bytes, start + 2);
    if (this.#elements % 2 !== 0) throw malformed(`map: expected as many values as keys, found ${this.#elements} elements`);
  }

  get size(): number {
    return this.#elements / 2;
  }

  /** All entries as they are encoded, keys and values. */
  get entryBytes(): Buffer {
    return this.bytes.subarray(this.#firstAt, this.end);
  }

  has(key: string): boolean {
    return this.#find(key) >= 0;
  }

  get(key: string): Plain | undefined {
    const at = this.#find(key);
    return at < 0 ? undefined : plainAt(this.bytes, at, this.end);
  }

  /** The text under `key`; undefined when there is none or it is not text. */
  string(key: string): string | undefined {
    const value = this.get(key);
    return typeof value === "string" ? value : undefined;
  }

  /** The number under `key`; undefined when there is none or it is not one that a double holds exactly. */
  number(key: string): number | undefined {
    const value = this.get(key);
    return typeof value === "number" ? value : undefined;
  }

  /** The timestamp under `key` in milliseconds; undefined when there is none or it is of another type. */
  timeMs(key: string): number | undefined {
    const at = this.#find(key);
    return at < 0 ? undefined : timestampAt(this.bytes, at, this.end);
  }

  /** The value under `key` as it is encoded. */
  view(key: string): ValueView | undefined {
    const at = this.#find(key);
    return at < 0 ? undefined : new ValueView(this.bytes, at, skipValue(this.bytes, at, this.end));
  }

  /** Throws unless the entries fill the map to its end. What lies inside each is checked when it is read. */
  checkEntries(keys: "any" | "strings" = "any"): void {
    const { bytes, end } = this;
    let at = this.#firstAt;
    for (let left = this.#elements; left > 0; left -= 2) {
      const valueAt = skipValue(bytes, at, end);
      if (keys === "strings" && u8(bytes, at) !== format.string8 && u8(bytes, at) !== format.string32)
        throw malformed("expected the keys of a map to be strings");
      at = skipValue(bytes, valueAt, end);
    }
    if (at !== end) throw malformed(`expected the entries of a map to fill it, found ${end - at} bytes after them`);
  }

  /** Calls `visit` for every entry, in the order of the map; the entry begins at `at`, with its key. */
  forEach(visit: (key: Plain, value: ValueView, at: number) => void): void {
    const { bytes, end } = this;
    let at = this.#firstAt;
    for (let left = this.#elements; left > 0; left -= 2) {
      const valueAt = skipValue(bytes, at, end);
      const next = skipValue(bytes, valueAt, end);
      visit(new Decoder(bytes, at, valueAt).plain(), new ValueView(bytes, valueAt, next), at);
      at = next;
    }
  }

  /** All entries. A key that is there twice keeps its last value. */
  toMap(): ReadonlyMap<Plain, Plain> {
    return this.plain() as ReadonlyMap<Plain, Plain>;
  }

  /** Where the value under `key` begins, or -1. */
  #find(key: string): number {
    const { bytes, end } = this;
    let at = this.#firstAt;
    for (let left = this.#elements; left > 0; left -= 2) {
      const valueAt = skipValue(bytes, at, end);
      if (textEquals(bytes, at, valueAt, key)) return valueAt;
      at = skipValue(bytes, valueAt, end);
    }
    return -1;
  }
}

/** Whether a string or symbol encoded in `bytes[at, end)` is `text`. */
function textEquals(bytes: Buffer, at: number, end: number, text: string): boolean {
  const code = u8(bytes, at);
  if (code !== format.symbol8 && code !== format.string8 && code !== format.symbol32 && code !== format.string32) return false;
  const from = at + (layouts[code] === layout.size8 ? 2 : 5);
  if (end - from < text.length) return false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return bytes.toString("utf8", from, end) === text;
    if (u8(bytes, from + i) !== unit) return false;
  }
  return end - from === text.length;
}
