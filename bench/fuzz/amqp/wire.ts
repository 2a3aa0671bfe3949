// The wire and the clock of a case.
import { Duplex } from "node:stream";
import type { Clock } from "#runtime/amqp/connection/clock.ts";

/** A socket whose far end is the case. */
export class FuzzSocket extends Duplex {
  readonly written: Buffer[] = [];
  /** Whether the far end has stopped reading. */
  stalls = false;

  /** Whether the engine has ended its half. */
  isEnded = false;

  override _final(done: () => void): void {
    this.isEnded = true;
    done();
  }

  override _read(): void {
    // Everything is pushed.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk);
    if (!this.stalls) done();
  }
}

export class FuzzClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly ring: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, ring: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, ring };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  advance(byMs: number): void {
    this.#nowMs += byMs;
    for (const timer of this.#timers) {
      if (timer.atMs > this.#nowMs) continue;
      this.#timers.delete(timer);
      timer.ring();
    }
  }
}
