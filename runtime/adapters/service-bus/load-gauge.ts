import type { Clock } from "../../core/clock.ts";
import { batchesWorthMs, busyMessagesMin, busyPerSecond, holdoffMaxMs, holdoffMinMs } from "./limits.ts";

/**
 * Decides when so much comes that batches pay. Each change costs a new link, so a time of batches that turned out short puts
 * off the next one, twice as long each time.
 */
export class LoadGauge {
  readonly #clock: Clock;
  #countingFromMs = 0;
  #counted = 0;
  #batchesFromMs = 0;
  #holdoffMs = holdoffMinMs;
  #notBeforeMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts messages that were streamed; true when it is time for batches. */
  isBusy(count: number): boolean {
    const nowMs = this.#clock.monotonicMs();
    this.#counted += count;
    if (nowMs < this.#notBeforeMs || (this.#counted * 1_000) / (nowMs - this.#countingFromMs) < busyPerSecond) {
      this.#countingFromMs = nowMs;
      this.#counted = 0;
      return false;
    }
    if (this.#counted < busyMessagesMin) return false;
    this.#counted = 0;
    this.#batchesFromMs = nowMs;
    return true;
  }

  /** Batches have ended because too little came in them. */
  turnedQuiet(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#holdoffMs = nowMs - this.#batchesFromMs >= batchesWorthMs ? holdoffMinMs : Math.min(holdoffMaxMs, this.#holdoffMs * 2);
    this.#notBeforeMs = nowMs + this.#holdoffMs;
  }
}
