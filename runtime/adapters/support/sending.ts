import type { TransportError } from "../../core/errors.ts";

/** One call of a publisher's `send`: fulfilled with its last message, rejected with its first failure. */
export class Sending {
  readonly whenSent: Promise<void>;
  #left: number;
  readonly #resolve: () => void;
  readonly #reject: (error: TransportError) => void;

  constructor(count: number) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.whenSent = promise;
    this.#left = count;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  sent(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#resolve();
  }

  failed(error: TransportError): void {
    this.#reject(error);
  }
}
