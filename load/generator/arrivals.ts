/**
 * When events arrive, whatever those who work on them do. Each kind is a rate over time; the nth event is due when the events
 * expected by then are n: exactly so for `constant`, and for the others with the randomness of independent senders.
 */
import { z } from "zod";
import type { Random } from "#runtime/core/clock.ts";

const rate = z.number().positive();
const quiet = z.number().min(0);
const span = z.number().positive();

export type Arrivals =
  /** Evenly spaced. */
  | { readonly kind: "constant"; readonly perSecond: number }
  | { readonly kind: "poisson"; readonly perSecond: number }
  /** Each `everyMs`, for `burstMs` from its beginning, `burstPerSecond`; `perSecond` in between. */
  | { readonly kind: "bursts"; readonly perSecond: number; readonly burstPerSecond: number; readonly everyMs: number; readonly burstMs: number }
  /** From one rate to another within `overMs`, then on at that. */
  | { readonly kind: "ramp"; readonly fromPerSecond: number; readonly toPerSecond: number; readonly overMs: number }
  /** Rises from the least to the most and falls back within `dayMs`, as traffic does in a day. */
  | { readonly kind: "diurnal"; readonly leastPerSecond: number; readonly mostPerSecond: number; readonly dayMs: number };

export const arrivalsSchema: z.ZodType<Arrivals> = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("constant"), perSecond: rate }),
  z.strictObject({ kind: z.literal("poisson"), perSecond: rate }),
  z
    .strictObject({ kind: z.literal("bursts"), perSecond: quiet, burstPerSecond: rate, everyMs: span, burstMs: span })
    .refine(({ everyMs, burstMs }) => burstMs < everyMs, { path: ["burstMs"], message: "expected less than everyMs" }),
  z.strictObject({ kind: z.literal("ramp"), fromPerSecond: quiet, toPerSecond: rate, overMs: span }),
  z
    .strictObject({ kind: z.literal("diurnal"), leastPerSecond: quiet, mostPerSecond: rate, dayMs: span })
    .refine(({ leastPerSecond, mostPerSecond }) => leastPerSecond <= mostPerSecond, {
      path: ["leastPerSecond"],
      message: "expected no more than mostPerSecond",
    }),
]);

const secondMs = 1_000;

/** Events expected from the beginning until `ms`. */
export function expectedBy(arrivals: Arrivals, ms: number): number {
  switch (arrivals.kind) {
    case "constant":
    case "poisson":
      return (arrivals.perSecond * ms) / secondMs;
    case "bursts": {
      const { perSecond, burstPerSecond, everyMs, burstMs } = arrivals;
      const within = ms % everyMs;
      const inBurstsMs = Math.floor(ms / everyMs) * burstMs + Math.min(within, burstMs);
      return (perSecond * (ms - inBurstsMs) + burstPerSecond * inBurstsMs) / secondMs;
    }
    case "ramp": {
      const { fromPerSecond, toPerSecond, overMs } = arrivals;
      const risingMs = Math.min(ms, overMs);
      const rising = fromPerSecond * risingMs + ((toPerSecond - fromPerSecond) * risingMs ** 2) / (2 * overMs);
      return (rising + toPerSecond * (ms - risingMs)) / secondMs;
    }
    case "diurnal": {
      const { leastPerSecond, mostPerSecond, dayMs } = arrivals;
      const swing = (mostPerSecond - leastPerSecond) / 2;
      const turn = (2 * Math.PI) / dayMs;
      return ((leastPerSecond + swing) * ms - (swing * Math.sin(turn * ms)) / turn) / secondMs;
    }
  }
}

/** When so many are expected, at or after `fromMs`. */
function whenExpected(arrivals: Arrivals, count: number, fromMs: number): number {
  if (arrivals.kind === "constant" || arrivals.kind === "poisson") return (count * secondMs) / arrivals.perSecond;
  let low = fromMs;
  let step = 1;
  while (expectedBy(arrivals, low + step) < count) {
    low += step;
    step *= 2;
  }
  let high = low + step;
  // A microsecond is finer than any timer.
  while (high - low > 0.001) {
    const middle = (low + high) / 2;
    if (expectedBy(arrivals, middle) < count) low = middle;
    else high = middle;
  }
  return high;
}

/** The milliseconds from the beginning at which event after event is due, without end. */
export function* dueTimes(arrivals: Arrivals, random: Random): Generator<number, never> {
  if (arrivals.kind === "constant") for (let number = 0; ; number += 1) yield whenExpected(arrivals, number, 0);
  let expected = 0;
  let dueMs = 0;
  for (;;) {
    expected -= Math.log(1 - random());
    dueMs = whenExpected(arrivals, expected, dueMs);
    yield dueMs;
  }
}
