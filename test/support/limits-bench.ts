// Rate limits with the buckets that they draw on, by a clock that the test says.
import type { LimitPolicy, LimitScope } from "#runtime/core/limits.ts";
import type { CallReport } from "#runtime/core/outcome.ts";
import { type DependencyPolicy, defaultBulkheadPolicy, defaultCircuitPolicy } from "#runtime/core/skill.ts";
import { type Bucket, type BucketRate, drawFrom } from "#runtime/core/token-bucket.ts";
import { type Limitable, RateLimits } from "#runtime/policy/rate-limits.ts";

export class Run implements Limitable {
  readonly waitingSinceMs = 0;
  readonly mayBeRejected = false;
  readonly uses: readonly number[];
  waitedFor?: string;
  readonly #keys: Partial<Record<LimitScope, string>>;

  constructor(keys: Partial<Record<LimitScope, string>> = {}, uses: readonly number[] = [0]) {
    this.uses = uses;
    this.#keys = keys;
  }

  limitKey(by: LimitScope): string {
    return this.#keys[by] ?? "";
  }
}

export function dependency(name: string, limits: readonly LimitPolicy[], rest: Partial<DependencyPolicy> = {}): DependencyPolicy {
  return { name, bulkhead: { ...defaultBulkheadPolicy, waitMaxMs: 5_000 }, circuit: defaultCircuitPolicy, limits, ...rest };
}

/** Limits with the buckets that they draw on. */
export class Bench {
  readonly limits: RateLimits<Run>;
  readonly buckets = new Map<string, Bucket>();
  readonly rates = new Map<string, BucketRate>();
  asked = 0;
  draws = 0;
  isDown = false;

  constructor(...dependencies: readonly DependencyPolicy[]) {
    this.limits = new RateLimits<Run>(dependencies, () => (this.asked += 1));
  }

  /** Makes the draws that are wanted; keys that were drawn on. */
  flush(nowMs: number): string[] {
    const keys: string[] = [];
    for (let draws = this.limits.draws(nowMs); draws.length > 0; draws = this.limits.draws(nowMs)) {
      for (const draw of draws) {
        keys.push(draw.key);
        this.draws += 1;
        this.rates.set(draw.key, { perMinute: draw.perMinute, capacity: draw.capacity });
        if (this.isDown) this.limits.answered(draw.key, undefined, nowMs, 1_000);
        else {
          const { bucket, grant } = drawFrom(this.buckets.get(draw.key), draw, draw, nowMs);
          this.buckets.set(draw.key, bucket);
          this.limits.answered(draw.key, grant, nowMs);
        }
      }
    }
    return keys;
  }

  look(nowMs: number): (readonly [string, number])[] {
    return this.limits.look(nowMs).map(({ key, back, ...rate }) => {
      this.buckets.set(key, drawFrom(this.buckets.get(key), rate, { need: 0, want: 0, back, waitMaxMs: 0 }, nowMs).bucket);
      return [key, back] as const;
    });
  }

  /** Lets a run in as soon as its units are drawn; what came of it. */
  enter(run: Run, nowMs: number): string {
    const answer = this.limits.enter(run, nowMs);
    if (answer.kind === "postponed") return `postponed for ${answer.atLeastMs} as ${answer.why}`;
    if (answer.kind === "admitted") return "admitted";
    // It goes from one limit to the next.
    for (let step = 0; step < 4; step += 1) {
      this.flush(nowMs);
      const { admitted, postponed } = this.limits.next(nowMs);
      if (admitted.includes(run)) return "admitted";
      const own = postponed.find((one) => one.run === run);
      if (own !== undefined) return `postponed for ${own.answer.atLeastMs} as ${own.answer.why}`;
    }
    return "waiting";
  }
}

export const used = (requests: number, tokens = 0, name = "api"): CallReport[] => [{ dependency: name, result: "succeeded", usage: { requests, tokens } }];
export const oneASecond: LimitPolicy = { requestsPerMinute: 60, burstMs: 2_000 };
