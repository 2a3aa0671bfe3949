/** 64 bits of a text's digest, as two unsigned halves: enough to tell millions of texts apart without keeping them. */
export interface Digest {
  readonly high: number;
  readonly low: number;
}

/** Mixes the bits of a 32-bit lane, so that texts alike but for one character differ in about half of them. */
function avalanche(lane: number): number {
  let mixed = Math.imul(lane ^ (lane >>> 15), 0x2c1b3c6d);
  mixed = Math.imul(mixed ^ (mixed >>> 12), 0x297a2d39);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

/** Two multiplicative lanes over the characters. Not against an adversary: for ids that we make ourselves. */
export function digestOf(text: string): Digest {
  let high = 0x9e3779b9;
  let low = 0x85ebca6b ^ text.length;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    high = Math.imul(high ^ code, 0x85ebca77);
    low = Math.imul(low ^ code, 0x9e3779b1);
    high ^= high >>> 13;
    low ^= low >>> 16;
  }
  const lowMixed = avalanche(low ^ Math.imul(high, 0x27d4eb2f));
  return { high: avalanche(high ^ lowMixed), low: lowMixed };
}

const rowsAtStart = 1 << 10;

/**
 * A set of digests that numbers its members 0, 1, 2, … in the order they came, so that columns of typed arrays can hold
 * what is known of each. 16 to 24 bytes a member: a ledger of a million calls has to stay small.
 */
export class HashIndex {
  readonly rowsMax: number;
  #size = 0;
  #high = new Uint32Array(rowsAtStart);
  #low = new Uint32Array(rowsAtStart);
  /** Open addressing: row + 1, or 0 where free. Always at least half free. */
  #slots = new Uint32Array(rowsAtStart * 2);

  constructor(rowsMax: number) {
    this.rowsMax = rowsMax;
  }

  get size(): number {
    return this.#size;
  }

  /** The row of a digest that was added before, or undefined. */
  find(digest: Digest): number | undefined {
    const found = this.#slots[this.#slotOf(digest)] ?? 0;
    return found === 0 ? undefined : found - 1;
  }

  /** Adds a digest that `find` did not know and returns its row, or undefined when the index is full. */
  add(digest: Digest): number | undefined {
    if (this.#size >= this.rowsMax) return undefined;
    if (this.#size === this.#high.length) this.#grow();
    const row = this.#size++;
    this.#high[row] = digest.high;
    this.#low[row] = digest.low;
    this.#slots[this.#slotOf(digest)] = row + 1;
    return row;
  }

  /** The slot that holds the digest, else the free one where it belongs. */
  #slotOf(digest: Digest): number {
    const mask = this.#slots.length - 1;
    let slot = digest.low & mask;
    for (;;) {
      const row = (this.#slots[slot] ?? 0) - 1;
      if (row < 0 || (this.#low[row] === digest.low && this.#high[row] === digest.high)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    const rows = this.#high.length * 2;
    this.#high = widened(this.#high, rows);
    this.#low = widened(this.#low, rows);
    this.#slots = new Uint32Array(rows * 2);
    for (let row = 0; row < this.#size; row++) {
      this.#slots[this.#slotOf({ high: this.#high[row] ?? 0, low: this.#low[row] ?? 0 })] = row + 1;
    }
  }
}

/** A copy of a column with room for `length` rows. */
export function widened<Column extends Uint8Array | Uint16Array | Uint32Array | Float64Array>(column: Column, length: number): Column {
  const wider = new (column.constructor as new (length: number) => Column)(length);
  wider.set(column);
  return wider;
}
