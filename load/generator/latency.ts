/** How long events took from when they were meant to be sent, in histograms: what waited to be sent has waited, too. */
import { Histogram } from "#runtime/core/histogram.ts";

const microsPerMs = 1_000;
const longestMicros = 3_600_000_000;

const curvePercents = [0, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9, 99.99];

export interface Percentiles {
  readonly count: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly most: number;
}

export class Latencies {
  /** In microseconds, exact to a thousandth. */
  readonly #histogram = new Histogram(10, longestMicros);

  /** One that was meant to be sent at `intendedAtMs` ended at `endedAtMs`, by the same clock. */
  ended(intendedAtMs: number, endedAtMs: number): void {
    this.#histogram.record((endedAtMs - intendedAtMs) * microsPerMs);
  }

  get count(): number {
    return this.#histogram.count;
  }

  /** Milliseconds that `percent` of them did not exceed; NaN when there are none. */
  at(percent: number): number {
    return this.count === 0 ? Number.NaN : this.#histogram.percentile(percent) / microsPerMs;
  }

  /** What each of these percentiles is, for a chart: `[percent, milliseconds]`. */
  curve(): readonly (readonly [percent: number, ms: number])[] {
    return this.count === 0 ? [] : curvePercents.map((percent) => [percent, this.at(percent)]);
  }

  percentiles(): Percentiles {
    return { count: this.count, p50: this.at(50), p90: this.at(90), p99: this.at(99), p999: this.at(99.9), most: this.at(100) };
  }
}
