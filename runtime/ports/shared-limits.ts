import type { BucketDraw, BucketGrant, BucketRate } from "../core/token-bucket.ts";

/** One draw on the bucket of one key. The rate is that of who draws: whoever draws next may have another. */
export interface LimitDraw extends BucketDraw, BucketRate {
  /** Names what is limited, and for whom; letters, digits and `. _ ~ : / = % -`. */
  readonly key: string;
}

/**
 * The buckets of rate limits and token quotas, for everyone who draws on them: each behaves as `drawFrom` of core/token-bucket.ts says,
 * and one that was not touched for as long as it takes to fill is forgotten, which is the same as full.
 */
export interface SharedLimits {
  start(): Promise<void>;
  /** Draws in their order, each for itself. Rejects with `StoreUnavailableError`; whether something was taken then is not known. */
  draw(draws: readonly LimitDraw[]): Promise<readonly BucketGrant[]>;
  stop(): Promise<void>;
}
