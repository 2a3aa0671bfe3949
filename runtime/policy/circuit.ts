/**
 * A circuit breaker for one dependency.
 *
 *   closed ──(too many of its calls failed or were slow)──▶ open
 *   open ──(the reset time is over)──▶ half-open ──(probesToClose succeeded)──▶ closed
 *     ▲                                    └──(a probe failed or was slow)──▶ open, for longer
 *     └ by hand: open, close; isolated is open until it is closed by hand
 *
 * Only probes are heard while it is half-open: a run that began before it opened says nothing of how the dependency is now. Time is
 * handed in, and never goes back: of two times the later counts. Reading the state moves `open` to `half-open` once the reset time
 * is over.
 */
import { noFraction } from "../core/fractions.ts";
import type { CallResult } from "../core/outcome.ts";
import type { CircuitPolicy } from "../core/skill.ts";

export type CircuitState = "closed" | "open" | "half-open" | "isolated";

export interface CircuitView {
  readonly state: CircuitState;
  /** Of the last calls; in the mode `consecutive`, in a row. */
  readonly failures: number;
  readonly calls: number;
  /** How often it opened since it was last closed. */
  readonly openings: number;
  /** Until a probe may pass; 0 when none is waited for. */
  readonly opensInMs: number;
  readonly probes: number;
}

export class Circuit<Run> {
  readonly #policy: CircuitPolicy;
  /** The last outcomes, 1 for a failure; a ring. Of one place where failures are counted in a row. */
  readonly #window: Uint8Array;
  #at = 0;
  #calls = 0;
  #failures = 0;
  #state: CircuitState = "closed";
  #openUntilMs = noFraction;
  #openings = 0;
  #latestMs = Number.NEGATIVE_INFINITY;
  /** Runs let through since it became half-open, and not yet heard of. */
  readonly #probes = new Set<Run>();
  #probesSucceeded = 0;

  constructor(policy: CircuitPolicy) {
    this.#policy = policy;
    const { windowCalls, failureThreshold } = policy;
    this.#window = new Uint8Array(Math.max(failureThreshold, windowCalls === 0 ? failureThreshold * 2 : windowCalls));
  }

  state(nowMs: number): CircuitState {
    this.#latestMs = Math.max(this.#latestMs, nowMs);
    if (this.#state === "open" && this.#latestMs >= this.#openUntilMs) this.#state = "half-open";
    return this.#state;
  }

  /** How long until a probe may pass; 0 when not open. An isolated one is looked at again after its reset time. */
  opensInMs(nowMs: number): number {
    const state = this.state(nowMs);
    if (state === "isolated") return this.#policy.resetTimeoutMs;
    return state === "open" ? this.#openUntilMs - this.#latestMs : 0;
  }

  /** Whether one more run may pass now. */
  admits(nowMs: number): boolean {
    const state = this.state(nowMs);
    return state === "closed" || (state === "half-open" && this.#probes.size < this.#policy.halfOpenMax);
  }

  /** Counts a run that was let through. */
  enter(run: Run, nowMs: number): void {
    if (this.state(nowMs) === "half-open") this.#probes.add(run);
  }

  /** Hears how a run that was let through went; `unused` when it says nothing of the dependency. */
  leave(run: Run, result: CallResult | "unused", nowMs: number): void {
    // Only while it is half-open are there any.
    const isProbe = this.#probes.delete(run);
    const state = this.state(nowMs);
    if (result === "unused") return;
    const isGood = result === "succeeded";
    if (state === "closed") this.#count(isGood ? 0 : 1);
    if (!isProbe) return;
    if (!isGood) return this.#trip();
    this.#probesSucceeded += 1;
    if (this.#probesSucceeded >= this.#policy.probesToClose) this.close();
  }

  /** Opens it by hand, as if too many calls had failed. */
  open(nowMs: number): void {
    this.state(nowMs);
    this.#trip();
  }

  /** Closes it by hand, and forgets what it has counted. */
  close(): void {
    this.#state = "closed";
    this.#openings = 0;
    this.#forget();
  }

  /** Keeps it open until it is closed by hand. */
  isolate(): void {
    this.#state = "isolated";
    this.#forget();
  }

  view(nowMs: number): CircuitView {
    const opensInMs = this.state(nowMs) === "open" ? this.opensInMs(nowMs) : 0;
    return { state: this.#state, failures: this.#failures, calls: this.#calls, openings: this.#openings, opensInMs, probes: this.#probes.size };
  }

  #count(failed: 0 | 1): void {
    const { mode, failureThreshold, callsMin } = this.#policy;
    if (mode === "consecutive") {
      this.#failures = failed === 1 ? this.#failures + 1 : 0;
      this.#calls += 1;
    } else {
      this.#failures += failed - (this.#window[this.#at] ?? 0);
      this.#window[this.#at] = failed;
      this.#at = (this.#at + 1) % this.#window.length;
      this.#calls = Math.min(this.#window.length, this.#calls + 1);
    }
    if (this.#failures >= failureThreshold && this.#calls >= callsMin) this.#trip();
  }

  #trip(): void {
    const { resetTimeoutMs, resetFactor, resetTimeoutMaxMs } = this.#policy;
    const grownMs = Math.min(resetTimeoutMs * resetFactor ** this.#openings, Math.max(resetTimeoutMs, resetTimeoutMaxMs));
    this.#openings += 1;
    this.#state = "open";
    this.#openUntilMs = this.#latestMs + grownMs;
    this.#forget();
  }

  #forget(): void {
    this.#window.fill(0);
    this.#failures = 0;
    this.#calls = 0;
    this.#at = 0;
    this.#probes.clear();
    this.#probesSucceeded = 0;
  }
}
