// An ordered map from sequence numbers to items: a radix tree of 32-way nodes that grows in height with the numbers.
// Setting, deleting, the lowest and the next after a number all take a step or two a level (four levels hold a million
// numbers in a row, ten hold every safe integer), and a node is dropped as soon as it is empty.

const bits = 5;
const fanOut = 1 << bits;

interface Node {
  /** One bit a used slot. */
  used: number;
  readonly slots: unknown[];
}

const emptySlots: readonly undefined[] = Array.from({ length: fanOut }, () => undefined);

function newNode(): Node {
  return { used: 0, slots: [...emptySlots] };
}

/** The lowest set bit of `used` at `from` or above; -1 = none. */
function lowestFrom(used: number, from: number): number {
  const masked = from >= fanOut ? 0 : used & (-1 << from);
  return masked === 0 ? -1 : 31 - Math.clz32(masked & -masked);
}

export class SequenceIndex<T> {
  #root: Node = newNode();
  /** Levels under the root. */
  #height = 0;
  /** Numbers below this fit under the root. */
  #capacity = fanOut;
  #size = 0;
  // The leaf with the lowest number, where a queue takes nearly all it takes: known from when it was looked up until it is
  // empty or a number below it comes. It holds the numbers from `#lowestBase` on.
  #lowest: Node | undefined;
  #lowestBase = 0;

  get size(): number {
    return this.#size;
  }

  /** Adds or replaces the item of a number, a safe integer of at least 0. */
  set(sequence: number, item: T): void {
    while (sequence >= this.#capacity) this.#grow();
    let node = this.#root;
    let span = this.#capacity / fanOut;
    let rest = sequence;
    for (let level = this.#height; level > 0; level--) {
      const slot = Math.floor(rest / span);
      rest -= slot * span;
      span /= fanOut;
      let child = node.slots[slot] as Node | undefined;
      if (child === undefined) {
        child = newNode();
        node.slots[slot] = child;
        node.used |= 1 << slot;
      }
      node = child;
    }
    const bit = 1 << rest;
    if ((node.used & bit) === 0) {
      node.used |= bit;
      this.#size++;
    }
    node.slots[rest] = item;
    if (sequence < this.#lowestBase) this.#lowest = undefined;
  }

  get(sequence: number): T | undefined {
    if (sequence < 0 || sequence >= this.#capacity) return undefined;
    let node = this.#root;
    let span = this.#capacity / fanOut;
    let rest = sequence;
    for (let level = this.#height; level > 0; level--) {
      const slot = Math.floor(rest / span);
      const child = node.slots[slot] as Node | undefined;
      if (child === undefined) return undefined;
      rest -= slot * span;
      span /= fanOut;
      node = child;
    }
    return node.slots[rest] as T | undefined;
  }

  delete(sequence: number): boolean {
    const slot = sequence - this.#lowestBase;
    if (this.#lowest !== undefined && slot >= 0 && slot < fanOut) return this.#deleteLowest(this.#lowest, slot, sequence);
    return this.#deleteFromRoot(sequence);
  }

  #deleteLowest(leaf: Node, slot: number, sequence: number): boolean {
    const bit = 1 << slot;
    if ((leaf.used & bit) === 0) return false;
    if (leaf.used === bit) {
      // It ends with its last item, and its parents may with it.
      this.#lowest = undefined;
      return this.#deleteFromRoot(sequence);
    }
    leaf.slots[slot] = undefined;
    leaf.used &= ~bit;
    this.#size--;
    return true;
  }

  #deleteFromRoot(sequence: number): boolean {
    if (sequence < 0 || sequence >= this.#capacity || !this.#delete(this.#root, this.#height, this.#capacity / fanOut, sequence)) return false;
    this.#size--;
    return true;
  }

  /** The item with the lowest number. */
  first(): T | undefined {
    const leaf = this.#lowest ?? this.#findLowest();
    return leaf?.slots[lowestFrom(leaf.used, 0)] as T | undefined;
  }

  #findLowest(): Node | undefined {
    if (this.#size === 0) return undefined;
    let node = this.#root;
    let span = this.#capacity / fanOut;
    let base = 0;
    for (let level = this.#height; level > 0; level--) {
      const slot = lowestFrom(node.used, 0);
      base += slot * span;
      span /= fanOut;
      node = node.slots[slot] as Node;
    }
    this.#lowest = node;
    this.#lowestBase = base;
    return node;
  }

  /** The item with the lowest number of at least `sequence`. */
  atOrAfter(sequence: number): T | undefined {
    return this.#size === 0 || sequence >= this.#capacity ? undefined : this.#from(this.#root, this.#height, this.#capacity / fanOut, Math.max(0, sequence));
  }

  #grow(): void {
    if (this.#size > 0) {
      const root = newNode();
      root.slots[0] = this.#root;
      root.used = 1;
      this.#root = root;
    }
    this.#height++;
    this.#capacity *= fanOut;
  }

  #delete(node: Node, level: number, span: number, rest: number): boolean {
    const slot = Math.floor(rest / span);
    const bit = 1 << slot;
    if ((node.used & bit) === 0) return false;
    if (level > 0) {
      const child = node.slots[slot] as Node;
      if (!this.#delete(child, level - 1, span / fanOut, rest - slot * span)) return false;
      if (child.used !== 0) return true;
    }
    node.slots[slot] = undefined;
    node.used &= ~bit;
    return true;
  }

  #from(node: Node, level: number, span: number, rest: number): T | undefined {
    const wanted = Math.floor(rest / span);
    let slot = lowestFrom(node.used, wanted);
    if (level === 0) return slot < 0 ? undefined : (node.slots[slot] as T);
    while (slot >= 0) {
      const found = this.#from(node.slots[slot] as Node, level - 1, span / fanOut, slot === wanted ? rest - wanted * span : 0);
      if (found !== undefined) return found;
      slot = lowestFrom(node.used, slot + 1);
    }
    return undefined;
  }
}
