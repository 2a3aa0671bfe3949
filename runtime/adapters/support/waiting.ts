import type { Clock } from "../../core/clock.ts";

/** What `promise` gives, or a rejection with what `late` makes once `limitMs` are over. */
export function answeredWithin<T>(clock: Clock, limitMs: number, promise: Promise<T>, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = clock.after(limitMs, () => reject(late()));
    void promise.then(resolve, reject).then(() => timer.cancel());
  });
}

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
