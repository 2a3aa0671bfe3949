// The buckets of one process, for a worker without a Redis: each worker then has every limit to itself.
import type { Clock } from "../../core/clock.ts";
import { type Bucket, type BucketGrant, type BucketRate, drawFrom, fullAfterMs } from "../../core/token-bucket.ts";
import type { LimitDraw, SharedLimits } from "../../ports/shared-limits.ts";

interface Kept {
  readonly bucket: Bucket;
  readonly rate: BucketRate;
}

/** Buckets that are full are looked for each time that there are twice as many as were left the last time, and this many at least. */
const keptMin = 1_024;

export class LocalLimits implements SharedLimits {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #kept = new Map<string, Kept>();
  #sweepAt = keptMin;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Buckets that are not known to be full. */
  get kept(): number {
    return this.#kept.size;
  }

  async start(): Promise<void> {
    // Nothing to connect.
  }

  async draw(draws: readonly LimitDraw[]): Promise<readonly BucketGrant[]> {
    const nowMs = this.#clock.monotonicMs();
    const grants = draws.map((draw) => {
      const { bucket, grant } = drawFrom(this.#kept.get(draw.key)?.bucket, draw, draw, nowMs);
      this.#kept.set(draw.key, { bucket, rate: { perMinute: draw.perMinute, capacity: draw.capacity } });
      return grant;
    });
    if (this.#kept.size > this.#sweepAt) this.#sweep(nowMs);
    return grants;
  }

  async stop(): Promise<void> {
    this.#kept.clear();
  }

  #sweep(nowMs: number): void {
    for (const [key, { bucket, rate }] of this.#kept) if (bucket.atMs + fullAfterMs(bucket, rate) <= nowMs) this.#kept.delete(key);
    this.#sweepAt = Math.max(keptMin, this.#kept.size * 2);
  }
}
