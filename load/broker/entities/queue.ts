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
import type { MessageContent } from "../codec/message.ts";
import { Alarm, type Clock } from "./clock.ts";
import { type Consumer, Consumers } from "./consumers.ts";
import { type Counters, newCounters, type StateCounts } from "./counters.ts";
import { DeadlineHeap } from "./deadline-heap.ts";
import { DuplicateHistory } from "./duplicate-history.ts";
import { byDue, byExpiry, byLock, fresh, lettersOf, mergeProperties, StoredMessage, type Transfer } from "./message.ts";
import type { OutcomeLog } from "./outcome-log.ts";
import { SequenceIndex } from "./sequence-index.ts";
import type { SettleResult, Settlement } from "./settlement.ts";
import type { QueueSettings } from "./settings.ts";

export interface QueueParts {
  readonly path: string;
  readonly settings: QueueSettings;
  readonly clock: Clock;
  /** Lock numbers, unique over the whole broker. */
  readonly nextLockId: () => number;
  /** Where dead letters go; undefined in a dead-letter sub-queue, which has none. */
  readonly deadLetters: MessageQueue | undefined;
  /** The longest life that something above it allows. */
  readonly timeToLiveMaxMs: () => number;
  /** Where messages go that cannot be moved on. */
  readonly transferLetters: MessageQueue | undefined;
  /** Moves a message on to another entity. Returns why it cannot. */
  readonly forward: (transfer: Transfer, to: string) => string | undefined;
  readonly log: OutcomeLog | undefined;
}

/** Deadlines that one ring of the alarm works off before others get a turn. */
const deadlinesPerRingMax = 4096;

export class MessageQueue {
  readonly path: string;
  readonly counters: Counters = newCounters();
  readonly deadLetters: MessageQueue | undefined;
  readonly transferLetters: MessageQueue | undefined;
  readonly log: OutcomeLog | undefined;
  readonly createdAtMs: number;
  updatedAtMs: number;
  /** When something was last sent to it or received from it. */
  accessedAtMs: number;
  readonly #clock: Clock;
  readonly #nextLockId: () => number;
  readonly #forward: QueueParts["forward"];
  readonly #timeToLiveMaxMs: () => number;
  readonly #messages = new SequenceIndex<StoredMessage>();
  readonly #ready = new SequenceIndex<StoredMessage>();
  readonly #locked = new Map<number, StoredMessage>();
  readonly #lockExpiries = new DeadlineHeap<StoredMessage>(byLock);
  readonly #expiries = new DeadlineHeap<StoredMessage>(byExpiry);
  readonly #dues = new DeadlineHeap<StoredMessage>(byDue);
  readonly #consumers = new Consumers();
  readonly #alarm: Alarm;
  #history: DuplicateHistory | undefined;
  #settings: QueueSettings;
  #lastSequence = 0;
  #bytes = 0;
  #deferredCount = 0;
  #dispatching = false;

  constructor(parts: QueueParts) {
    this.path = parts.path;
    this.#settings = parts.settings;
    this.deadLetters = parts.deadLetters;
    this.log = parts.log;
    this.#clock = parts.clock;
    this.createdAtMs = this.updatedAtMs = this.accessedAtMs = parts.clock.now();
    this.#nextLockId = parts.nextLockId;
    this.#forward = parts.forward;
    this.#timeToLiveMaxMs = parts.timeToLiveMaxMs;
    this.transferLetters = parts.transferLetters;
    this.#alarm = new Alarm(parts.clock, () => this.#ring());
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
    for (let message = this.#ready.first(); message !== undefined; message = this.#ready.first()) {
      const { content, properties, enqueuedSequenceNumber, hops, deadLetterSource } = message;
      this.#remove(message);
      this.#moveOn({ content, properties, enqueuedSequenceNumber, hops, deadLetterSource }, settings.forwardTo);
    }
  }

  get states(): StateCounts {
    return {
      active: this.#ready.size,
      locked: this.#locked.size,
      scheduled: this.#dues.size,
      deferred: this.#deferredCount,
      deadLettered: this.deadLetters?.size ?? 0,
    };
  }

  /** Messages held here, in any state. */
  get size(): number {
    return this.#messages.size;
  }

  /** Bytes of the messages held here. */
  get bytes(): number {
    return this.#bytes;
  }

  get consumerCount(): number {
    return this.#consumers.size;
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
    this.counters.accepted++;
    this.log?.add(content.messageId, "accepted");
    this.#enqueue(fresh(content), nowMs);
  }

  /** Takes a message for later. Returns the number under which it can be cancelled until then. */
  schedule(content: MessageContent, dueAtMs: number): number {
    const nowMs = this.#clock.now();
    const message = new StoredMessage(fresh(content), ++this.#lastSequence, nowMs);
    if (this.#isRepeat(content, nowMs)) return message.sequenceNumber;
    this.counters.scheduledAccepted++;
    this.log?.add(content.messageId, "scheduled");
    message.state = "scheduled";
    message.dueAtMs = dueAtMs;
    this.#keep(message);
    this.#dues.add(message);
    this.#alarm.set(dueAtMs);
    return message.sequenceNumber;
  }

  /** Cancels all of these, or none: false when one of them is not scheduled here. */
  cancelScheduled(sequenceNumbers: readonly number[]): boolean {
    const found = sequenceNumbers.map((sequence) => this.#messages.get(sequence));
    if (!found.every((message) => message?.state === "scheduled")) return false;
    for (const message of new Set(found)) {
      if (message === undefined) continue;
      this.#dues.remove(message);
      this.#drop(message);
      this.counters.cancelled++;
      this.log?.add(message.content.messageId, "cancelled");
    }
    return true;
  }

  /** Takes a message from another entity: a topic's copy counts as accepted, a forwarded one as moved in. */
  acceptTransfer(transfer: Transfer, how: "accepted" | "movedIn"): void {
    const nowMs = this.#clock.now();
    if (this.#isRepeat(transfer.content, nowMs)) return;
    this.counters[how]++;
    this.log?.add(transfer.content.messageId, "accepted");
    this.#enqueue(transfer, nowMs);
  }

  // --- what receivers do ---

  /** Sets a consumer's credit to `credit`; it becomes a consumer with the first call. */
  setCredit(consumer: Consumer, credit: number): void {
    this.#consumers.setCredit(consumer, credit);
    this.dispatch();
  }

  /** Forgets a consumer. Its locks stay until they expire. */
  removeConsumer(consumer: Consumer): void {
    this.#consumers.remove(consumer);
  }

  /** Hands out what can be handed out. */
  dispatch(): void {
    if (this.#dispatching) return;
    this.#dispatching = true;
    try {
      let nowMs = 0;
      for (;;) {
        const message = this.#ready.first();
        if (message === undefined) return;
        if (nowMs === 0) nowMs = this.#clock.now();
        if (message.expiresAtMs <= nowMs) {
          this.#expire(message);
          continue;
        }
        const consumer = this.#consumers.next();
        if (consumer === undefined) return;
        this.#ready.delete(message.sequenceNumber);
        this.#deliver(message, consumer, nowMs);
      }
    } finally {
      this.#dispatching = false;
    }
  }

  /** Settles a message under a lock. A lock that is over, or is another one by now, is lost. */
  settle(message: StoredMessage, lockId: number, settlement: Settlement): SettleResult {
    const nowMs = this.#clock.now();
    if (message.lockId !== lockId || lockId === 0) return this.#refuse(message);
    if (message.lockedUntilMs <= nowMs) {
      this.#expireLock(message, nowMs);
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
    const message = this.#locked.get(lockId);
    if (message !== undefined) return this.settle(message, lockId, settlement);
    this.counters.lockLost++;
    return "lockLost";
  }

  /** Renews a lock for another lock duration. Returns until when, or undefined when the lock is lost. */
  renew(lockId: number): number | undefined {
    const nowMs = this.#clock.now();
    const message = this.#locked.get(lockId);
    if (message === undefined || message.lockedUntilMs <= nowMs) {
      this.counters.lockLost++;
      return undefined;
    }
    message.lockedUntilMs = nowMs + this.#settings.lockDurationMs;
    this.#lockExpiries.update(message);
    this.counters.renewedLocks++;
    return message.lockedUntilMs;
  }

  /** At most `countMax` messages from a number on, in any state, without locking them. */
  peek(fromSequence: number, countMax: number): StoredMessage[] {
    const nowMs = this.#clock.now();
    const messages: StoredMessage[] = [];
    let next = this.#messages.atOrAfter(fromSequence);
    while (next !== undefined && messages.length < countMax) {
      if (next.expiresAtMs > nowMs || next.lockId !== 0) messages.push(next);
      next = this.#messages.atOrAfter(next.sequenceNumber + 1);
    }
    return messages;
  }

  /** Receives deferred messages by number, all of them or none: undefined when one is not deferred here, or is locked. */
  receiveDeferred(sequenceNumbers: readonly number[], mode: Consumer["mode"], holder: string): StoredMessage[] | undefined {
    const nowMs = this.#clock.now();
    const found: StoredMessage[] = [];
    for (const sequence of new Set(sequenceNumbers)) {
      const message = this.#messages.get(sequence);
      if (message === undefined || message.state !== "deferred" || message.lockId !== 0 || message.expiresAtMs <= nowMs) return undefined;
      found.push(message);
    }
    for (const message of found) {
      this.#deferredCount--;
      this.#handOver(message, mode, holder, nowMs);
    }
    return found;
  }

  // --- inside ---

  #keep(message: StoredMessage): void {
    this.#messages.set(message.sequenceNumber, message);
    this.#bytes += message.content.bare.length;
    this.accessedAtMs = message.enqueuedAtMs;
  }

  #drop(message: StoredMessage): void {
    if (this.#messages.delete(message.sequenceNumber)) this.#bytes -= message.content.bare.length;
  }

  #isRepeat(content: MessageContent, nowMs: number): boolean {
    if (this.#history === undefined || !this.#history.isRepeat(content.messageId, nowMs)) return false;
    this.counters.duplicatesDropped++;
    this.log?.add(content.messageId, "duplicate");
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
      this.#expiries.add(message);
      this.#alarm.set(message.expiresAtMs);
    }
    this.#keep(message);
    this.#ready.set(message.sequenceNumber, message);
  }

  /** Moves a message on; one that cannot go there is kept with the reason. */
  #moveOn(transfer: Transfer, to: string): void {
    this.counters.forwarded++;
    this.log?.add(transfer.content.messageId, "forwarded");
    const trouble = this.#forward({ ...transfer, hops: transfer.hops + 1 }, to);
    if (trouble === undefined) return;
    const message = new StoredMessage(transfer, transfer.enqueuedSequenceNumber ?? ++this.#lastSequence, this.#clock.now());
    message.properties = mergeProperties(message.properties, lettersOf("AutoForwardFailed", trouble));
    if (this.transferLetters !== undefined) this.transferLetters.#bury(message, this.path);
  }

  #deliver(message: StoredMessage, consumer: Consumer, nowMs: number): void {
    const lockId = this.#handOver(message, consumer.mode, consumer.name, nowMs);
    consumer.deliver(message, lockId);
  }

  /** Locks a message or, in receive-and-delete, takes it out. Returns the lock's number, 0 when there is none. */
  #handOver(message: StoredMessage, mode: Consumer["mode"], holder: string, nowMs: number): number {
    this.counters.delivered++;
    this.log?.add(message.content.messageId, "delivered");
    if (mode === "receiveAndDelete") {
      this.counters.receivedAndDeleted++;
      this.log?.add(message.content.messageId, "receivedAndDeleted");
      this.#remove(message);
      return 0;
    }
    const lockId = this.#nextLockId();
    message.lockId = lockId;
    message.lockedUntilMs = nowMs + this.#settings.lockDurationMs;
    message.holder = holder;
    this.#locked.set(lockId, message);
    this.#lockExpiries.add(message);
    this.#alarm.set(message.lockedUntilMs);
    return lockId;
  }

  #apply(message: StoredMessage, settlement: Settlement, nowMs: number): void {
    switch (settlement.kind) {
      case "complete":
        this.counters.completed++;
        this.log?.add(message.content.messageId, "completed");
        this.#remove(message);
        return;
      case "abandon":
        this.counters.abandoned++;
        this.log?.add(message.content.messageId, "abandoned");
        message.properties = mergeProperties(message.properties, settlement.properties);
        message.deliveryCount++;
        this.#giveBack(message, nowMs);
        this.dispatch();
        return;
      case "release":
        this.counters.released++;
        this.log?.add(message.content.messageId, "released");
        this.#giveBack(message, nowMs);
        this.dispatch();
        return;
      case "defer":
        this.counters.deferred++;
        this.log?.add(message.content.messageId, "deferred");
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
    this.counters.lockLost++;
    this.log?.add(message.content.messageId, "lockLost");
    return "lockLost";
  }

  #unlock(message: StoredMessage): void {
    this.#locked.delete(message.lockId);
    this.#lockExpiries.remove(message);
    message.lockId = 0;
    message.lockedUntilMs = 0;
    message.holder = "";
  }

  /** Where a message goes whose lock has ended without taking it away. */
  #giveBack(message: StoredMessage, nowMs: number): void {
    if (message.expiresAtMs <= nowMs) this.#expire(message);
    else if (message.state === "deferred") this.#deferredCount++;
    else if (message.deliveryCount >= this.#settings.deliveryCountMax && this.deadLetters !== undefined) {
      this.counters.deadLetteredByDeliveryCount++;
      this.#deadLetter(message, "MaxDeliveryCountExceeded", `Message could not be consumed after ${message.deliveryCount} delivery attempts.`);
    } else this.#ready.set(message.sequenceNumber, message);
  }

  #expireLock(message: StoredMessage, nowMs: number): void {
    this.counters.expiredLocks++;
    this.log?.add(message.content.messageId, "lockExpired");
    this.#unlock(message);
    message.deliveryCount++;
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
      this.#remove(message);
    }
  }

  #deadLetter(message: StoredMessage, reason: string | undefined, description: string | undefined): void {
    message.properties = mergeProperties(message.properties, lettersOf(reason, description));
    this.#remove(message);
    this.counters.deadLettered++;
    this.log?.add(message.content.messageId, "deadLettered");
    if (this.deadLetters !== undefined) this.deadLetters.#bury(message, this.path);
  }

  /** Takes a dead letter. It keeps its number and its delivery count, and lives for ever, unless dead letters move on. */
  #bury(message: StoredMessage, source: string): void {
    const { content, properties, hops } = message;
    this.counters.movedIn++;
    this.log?.add(content.messageId, "accepted");
    const transfer: Transfer = { content, properties, enqueuedSequenceNumber: message.enqueuedSequenceNumber, hops, deadLetterSource: source };
    if (this.#settings.forwardTo !== undefined) {
      this.#moveOn(transfer, this.#settings.forwardTo);
      return;
    }
    const letter = new StoredMessage(transfer, message.sequenceNumber, message.enqueuedAtMs);
    letter.deliveryCount = message.deliveryCount;
    this.#keep(letter);
    this.#ready.set(letter.sequenceNumber, letter);
    this.dispatch();
  }

  /** Takes a message out of every place where it may lie; its lock has ended already. */
  #remove(message: StoredMessage): void {
    this.#drop(message);
    this.#ready.delete(message.sequenceNumber);
    this.#expiries.remove(message);
  }

  #ring(): void {
    const nowMs = this.#clock.now();
    let budget = deadlinesPerRingMax;
    for (let message = this.#lockExpiries.peek(); message !== undefined && message.lockedUntilMs <= nowMs && budget-- > 0; message = this.#lockExpiries.peek()) {
      this.#expireLock(message, nowMs);
    }
    for (let message = this.#dues.peek(); message !== undefined && message.dueAtMs <= nowMs && budget-- > 0; message = this.#dues.peek()) {
      this.#activate(message, nowMs);
    }
    for (let message = this.#expiries.peek(); message !== undefined && message.expiresAtMs <= nowMs && budget-- > 0; message = this.#expiries.peek()) {
      this.#expiries.remove(message);
      // One that is locked, or is not enqueued yet, is looked at again when that ends.
      if (message.lockId === 0) {
        if (message.state === "deferred") this.#deferredCount--;
        this.#expire(message);
      }
    }
    this.dispatch();
    const next = Math.min(this.#lockExpiries.earliest, this.#dues.earliest, this.#expiries.earliest);
    if (next !== Infinity) this.#alarm.set(next);
  }

  /** A scheduled message's time has come: it is enqueued now, under a new number. */
  #activate(message: StoredMessage, nowMs: number): void {
    this.#dues.remove(message);
    this.#drop(message);
    const { content, properties, hops } = message;
    this.#enqueue({ content, properties, enqueuedSequenceNumber: message.sequenceNumber, hops, deadLetterSource: undefined }, nowMs);
  }
}
