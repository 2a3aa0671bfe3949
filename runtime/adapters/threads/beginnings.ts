import { progressPlaces } from "./wire.ts";

/**
 * In a thread: what it says of the runs that it begins, in memory that the main thread sees. The main thread may take back those that have not
 * begun (`PoolThread.takeBack`), by counting them as begun: each is begun only where the count is still what it has to be.
 */
export class Beginnings {
  readonly #progress: Int32Array;
  /** Number of the next run, wrapping, as the main thread numbers those that it posts. */
  #next = 0;

  constructor(progress: Int32Array) {
    this.#progress = progress;
  }

  /** Whether the next run may begin; false where it was taken back. */
  begin(): boolean {
    const sequence = this.#next;
    this.#next = (sequence + 1) | 0;
    Atomics.store(this.#progress, progressPlaces.isBeginning, 1);
    if (Atomics.compareExchange(this.#progress, progressPlaces.begun, sequence, this.#next) === sequence) return true;
    this.letGo();
    return false;
  }

  /** The run that was begun last has let go of the thread. */
  letGo(): void {
    Atomics.store(this.#progress, progressPlaces.isBeginning, 0);
  }
}
