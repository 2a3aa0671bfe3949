/**
 * Which answer of a fallback chain comes next, and how good what a run has made of its steps is. A fallback stands in for a failure
 * that certainly had no effect; once anything in the step may have happened, only one whose author allows that may answer, since
 * the effect could otherwise happen twice.
 */
import type { StepQuality } from "../core/run.ts";

/** What is known of a fallback before it is asked. */
export interface FallbackRule {
  /** It may answer though the effect may have happened. */
  readonly whenUnknown?: boolean | undefined;
}

/**
 * Place of the first fallback from `from` on that may answer; undefined when none may. `isDefinite`: nothing that was tried in the step
 * so far can have had an effect. `accepts` asks a fallback's own condition, only of those that the outcome allows, in their order.
 */
export function nextFallback(rules: readonly FallbackRule[], from: number, isDefinite: boolean, accepts: (place: number) => boolean): number | undefined {
  const found = rules.findIndex((rule, place) => place >= from && (isDefinite || rule.whenUnknown === true) && accepts(place));
  return found < 0 ? undefined : found;
}

/** From the best to the worst: a cached answer was true once, a degraded one is true in part, a template knows nothing of the matter. */
const rank: Readonly<Record<StepQuality, number>> = { full: 0, cached: 1, degraded: 2, template: 3 };

/** What depends on both is as good as the worse one. */
export function worseQuality(one: StepQuality, other: StepQuality): StepQuality {
  // Stryker disable next-line EqualityOperator: two of the same rank are the same quality
  return rank[one] > rank[other] ? one : other;
}

/** How good the results of a run's steps are. */
export class Qualities {
  /** Those that are not `full`. */
  readonly #known = new Map<string, StepQuality>();
  /** What depends on all of them is as good as this. */
  worst: StepQuality = "full";

  of(step: string): StepQuality {
    return this.#known.get(step) ?? "full";
  }

  keep(step: string, quality: StepQuality): void {
    this.#known.set(step, quality);
    this.worst = worseQuality(this.worst, quality);
  }
}
