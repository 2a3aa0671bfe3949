/**
 * How much may be taken while the event loop of the main thread is late. Locks are renewed and runs are settled there: a loop that
 * keeps them waiting must not be given more to do, and before locks end it must be given nothing:
 *
 *   ample ──(250 ms late)──▶ tight: ever fewer messages ──(1 s)──▶ short: nothing new; what is here ends
 *     ▲                        │  ▲                                  │
 *     └────(below 100 ms)──────┘  └──────────(below 500 ms)──────────┘
 *
 * What counts is the mean of some looks' longest delays: to change anything, a single delay must be several times as long.
 */
export type LoopState = "ample" | "tight" | "short";

const tightFromMs = 250;
const ampleBelowMs = 100;
const shortFromMs = 1_000;
const tightBelowMs = 500;
/** Looks whose longest delays are averaged. */
const looks = 3;

export class LoopWatch {
  #state: LoopState = "ample";
  #meanMs = 0;
  /** Of the last looks, the latest one first. */
  #delaysMs: readonly number[] = [];

  get state(): LoopState {
    return this.#state;
  }

  /** The longest delay within the last looks. */
  get delayMs(): number {
    return Math.max(0, ...this.#delaysMs);
  }

  /** Takes a look's longest delay; true when it changes the state. */
  measured(delayMs: number): boolean {
    this.#delaysMs = [delayMs, ...this.#delaysMs.slice(0, looks - 1)];
    this.#meanMs = this.#delaysMs.reduce((sum, each) => sum + each, 0) / looks;
    const before = this.#state;
    const staysShort = before === "short" && this.#meanMs >= tightBelowMs;
    const staysTight = before !== "ample" && this.#meanMs >= ampleBelowMs;
    if (this.#meanMs >= shortFromMs || staysShort) this.#state = "short";
    else if (this.#meanMs >= tightFromMs || staysTight) this.#state = "tight";
    else this.#state = "ample";
    return this.#state !== before;
  }

  /** What remains of room for so many messages, beside those that are held: all of it, ever less of it, or none. */
  within(room: number, held: number): number {
    if (this.#state === "ample" || room <= 0) return room;
    if (this.#state === "short") return 0;
    // A part of all that could be held: of what is still free, it would be taken again and again until nothing is.
    const left = (shortFromMs - this.#meanMs) / (shortFromMs - ampleBelowMs);
    return Math.max(held === 0 ? 1 : 0, Math.floor((held + room) * left) - held);
  }
}
