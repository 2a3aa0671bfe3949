/**
 * What handlers have done, by the places of their events: written by those who do it, read by those who judge and measure. In a
 * file, because workers are processes with threads; times are by the one monotonic clock that all processes of a machine share.
 */
import { appendFileSync } from "node:fs";
import type { Clock } from "#runtime/core/clock.ts";

export const bytesOfNote: number = 2 * Float64Array.BYTES_PER_ELEMENT;
const heldMax = 1_024;
const heldForMs = 40;

export function sharedMonotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** The clock of drives whose ends are noted. */
export const sharedClock: Pick<Clock, "monotonicMs" | "after"> = {
  monotonicMs: sharedMonotonicMs,
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

export class NoteWriter {
  readonly #file: string;
  readonly #heldMax: number;
  readonly #held: Float64Array;
  #count = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `isAtOnce`: each note is written when it is made, and survives the end of its process. */
  constructor(file: string, isAtOnce: boolean) {
    this.#file = file;
    this.#heldMax = isAtOnce ? 1 : heldMax;
    this.#held = new Float64Array(2 * this.#heldMax);
  }

  note(place: number): void {
    this.#held[2 * this.#count] = place;
    this.#held[2 * this.#count + 1] = sharedMonotonicMs();
    this.#count += 1;
    if (this.#count === this.#heldMax) this.#write();
    else this.#timer ??= setTimeout(() => this.#write(), heldForMs);
  }

  #write(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    appendFileSync(this.#file, Buffer.from(this.#held.buffer, 0, this.#count * bytesOfNote));
    this.#count = 0;
  }
}
