import type { Clock } from "../../core/clock.ts";

/** Waits for `promise` to end either way, `limitMs` at most; true when it was fulfilled in time. */
export function settledWithin(clock: Clock, limitMs: number, promise: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(limitMs, () => resolve(false));
    const end = (fulfilled: boolean): void => {
      timer.cancel();
      resolve(fulfilled);
    };
    promise.then(
      () => end(true),
      () => end(false),
    );
  });
}
