import type { Clock } from "../../core/clock.ts";

/** Waits for `promise` to end either way, `limitMs` at most; true when it was fulfilled in time. */
export function withinOr(clock: Clock, limitMs: number, promise: Promise<unknown>): Promise<boolean> {
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

/** A flag that can be waited for; set once. */
export class Signal<T> {
  readonly whenSet: Promise<T>;
  value: T | undefined;
  #resolve: (value: T) => void;

  constructor() {
    const { promise, resolve } = Promise.withResolvers<T>();
    this.whenSet = promise;
    this.#resolve = resolve;
  }

  /** The first call counts. */
  set(value: T): void {
    this.value ??= value;
    this.#resolve(value);
  }
}
