import type { Clock } from "../core/clock.ts";

/** Resolves when `promise` has settled or `limitMs` are over, with whether it has settled. A rejection counts as settled. */
export function settledWithin(clock: Clock, promise: Promise<unknown>, limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = clock.after(Math.max(0, limitMs), () => resolve(false));
    const settled = (): void => {
      timer.cancel();
      resolve(true);
    };
    promise.then(settled, settled);
  });
}
