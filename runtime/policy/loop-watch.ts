/**
 * How much may be taken while the event loop of the main thread is late. Locks are renewed and runs are settled there: a loop that
 * keeps them waiting must not be given more to do, and before locks end it must be given nothing: from 250 ms on ever fewer
 * messages, until it is below 100 ms again; from 1 s on nothing new, until it is below 500 ms.
 *
 * What counts is the mean of some looks' longest delays: to change anything, a single delay must be several times as long.
 */
import { Ladder, type LadderState } from "./ladder.ts";

export type LoopState = LadderState;

/** Looks whose longest delays are averaged. */
const looks = 3;

export class LoopWatch {
  readonly #ladder = new Ladder({ tightFrom: 250, ampleBelow: 100, shortFrom: 1_000, tightBelow: 500 });
  /** Of the last looks, the latest one first. */
  #delaysMs: readonly number[] = [];

  get state(): LoopState {
    return this.#ladder.state;
  }

  /** The longest delay within the last looks. */
  get delayMs(): number {
    return Math.max(0, ...this.#delaysMs);
  }

  /** How near the loop is to being too late: 0 to 1. */
  get pressure(): number {
    return this.#ladder.pressure;
  }

  /** Takes a look's longest delay; true when it changes the state. */
  measured(delayMs: number): boolean {
    this.#delaysMs = [delayMs, ...this.#delaysMs.slice(0, looks - 1)];
    return this.#ladder.measured(this.#delaysMs.reduce((sum, each) => sum + each, 0) / looks);
  }

  /** What remains of room for so many messages, beside those that are held: all of it, ever less of it, or none. */
  within(room: number, held: number): number {
    return this.#ladder.within(room, held);
  }
}
