/**
 * A number in [0, 1) that depends on the seed, the event's place in the stream and what is drawn, and on nothing else. So
 * any event can be made again, a million events later, without keeping it.
 */
export type Draw = (index: number, what: number) => number;

function mixed(value: number): number {
  let bits = Math.imul(value ^ (value >>> 16), 0x7feb352d);
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b);
  return (bits ^ (bits >>> 16)) >>> 0;
}

export function drawsOf(seed: number): Draw {
  const base = mixed(seed ^ 0x5bd1e995);
  return (index, what) => mixed(mixed(base + Math.imul(index + 1, 0x9e3779b1)) + Math.imul(what + 1, 0x85ebca77)) / 0x1_0000_0000;
}

/** Picks names in proportion to their weights. */
export class Weighted<Name extends string> {
  readonly #names: Name[] = [];
  /** The sum of the shares up to and with each name; the last is 1. */
  readonly #upTo: number[] = [];

  /** Weights are 0 or more, in any unit; at least one is above 0. */
  constructor(what: string, weights: Readonly<Record<Name, number>>) {
    const entries = (Object.entries(weights) as [Name, number][]).filter(([, weight]) => weight !== 0);
    const total = entries.reduce((sum, [, weight]) => sum + weight, 0);
    if (!(total > 0) || entries.some(([, weight]) => !(weight > 0)))
      throw new RangeError(`expected weights of 0 or more for ${what}, one of them above 0, got ${JSON.stringify(weights)}`);
    let sum = 0;
    for (const [name, weight] of entries) {
      sum += weight / total;
      this.#names.push(name);
      this.#upTo.push(sum);
    }
  }

  /** `drawn` in [0, 1). */
  pick(drawn: number): Name {
    const at = this.#upTo.findIndex((upTo) => drawn < upTo);
    return (this.#names[at] ?? this.#names.at(-1)) as Name;
  }
}

/** Picks one of so many things by their ranks: all alike, or the first far more often than the last. */
export class Ranked {
  readonly #upTo: Float64Array;

  /** `zipf`: the thing of rank n is picked in proportion to n to the power of -`zipf`; 0 picks all alike. */
  constructor(count: number, zipf: number) {
    this.#upTo = new Float64Array(count);
    let sum = 0;
    for (let rank = 0; rank < count; rank += 1) {
      sum += (rank + 1) ** -zipf;
      this.#upTo[rank] = sum;
    }
  }

  /** The rank, from 0, for `drawn` in [0, 1). */
  pick(drawn: number): number {
    const wanted = drawn * this.#upTo.at(-1)!;
    let low = 0;
    let high = this.#upTo.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#upTo[middle]! <= wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const hexOfByte = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** 8 hexadecimal digits of a drawn number. */
function hex32(drawn: number): string {
  const bits = Math.floor(drawn * 0x1_0000_0000);
  return `${hexOfByte[bits >>> 24]}${hexOfByte[(bits >>> 16) & 0xff]}${hexOfByte[(bits >>> 8) & 0xff]}${hexOfByte[bits & 0xff]}`;
}

/** Takes four draws, a hundred apart. */
export function traceIdOf(draw: Draw, index: number, what: number): string {
  return hex32(draw(index, what)) + hex32(draw(index, what + 100)) + hex32(draw(index, what + 200)) + hex32(draw(index, what + 300));
}
