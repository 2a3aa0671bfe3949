// Where a queue keeps what can be delivered, and who waits for it.
import { type Consumer, Consumers } from "./consumers.ts";
import type { StoredMessage } from "./message.ts";
import { SequenceIndex } from "./sequence-index.ts";

export interface Shelf {
  /** Messages that can be delivered. */
  readonly size: number;
  readonly consumerCount: number;
  put(message: StoredMessage): void;
  /** Takes a message off; does nothing when it is not there. */
  take(message: StoredMessage): void;
  /** Any message that can be delivered; undefined when there is none. */
  first(): StoredMessage | undefined;
  setCredit(consumer: Consumer, credit: number): void;
  removeConsumer(consumer: Consumer): void;
  /** The message that is to be delivered next; it stays. */
  candidate(): StoredMessage | undefined;
  /** Who gets the candidate, with one credit taken; undefined when nobody can. */
  consumerFor(message: StoredMessage): Consumer | undefined;
}

/** Lowest number first, to whoever has credit. */
export class OpenShelf implements Shelf {
  readonly #ready = new SequenceIndex<StoredMessage>();
  readonly #consumers = new Consumers();

  get size(): number {
    return this.#ready.size;
  }

  get consumerCount(): number {
    return this.#consumers.size;
  }

  put(message: StoredMessage): void {
    this.#ready.set(message.sequenceNumber, message);
  }

  take(message: StoredMessage): void {
    this.#ready.delete(message.sequenceNumber);
  }

  first(): StoredMessage | undefined {
    return this.#ready.first();
  }

  setCredit(consumer: Consumer, credit: number): void {
    this.#consumers.setCredit(consumer, credit);
  }

  removeConsumer(consumer: Consumer): void {
    this.#consumers.remove(consumer);
  }

  candidate(): StoredMessage | undefined {
    return this.#ready.first();
  }

  consumerFor(_message: StoredMessage): Consumer | undefined {
    return this.#consumers.next();
  }
}
