/**
 * How much may be taken while memory runs short. A process that reaches its container's limit is killed with everything that
 * it holds, so it takes less the nearer it comes to it:
 *
 *   ample ──(80 % of the limit)──▶ tight: ever fewer messages ──(92 %)──▶ short: none; what is here ends, then one by one
 *     ▲                              │  ▲                                   │
 *     └──────(below 75 %)────────────┘  └──────────(below 85 %)─────────────┘
 */
import type { MemoryUse } from "../core/memory.ts";

export type MemoryState = "ample" | "tight" | "short";

const tightFrom = 0.8;
const ampleBelow = 0.75;
const shortFrom = 0.92;
const tightBelow = 0.85;

export class MemoryWatch {
  #state: MemoryState = "ample";
  #part = 0;

  get state(): MemoryState {
    return this.#state;
  }

  /** Takes a measurement; true when it changes the state. */
  measured({ usedBytes, limitBytes }: MemoryUse): boolean {
    this.#part = usedBytes / limitBytes;
    const before = this.#state;
    const staysShort = before === "short" && this.#part >= tightBelow;
    const staysTight = before !== "ample" && this.#part >= ampleBelow;
    if (this.#part >= shortFrom || staysShort) this.#state = "short";
    else if (this.#part >= tightFrom || staysTight) this.#state = "tight";
    else this.#state = "ample";
    return this.#state !== before;
  }

  /**
   * What remains of room for so many messages, beside those that are held: all of it, ever less of it, or none.
   * With nothing held there is room for one even while memory is short: what else takes it may never be given back.
   */
  within(room: number, held: number): number {
    if (this.#state === "ample" || room <= 0) return room;
    if (this.#state === "short") return held === 0 ? 1 : 0;
    const left = Math.min(1, Math.max(0, (shortFrom - this.#part) / (shortFrom - ampleBelow)));
    // A part of all that could be held: of what is still free, it would be taken again and again until nothing is.
    return Math.max(held === 0 ? 1 : 0, Math.floor((held + room) * left) - held);
  }
}
