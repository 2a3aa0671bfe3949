// Where a queue's messages lie: all of them by number, those that can be delivered on the shelf, and the deadlines of those
// that are due or expire one day.
import { DeadlineHeap } from "./deadline-heap.ts";
import type { HistoryJournal } from "./duplicate-history.ts";
import { byDue, byExpiry, type StoredMessage } from "./message.ts";
import { SequenceIndex } from "./sequence-index.ts";
import type { Shelf } from "./shelf.ts";

/** Told of what has to outlast the process. */
export interface EntityJournal extends HistoryJournal {
  put(message: StoredMessage): void;
  /** A held message is under a lock; any change of it ends that. */
  lock(message: StoredMessage): void;
  /** A held message has another state, delivery count or other properties. */
  change(message: StoredMessage): void;
  remove(message: StoredMessage): void;
  setSessionState(sessionId: string, state: Buffer | undefined): void;
}

export class MessageStore {
  readonly shelf: Shelf;
  readonly #journal: EntityJournal | undefined;
  readonly #messages = new SequenceIndex<StoredMessage>();
  readonly #expiries = new DeadlineHeap<StoredMessage>(byExpiry);
  readonly #dues = new DeadlineHeap<StoredMessage>(byDue);
  #bytes = 0;

  constructor(shelf: Shelf, journal: EntityJournal | undefined) {
    this.shelf = shelf;
    this.#journal = journal;
  }

  get size(): number {
    return this.#messages.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get scheduledCount(): number {
    return this.#dues.size;
  }

  get(sequenceNumber: number): StoredMessage | undefined {
    return this.#messages.get(sequenceNumber);
  }

  /** Holds a message from now on; with `isKept` it is in the journal already. */
  add(message: StoredMessage, isKept = false): void {
    this.#messages.set(message.sequenceNumber, message);
    this.#bytes += message.content.bare.length;
    if (message.expiresAtMs !== Infinity) this.#expiries.add(message);
    if (message.dueAtMs !== Infinity) this.#dues.add(message);
    if (!isKept) this.#journal?.put(message);
  }

  /** Takes a message out of every place where it may lie; does nothing when it is not held. */
  remove(message: StoredMessage): void {
    if (!this.#messages.delete(message.sequenceNumber)) return;
    this.#bytes -= message.content.bare.length;
    this.shelf.take(message);
    this.#expiries.remove(message);
    this.#dues.remove(message);
    this.#journal?.remove(message);
  }

  locked(message: StoredMessage): void {
    this.#journal?.lock(message);
  }

  changed(message: StoredMessage): void {
    this.#journal?.change(message);
  }

  /** At most `countMax` messages from a number on, in any state; of one session where that is named. */
  peek(fromSequence: number, countMax: number, nowMs: number, sessionId: string | undefined): StoredMessage[] {
    const messages: StoredMessage[] = [];
    let next = this.#messages.atOrAfter(fromSequence);
    while (next !== undefined && messages.length < countMax) {
      if ((next.expiresAtMs > nowMs || next.lockId !== 0) && (sessionId === undefined || next.content.sessionId === sessionId)) messages.push(next);
      next = this.#messages.atOrAfter(next.sequenceNumber + 1);
    }
    return messages;
  }

  /** Every message, in the order of their numbers. */
  *all(): Generator<StoredMessage> {
    for (let message = this.#messages.first(); message !== undefined; message = this.#messages.atOrAfter(message.sequenceNumber + 1)) yield message;
  }

  /** The first messages that can be delivered and came by some time; of one session where that is named. */
  deliverable(countMax: number, enqueuedByMs: number, sessionId: string | undefined): StoredMessage[] {
    const picked: StoredMessage[] = [];
    for (const message of this.all()) {
      if (picked.length >= countMax) break;
      if (message.state !== "active" || message.lockId !== 0 || message.enqueuedAtMs > enqueuedByMs) continue;
      if (sessionId === undefined || message.content.sessionId === sessionId) picked.push(message);
    }
    return picked;
  }

  /** The scheduled message that is due first, when it is due. */
  due(nowMs: number): StoredMessage | undefined {
    const message = this.#dues.peek();
    return message !== undefined && message.dueAtMs <= nowMs ? message : undefined;
  }

  /** The message whose life is over first, when it is over. It is reported once. */
  expired(nowMs: number): StoredMessage | undefined {
    const message = this.#expiries.peek();
    if (message === undefined || message.expiresAtMs > nowMs) return undefined;
    this.#expiries.remove(message);
    return message;
  }

  /** When something is due or expires next. */
  get earliest(): number {
    return Math.min(this.#dues.earliest, this.#expiries.earliest);
  }
}
