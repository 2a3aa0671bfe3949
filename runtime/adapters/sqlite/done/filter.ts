/**
 * Tells which closed windows may hold a record. Each window has a Bloom filter; 32 of them lie beside each other, the same bit of
 * all in one word, so that a look at a few words rules out 32 windows. Of the records that a window does not hold, one in some
 * ten thousand looks as if it did.
 */
const positionBits = 20;
const positions = 1 << positionBits;
const positionShift = 32 - positionBits;
const looks = 8;
const lanes = 32;

/** A window's filter as it is kept. */
export function emptyFilter(): Uint32Array {
  return new Uint32Array(positions / 32);
}

export function addToFilter(filter: Uint32Array, one: number, two: number): void {
  let place = one;
  for (let look = 0; look < looks; look += 1) {
    const position = place >>> positionShift;
    filter[position >>> 5] = (filter[position >>> 5] as number) | (1 << (position & 31));
    place = (place + (two | 1)) | 0;
  }
}

interface Group {
  readonly words: Uint32Array;
  readonly windows: (number | undefined)[];
}

export class WindowFilters {
  #groups: Group[] = [];

  add(window: number, filter: Uint32Array): void {
    const group = this.#roomyGroup();
    const lane = group.windows.indexOf(undefined);
    group.windows[lane] = window;
    const mark = 1 << lane;
    const { words } = group;
    for (let index = 0; index < filter.length; index += 1) {
      let bits = filter[index] as number;
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits & -bits);
        words[index * 32 + bit] = (words[index * 32 + bit] as number) | mark;
        bits &= bits - 1;
      }
    }
  }

  remove(window: number): void {
    for (const { words, windows } of this.#groups) {
      const lane = windows.indexOf(window);
      if (lane === -1) continue;
      windows[lane] = undefined;
      const others = ~(1 << lane);
      for (let index = 0; index < words.length; index += 1) words[index] = (words[index] as number) & others;
    }
    this.#groups = this.#groups.filter(({ windows }) => windows.some((one) => one !== undefined));
  }

  /** Windows that may hold it; undefined for none, as nearly always. */
  mayHold(one: number, two: number): number[] | undefined {
    let found: number[] | undefined;
    for (const group of this.#groups) {
      const { words, windows } = group;
      const step = two | 1;
      // Four looks that do not wait for each other.
      let mask =
        (words[one >>> positionShift] as number) &
        (words[((one + step) | 0) >>> positionShift] as number) &
        (words[((one + 2 * step) | 0) >>> positionShift] as number) &
        (words[((one + 3 * step) | 0) >>> positionShift] as number);
      for (let look = 4; mask !== 0 && look < looks; look += 1) mask &= words[((one + look * step) | 0) >>> positionShift] as number;
      while (mask !== 0) {
        const lane = 31 - Math.clz32(mask);
        const window = windows[lane];
        if (window !== undefined) (found ??= []).push(window);
        mask &= ~(1 << lane);
      }
    }
    return found;
  }

  #roomyGroup(): Group {
    const roomy = this.#groups.find(({ windows }) => windows.includes(undefined));
    if (roomy !== undefined) return roomy;
    const group = { words: new Uint32Array(positions), windows: Array.from<number | undefined>({ length: lanes }).fill(undefined) };
    this.#groups.push(group);
    return group;
  }
}
