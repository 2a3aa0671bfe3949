/** How sure a change is: the ratio of two medians, and an interval for it from samples drawn again with replacement. */
import type { Random } from "#runtime/core/clock.ts";
import { median } from "../support/figures.ts";

export interface Interval {
  readonly ratio: number;
  readonly low: number;
  readonly high: number;
}

const resamples = 4_000;
const tail = 0.025;

export function ratioInterval(before: readonly number[], after: readonly number[], random: Random): Interval {
  const again = (samples: readonly number[]): number => median(samples.map(() => samples[Math.floor(random() * samples.length)]!));
  const ratios = Array.from({ length: resamples }, () => again(after) / again(before)).toSorted((a, b) => a - b);
  return { ratio: median(after) / median(before), low: ratios[Math.floor(resamples * tail)]!, high: ratios[Math.ceil(resamples * (1 - tail)) - 1]! };
}

export type Change = "more" | "less" | "same" | "too few samples" | "not measured";

/** Fewer say nothing of how they spread. */
const samplesMin = 3;
/** `tolerance`: of 1; so small a change is none. */
export function changeOf(before: readonly number[], after: readonly number[], { low, high }: Interval, tolerance: number): Change {
  // A figure that is no number, because something divided by nothing, is null in a document, which counts as 0 where it is sorted.
  if (![...before, ...after].every((sample) => Number.isFinite(sample))) return "not measured";
  if (Math.min(before.length, after.length) < samplesMin) return "too few samples";
  if (low > 1 + tolerance) return "more";
  return high < 1 - tolerance ? "less" : "same";
}
