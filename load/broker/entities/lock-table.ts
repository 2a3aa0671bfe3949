// The messages of a queue that are under a lock, by lock number, and when each lock ends.
import { DeadlineHeap } from "./deadline-heap.ts";
import { byLock, type StoredMessage } from "./message.ts";

export class LockTable {
  readonly #locked = new Map<number, StoredMessage>();
  readonly #expiries = new DeadlineHeap<StoredMessage>(byLock);

  get size(): number {
    return this.#locked.size;
  }

  get(lockId: number): StoredMessage | undefined {
    return this.#locked.get(lockId);
  }

  /** Puts a message under a lock. `untilMs` undefined = something else says when it ends. */
  lock(message: StoredMessage, lockId: number, holder: string, untilMs: number | undefined): void {
    message.lockId = lockId;
    message.holder = holder;
    this.#locked.set(lockId, message);
    if (untilMs === undefined) return;
    message.lockedUntilMs = untilMs;
    this.#expiries.add(message);
  }

  renew(message: StoredMessage, untilMs: number): void {
    message.lockedUntilMs = untilMs;
    this.#expiries.update(message);
  }

  unlock(message: StoredMessage): void {
    this.#locked.delete(message.lockId);
    this.#expiries.remove(message);
    message.lockId = 0;
    message.lockedUntilMs = 0;
    message.holder = "";
  }

  /** The message whose lock ends first, when it has ended by `nowMs`. */
  ended(nowMs: number): StoredMessage | undefined {
    const message = this.#expiries.peek();
    return message !== undefined && message.lockedUntilMs <= nowMs ? message : undefined;
  }

  get earliest(): number {
    return this.#expiries.earliest;
  }

  all(): StoredMessage[] {
    return [...this.#locked.values()];
  }
}
