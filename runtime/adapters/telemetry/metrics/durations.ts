/** Durations counted in buckets, on one typed array: no allocation, a few nanoseconds each. */
import { durationBucketsSeconds } from "../../../core/metric-catalogue.ts";

const boundsMs: Float64Array = Float64Array.from(durationBucketsSeconds, (seconds) => seconds * 1_000);
const buckets = boundsMs.length;
/** Behind the buckets, that of everything longer among them, lies the sum. */
const sumAt = buckets + 1;

export class Durations {
  readonly #counts = new Float64Array(buckets + 2);

  record(durationMs: number): void {
    const counts = this.#counts;
    let at = 0;
    while (at < buckets && durationMs > boundsMs[at]!) at += 1;
    counts[at]! += 1;
    counts[sumAt]! += durationMs;
  }

  /** Cumulative, as Prometheus has them; the last is that of all. */
  cumulative(): readonly number[] {
    let sum = 0;
    return Array.from(this.#counts.subarray(0, sumAt), (count) => (sum += count));
  }

  get sumSeconds(): number {
    return this.#counts[sumAt]! / 1_000;
  }
}
