/**
 * How often which value was seen, in whole numbers up to a maximum. Values lie in buckets: each of the small ones in its own, and of
 * those between a power of two and the next an equal number in each, so that a percentile is wrong by a part of its value that is the
 * same everywhere. As in HdrHistogram (Tene, 2012), in the few lines that are needed of it.
 */
export class Histogram {
  readonly #bits: number;
  readonly #valueMax: number;
  readonly #counts: Float64Array;
  #count = 0;
  #max = 0;

  /** Values of one bucket differ by less than one in `2 ** bits` of them; `valueMax` is below `2 ** 32`. */
  constructor(bits: number, valueMax: number) {
    this.#bits = bits;
    this.#valueMax = valueMax;
    this.#counts = new Float64Array(this.#bucketOf(valueMax) + 1);
  }

  get count(): number {
    return this.#count;
  }

  /** 0 before the first value. */
  get max(): number {
    return this.#max;
  }

  /** Rounds, and takes what is beyond the bounds for the bound. */
  record(value: number): void {
    const whole = Math.min(this.#valueMax, Math.max(0, Math.round(value)));
    const bucket = this.#bucketOf(whole);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count += 1;
    if (whole > this.#max) this.#max = whole;
  }

  /** The value that this part of all values does not exceed; 0 before the first. */
  percentile(percent: number): number {
    const wanted = Math.max(1, Math.ceil((percent / 100) * this.#count));
    let seen = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket += 1) {
      seen += this.#counts[bucket] ?? 0;
      if (seen >= wanted) return Math.min(this.#max, this.#highestOf(bucket));
    }
    return 0;
  }

  reset(): void {
    this.#counts.fill(0);
    this.#count = 0;
    this.#max = 0;
  }

  /** Its maximum, then bucket and count of each bucket that is not empty, for another of the same bounds to add. */
  toNumbers(): readonly number[] {
    const numbers = [this.#max];
    for (let bucket = 0; bucket < this.#counts.length; bucket += 1) {
      const count = this.#counts[bucket] ?? 0;
      if (count > 0) numbers.push(bucket, count);
    }
    return numbers;
  }

  add([max = 0, ...counts]: readonly number[]): void {
    if (max > this.#max) this.#max = max;
    for (let index = 0; index + 1 < counts.length; index += 2) {
      const bucket = counts[index] ?? 0;
      const count = counts[index + 1] ?? 0;
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
      this.#count += count;
    }
  }

  /** Up to `2 ** (bits + 1)` a bucket for each value; from there on `2 ** bits` for each doubling. */
  #bucketOf(value: number): number {
    const shift = Math.max(0, 31 - Math.clz32(value) - this.#bits);
    return (shift << this.#bits) + (value >>> shift);
  }

  #highestOf(bucket: number): number {
    const shift = Math.max(0, (bucket >>> this.#bits) - 1);
    return (bucket - (shift << this.#bits) + 1) * 2 ** shift - 1;
  }
}
