// Time, handed in so that idle time-outs can be tested without waiting.

export interface Clock {
  /** A monotonic reading in ms. */
  nowMs(): number;
  /** Calls `callback` once after `delayMs`; returns what calls it off. */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};
