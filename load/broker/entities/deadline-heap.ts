// A binary heap of things that are due at some time. Each item knows its place, so that it can leave from anywhere.

/** How a heap reads an item's deadline and keeps the item's place in the heap (-1 = not in it). */
export interface HeapFields<T> {
  readonly deadline: (item: T) => number;
  /** Who goes first of two with the same deadline: the lower rank. */
  readonly rank: (item: T) => number;
  readonly place: (item: T) => number;
  readonly setPlace: (item: T, place: number) => void;
}

export class DeadlineHeap<T> {
  readonly #items: T[] = [];
  readonly #fields: HeapFields<T>;

  constructor(fields: HeapFields<T>) {
    this.#fields = fields;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The earliest deadline; Infinity when empty. */
  get earliest(): number {
    const top = this.#items[0];
    return top === undefined ? Infinity : this.#fields.deadline(top);
  }

  /** The item that is due first. */
  peek(): T | undefined {
    return this.#items[0];
  }

  add(item: T): void {
    this.#items.push(item);
    this.#up(item, this.#items.length - 1);
  }

  /** Takes an item out; does nothing when it is not in. */
  remove(item: T): void {
    const place = this.#fields.place(item);
    if (place < 0) return;
    this.#fields.setPlace(item, -1);
    const last = this.#items.pop();
    if (last === undefined || last === item) return;
    this.#settle(last, place);
  }

  /** Finds an item's place again after its deadline has changed. */
  update(item: T): void {
    const place = this.#fields.place(item);
    if (place >= 0) this.#settle(item, place);
  }

  #isBefore(a: T, b: T): boolean {
    const { deadline, rank } = this.#fields;
    const difference = deadline(a) - deadline(b);
    return difference === 0 ? rank(a) < rank(b) : difference < 0;
  }

  #settle(item: T, place: number): void {
    const parent = this.#items[(place - 1) >> 1];
    if (place > 0 && parent !== undefined && this.#isBefore(item, parent)) this.#up(item, place);
    else this.#down(item, place);
  }

  #up(item: T, from: number): void {
    const { setPlace } = this.#fields;
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = this.#items[above];
      if (parent === undefined || !this.#isBefore(item, parent)) break;
      this.#items[place] = parent;
      setPlace(parent, place);
      place = above;
    }
    this.#items[place] = item;
    setPlace(item, place);
  }

  #down(item: T, from: number): void {
    const { setPlace } = this.#fields;
    const size = this.#items.length;
    let place = from;
    for (;;) {
      let below = place * 2 + 1;
      if (below >= size) break;
      let child = this.#items[below];
      const right = this.#items[below + 1];
      if (child !== undefined && right !== undefined && this.#isBefore(right, child)) {
        child = right;
        below++;
      }
      if (child === undefined || !this.#isBefore(child, item)) break;
      this.#items[place] = child;
      setPlace(child, place);
      place = below;
    }
    this.#items[place] = item;
    setPlace(item, place);
  }
}
