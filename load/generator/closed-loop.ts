import type { Clock } from "#runtime/core/clock.ts";
import type { Due } from "./paced.ts";

/** So many items are under way at a time: the next goes when one has ended. What saturates; its latencies say nothing of a real sender. */
export class ClosedLoop {
  readonly #inFlightMax: number;
  #inFlight = 0;
  #isStopped = false;
  #changed = Promise.withResolvers<void>();

  constructor(inFlightMax: number) {
    if (!Number.isSafeInteger(inFlightMax) || inFlightMax < 1)
      throw new RangeError(`expected inFlightMax to be a whole number of 1 or more, got ${inFlightMax}`);
    this.#inFlightMax = inFlightMax;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Some have ended, completed or not. */
  ended(count: number): void {
    this.#inFlight -= count;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Hands out no more: what is under way may never end. */
  stop(): void {
    this.#isStopped = true;
    this.#changed.resolve();
  }

  /** Hands out as many as there is room for, batch by batch; what is handed out is under way until it has `ended`. */
  async *release<Item>(items: Iterable<Item>, clock: Pick<Clock, "monotonicMs">): AsyncGenerator<readonly Due<Item>[]> {
    let batch: Due<Item>[] = [];
    for (const item of items) {
      if (this.#inFlight >= this.#inFlightMax && batch.length > 0) {
        yield batch;
        batch = [];
      }
      while (this.#inFlight >= this.#inFlightMax && !this.#isStopped) await this.#changed.promise;
      if (this.#isStopped) return;
      this.#inFlight += 1;
      batch.push({ item, intendedAtMs: clock.monotonicMs() });
    }
    if (batch.length > 0) yield batch;
  }
}
