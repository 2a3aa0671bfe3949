// A queue, the messages of a subscription, or a dead-letter sub-queue, which are all the same thing here: what senders and
// receivers ask of it. What becomes of its messages between that is described in queue-life.ts.
import type { Consumer } from "./consumers.ts";
import { fresh, mergeProperties, type MessageContent, StoredMessage, type Transfer } from "./message.ts";
import { QueueLife } from "./queue-life.ts";
import type { SettleResult, Settlement } from "./settlement.ts";

export class MessageQueue extends QueueLife {
  declare readonly deadLetters: MessageQueue | undefined;
  declare readonly transferLetters: MessageQueue | undefined;

  // --- what senders do ---

  /** Takes a message that was sent, now or for later as its annotation says. Call `dispatch` after the last of a batch. */
  accept(content: MessageContent): void {
    const nowMs = this.clock.now();
    if (content.scheduledAtMs !== undefined && content.scheduledAtMs > nowMs) {
      this.schedule(content, content.scheduledAtMs);
      return;
    }
    if (this.isRepeat(content, nowMs)) return;
    this.note("accepted", content);
    this.enqueue(fresh(content), nowMs);
  }

  /** Takes a message for later. Returns the number under which it can be cancelled until then. */
  schedule(content: MessageContent, dueAtMs: number): number {
    const nowMs = this.clock.now();
    this.accessedAtMs = nowMs;
    const message = new StoredMessage(fresh(content), this.nextSequence(), nowMs);
    if (this.isRepeat(content, nowMs)) return message.sequenceNumber;
    this.note("scheduledAccepted", content);
    message.state = "scheduled";
    message.dueAtMs = dueAtMs;
    this.store.add(message);
    this.alarm.set(dueAtMs);
    return message.sequenceNumber;
  }

  /** Cancels all of these, or none when some are not scheduled here. Returns those. */
  cancelScheduled(sequenceNumbers: readonly number[]): readonly number[] {
    const found = sequenceNumbers.map((sequence) => this.store.get(sequence));
    const missing = sequenceNumbers.filter((_, i) => found[i]?.state !== "scheduled");
    if (missing.length > 0) return missing;
    for (const message of new Set(found)) {
      if (message === undefined) continue;
      this.store.remove(message);
      this.note("cancelled", message.content);
    }
    return missing;
  }

  /** Takes a message from another entity: a topic's copy counts as accepted, a forwarded one as moved in. */
  acceptTransfer(transfer: Transfer, how: "accepted" | "movedIn"): void {
    const nowMs = this.clock.now();
    if (this.isRepeat(transfer.content, nowMs)) return;
    this.note(how, transfer.content);
    if (this.sessions !== undefined && transfer.content.sessionId === undefined)
      this.#acceptDead(transfer, "SessionIdMissing", "The message has no session id, which this entity requires.");
    else this.enqueue(transfer, nowMs);
  }

  /** Takes a message that cannot be received from here, into the dead-letter sub-queue. */
  acceptDead(transfer: Transfer, reason: string, description: string): void {
    this.note("accepted", transfer.content);
    this.#acceptDead(transfer, reason, description);
  }

  #acceptDead(transfer: Transfer, reason: string, description: string): void {
    this.deadLetter(new StoredMessage(transfer, this.nextSequence(), this.clock.now()), reason, description);
  }

  // --- what receivers do ---

  /** Sets a consumer's credit to `credit`; it becomes a consumer with the first call. */
  setCredit(consumer: Consumer, credit: number): void {
    this.shelf.setCredit(consumer, credit);
    this.dispatch();
  }

  /** Forgets a consumer. Its locks stay until they expire. */
  removeConsumer(consumer: Consumer): void {
    this.accessedAtMs = this.clock.now();
    this.shelf.removeConsumer(consumer);
  }

  /** Takes a message back that was to leave in receive-and-delete, and did not go out. */
  takeBack(message: StoredMessage): void {
    this.counters.receivedAndDeleted--;
    this.note("released", message.content);
    this.store.add(message);
    if (message.expiresAtMs !== Infinity) this.alarm.set(message.expiresAtMs);
    this.giveBack(message, this.clock.now());
    this.dispatch();
  }

  /** Settles a message under a lock. A lock that is over, or is another one by now, is lost. */
  settle(message: StoredMessage, lockId: number, settlement: Settlement): SettleResult {
    const nowMs = this.clock.now();
    this.accessedAtMs = nowMs;
    if (message.lockId !== lockId || lockId === 0) return this.#refuse(message);
    if (message.lockedUntilMs <= nowMs) {
      if (this.sessions === undefined) this.expireLock(message, nowMs);
      else this.sessions.expireLocks(nowMs);
      this.dispatch();
      return this.#refuse(message);
    }
    if (settlement.kind === "deadLetter" && this.deadLetters === undefined) return "notAllowed";
    this.unlock(message);
    this.#apply(message, settlement, nowMs);
    return "settled";
  }

  /** Settles by lock number alone, as management does. */
  settleByLock(lockId: number, settlement: Settlement): SettleResult {
    const message = this.locks.get(lockId);
    if (message !== undefined) return this.settle(message, lockId, settlement);
    this.counters.lockLost++;
    return "lockLost";
  }

  /** Renews a lock for another lock duration. Returns until when, or undefined when the lock is lost. */
  renew(lockId: number): number | undefined {
    const nowMs = this.clock.now();
    this.accessedAtMs = nowMs;
    const message = this.locks.get(lockId);
    // In a session the lock is the session's, and is renewed as such.
    if (message === undefined || message.lockedUntilMs <= nowMs || this.sessions !== undefined) {
      this.counters.lockLost++;
      return undefined;
    }
    this.locks.renew(message, nowMs + this.settings.lockDurationMs);
    this.counters.renewedLocks++;
    return message.lockedUntilMs;
  }

  /** At most `countMax` messages from a number on, in any state, without locking them; of one session where that is named. */
  peek(fromSequence: number, countMax: number, sessionId?: string): StoredMessage[] {
    this.accessedAtMs = this.clock.now();
    return this.look(fromSequence, countMax, sessionId);
  }

  /** The same for whoever watches the broker: it does not count as use. */
  look(fromSequence: number, countMax: number, sessionId?: string): StoredMessage[] {
    return this.store.peek(fromSequence, countMax, this.clock.now(), sessionId);
  }

  /**
   * Receives deferred messages by number, all of them or none: undefined when one is not deferred here, or is locked. Where
   * sessions are required, they are those of one session, whose lock the caller holds.
   */
  receiveDeferred(sequenceNumbers: readonly number[], mode: Consumer["mode"], holder: string, sessionId?: string): StoredMessage[] | undefined {
    const nowMs = this.clock.now();
    this.accessedAtMs = nowMs;
    const found: StoredMessage[] = [];
    for (const sequence of new Set(sequenceNumbers)) {
      const message = this.store.get(sequence);
      if (message === undefined || message.state !== "deferred" || message.lockId !== 0 || message.expiresAtMs <= nowMs) return undefined;
      if (this.sessions !== undefined && message.content.sessionId !== sessionId) return undefined;
      found.push(message);
    }
    for (const message of found) {
      this.deferredCount--;
      this.handOver(message, mode, holder, nowMs);
    }
    return found;
  }

  /** Deletes the first messages that can be delivered and came before a time; nobody sees them. Returns how many. */
  deleteBatch(countMax: number, enqueuedBeforeMs: number, sessionId?: string): number {
    const picked = this.store.deliverable(countMax, enqueuedBeforeMs, sessionId);
    for (const message of picked) {
      this.note("deleted", message.content);
      this.store.remove(message);
    }
    return picked.length;
  }

  /** Ends the locks of the messages that `wanted` picks, as if their time were over. Returns how many. */
  expireLocksNow(wanted: (message: StoredMessage) => boolean): number {
    if (this.sessions !== undefined) return this.sessions.expireNow(wanted);
    const picked = this.locks.all().filter(wanted);
    for (const message of picked) this.expireLock(message, this.clock.now());
    this.dispatch();
    return picked.length;
  }

  // --- inside ---

  #apply(message: StoredMessage, settlement: Settlement, nowMs: number): void {
    message.isInDoubt = false;
    switch (settlement.kind) {
      case "complete":
        this.note("completed", message.content);
        this.store.remove(message);
        return;
      case "abandon":
        this.note("abandoned", message.content);
        message.properties = mergeProperties(message.properties, settlement.properties);
        this.countTry(message);
        this.giveBack(message, nowMs);
        this.dispatch();
        return;
      case "release":
        this.note("released", message.content);
        this.giveBack(message, nowMs);
        this.dispatch();
        return;
      case "defer":
        this.note("deferred", message.content);
        message.properties = mergeProperties(message.properties, settlement.properties);
        this.countTry(message);
        message.state = "deferred";
        this.giveBack(message, nowMs);
        return;
      case "deadLetter":
        this.counters.deadLetteredByReceiver++;
        message.properties = mergeProperties(message.properties, settlement.properties);
        this.deadLetter(message, undefined, undefined);
        return;
    }
  }

  #refuse(message: StoredMessage): "lockLost" {
    this.note("lockLost", message.content);
    if (!message.isInDoubt && this.store.get(message.sequenceNumber) === message) {
      message.isInDoubt = true;
      this.store.changed(message);
      if (message.lockId !== 0) this.store.locked(message);
    }
    return "lockLost";
  }
}
