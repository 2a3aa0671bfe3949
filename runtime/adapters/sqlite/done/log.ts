/** Records of runs that were done lately, in the order in which they were, and found by their key. */
import { afterEntry, DoneKey, type DoneEntry, type DoneRecord, entryBytesMax, isTakenBack, readEntry, takeBack, writeEntry } from "./entries.ts";
import { addToFilter, emptyFilter } from "./filter.ts";

const slotsLeast = 1_024;
/** More than a log ever has, and a number with a hash before it is still exact. */
const placesMax = 2 ** 21;
/** What fits on a page with its row's head. */
const blockBytesMax = 4_050;

/** The first bits of a hash: entries that have them in common lie in one block. */
export const beginnings: number = 2 ** 24;

export function beginningOf(hash: number): number {
  return hash >>> 8;
}

class BlockWriter {
  readonly #write: (beginning: number, entries: Uint8Array) => void;
  #block = Buffer.alloc(blockBytesMax);
  #bytes = 0;
  #from = 0;
  #last = -1;

  constructor(write: (beginning: number, entries: Uint8Array) => void) {
    this.#write = write;
  }

  add(beginning: number, from: Buffer, start: number, end: number): void {
    // Those of one beginning are found in one block, be it larger than a page.
    if (this.#bytes + end - start > blockBytesMax && beginning !== this.#last) this.end();
    if (this.#bytes + end - start > this.#block.length) this.#block = Buffer.concat([this.#block], 2 * (this.#bytes + end - start));
    if (this.#bytes === 0) this.#from = beginning;
    this.#bytes += from.copy(this.#block, this.#bytes, start, end);
    this.#last = beginning;
  }

  end(): void {
    if (this.#bytes > 0) this.#write(this.#from, this.#block.subarray(0, this.#bytes));
    this.#bytes = 0;
  }
}
const nothing = Buffer.alloc(0);

export class DoneLog {
  #bytes: Buffer = nothing;
  #end = 0;
  #count = 0;
  /** Of each entry: where it begins, and the first number of its hash. */
  #starts = new Uint32Array(slotsLeast / 2);
  #hashes = new Uint32Array(slotsLeast / 2);
  /** By hash: the number of an entry, from 1. */
  #slots = new Int32Array(slotsLeast);
  readonly #key = new DoneKey();
  /** Where the entry begins that was found last. */
  #foundAt = 0;

  get count(): number {
    return this.#count;
  }

  /** Where the next entry will begin. */
  get end(): number {
    return this.#end;
  }

  clear(): void {
    this.#end = 0;
    this.#count = 0;
    this.#slots.fill(0);
  }

  since(start: number): Uint8Array {
    return this.#bytes.subarray(start, this.#end);
  }

  append(key: DoneKey, record: DoneRecord): void {
    this.#reserve(entryBytesMax(key, record));
    const start = this.#end;
    this.#end = writeEntry(this.#bytes, start, key, record);
    this.#index(start, key.one);
  }

  /** Entries as another worker has written them. */
  load(entries: Uint8Array): void {
    this.#reserve(entries.length);
    this.#bytes.set(entries, this.#end);
    const end = this.#end + entries.length;
    while (this.#end < end) {
      const start = this.#end;
      this.#key.hashOf(this.#bytes, start);
      this.#end = afterEntry(this.#bytes, start);
      if (isTakenBack(this.#bytes, start)) {
        const taken = new DoneKey();
        taken.copyOf(this.#bytes, start);
        this.takeBack(taken);
      }
      this.#index(start, this.#key.one);
    }
  }

  /** Entries of the key are not found any more; returns when the last of them would have ended, 0 for none. */
  takeBack(key: DoneKey): number {
    let endsAtMs = 0;
    for (let found = this.find(key, 0); found !== undefined; found = this.find(key, 0)) {
      endsAtMs = Math.max(endsAtMs, found.expiresAtMs);
      takeBack(this.#bytes, this.#foundAt);
    }
    return endsAtMs;
  }

  find(key: DoneKey, nowMs: number): DoneEntry | undefined {
    const last = this.#slots.length - 1;
    for (let slot = key.one & last; ; slot = (slot + 1) & last) {
      const number = this.#slots[slot] as number;
      if (number === 0) return undefined;
      if (this.#hashes[number - 1] !== key.one || !key.isAt(this.#bytes, this.#starts[number - 1] as number)) continue;
      this.#foundAt = this.#starts[number - 1] as number;
      const entry = readEntry(this.#bytes, this.#foundAt);
      if (entry.expiresAtMs > nowMs) return entry;
    }
  }

  /** Blocks of entries in the order of their hashes, and a filter of them all; what was taken back is left out. */
  makeWindow(write: (beginning: number, entries: Uint8Array) => void): Uint32Array {
    const filter = emptyFilter();
    const block = new BlockWriter(write);
    for (const place of this.#order()) {
      const index = place % placesMax;
      const start = this.#starts[index] as number;
      if (isTakenBack(this.#bytes, start)) continue;
      this.#key.hashOf(this.#bytes, start);
      addToFilter(filter, this.#key.one, this.#key.two);
      block.add(beginningOf(this.#key.one), this.#bytes, start, afterEntry(this.#bytes, start));
    }
    block.end();
    return filter;
  }

  /** Their numbers in the order of their hashes, which stand before them. */
  #order(): Float64Array {
    const order = new Float64Array(this.#count);
    for (let index = 0; index < this.#count; index += 1) order[index] = (this.#hashes[index] as number) * placesMax + index;
    return order.sort();
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#bytes.length) return;
    const larger = Buffer.alloc(Math.max(65_536, this.#bytes.length * 2, this.#end + bytes));
    larger.set(this.#bytes.subarray(0, this.#end));
    this.#bytes = larger;
  }

  #index(start: number, hash: number): void {
    if (this.#count === this.#starts.length) this.#grow();
    this.#starts[this.#count] = start;
    this.#hashes[this.#count] = hash;
    this.#count += 1;
    this.#place(hash, this.#count);
  }

  #place(hash: number, number: number): void {
    const last = this.#slots.length - 1;
    let slot = hash & last;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & last;
    this.#slots[slot] = number;
  }

  #grow(): void {
    const [starts, hashes] = [this.#starts, this.#hashes];
    this.#starts = new Uint32Array(starts.length * 2);
    this.#starts.set(starts);
    this.#hashes = new Uint32Array(hashes.length * 2);
    this.#hashes.set(hashes);
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let index = 0; index < this.#count; index += 1) this.#place(hashes[index] as number, index + 1);
  }
}
