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
