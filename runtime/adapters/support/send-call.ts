import type { OutgoingMessage } from "../../core/delivery.ts";
import { SendError, type TransportError } from "../../core/errors.ts";

/** One call of a publisher's `send`: settled with its last message, rejected when one of them failed. */
export class SendCall {
  readonly whenSent: Promise<void>;
  #left: number;
  #failed: Map<OutgoingMessage, TransportError> | undefined;
  readonly #resolve: () => void;
  readonly #reject: (error: SendError) => void;

  constructor(count: number) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.whenSent = promise;
    this.#left = count;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  sent(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#end();
  }

  failed(message: OutgoingMessage, error: TransportError): void {
    (this.#failed ??= new Map()).set(message, error);
    this.sent();
  }

  #end(): void {
    if (this.#failed === undefined) this.#resolve();
    else this.#reject(new SendError(this.#failed));
  }
}
