/**
 * Where the retries of a whole worker are counted, in memory that its threads share: whoever wants to retry takes one here, without
 * asking anyone. The budget, on the main thread, says up to which count they may be taken (see retry-budget.ts).
 */
const places = { taken: 0, limit: 1, refused: 2 } as const;

/** Size of the memory that is shared. */
export const retryLedgerBytes: number = Object.keys(places).length * Int32Array.BYTES_PER_ELEMENT;
/** Counts wrap around; more than this is never allowed at once, so that their difference stays clear. */
const allowedMax = 2 ** 30;

export class RetryLedger {
  readonly #words: Int32Array;

  constructor(memory: ArrayBuffer | SharedArrayBuffer = new ArrayBuffer(retryLedgerBytes)) {
    this.#words = new Int32Array(memory);
  }

  /** How many were taken so far; wraps around. */
  get taken(): number {
    return Atomics.load(this.#words, places.taken);
  }

  /** How many were refused so far; wraps around. */
  get refused(): number {
    return Atomics.load(this.#words, places.refused);
  }

  /** Takes one; false when none is left. */
  take(): boolean {
    const words = this.#words;
    for (;;) {
      const taken = Atomics.load(words, places.taken);
      if (wrappedDifference(Atomics.load(words, places.limit), taken) <= 0) {
        Atomics.add(words, places.refused, 1);
        return false;
      }
      if (Atomics.compareExchange(words, places.taken, taken, wrapped(taken + 1)) === taken) return true;
    }
  }

  /** From now on so many may be taken beyond the first `taken`. */
  allow(taken: number, more: number): void {
    Atomics.store(this.#words, places.limit, wrapped(taken + Math.min(allowedMax, Math.max(0, more))));
  }
}

/** How far a count has come from another. */
export function wrappedDifference(later: number, earlier: number): number {
  return wrapped(later - earlier);
}

function wrapped(count: number): number {
  return count | 0;
}
