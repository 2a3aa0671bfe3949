/**
 * How much may be taken while memory runs short. A process that reaches its container's limit is killed with everything that
 * it holds, so it takes less the nearer it comes to it: from 80 % of the limit on ever fewer messages, until it is below 75 %
 * again; from 92 % on none beside what it holds, until it is below 85 %.
 */
import type { MemoryUse } from "../core/memory.ts";
import { Ladder, type LadderState } from "./ladder.ts";

export type MemoryState = LadderState;

export class MemoryWatch {
  readonly #ladder = new Ladder({ tightFrom: 0.8, ampleBelow: 0.75, shortFrom: 0.92, tightBelow: 0.85 });

  get state(): MemoryState {
    return this.#ladder.state;
  }

  /** How near memory is to its end: 0 to 1. */
  get pressure(): number {
    return this.#ladder.pressure;
  }

  /** Takes a measurement; true when it changes the state. */
  measured({ usedBytes, limitBytes }: MemoryUse): boolean {
    return this.#ladder.measured(usedBytes / limitBytes);
  }

  /**
   * What remains of room for so many messages, beside those that are held. With nothing held there is room for one even while
   * memory is short: what else takes it may never be given back.
   */
  within(room: number, held: number): number {
    if (this.state === "short" && held === 0) return Math.min(room, 1);
    return this.#ladder.within(room, held);
  }
}
