// The entries of one map after the other, found by the text of their keys. A sender writes the same keys in the same order again and
// again, and so does a broker: the layouts met last are remembered, so that a map costs one walk over its entries and one
// comparison of its keys, however many of them are asked for, and also those that are not there.
import { u8, u32 } from "./bytes.ts";
import { Decoder, plainAt, timestampAt } from "./decode.ts";
import { malformed } from "./errors.ts";
import { format } from "./formats.ts";
import { skipValue } from "./skip.ts";
import type { Plain } from "./types.ts";

/** A map with more entries is not indexed. */
const entriesMax = 64;
const layoutsMax = 4;
/** Longer texts are not compared with the one before. */
const sameTextMax = 64;

interface Layout {
  /** The keys as they are encoded, one behind the other, and where each ends. */
  readonly keys: Buffer;
  readonly words: DataView;
  readonly ends: readonly number[];
  /** The number of the first entry under each text, and the text of each entry's key; undefined for a key that is none. */
  readonly entries: ReadonlyMap<string, number>;
  readonly names: readonly (string | undefined)[];
  /** Of each entry the text that it held last: most hold the same again, which then need not be made again. */
  readonly texts: string[];
}

const noBytes = Buffer.alloc(0);
const noWords = wordsOf(noBytes);
const noLayout: Layout = { keys: noBytes, words: noWords, ends: [], entries: new Map(), names: [], texts: [] };

export class MapIndex {
  #bytes: Buffer = noBytes;
  /** The same bytes, four at a time. */
  #words = noWords;
  #end = 0;
  #count = 0;
  readonly #keyAts = new Int32Array(entriesMax);
  readonly #valueAts = new Int32Array(entriesMax);
  /** The one met last comes first. */
  readonly #layouts: Layout[] = [];
  #layout = noLayout;

  /** Goes to the map whose constructor lies at `start`; false for one with too many entries. Throws when what lies there is no map. */
  open(bytes: Buffer, start: number, limit: number): boolean {
    const code = start < limit ? u8(bytes, start) : -1;
    if (code !== format.map8 && code !== format.map32) throw malformed("expected a map");
    const wide = code === format.map32;
    const end = skipValue(bytes, start, limit);
    const firstAt = start + (wide ? 9 : 3);
    if (firstAt > end) throw malformed("expected a map to have a count");
    const elements = wide ? u32(bytes, start + 5) : u8(bytes, start + 2);
    if (elements % 2 !== 0) throw malformed(`map: expected as many values as keys, found ${elements} elements`);
    const count = elements / 2;
    if (count > entriesMax) return false;
    // What one read of the socket brought holds many maps.
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#words = wordsOf(bytes);
    }
    this.#end = end;
    this.#count = count;
    if (!this.#isAsBefore(firstAt)) {
      this.#walk(firstAt);
      this.#layout = this.#recall();
    }
    return true;
  }

  /** Finds the values of a map with the same keys as the one before: most are. */
  #isAsBefore(firstAt: number): boolean {
    const { keys, words: knownWords, ends } = this.#layout;
    if (ends.length !== this.#count) return false;
    const bytes = this.#bytes;
    const words = this.#words;
    const end = this.#end;
    let at = firstAt;
    let known = 0;
    for (let entry = 0; entry < ends.length; entry += 1) {
      const knownEnd = ends[entry]!;
      if (knownEnd - known > end - at) return false;
      for (; known + 4 <= knownEnd; known += 4, at += 4) if (knownWords.getInt32(known) !== words.getInt32(at)) return false;
      for (; known < knownEnd; known += 1, at += 1) if (u8(keys, known) !== u8(bytes, at)) return false;
      this.#valueAts[entry] = at;
      at = skipValue(bytes, at, end);
    }
    return true;
  }

  #walk(firstAt: number): void {
    let at = firstAt;
    for (let entry = 0; entry < this.#count; entry += 1) {
      this.#keyAts[entry] = at;
      at = skipValue(this.#bytes, at, this.#end);
      this.#valueAts[entry] = at;
      at = skipValue(this.#bytes, at, this.#end);
    }
  }

  /** The value under `key`; undefined when there is none. */
  get(key: string): Plain | undefined {
    const entry = this.#layout.entries.get(key);
    if (entry === undefined) return undefined;
    const bytes = this.#bytes;
    const at = this.#valueAts[entry]!;
    if (u8(bytes, at) !== format.string8) return plainAt(bytes, at, this.#end);
    const { texts } = this.#layout;
    const last = texts[entry]!;
    if (isText(bytes, at + 2, u8(bytes, at + 1), last)) return last;
    const value = plainAt(bytes, at, this.#end);
    if (typeof value === "string") texts[entry] = value.length > sameTextMax ? "" : value;
    return value;
  }

  /** The timestamp under `key` in milliseconds; undefined when there is none or it is of another type. */
  timeMs(key: string): number | undefined {
    const entry = this.#layout.entries.get(key);
    return entry === undefined ? undefined : timestampAt(this.#bytes, this.#valueAts[entry]!, this.#end);
  }

  /** How many entries the map has. */
  get size(): number {
    return this.#count;
  }

  /** The text of an entry's key; undefined where it is none. */
  name(entry: number): string | undefined {
    return this.#layout.names[entry];
  }

  /** Where an entry begins, with its key. */
  startOf(entry: number): number {
    const { ends } = this.#layout;
    return this.#valueAts[entry]! - (ends[entry]! - (entry === 0 ? 0 : ends[entry - 1]!));
  }

  /** Where it ends, with its value. */
  endOf(entry: number): number {
    return skipValue(this.#bytes, this.#valueAts[entry]!, this.#end);
  }

  #fits({ keys, ends }: Layout): boolean {
    if (ends.length !== this.#count) return false;
    const bytes = this.#bytes;
    let known = 0;
    for (let entry = 0; entry < this.#count; entry += 1) {
      const knownEnd = ends[entry]!;
      let at = this.#keyAts[entry]!;
      if (this.#valueAts[entry]! - at !== knownEnd - known) return false;
      for (; known < knownEnd; known += 1, at += 1) if (u8(keys, known) !== u8(bytes, at)) return false;
    }
    return true;
  }

  /** Another of those that are remembered, else a new one in place of the one that was met longest ago. */
  #recall(): Layout {
    const layouts = this.#layouts;
    const place = layouts.findIndex((known) => this.#fits(known));
    const layout = place < 0 ? this.#learn() : layouts[place]!;
    if (place >= 0) layouts.splice(place, 1);
    layouts.unshift(layout);
    if (layouts.length > layoutsMax) layouts.pop();
    return layout;
  }

  #learn(): Layout {
    const bytes = this.#bytes;
    const keys: Buffer[] = [];
    const ends: number[] = [];
    const entries = new Map<string, number>();
    const names: (string | undefined)[] = [];
    let length = 0;
    for (let entry = 0; entry < this.#count; entry += 1) {
      const key = bytes.subarray(this.#keyAts[entry], this.#valueAts[entry]);
      const text = new Decoder(key, 0, key.length).plain();
      names.push(typeof text === "string" ? text : undefined);
      if (typeof text === "string" && !entries.has(text)) entries.set(text, entry);
      keys.push(key);
      length += key.length;
      ends.push(length);
    }
    const all = Buffer.concat(keys);
    return { keys: all, words: wordsOf(all), ends, entries, names, texts: ends.map(() => "") };
  }
}

function wordsOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length);
}

/** Whether `length` bytes from `at` on are this text, which is ASCII; an empty one is never made again. */
function isText(bytes: Buffer, at: number, length: number, text: string): boolean {
  if (text.length !== length || at + length > bytes.length) return false;
  for (let index = 0; index < length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit > 0x7f || u8(bytes, at + index) !== unit) return false;
  }
  return true;
}
