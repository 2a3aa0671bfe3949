import type { SheddablePriority } from "./priority.ts";

/** What becomes of an event that was postponed as often as it may be. */
export const afterSheddingChoices = ["run", "dead-letter"] as const;

export type AfterShedding = (typeof afterSheddingChoices)[number];

/** Which messages a worker that is over its bounds gives back, and how many. */
export interface LoadSheddingPolicy {
  readonly enabled: boolean;
  /** The highest priority that may be shed. */
  readonly upTo: SheddablePriority;
  /** Even the youngest of a second's messages have waited in the queue for so long: the workers do not keep up. 100 to 86 400 000. */
  readonly queueAgeMs: number;
  /** Messages shed for each more important one that is found; 0 to 1 000. */
  readonly ratio: number;
  /** Messages shed a second on top of that; 0 to 10 000. */
  readonly perSecondMin: number;
  /** So often a message may be postponed; 1 to 10 000. */
  readonly postponementsMax: number;
  readonly afterwards: AfterShedding;
}

export const defaultLoadSheddingPolicy: LoadSheddingPolicy = {
  enabled: false,
  upTo: "low",
  queueAgeMs: 30_000,
  ratio: 16,
  perSecondMin: 10,
  postponementsMax: 100,
  afterwards: "run",
};
