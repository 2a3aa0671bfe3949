// The messages of a queue that are under a lock, by lock number, and when each lock ends.
import { LockOrder } from "./lock-order.ts";
import type { StoredMessage } from "./message.ts";

export class LockTable {
  readonly #locked = new Map<number, StoredMessage>();
  readonly #order = new LockOrder();

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
    this.#order.add(message);
  }

  renew(message: StoredMessage, untilMs: number): void {
    this.#order.remove(message);
    message.lockedUntilMs = untilMs;
    this.#order.add(message);
  }

  unlock(message: StoredMessage): void {
    this.#locked.delete(message.lockId);
    this.#order.remove(message);
    message.lockId = 0;
    message.lockedUntilMs = 0;
    message.holder = "";
  }

  /** The message whose lock ends first, when it has ended by `nowMs`. */
  ended(nowMs: number): StoredMessage | undefined {
    const { first } = this.#order;
    return first !== undefined && first.lockedUntilMs <= nowMs ? first : undefined;
  }

  get earliest(): number {
    return this.#order.first?.lockedUntilMs ?? Infinity;
  }

  all(): StoredMessage[] {
    return [...this.#locked.values()];
  }
}
