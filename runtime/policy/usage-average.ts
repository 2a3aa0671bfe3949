/**
 * What runs of each kind use of a dependency, learned from those that ended: an average in which each run counts a tenth, so that some
 * dozen runs make up for one that was out of the ordinary.
 */
import type { Usage } from "../core/limits.ts";

const weight = 0.1;

export class UsageAverage {
  readonly #first: Usage;
  readonly #known = new Map<string, { requests: number; tokens: number }>();

  /** `first`: what is expected before anything is known. */
  constructor(first: Usage) {
    this.#first = first;
  }

  /** In whole units, and one of each at least. */
  of(kind: string): Usage {
    const { requests, tokens } = this.#known.get(kind) ?? this.#first;
    return { requests: Math.max(1, Math.round(requests)), tokens: Math.max(1, Math.round(tokens)) };
  }

  /** The first run of a kind says more than nothing: it is believed as it is. */
  learn(kind: string, { requests, tokens }: Usage): void {
    const known = this.#known.get(kind);
    if (known === undefined) {
      this.#known.set(kind, { requests, tokens });
      return;
    }
    known.requests += (requests - known.requests) * weight;
    known.tokens += (tokens - known.tokens) * weight;
  }
}
