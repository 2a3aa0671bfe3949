/** A pending timer. `cancel` is idempotent and does nothing once the timer has fired. */
export interface Timer {
  cancel(): void;
}

/**
 * Time as the pipeline sees it. Durations and deadlines use `monotonicMs`, which no clock change moves; `wallMs` is for
 * the edges (timestamps in events, scheduled times at the broker).
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  wallMs(): number;
  /** Milliseconds since an arbitrary origin; never goes back. */
  monotonicMs(): number;
  /** Calls `action` once after `delayMs` (0 or more). */
  after(delayMs: number, action: () => void): Timer;
  /** Calls `action` once, after the events that are already waiting. */
  soon(action: () => void): void;
}

/** A source of uniform numbers in [0, 1). Handed in, so that a run can be repeated from a seed. */
export type Random = () => number;
