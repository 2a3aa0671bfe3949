import { noFraction } from "../core/fractions.ts";
/**
 * How much may be taken while something that work uses up runs short: ever less the nearer it comes to its end, then nothing new.
 * It goes back up at other bounds than it came down by, so that it does not swing:
 *
 *   ample ──(tightFrom)──▶ tight: ever fewer messages ──(shortFrom)──▶ short
 *     ▲                      │  ▲                                        │
 *     └────(ampleBelow)──────┘  └──────────────(tightBelow)──────────────┘
 */
export type LadderState = "ample" | "tight" | "short";

/** `ampleBelow` < `tightFrom` < `shortFrom`, and `tightBelow` between `tightFrom` and `shortFrom`; in the unit of what is measured. */
export interface LadderBounds {
  readonly tightFrom: number;
  readonly ampleBelow: number;
  readonly shortFrom: number;
  readonly tightBelow: number;
}

export class Ladder {
  readonly #bounds: LadderBounds;
  #state: LadderState = "ample";
  #value = noFraction;

  constructor(bounds: LadderBounds) {
    this.#bounds = bounds;
  }

  get state(): LadderState {
    return this.#state;
  }

  /** Takes a measurement; true when it changes the state. */
  measured(value: number): boolean {
    const { tightFrom, ampleBelow, shortFrom, tightBelow } = this.#bounds;
    const before = this.#state;
    this.#value = value;
    const staysShort = before === "short" && value >= tightBelow;
    const staysTight = before !== "ample" && value >= ampleBelow;
    if (value >= shortFrom || staysShort) this.#state = "short";
    else if (value >= tightFrom || staysTight) this.#state = "tight";
    else this.#state = "ample";
    return this.#state !== before;
  }

  /** How near it is to its end: 0 while it is ample, 1 while it is short. */
  get pressure(): number {
    return 1 - this.#left;
  }

  /** What remains of room for so many messages, beside those that are held: all of it, ever less of it, or none. */
  within(room: number, held: number): number {
    if (this.#state === "ample" || room <= 0) return room;
    if (this.#state === "short") return 0;
    // A part of all that could be held: of what is still free, it would be taken again and again until nothing is.
    return Math.max(held === 0 ? 1 : 0, Math.floor((held + room) * this.#left) - held);
  }

  get #left(): number {
    const { shortFrom, ampleBelow } = this.#bounds;
    switch (this.#state) {
      case "ample":
        return 1;
      case "tight":
        return (shortFrom - this.#value) / (shortFrom - ampleBelow);
      case "short":
        return 0;
    }
  }
}
