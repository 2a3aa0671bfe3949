// The unsettled deliveries of one direction of a session, by delivery-id.
//
// Ids are serial numbers that come nearly in order and go nearly in order. So they are kept in pages of 64 consecutive ids:
// finding one costs a shift and a compare, a page goes when its last delivery goes, and a delivery that is held for hours
// while millions pass holds one page of half a kilobyte, not a window that cannot move on.
import { serialDistance } from "../codec/serial.ts";

const pageBits = 6;
const pageItems = 1 << pageBits;
const pageMask = pageItems - 1;
/** Page keys are serial numbers too, of 26 bits. */
const keyMask = 0xffff_ffff >>> pageBits;

class Page<Item> {
  readonly items: (Item | undefined)[] = Array<Item | undefined>(pageItems).fill(undefined);
  count = 0;
}

export class DeliveryTable<Item> {
  readonly #pages = new Map<number, Page<Item>>();
  #recent: Page<Item> | undefined;
  #recentKey = -1;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  #page(key: number): Page<Item> | undefined {
    if (key === this.#recentKey) return this.#recent;
    const page = this.#pages.get(key);
    if (page !== undefined) {
      this.#recent = page;
      this.#recentKey = key;
    }
    return page;
  }

  /** Adds an item. One that was there under this id, a whole round of the numbers ago, is forgotten. */
  set(id: number, item: Item): void {
    const key = id >>> pageBits;
    let page = this.#page(key);
    if (page === undefined) {
      page = new Page();
      this.#pages.set(key, page);
      this.#recent = page;
      this.#recentKey = key;
    }
    const slot = id & pageMask;
    if (page.items[slot] === undefined) {
      page.count++;
      this.#size++;
    }
    page.items[slot] = item;
  }

  get(id: number): Item | undefined {
    return this.#page(id >>> pageBits)?.items[id & pageMask];
  }

  delete(id: number): void {
    const key = id >>> pageBits;
    const page = this.#page(key);
    if (page?.items[id & pageMask] === undefined) return;
    page.items[id & pageMask] = undefined;
    this.#size--;
    if (--page.count > 0) return;
    this.#pages.delete(key);
    this.#recent = undefined;
    this.#recentKey = -1;
  }

  /**
   * Calls `visit` for each item from `first` to `last`, in serial order; both may lie anywhere. `visit` may delete. The cost
   * is bounded by what is held, not by the width of the range, which a peer chooses.
   */
  forRange(first: number, last: number, visit: (item: Item) => void): void {
    if (first === last) {
      const item = this.get(first);
      if (item !== undefined) visit(item);
      return;
    }
    if (serialDistance(first, last) < 0) return;
    const firstKey = first >>> pageBits;
    const keysAfter = ((last >>> pageBits) - firstKey) & keyMask;
    if (keysAfter < this.#pages.size) {
      for (let after = 0; after <= keysAfter; after++) this.#visit(firstKey, after, keysAfter, first, last, visit);
    } else {
      for (const key of this.#keysWithin(firstKey, keysAfter)) this.#visit(firstKey, (key - firstKey) & keyMask, keysAfter, first, last, visit);
    }
  }

  /** The part of `first` to `last` that lies in the page `after` the first one. */
  #visit(firstKey: number, after: number, keysAfter: number, first: number, last: number, visit: (item: Item) => void): void {
    const page = this.#page((firstKey + after) & keyMask);
    if (page === undefined) return;
    const from = after === 0 ? first & pageMask : 0;
    const to = after === keysAfter ? last & pageMask : pageMask;
    for (let slot = from; slot <= to; slot++) {
      const item = page.items[slot];
      if (item !== undefined) visit(item);
    }
  }

  /** The keys of the pages that are there from `firstKey` to `keysAfter` later, in their order. */
  #keysWithin(firstKey: number, keysAfter: number): number[] {
    const distance = (key: number): number => (key - firstKey) & keyMask;
    return [...this.#pages.keys()].filter((key) => distance(key) <= keysAfter).sort((a, b) => distance(a) - distance(b));
  }

  /** Calls `visit` for every item, in no order. `visit` may delete. */
  forEach(visit: (item: Item) => void): void {
    for (const page of this.#pages.values()) {
      for (const item of page.items) if (item !== undefined) visit(item);
    }
  }
}
