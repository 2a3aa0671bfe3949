// A queue, the messages of a subscription, or a dead-letter sub-queue: all the same thing here.
//
//   scheduled ──due──▶ active ──delivered──▶ locked ──complete──▶ (gone)
//       │                ▲  ▲                  │ │
//    cancelled           │  └──abandon, expiry─┘ └─defer─▶ deferred ──received by number──▶ locked
//                        │                       └─dead-letter, or too many tries─▶ dead-letter sub-queue
//
// Messages lie in one index by sequence number. Those that can be delivered lie in a second one, and the lowest number
// goes first, so that an abandoned message is back at its old place. Locks, times to live and schedules are heaps of
// deadlines behind one alarm. Nothing here knows of AMQP, of timers other than the clock it is given, or of its callers.
import { Alarm, type Clock } from "./clock.ts";
import type { Consumer } from "./consumers.ts";
import type { StateCounts } from "./counters.ts";
import { DuplicateHistory } from "./duplicate-history.ts";
import { LockTable } from "./lock-table.ts";
import { fresh, lettersOf, mergeProperties, type MessageContent, StoredMessage, type Transfer } from "./message.ts";
import { type EntityJournal, MessageStore } from "./message-store.ts";
import type { SettleResult, Settlement } from "./settlement.ts";
import { QueueAccount } from "./queue-account.ts";
import type { QueueParts } from "./queue-parts.ts";
import { type SessionHost, Sessions } from "./sessions.ts";
import type { QueueSettings } from "./settings.ts";
import { OpenShelf, type Shelf } from "./shelf.ts";

/** Deadlines that one ring of the alarm works off before others get a turn. */
const deadlinesPerRingMax = 4096;

export class MessageQueue extends QueueAccount {
  readonly deadLetters: MessageQueue | undefined;
  readonly transferLetters: MessageQueue | undefined;
  /** Where sessions are required: who holds which. */
  readonly sessions: Sessions | undefined;
  readonly #clock: Clock;
  readonly #nextLockId: () => number;
  readonly #forward: QueueParts<MessageQueue>["forward"];
  readonly #timeToLiveMaxMs: () => number;
  readonly #shelf: Shelf;
  readonly #store: MessageStore;
  readonly #locks = new LockTable();
  readonly #alarm: Alarm;
  #history: DuplicateHistory | undefined;
  #settings: QueueSettings;
  #lastSequence = 0;
  #deferredCount = 0;
  #dispatching = false;

  constructor(parts: QueueParts<MessageQueue>) {
    super(parts.path, parts.log, parts.clock.now());
    this.#settings = parts.settings;
    this.deadLetters = parts.deadLetters;
    this.#clock = parts.clock;
    this.#nextLockId = parts.nextLockId;
    this.#forward = parts.forward;
    this.#timeToLiveMaxMs = parts.timeToLiveMaxMs;
    this.transferLetters = parts.transferLetters;
    this.#alarm = new Alarm(parts.clock, () => this.#ring());
    this.sessions = parts.settings.requiresSession ? new Sessions(this.#sessionHost(parts.journal)) : undefined;
    this.#shelf = this.sessions ?? new OpenShelf();
    this.#store = new MessageStore(this.#shelf, parts.journal);
    this.#history = parts.settings.requiresDuplicateDetection ? new DuplicateHistory(parts.settings.duplicateWindowMs) : undefined;
  }

  get settings(): QueueSettings {
    return this.#settings;
  }

  /** Takes other settings. They hold for what comes from now on; messages that wait here move on when they are to be forwarded. */
  configure(settings: QueueSettings): void {
    const { duplicateWindowMs } = this.#settings;
    this.#settings = settings;
    this.updatedAtMs = this.#clock.now();
    if (settings.requiresDuplicateDetection && settings.duplicateWindowMs !== duplicateWindowMs) this.#history = new DuplicateHistory(settings.duplicateWindowMs);
    if (settings.forwardTo === undefined) return;
    for (let message = this.#shelf.first(); message !== undefined; message = this.#shelf.first()) {
      const { content, properties, enqueuedSequenceNumber, hops, deadLetterSource } = message;
      this.#store.remove(message);
      this.#moveOn({ content, properties, enqueuedSequenceNumber, hops, deadLetterSource }, settings.forwardTo);
    }
  }

  get states(): StateCounts {
    return {
      active: this.#shelf.size,
      locked: this.#locks.size,
      scheduled: this.#store.scheduledCount,
      deferred: this.#deferredCount,
      deadLettered: this.deadLetters?.size ?? 0,
    };
  }

  /** Messages held here, in any state. */
  get size(): number {
    return this.#store.size;
  }

  /** Bytes of the messages held here. */
  get bytes(): number {
    return this.#store.bytes;
  }

  get consumerCount(): number {
    return this.#shelf.consumerCount;
  }

  /** The last number that was given to a message. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  /** Every message held here, in order. */
  messages(): Iterable<StoredMessage> {
    return this.#store.all();
  }

  /** Takes back what was kept over a restart; no lock outlasts it. To be called before anything else is sent here. */
  restore(messages: Iterable<StoredMessage>, lastSequence: number): void {
    this.#lastSequence = Math.max(this.#lastSequence, lastSequence);
    for (const message of messages) {
      this.#store.add(message, true);
      if (message.state === "active") this.#shelf.put(message);
      else if (message.state === "deferred") this.#deferredCount++;
    }
    const next = this.#store.earliest;
    if (next !== Infinity) this.#alarm.set(next);
  }

  /** Ends all timers. Messages stay where they are. */
  stop(): void {
    this.#alarm.stop();
    this.deadLetters?.stop();
    this.transferLetters?.stop();
  }

  // --- what senders do ---

  /** Takes a message that was sent, now or for later as its annotation says. Call `dispatch` after the last of a batch. */
  accept(content: MessageContent): void {
    const nowMs = this.#clock.now();
    if (content.scheduledAtMs !== undefined && content.scheduledAtMs > nowMs) {
      this.schedule(content, content.scheduledAtMs);
      return;
    }
    if (this.#isRepeat(content, nowMs)) return;
    this.note("accepted", content);
    this.#enqueue(fresh(content), nowMs);
  }

  /** Takes a message for later. Returns the number under which it can be cancelled until then. */
  schedule(content: MessageContent, dueAtMs: number): number {
    const nowMs = this.#clock.now();
    const message = new StoredMessage(fresh(content), ++this.#lastSequence, nowMs);
    if (this.#isRepeat(content, nowMs)) return message.sequenceNumber;
    this.note("scheduledAccepted", content);
    message.state = "scheduled";
    message.dueAtMs = dueAtMs;
    this.#store.add(message);
    this.#alarm.set(dueAtMs);
    return message.sequenceNumber;
  }

  /** Cancels all of these, or none: false when one of them is not scheduled here. */
  cancelScheduled(sequenceNumbers: readonly number[]): boolean {
    const found = sequenceNumbers.map((sequence) => this.#store.get(sequence));
    if (!found.every((message) => message?.state === "scheduled")) return false;
    for (const message of new Set(found)) {
      if (message === undefined) continue;
      this.#store.remove(message);
      this.note("cancelled", message.content);
    }
    return true;
  }

  /** Takes a message from another entity: a topic's copy counts as accepted, a forwarded one as moved in. */
  acceptTransfer(transfer: Transfer, how: "accepted" | "movedIn"): void {
    const nowMs = this.#clock.now();
    if (this.#isRepeat(transfer.content, nowMs)) return;
    this.note(how, transfer.content);
    if (this.sessions !== undefined && transfer.content.sessionId === undefined) this.#acceptDead(transfer, "SessionIdMissing", "The message has no session id, which this entity requires.");
    else this.#enqueue(transfer, nowMs);
  }

  /** Takes a message that cannot be received from here, into the dead-letter sub-queue. */
  acceptDead(transfer: Transfer, reason: string, description: string): void {
    this.note("accepted", transfer.content);
    this.#acceptDead(transfer, reason, description);
  }

  #acceptDead(transfer: Transfer, reason: string, description: string): void {
    this.#deadLetter(new StoredMessage(transfer, ++this.#lastSequence, this.#clock.now()), reason, description);
  }

  // --- what receivers do ---

  /** Sets a consumer's credit to `credit`; it becomes a consumer with the first call. */
  setCredit(consumer: Consumer, credit: number): void {
    this.#shelf.setCredit(consumer, credit);
    this.dispatch();
  }

  /** Forgets a consumer. Its locks stay until they expire. */
  removeConsumer(consumer: Consumer): void {
    this.#shelf.removeConsumer(consumer);
  }

  /** Hands out what can be handed out. */
  dispatch(): void {
    if (this.#dispatching) return;
    this.#dispatching = true;
    try {
      let nowMs = 0;
      for (;;) {
        const message = this.#shelf.candidate();
        if (message === undefined) break;
        if (nowMs === 0) nowMs = this.#clock.now();
        if (message.expiresAtMs <= nowMs) {
          this.#expire(message);
          continue;
        }
        const consumer = this.#shelf.consumerFor(message);
        if (consumer === undefined) break;
        this.#shelf.take(message);
        consumer.deliver(message, this.#handOver(message, consumer.mode, consumer.name, nowMs));
      }
    } finally {
      this.#dispatching = false;
    }
    this.sessions?.grant();
  }

  /** Settles a message under a lock. A lock that is over, or is another one by now, is lost. */
  settle(message: StoredMessage, lockId: number, settlement: Settlement): SettleResult {
    const nowMs = this.#clock.now();
    if (message.lockId !== lockId || lockId === 0) return this.#refuse(message);
    if (message.lockedUntilMs <= nowMs) {
      if (this.sessions === undefined) this.#expireLock(message, nowMs);
      else this.sessions.expireLocks(nowMs);
      this.dispatch();
      return this.#refuse(message);
    }
    if (settlement.kind === "deadLetter" && this.deadLetters === undefined) return "notAllowed";
    this.#unlock(message);
    this.#apply(message, settlement, nowMs);
    return "settled";
  }

  /** Settles by lock number alone, as management does. */
  settleByLock(lockId: number, settlement: Settlement): SettleResult {
    const message = this.#locks.get(lockId);
    if (message !== undefined) return this.settle(message, lockId, settlement);
    this.counters.lockLost++;
    return "lockLost";
  }

  /** Renews a lock for another lock duration. Returns until when, or undefined when the lock is lost. */
  renew(lockId: number): number | undefined {
    const nowMs = this.#clock.now();
    const message = this.#locks.get(lockId);
    // In a session the lock is the session's, and is renewed as such.
    if (message === undefined || message.lockedUntilMs <= nowMs || this.sessions !== undefined) {
      this.counters.lockLost++;
      return undefined;
    }
    this.#locks.renew(message, nowMs + this.#settings.lockDurationMs);
    this.counters.renewedLocks++;
    return message.lockedUntilMs;
  }

  /** At most `countMax` messages from a number on, in any state, without locking them; of one session where that is named. */
  peek(fromSequence: number, countMax: number, sessionId?: string): StoredMessage[] {
    return this.#store.peek(fromSequence, countMax, this.#clock.now(), sessionId);
  }

  /**
   * Receives deferred messages by number, all of them or none: undefined when one is not deferred here, or is locked. Where
   * sessions are required, they are those of one session, whose lock the caller holds.
   */
  receiveDeferred(sequenceNumbers: readonly number[], mode: Consumer["mode"], holder: string, sessionId?: string): StoredMessage[] | undefined {
    const nowMs = this.#clock.now();
    const found: StoredMessage[] = [];
    for (const sequence of new Set(sequenceNumbers)) {
      const message = this.#store.get(sequence);
      if (message === undefined || message.state !== "deferred" || message.lockId !== 0 || message.expiresAtMs <= nowMs) return undefined;
      if (this.sessions !== undefined && message.content.sessionId !== sessionId) return undefined;
      found.push(message);
    }
    for (const message of found) {
      this.#deferredCount--;
      this.#handOver(message, mode, holder, nowMs);
    }
    return found;
  }

  /** Deletes the first messages that can be delivered and came before a time; nobody sees them. Returns how many. */
  deleteBatch(countMax: number, enqueuedBeforeMs: number, sessionId?: string): number {
    const picked = this.#store.deliverable(countMax, enqueuedBeforeMs, sessionId);
    for (const message of picked) {
      this.note("deleted", message.content);
      this.#store.remove(message);
    }
    return picked.length;
  }

  /** Ends the locks of the messages that `wanted` picks, as if their time were over. Returns how many. */
  expireLocksNow(wanted: (message: StoredMessage) => boolean): number {
    if (this.sessions !== undefined) return this.sessions.expireNow(wanted);
    const picked = this.#locks.all().filter(wanted);
    for (const message of picked) this.#expireLock(message, this.#clock.now());
    this.dispatch();
    return picked.length;
  }

  // --- inside ---

  #isRepeat(content: MessageContent, nowMs: number): boolean {
    if (this.#history === undefined || !this.#history.isRepeat(content.messageId, nowMs)) return false;
    this.note("duplicatesDropped", content);
    return true;
  }

  /** Makes a message deliverable under a new number, or sends it on. */
  #enqueue(transfer: Transfer, nowMs: number): void {
    const { forwardTo, timeToLiveMs } = this.#settings;
    if (forwardTo !== undefined) {
      this.#moveOn({ ...transfer, enqueuedSequenceNumber: transfer.enqueuedSequenceNumber ?? ++this.#lastSequence }, forwardTo);
      return;
    }
    const message = new StoredMessage(transfer, ++this.#lastSequence, nowMs);
    const livesMs = Math.min(transfer.content.timeToLiveMs ?? Infinity, timeToLiveMs, this.#timeToLiveMaxMs());
    if (livesMs !== Infinity) {
      message.expiresAtMs = nowMs + livesMs;
      this.#alarm.set(message.expiresAtMs);
    }
    this.accessedAtMs = nowMs;
    this.#store.add(message);
    this.#shelf.put(message);
  }

  #sessionHost(journal: EntityJournal | undefined): SessionHost {
    return {
      clock: this.#clock,
      lockDurationMs: () => this.#settings.lockDurationMs,
      giveBack: (message, how) => {
        const nowMs = this.#clock.now();
        if (how === "expired") return this.#expireLock(message, nowMs);
        this.#unlock(message);
        this.#giveBack(message, nowMs);
      },
      expire: (message) => this.#expire(message),
      wakeAt: (atMs) => this.#alarm.set(atMs),
      dispatch: () => this.dispatch(),
      onState: (sessionId, state) => journal?.setSessionState(sessionId, state),
    };
  }

  /** Moves a message on; one that cannot go there is kept with the reason. */
  #moveOn(transfer: Transfer, to: string): void {
    this.note("forwarded", transfer.content);
    const trouble = this.#forward({ ...transfer, hops: transfer.hops + 1 }, to);
    if (trouble === undefined) return;
    if (this.transferLetters !== undefined) this.transferLetters.#keepUnmoved(transfer, trouble, this.path);
  }

  /** Takes what could not be moved on, under a number of its own: its old one is another entity's. */
  #keepUnmoved(transfer: Transfer, trouble: string, source: string): void {
    const message = new StoredMessage(transfer, ++this.#lastSequence, this.#clock.now());
    message.properties = mergeProperties(message.properties, lettersOf("AutoForwardFailed", trouble));
    this.#bury(message, source);
  }

  /** Locks a message or, in receive-and-delete, takes it out. Returns the lock's number, 0 when there is none. */
  #handOver(message: StoredMessage, mode: Consumer["mode"], holder: string, nowMs: number): number {
    this.note("delivered", message.content);
    if (mode === "receiveAndDelete") {
      this.note("receivedAndDeleted", message.content);
      this.#store.remove(message);
      return 0;
    }
    const lockId = this.#nextLockId();
    const untilMs = nowMs + this.#settings.lockDurationMs;
    this.#locks.lock(message, lockId, holder, this.sessions === undefined ? untilMs : undefined);
    if (this.sessions === undefined) this.#alarm.set(untilMs);
    else this.sessions.onLocked(message);
    return lockId;
  }

  #apply(message: StoredMessage, settlement: Settlement, nowMs: number): void {
    message.isInDoubt = false;
    switch (settlement.kind) {
      case "complete":
        this.note("completed", message.content);
        this.#store.remove(message);
        return;
      case "abandon":
        this.note("abandoned", message.content);
        message.properties = mergeProperties(message.properties, settlement.properties);
        message.deliveryCount++;
        this.#giveBack(message, nowMs);
        this.dispatch();
        return;
      case "release":
        this.note("released", message.content);
        this.#giveBack(message, nowMs);
        this.dispatch();
        return;
      case "defer":
        this.note("deferred", message.content);
        message.properties = mergeProperties(message.properties, settlement.properties);
        message.deliveryCount++;
        message.state = "deferred";
        this.#giveBack(message, nowMs);
        return;
      case "deadLetter":
        this.counters.deadLetteredByReceiver++;
        message.properties = mergeProperties(message.properties, settlement.properties);
        this.#deadLetter(message, settlement.reason, settlement.description);
        return;
    }
  }

  #refuse(message: StoredMessage): "lockLost" {
    this.note("lockLost", message.content);
    message.isInDoubt = true;
    return "lockLost";
  }

  #unlock(message: StoredMessage): void {
    this.#locks.unlock(message);
    this.sessions?.onUnlocked(message);
  }

  /** Where a message goes whose lock has ended without taking it away. */
  #giveBack(message: StoredMessage, nowMs: number): void {
    if (message.expiresAtMs <= nowMs) this.#expire(message);
    else if (message.state === "deferred") {
      this.#deferredCount++;
      this.#store.changed(message);
    } else if (message.deliveryCount >= this.#settings.deliveryCountMax && this.deadLetters !== undefined) {
      this.counters.deadLetteredByDeliveryCount++;
      this.#deadLetter(message, "MaxDeliveryCountExceeded", `Message could not be consumed after ${message.deliveryCount} delivery attempts.`);
    } else {
      this.#store.changed(message);
      this.#shelf.put(message);
    }
  }

  #expireLock(message: StoredMessage, nowMs: number): void {
    this.note("expiredLocks", message.content);
    this.#unlock(message);
    message.deliveryCount++;
    message.isInDoubt = true;
    this.#giveBack(message, nowMs);
  }

  /** Ends a message whose time to live is over and that nobody holds. */
  #expire(message: StoredMessage): void {
    this.log?.add(message.content.messageId, "expired");
    if (this.#settings.deadLetterOnExpiry && this.deadLetters !== undefined) {
      this.counters.deadLetteredByExpiry++;
      this.#deadLetter(message, "TTLExpiredException", "The message expired and was dead lettered.");
    } else {
      this.counters.expiredDropped++;
      this.#store.remove(message);
    }
  }

  #deadLetter(message: StoredMessage, reason: string | undefined, description: string | undefined): void {
    message.properties = mergeProperties(message.properties, lettersOf(reason, description));
    this.#store.remove(message);
    this.note("deadLettered", message.content);
    if (this.deadLetters !== undefined) this.deadLetters.#bury(message, this.path);
  }

  /** Takes a dead letter. It keeps its number and its delivery count, and lives for ever, unless dead letters move on. */
  #bury(message: StoredMessage, source: string): void {
    const { content, properties, hops } = message;
    this.note("movedIn", content);
    const transfer: Transfer = { content, properties, enqueuedSequenceNumber: message.enqueuedSequenceNumber, hops, deadLetterSource: source };
    if (this.#settings.forwardTo !== undefined) {
      this.#moveOn(transfer, this.#settings.forwardTo);
      return;
    }
    const letter = new StoredMessage(transfer, message.sequenceNumber, message.enqueuedAtMs);
    letter.deliveryCount = message.deliveryCount;
    this.#store.add(letter);
    this.#shelf.put(letter);
    this.dispatch();
  }

  #ring(): void {
    const nowMs = this.#clock.now();
    let budget = deadlinesPerRingMax;
    for (let message = this.#locks.ended(nowMs); message !== undefined && budget-- > 0; message = this.#locks.ended(nowMs)) {
      this.#expireLock(message, nowMs);
    }
    for (let message = this.#store.due(nowMs); message !== undefined && budget-- > 0; message = this.#store.due(nowMs)) {
      this.#activate(message, nowMs);
    }
    for (let message = this.#store.expired(nowMs); message !== undefined; message = budget-- > 0 ? this.#store.expired(nowMs) : undefined) {
      // One that is locked, or is not enqueued yet, is looked at again when that ends.
      if (message.lockId === 0) {
        if (message.state === "deferred") this.#deferredCount--;
        this.#expire(message);
      }
    }
    this.sessions?.expireLocks(nowMs);
    this.dispatch();
    const next = Math.min(this.#locks.earliest, this.sessions?.earliestExpiry ?? Infinity, this.#store.earliest);
    if (next !== Infinity) this.#alarm.set(next);
  }

  /** A scheduled message's time has come: it is enqueued now, under a new number. */
  #activate(message: StoredMessage, nowMs: number): void {
    this.#store.remove(message);
    const { content, properties, hops } = message;
    this.#enqueue({ content, properties, enqueuedSequenceNumber: message.sequenceNumber, hops, deadLetterSource: undefined }, nowMs);
  }
}
