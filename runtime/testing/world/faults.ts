// Faults with a rate, a switch and a seed. A test names what may fail; the fakes ask whether it does now.
import type { Random } from "../../core/clock.ts";

export class Faults<Name extends string> {
  readonly #random: Random;
  readonly #rates = new Map<Name, number>();
  #isOn = true;
  /** How often each happened. */
  readonly counts: Map<Name, number> = new Map();

  constructor(random: Random) {
    this.#random = random;
  }

  /** How often of all chances it happens: 0 never, 1 always. */
  set(name: Name, rate: number): void {
    this.#rates.set(name, rate);
  }

  off(): void {
    this.#isOn = false;
  }

  hits(name: Name): boolean {
    const rate = this.#isOn ? (this.#rates.get(name) ?? 0) : 0;
    if (rate === 0 || this.#random() >= rate) return false;
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    return true;
  }
}
