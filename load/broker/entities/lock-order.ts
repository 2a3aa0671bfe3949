// Messages in the order in which their locks end; of two that end at once the lower number goes first. A queue's locks are of one length, so
// each new one ends last, or nearly, and is put in from there; whatever leaves only tells its neighbours. A heap, which asks nothing
// of the order in which things come, compares and moves a dozen others for each that leaves.
import type { StoredMessage } from "./message.ts";

export class LockOrder {
  #first: StoredMessage | undefined = undefined;
  #last: StoredMessage | undefined = undefined;

  get first(): StoredMessage | undefined {
    return this.#first;
  }

  /** Puts in a message that is not in. */
  add(message: StoredMessage): void {
    let before = this.#last;
    while (before !== undefined && endsBefore(message, before)) before = before.lockBefore;
    const after = before === undefined ? this.#first : before.lockAfter;
    message.lockBefore = before;
    message.lockAfter = after;
    if (before === undefined) this.#first = message;
    else before.lockAfter = message;
    if (after === undefined) this.#last = message;
    else after.lockBefore = message;
  }

  /** Takes a message out; does nothing when it is not in. */
  remove(message: StoredMessage): void {
    const { lockBefore: before, lockAfter: after } = message;
    if (before === undefined && this.#first !== message) return;
    if (before === undefined) this.#first = after;
    else before.lockAfter = after;
    if (after === undefined) this.#last = before;
    else after.lockBefore = before;
    message.lockBefore = undefined;
    message.lockAfter = undefined;
  }
}

function endsBefore(one: StoredMessage, other: StoredMessage): boolean {
  const difference = one.lockedUntilMs - other.lockedUntilMs;
  return difference === 0 ? one.sequenceNumber < other.sequenceNumber : difference < 0;
}
