/**
 * Tables that things come to and leave all the time. A Map is rebuilt whenever enough have left, and its old table refers to the new
 * one, and to all that was in it: once one is in the old generation, each collection of the young one takes what came after it for alive, and
 * puts it there, too, until the next collection of everything. Here the places stay, and what leaves leaves nothing behind.
 *
 * Each thing lies at the place that its key's hash names, or at the next free one; what lies behind a thing that leaves moves up.
 */
import { randomInt } from "node:crypto";

const placesMin = 16;
/** Spreads numbers that follow one another over all places. */
const golden = 0x9e37_79b1;
/** Another one in each process, so that nobody can make up texts that all begin at one place. */
const hashOffset = randomInt(2 ** 32);
const hashPrime = 0x0100_0193;

function hashOfNumber(key: number): number {
  return Math.imul(key, golden);
}

function hashOfText(key: string): number {
  let hash = hashOffset;
  for (let index = 0; index < key.length; index += 1) hash = Math.imul(hash ^ key.charCodeAt(index), hashPrime);
  return Math.imul(hash, golden);
}

export class ChurningTable<Key extends number | string, Item> {
  readonly #hashOf: (key: Key) => number;
  #keys: (Key | undefined)[] = [];
  #items: (Item | undefined)[] = [];
  #hashes = new Int32Array(0);
  /** A hash's first bits name its place. */
  #shift = 0;
  #size = 0;

  private constructor(hashOf: (key: Key) => number) {
    this.#hashOf = hashOf;
    this.#spread(placesMin);
  }

  static byNumber<Item>(): ChurningTable<number, Item> {
    return new ChurningTable<number, Item>(hashOfNumber);
  }

  static byText<Item>(): ChurningTable<string, Item> {
    return new ChurningTable<string, Item>(hashOfText);
  }

  get size(): number {
    return this.#size;
  }

  get(key: Key): Item | undefined {
    return this.#items[this.#find(key, this.#hashOf(key))];
  }

  set(key: Key, item: Item): void {
    const hash = this.#hashOf(key);
    this.#put(key, hash, this.#find(key, hash), item);
  }

  /** What is there already; else this is there from now on. */
  getOrSet(key: Key, item: Item): Item {
    const hash = this.#hashOf(key);
    const at = this.#find(key, hash);
    if (this.#keys[at] !== undefined) return this.#items[at]!;
    this.#put(key, hash, at, item);
    return item;
  }

  #put(key: Key, hash: number, found: number, item: Item): void {
    let at = found;
    if (this.#keys[at] === undefined) {
      if (this.#size * 2 >= this.#keys.length) {
        this.#spread(this.#keys.length * 2);
        at = this.#find(key, hash);
      }
      this.#size += 1;
      this.#keys[at] = key;
      this.#hashes[at] = hash;
    }
    this.#items[at] = item;
  }

  /** `item`: it is deleted only where this is what is there. */
  delete(key: Key, item?: Item): boolean {
    let free = this.#find(key, this.#hashOf(key));
    if (this.#keys[free] === undefined || (item !== undefined && this.#items[free] !== item)) return false;
    const last = this.#keys.length - 1;
    for (let at = (free + 1) & last; this.#keys[at] !== undefined; at = (at + 1) & last) {
      const home = this.#placeOf(this.#hashes[at]!);
      if (((at - home) & last) < ((at - free) & last)) continue;
      this.#keys[free] = this.#keys[at];
      this.#items[free] = this.#items[at];
      this.#hashes[free] = this.#hashes[at]!;
      free = at;
    }
    this.#keys[free] = undefined;
    this.#items[free] = undefined;
    this.#size -= 1;
    return true;
  }

  /** In no order; nothing may come or leave meanwhile. */
  forEach(visit: (item: Item) => void): void {
    for (const item of this.#items) if (item !== undefined) visit(item);
  }

  /** In the order of the keys; what is deleted meanwhile is left out. */
  *values(): Generator<Item, undefined> {
    const keys = this.#keys.filter((key) => key !== undefined).sort((one, other) => (one < other ? -1 : 1));
    for (const key of keys) {
      const item = this.get(key);
      if (item !== undefined) yield item;
    }
  }

  #placeOf(hash: number): number {
    return hash >>> this.#shift;
  }

  /** Where the key lies, or would. */
  #find(key: Key, hash: number): number {
    const keys = this.#keys;
    const last = keys.length - 1;
    let at = this.#placeOf(hash);
    for (let known = keys[at]; known !== undefined && known !== key; known = keys[at]) at = (at + 1) & last;
    return at;
  }

  /** As many places, a power of two. */
  #spread(places: number): void {
    const keys = this.#keys;
    const items = this.#items;
    this.#keys = Array<Key | undefined>(places).fill(undefined);
    this.#items = Array<Item | undefined>(places).fill(undefined);
    this.#hashes = new Int32Array(places);
    this.#shift = Math.clz32(places) + 1;
    this.#size = 0;
    keys.forEach((key, index) => {
      if (key !== undefined) this.set(key, items[index]!);
    });
  }
}
