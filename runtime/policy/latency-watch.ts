/**
 * Whether something takes longer than it usually does: how long it took lately against a baseline of its own, both of them averages of
 * the logarithm of each duration, so that what counts is how many times as long it takes, and a few outliers do not. The recent one
 * forgets half within ten seconds, the baseline within ten minutes, so that what lasts becomes usual by itself. (As two averages of a
 * series are compared for its trend: Appel, "Technical Analysis", 2005; smoothing of unequal steps by Wright, "Forecasting data
 * published at irregular time intervals", Management Science 32(4), 1986.)
 *
 *   learning ──(a minute and a hundred runs)──▶ usual ──(factor)──▶ slow ──(factor²)──▶ very slow
 *      ▲                                          ▲                  │  ▲                  │
 *      └──(nothing for ten minutes)               └──(factor^0.6)────┘  └──(factor^1.6)────┘
 *
 * Looks of few runs say little: they are put together until there are twenty.
 */
import { noFraction } from "../core/fractions.ts";
import type { LatencyWatchPolicy } from "../core/latency-watch.ts";
import { Ladder } from "./ladder.ts";

export type LatencyState = "learning" | "usual" | "slow" | "very-slow";

/** What is known before anything is judged. */
export const learnMs = 60_000;
export const learnRuns = 100;
/** A look counts from so many runs on. */
export const lookRuns = 20;
/** Half of what is known is forgotten in this time. */
export const recentHalfMs = 10_000;
export const usualHalfMs = 600_000;
/** Runs that came further apart count for the baseline as if it had been so long. */
const gapMaxMs = 60_000;
/** When nothing came for so long, it is not known any more what is recent; after longer, not what is usual. */
const recentForgottenMs = 60_000;
const usualForgottenMs = 600_000;
/** What takes less is not told apart. */
const shortestMs = 0.1;
/** In powers of the factor. */
const bounds = { tightFrom: 1, ampleBelow: 0.6, shortFrom: 2, tightBelow: 1.6 };

const states = { ample: "usual", tight: "slow", short: "very-slow" } as const;

export interface LatencyView {
  readonly state: LatencyState;
  /** Lately; undefined while nothing is known. */
  readonly recentMs: number | undefined;
  readonly usualMs: number | undefined;
}

export class LatencyWatch {
  #ladder = new Ladder(bounds);
  #count = 0;
  #sum = noFraction;
  /** Runs that the last look found, and when a look found more of them. */
  #found = 0;
  #cameMs = noFraction;
  /** When it was judged last, or began. */
  #judgedMs: number | undefined;
  #learnedMs = noFraction;
  #learnedRuns = 0;
  /** Means of logarithms. */
  #recent: number | undefined;
  #usual: number | undefined;

  get state(): LatencyState {
    return this.#isLearning ? "learning" : states[this.#ladder.state];
  }

  /** It took so long once more. */
  took(durationMs: number): void {
    this.#count += 1;
    this.#sum += Math.log(Math.max(shortestMs, durationMs));
  }

  /** Now and then: judges what came since the last look. True when it changes the state, but for learning. */
  look(nowMs: number, policy: LatencyWatchPolicy): boolean {
    const before = this.#ladder.state;
    if (!policy.enabled) {
      this.#forget();
      return before !== "ample";
    }
    if (this.#count > this.#found) this.#cameMs = nowMs;
    this.#found = this.#count;
    if (this.#count >= lookRuns) this.#take(nowMs, policy);
    else this.#forgetAfter(nowMs - this.#cameMs);
    return this.#ladder.state !== before;
  }

  #take(nowMs: number, policy: LatencyWatchPolicy): void {
    const passedMs = nowMs - (this.#judgedMs ?? nowMs);
    const mean = this.#sum / this.#count;
    if (this.#isLearning) this.#learn(mean, this.#count, passedMs);
    else this.#judge(mean, passedMs, policy);
    this.#judgedMs = nowMs;
    this.#count = 0;
    this.#sum = 0;
    this.#found = 0;
  }

  view(): LatencyView {
    return { state: this.state, recentMs: durationOf(this.#recent), usualMs: durationOf(this.#usual) };
  }

  get #isLearning(): boolean {
    return this.#learnedMs < learnMs || this.#learnedRuns < learnRuns;
  }

  /** All that is known so far counts the same. */
  #learn(mean: number, count: number, passedMs: number): void {
    this.#learnedMs += Math.min(gapMaxMs, passedMs);
    this.#learnedRuns += count;
    this.#usual = moved(this.#usual, mean, count / this.#learnedRuns);
    this.#recent = mean;
  }

  #judge(mean: number, passedMs: number, { factor, differenceMinMs }: LatencyWatchPolicy): void {
    const recent = moved(this.#recent, mean, weightOf(passedMs, recentHalfMs));
    const usual = moved(this.#usual, mean, weightOf(Math.min(gapMaxMs, passedMs), usualHalfMs));
    this.#recent = recent;
    this.#usual = usual;
    const isApart = Math.exp(recent) - Math.exp(usual) >= differenceMinMs;
    this.#ladder.measured(isApart ? (recent - usual) / Math.log(factor) : 0);
  }

  #forgetAfter(idleMs: number): void {
    if (this.#judgedMs === undefined || idleMs < recentForgottenMs) return;
    if (idleMs >= usualForgottenMs) return this.#forget();
    this.#recent = this.#usual;
    this.#ladder.measured(0);
  }

  #forget(): void {
    this.#ladder = new Ladder(bounds);
    this.#count = 0;
    this.#sum = 0;
    this.#found = 0;
    this.#judgedMs = undefined;
    this.#learnedMs = 0;
    this.#learnedRuns = 0;
    this.#recent = undefined;
    this.#usual = undefined;
  }
}

function durationOf(mean: number | undefined): number | undefined {
  return mean === undefined ? undefined : Math.exp(mean);
}

function weightOf(passedMs: number, halfMs: number): number {
  return 1 - 2 ** (-passedMs / halfMs);
}

function moved(from: number | undefined, to: number, weight: number): number {
  return from === undefined ? to : from + weight * (to - from);
}
