/** What was measured in several rounds, and how it is shown: the median, with the range in brackets. */

export interface Figure {
  /** One value a round, in the order of the rounds. */
  readonly samples: readonly number[];
  /** Digits after the point when it is printed. */
  readonly digits: number;
}

/** NaN for no samples, and where one of them is no number: it has no place in their order. */
export function median(samples: readonly number[]): number {
  if (samples.some((sample) => Number.isNaN(sample))) return Number.NaN;
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function figure<Sample>(samples: readonly Sample[], of: (sample: Sample) => number, digits: number): Figure {
  return { samples: samples.map(of), digits };
}

/** What was measured once. */
export function single(value: number, digits: number): Figure {
  return { samples: [value], digits };
}

/** How many times more `of` is than `base`, round by round: the rounds of one run are comparable, runs are not. */
export function ratio(of: Figure, base: Figure, digits: number): Figure {
  return { samples: of.samples.map((sample, round) => sample / base.samples[round]!), digits };
}

/** `median (least–most)`; a single sample stands alone. */
export function figureText({ samples, digits }: Figure): string {
  if (samples.length === 0) return "–";
  const text = (value: number): string => (digits === 0 ? Math.round(value).toLocaleString("en") : value.toFixed(digits));
  const middle = text(median(samples));
  return samples.length === 1 ? middle : `${middle} (${text(Math.min(...samples))}–${text(Math.max(...samples))})`;
}
