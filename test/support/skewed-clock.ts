import type { Clock } from "#load/broker/entities/clock.ts";

interface Pending {
  readonly atMs: number;
  readonly action: () => void;
  timer: NodeJS.Timeout;
}

/** Real time for a broker, which can be turned on: locks end and scheduled messages come due without waiting for them. */
export class SkewedClock implements Clock {
  #skewMs = 0;
  readonly #pending = new Set<Pending>();

  now(): number {
    return Date.now() + this.#skewMs;
  }

  after(delayMs: number, action: () => void): () => void {
    const pending: Pending = { atMs: this.now() + delayMs, action, timer: setTimeout(() => this.#fire(pending), delayMs) };
    this.#pending.add(pending);
    return () => {
      clearTimeout(pending.timer);
      this.#pending.delete(pending);
    };
  }

  /** Turns the time on by `ms`; what comes due runs before this returns. */
  advance(ms: number): void {
    this.#skewMs += ms;
    const nowMs = this.now();
    for (const pending of [...this.#pending].toSorted((a, b) => a.atMs - b.atMs)) {
      clearTimeout(pending.timer);
      if (pending.atMs <= nowMs) this.#fire(pending);
      else pending.timer = setTimeout(() => this.#fire(pending), pending.atMs - nowMs);
    }
  }

  #fire(pending: Pending): void {
    if (!this.#pending.delete(pending)) return;
    pending.action();
  }
}
