// Who is waiting for an entity's messages. Those with credit take turns.
import type { StoredMessage } from "./message.ts";

export interface Consumer {
  readonly mode: "peekLock" | "receiveAndDelete";
  /** For people to read. */
  readonly name: string;
  /** Hands a message over; `lockId` is 0 in receive-and-delete. */
  deliver(message: StoredMessage, lockId: number): void;
}

interface Entry {
  readonly consumer: Consumer;
  credit: number;
  queued: boolean;
  gone: boolean;
}

export class Consumers {
  readonly #entries = new Map<Consumer, Entry>();
  /** Those with credit, in the order of their turns; the head moves instead of the array. */
  #turns: Entry[] = [];
  #head = 0;

  get size(): number {
    return this.#entries.size;
  }

  [Symbol.iterator](): IterableIterator<Consumer> {
    return this.#entries.keys();
  }

  setCredit(consumer: Consumer, credit: number): void {
    let entry = this.#entries.get(consumer);
    if (entry === undefined) {
      entry = { consumer, credit: 0, queued: false, gone: false };
      this.#entries.set(consumer, entry);
    }
    entry.credit = credit;
    if (credit > 0 && !entry.queued) this.#enqueue(entry);
  }

  remove(consumer: Consumer): void {
    const entry = this.#entries.get(consumer);
    if (entry === undefined) return;
    entry.gone = true;
    this.#entries.delete(consumer);
  }

  /** The one whose turn it is, with one credit taken from it; undefined when nobody has credit. */
  next(): Consumer | undefined {
    for (;;) {
      const entry = this.#turns[this.#head];
      if (entry === undefined) return undefined;
      if (entry.gone || entry.credit <= 0) {
        this.#dequeue(entry);
        continue;
      }
      entry.credit--;
      if (entry.credit === 0) this.#dequeue(entry);
      else if (this.#turns.length - this.#head > 1) {
        this.#dequeue(entry);
        this.#enqueue(entry);
      }
      return entry.consumer;
    }
  }

  #enqueue(entry: Entry): void {
    entry.queued = true;
    this.#turns.push(entry);
  }

  #dequeue(entry: Entry): void {
    entry.queued = false;
    this.#head++;
    if (this.#head < 64 || this.#head * 2 < this.#turns.length) return;
    this.#turns = this.#turns.slice(this.#head);
    this.#head = 0;
  }
}
