// A clock that stands still until a test turns it.
import type { Clock } from "#load/broker/entities/clock.ts";
import type { Clock as RuntimeClock } from "#runtime/core/clock.ts";

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly fn: () => void;
}

export class ManualClock implements Clock {
  #nowMs: number;
  #order = 0;
  readonly #timers = new Set<Timer>();

  constructor(nowMs: number = Date.now()) {
    this.#nowMs = nowMs;
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fn: () => void): () => void {
    const timer: Timer = { atMs: this.#nowMs + delayMs, order: this.#order++, fn };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Moves on and calls nothing, as when the machine was asleep: what fell due is called, late, with the next `advance`. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }

  /** Moves on, and calls what falls due on the way, in order. */
  advance(ms: number): void {
    const end = this.#nowMs + ms;
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.#timers) {
        if (timer.atMs <= end && (next === undefined || timer.atMs < next.atMs || (timer.atMs === next.atMs && timer.order < next.order))) next = timer;
      }
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.fn();
    }
    this.#nowMs = end;
  }
}

/** The same clock as the runtime's adapters take it; what is to happen soon happens by itself. */
export function runtimeClock(manual: ManualClock): RuntimeClock {
  return {
    wallMs: () => manual.now(),
    monotonicMs: () => manual.now(),
    after: (delayMs, action) => ({ cancel: manual.after(delayMs, action) }),
    soon: (action) => void setImmediate(action),
  };
}
