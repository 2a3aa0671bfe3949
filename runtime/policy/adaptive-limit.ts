/**
 * Finds how many runs may use a dependency at once, from how long its calls take: with more than it can work on at once, they only wait
 * for each other there. The formula is that of Gradient2 of Netflix's concurrency-limits,
 *
 *   limit ← limit × gradient + √limit,  gradient = tolerance × base latency / latency now, within 0.5 and 1
 *
 * smoothed, and taken from windows of calls. Its base, a long average, follows a lasting overload; here it is the least that a window
 * took, and is measured again now and then with a quarter of the runs, as BBR does with its round trips:
 *
 *   measuring ──(the base is old)──▶ draining: a quarter of the runs ──(no more are at it)──▶ probing: a window is the new base ──▶ measuring
 *
 * A quarter, since the formula holds the latency at up to twice the base: measured with half of the runs, a base that was taken under
 * overload would be confirmed for ever. Calls that failed say nothing of how long one takes: they may have failed at once.
 * So the limit shrinks when the dependency slows down under load, stays when it is slow by itself, and grows again afterwards.
 */
import { noFraction } from "../core/fractions.ts";
import type { ConcurrencyPolicy } from "../core/skill.ts";

/** A window ends after so many calls, and not before so long. */
export const windowCalls = 10;
export const windowMs = 200;
/** How much longer than the base calls may take before the limit shrinks. */
export const tolerance = 1.5;
/** How much of a new estimate counts. */
const smoothing = 0.2;
/** Each window with more failures than this part of its calls lets so much of the limit stand. */
export const failuresMax = 0.1;
const backOff = 0.9;
/** The base is measured with this part of the runs. */
const probePart = 0.25;
/** A base that was not met with so few runs for so long is measured once more. */
export const baseMaxAgeMs = 30_000;

export interface AdaptiveView {
  readonly policy: ConcurrencyPolicy;
  readonly limit: number;
  /** Of an average call without load, as far as is known. */
  readonly baseMs: number | undefined;
  /** Of an average call in the last window. */
  readonly latencyMs: number | undefined;
}

export class AdaptiveLimit {
  #policy: ConcurrencyPolicy;
  #estimate: number;
  #state: "measuring" | "draining" | "probing" = "measuring";
  #baseMs: number | undefined;
  #baseAtMs = noFraction;
  #latencyMs: number | undefined;
  #sinceMs: number | undefined;
  #calls = 0;
  #failures = 0;
  #sumMs = noFraction;
  #inUseMost = 0;
  #inUse = 0;

  constructor(policy: ConcurrencyPolicy, first: number) {
    this.#policy = policy;
    this.#estimate = within(first, policy);
  }

  /** Runs that may use the dependency at once; while its base is measured, a quarter. */
  get limit(): number {
    return Math.floor(this.#state === "measuring" ? this.#estimate : Math.max(this.#policy.min, this.#estimate * probePart));
  }

  /** Other bounds from now on. */
  change(policy: ConcurrencyPolicy): void {
    this.#policy = policy;
    this.#estimate = within(this.#estimate, policy);
  }

  view(): AdaptiveView {
    return { policy: this.#policy, limit: this.limit, baseMs: this.#baseMs, latencyMs: this.#latencyMs };
  }

  /** Hears how long a run's calls took on average, and how many runs were at it; true when the limit may have changed. */
  sample(latencyMs: number, inUse: number, failed: boolean, nowMs: number): boolean {
    this.#sinceMs ??= nowMs;
    // It began while there were more.
    if (this.#state === "probing" && nowMs - latencyMs < this.#sinceMs) return false;
    this.#calls += 1;
    if (failed) this.#failures += 1;
    else this.#sumMs += latencyMs;
    this.#inUse = inUse;
    this.#inUseMost = Math.max(this.#inUseMost, inUse);
    if (this.#calls < windowCalls || nowMs - this.#sinceMs < windowMs) return false;
    this.#end(nowMs);
    this.#sinceMs = nowMs;
    this.#calls = 0;
    this.#failures = 0;
    this.#sumMs = 0;
    this.#inUseMost = 0;
    return true;
  }

  #end(nowMs: number): void {
    const answered = this.#calls - this.#failures;
    const latencyMs = answered === 0 ? undefined : this.#sumMs / answered;
    this.#latencyMs = latencyMs ?? this.#latencyMs;
    switch (this.#state) {
      case "measuring":
        this.#measured(latencyMs, nowMs);
        return;
      case "draining":
        if (this.#inUse <= this.limit) this.#state = "probing";
        return;
      case "probing":
        this.#state = "measuring";
        if (latencyMs !== undefined) this.#rebase(latencyMs, nowMs);
        return;
    }
  }

  #measured(latencyMs: number | undefined, nowMs: number): void {
    if (latencyMs !== undefined && this.#isOld(latencyMs, nowMs)) {
      this.#state = "draining";
      return;
    }
    this.#estimate = within(this.#next(latencyMs), this.#policy);
  }

  /** Takes a base that is lower, and says whether it has to be measured. One that was met under load may be that of an overload. */
  #isOld(latencyMs: number, nowMs: number): boolean {
    const baseMs = this.#baseMs;
    const isMet = baseMs !== undefined && latencyMs <= baseMs && this.#inUseMost <= this.#estimate * probePart;
    if (baseMs === undefined || isMet) this.#rebase(latencyMs, nowMs);
    else this.#baseMs = Math.min(baseMs, latencyMs);
    return nowMs - this.#baseAtMs >= baseMaxAgeMs;
  }

  #next(latencyMs: number | undefined): number {
    const limit = this.#estimate;
    if (latencyMs === undefined || this.#failures > this.#calls * failuresMax) return limit * backOff;
    const baseMs = this.#baseMs ?? latencyMs;
    const gradient = latencyMs === 0 ? 1 : Math.max(0.5, Math.min(1, (tolerance * baseMs) / latencyMs));
    const isUsed = this.#inUseMost * 2 >= limit;
    // What is not used says nothing of what more would do.
    if (gradient === 1 && !isUsed) return limit;
    return limit * (1 - smoothing) + (limit * gradient + Math.sqrt(limit)) * smoothing;
  }

  #rebase(latencyMs: number, nowMs: number): void {
    this.#baseMs = latencyMs;
    this.#baseAtMs = nowMs;
  }
}

function within(limit: number, { min, max }: ConcurrencyPolicy): number {
  return Math.min(max, Math.max(min, limit));
}
