/**
 * A circuit breaker for one dependency.
 *
 *   closed ──(failureThreshold of the last 2×failureThreshold failed)──▶ open
 *   open ──(resetTimeoutMs)──▶ half-open ──(a probe succeeded)──▶ closed
 *                                   └──(a probe failed)──▶ open
 *
 * Only probes are heard while it is half-open: a run that began before it opened says nothing of how the dependency is now.
 * Time is handed in; reading the state moves `open` to `half-open` once the reset time-out is over.
 */
import type { CircuitPolicy } from "../core/skill.ts";

export type CircuitState = "closed" | "open" | "half-open";

export class Circuit<Run> {
  readonly #policy: CircuitPolicy;
  /** The last outcomes, 1 for a failure; a ring. */
  readonly #window: Uint8Array;
  #at = 0;
  #failures = 0;
  #state: CircuitState = "closed";
  #openUntilMs = 0;
  /** Runs let through since it became half-open, and not yet heard of. */
  readonly #probes = new Set<Run>();

  constructor(policy: CircuitPolicy) {
    this.#policy = policy;
    this.#window = new Uint8Array(policy.failureThreshold * 2);
  }

  state(nowMs: number): CircuitState {
    if (this.#state === "open" && nowMs >= this.#openUntilMs) this.#state = "half-open";
    return this.#state;
  }

  /** How long until a probe may pass; 0 when not open. */
  opensInMs(nowMs: number): number {
    return this.state(nowMs) === "open" ? this.#openUntilMs - nowMs : 0;
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

  /** Hears how a run that was let through went; `unused` when it never called the dependency. */
  leave(run: Run, result: "succeeded" | "failed" | "unused", nowMs: number): void {
    const isProbe = this.#probes.size > 0 && this.#probes.delete(run);
    switch (this.state(nowMs)) {
      case "closed":
        if (result !== "unused") this.#count(result === "failed" ? 1 : 0, nowMs);
        return;
      case "half-open":
        if (isProbe && result === "succeeded") this.#close();
        if (isProbe && result === "failed") this.#open(nowMs);
        return;
      case "open":
        return;
    }
  }

  #count(failed: 0 | 1, nowMs: number): void {
    this.#failures += failed - (this.#window[this.#at] ?? 0);
    this.#window[this.#at] = failed;
    this.#at = (this.#at + 1) % this.#window.length;
    if (this.#failures >= this.#policy.failureThreshold) this.#open(nowMs);
  }

  #open(nowMs: number): void {
    this.#state = "open";
    this.#openUntilMs = nowMs + this.#policy.resetTimeoutMs;
    this.#probes.clear();
  }

  #close(): void {
    this.#state = "closed";
    this.#window.fill(0);
    this.#failures = 0;
    this.#at = 0;
    this.#probes.clear();
  }
}
