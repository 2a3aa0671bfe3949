// The life of a queue's messages: where they lie, what becomes of them by themselves, and where they go from here.
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
import { lettersOf, mergeProperties, type MessageContent, StoredMessage, type Transfer } from "./message.ts";
import { type EntityJournal, MessageStore } from "./message-store.ts";
import { QueueAccount } from "./queue-account.ts";
import type { QueueParts } from "./queue-parts.ts";
import { type SessionHost, Sessions } from "./sessions.ts";
import { fits, type QueueSettings } from "./settings.ts";
import { OpenShelf, type Shelf } from "./shelf.ts";

/** Deadlines that one ring of the alarm works off before others get a turn. */
const deadlinesPerRingMax = 4096;

export class QueueLife extends QueueAccount {
  readonly deadLetters: QueueLife | undefined;
  readonly transferLetters: QueueLife | undefined;
  /** Where sessions are required: who holds which. */
  readonly sessions: Sessions | undefined;
  readonly history: DuplicateHistory;
  protected readonly clock: Clock;
  readonly #nextLockId: () => number;
  readonly #forward: QueueParts<QueueLife>["forward"];
  readonly #timeToLiveMaxMs: () => number;
  protected readonly shelf: Shelf;
  protected readonly store: MessageStore;
  protected readonly locks: LockTable = new LockTable();
  protected readonly alarm: Alarm;
  #settings: QueueSettings;
  #lastSequence = 0;
  protected deferredCount: number = 0;
  #dispatching = false;

  constructor(parts: QueueParts<QueueLife>) {
    super(parts.path, parts.log, parts.clock.now());
    this.#settings = parts.settings;
    this.deadLetters = parts.deadLetters;
    this.clock = parts.clock;
    this.#nextLockId = parts.nextLockId;
    this.#forward = parts.forward;
    this.#timeToLiveMaxMs = parts.timeToLiveMaxMs;
    this.transferLetters = parts.transferLetters;
    this.alarm = new Alarm(parts.clock, () => this.#ring());
    this.sessions = parts.settings.requiresSession ? new Sessions(this.#sessionHost(parts.journal)) : undefined;
    this.shelf = this.sessions ?? new OpenShelf();
    this.store = new MessageStore(this.shelf, parts.journal);
    this.history = new DuplicateHistory(parts.settings.requiresDuplicateDetection ? parts.settings.duplicateWindowMs : undefined, parts.journal);
  }

  get settings(): QueueSettings {
    return this.#settings;
  }

  /** Takes other settings. They hold for what comes from now on; messages that wait here move on when they are to be forwarded. */
  configure(settings: QueueSettings): void {
    this.#settings = settings;
    this.updatedAtMs = this.clock.now();
    this.history.resize(settings.duplicateWindowMs);
    this.forwardWaiting();
  }

  /** What waits here moves on where it is to be forwarded. */
  forwardWaiting(): void {
    const { forwardTo } = this.#settings;
    if (forwardTo === undefined) return;
    for (let message = this.shelf.first(); message !== undefined; message = this.shelf.first()) this.#sendOn(message, forwardTo);
  }

  get states(): StateCounts {
    return {
      active: this.shelf.size,
      locked: this.locks.size,
      scheduled: this.store.scheduledCount,
      deferred: this.deferredCount,
      deadLettered: this.deadLetters?.size ?? 0,
    };
  }

  /** Messages held here, in any state. */
  get size(): number {
    return this.store.size;
  }

  /** Bytes of the messages held here, and in the sub-queues. */
  get bytes(): number {
    return this.store.bytes + (this.deadLetters?.store.bytes ?? 0) + (this.transferLetters?.store.bytes ?? 0);
  }

  /** Whether so many more bytes are within the size that is set. */
  hasRoomFor(bytes: number): boolean {
    return fits(this.bytes + bytes, this.#settings);
  }

  /** Somebody waits for its messages, or its messages for their time. */
  get isInUse(): boolean {
    return this.consumerCount > 0 || this.store.scheduledCount > 0 || (this.deadLetters?.isInUse ?? false) || (this.transferLetters?.consumerCount ?? 0) > 0;
  }

  /** When it was last used, sub-queues included. */
  get usedAtMs(): number {
    return Math.max(this.accessedAtMs, this.updatedAtMs, this.deadLetters?.usedAtMs ?? 0, this.transferLetters?.accessedAtMs ?? 0);
  }

  get consumerCount(): number {
    return this.shelf.consumerCount;
  }

  /** The last number that was given to a message. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  protected nextSequence(): number {
    return ++this.#lastSequence;
  }

  /** Every message held here, in order. */
  messages(): Iterable<StoredMessage> {
    return this.store.all();
  }

  /** Takes back what was kept over a restart; no lock outlasts it. To be called before anything else is sent here. */
  restore(messages: Iterable<StoredMessage>, lastSequence: number): void {
    this.#lastSequence = Math.max(this.#lastSequence, lastSequence);
    for (const message of messages) {
      message.isBuried = this.deadLetters === undefined;
      this.store.add(message, true);
      if (message.state === "active") this.shelf.put(message);
      else if (message.state === "deferred") this.deferredCount++;
    }
    const next = this.store.earliest;
    if (next !== Infinity) this.alarm.set(next);
  }

  /** Counts one more try for a restored message that was under a lock: its holder may have done the work or not. */
  endInterrupted(message: StoredMessage): void {
    if (message.state === "deferred") this.deferredCount--;
    else this.shelf.take(message);
    this.expireLock(message, this.clock.now());
  }

  /** Ends all timers. Messages stay where they are. */
  stop(): void {
    this.alarm.stop();
    this.deadLetters?.stop();
    this.transferLetters?.stop();
  }

  // --- comings ---

  protected isRepeat(content: MessageContent, nowMs: number): boolean {
    if (!this.history.isRepeat(content.messageId, nowMs)) return false;
    this.note("duplicatesDropped", content);
    return true;
  }

  /** Makes a message deliverable under a new number, or sends it on. */
  protected enqueue(transfer: Transfer, nowMs: number): void {
    const { forwardTo, timeToLiveMs } = this.#settings;
    this.accessedAtMs = nowMs;
    if (forwardTo !== undefined) {
      this.#moveOn({ ...transfer, enqueuedSequenceNumber: transfer.enqueuedSequenceNumber ?? this.nextSequence() }, forwardTo);
      return;
    }
    const message = new StoredMessage(transfer, this.nextSequence(), nowMs);
    const livesMs = Math.min(transfer.content.timeToLiveMs ?? Infinity, timeToLiveMs, this.#timeToLiveMaxMs());
    if (livesMs !== Infinity) {
      message.expiresAtMs = nowMs + livesMs;
      this.alarm.set(message.expiresAtMs);
    }
    this.store.add(message);
    this.shelf.put(message);
  }

  #sessionHost(journal: EntityJournal | undefined): SessionHost {
    return {
      clock: this.clock,
      lockDurationMs: () => this.#settings.lockDurationMs,
      giveBack: (message, how) => {
        const nowMs = this.clock.now();
        if (how === "expired") return this.expireLock(message, nowMs);
        this.unlock(message);
        this.giveBack(message, nowMs);
      },
      expire: (message) => this.#expire(message),
      wakeAt: (atMs) => this.alarm.set(atMs),
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
    const message = new StoredMessage(transfer, this.nextSequence(), this.clock.now());
    message.properties = mergeProperties(message.properties, lettersOf("AutoForwardFailed", trouble));
    this.#bury(message, source);
  }

  /** Locks a message or, in receive-and-delete, takes it out. Returns the lock's number, 0 when there is none. */
  protected handOver(message: StoredMessage, mode: Consumer["mode"], holder: string, nowMs: number): number {
    this.note("delivered", message.content);
    if (mode === "receiveAndDelete") {
      this.note("receivedAndDeleted", message.content);
      this.store.remove(message);
      return 0;
    }
    const lockId = this.#nextLockId();
    const untilMs = nowMs + this.#settings.lockDurationMs;
    this.locks.lock(message, lockId, holder, this.sessions === undefined ? untilMs : undefined);
    this.store.locked(message);
    if (this.sessions === undefined) this.alarm.set(untilMs);
    else this.sessions.onLocked(message);
    return lockId;
  }

  protected unlock(message: StoredMessage): void {
    this.locks.unlock(message);
    this.sessions?.onUnlocked(message);
  }

  /** Where a message goes whose lock has ended without taking it away. */
  protected giveBack(message: StoredMessage, nowMs: number): void {
    if (message.expiresAtMs <= nowMs) this.#expire(message);
    else if (message.state === "deferred") {
      this.deferredCount++;
      this.store.changed(message);
    } else if (message.deliveryCount >= this.#settings.deliveryCountMax && this.deadLetters !== undefined) {
      this.counters.deadLetteredByDeliveryCount++;
      this.deadLetter(message, "MaxDeliveryCountExceeded", `Message could not be consumed after ${message.deliveryCount} delivery attempts.`);
    } else if (this.#settings.forwardTo !== undefined) this.#sendOn(message, this.#settings.forwardTo);
    else {
      this.store.changed(message);
      this.shelf.put(message);
    }
  }

  /** Moves on what was held here. */
  #sendOn(message: StoredMessage, to: string): void {
    const { content, properties, enqueuedSequenceNumber, hops, deadLetteredBy: deadLetterSource } = message;
    this.store.remove(message);
    this.#moveOn({ content, properties, enqueuedSequenceNumber, hops, deadLetterSource }, to);
  }

  /** A dead letter keeps the count that it died with. */
  protected countTry(message: StoredMessage): void {
    if (!message.isBuried) message.deliveryCount++;
  }

  protected expireLock(message: StoredMessage, nowMs: number): void {
    this.note("expiredLocks", message.content);
    this.unlock(message);
    this.countTry(message);
    message.isInDoubt = true;
    this.giveBack(message, nowMs);
  }

  /** Ends a message whose time to live is over and that nobody holds. */
  #expire(message: StoredMessage): void {
    this.log?.add(message.content.messageId, "expired");
    if (this.#settings.deadLetterOnExpiry && this.deadLetters !== undefined) {
      this.counters.deadLetteredByExpiry++;
      this.deadLetter(message, "TTLExpiredException", "The message expired and was dead lettered.");
    } else {
      this.counters.expiredDropped++;
      this.store.remove(message);
    }
  }

  protected deadLetter(message: StoredMessage, reason: string | undefined, description: string | undefined): void {
    message.properties = mergeProperties(message.properties, lettersOf(reason, description));
    this.store.remove(message);
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
    letter.isBuried = true;
    this.store.add(letter);
    this.shelf.put(letter);
    this.dispatch();
  }

  #ring(): void {
    const nowMs = this.clock.now();
    let budget = deadlinesPerRingMax;
    for (let message = this.locks.ended(nowMs); message !== undefined && budget-- > 0; message = this.locks.ended(nowMs)) {
      this.expireLock(message, nowMs);
    }
    for (let message = this.store.due(nowMs); message !== undefined && budget-- > 0; message = this.store.due(nowMs)) {
      this.#activate(message, nowMs);
    }
    for (let message = this.store.expired(nowMs); message !== undefined; message = budget-- > 0 ? this.store.expired(nowMs) : undefined) {
      // One that is locked, or is not enqueued yet, is looked at again when that ends.
      if (message.lockId === 0) {
        if (message.state === "deferred") this.deferredCount--;
        this.#expire(message);
      }
    }
    this.sessions?.expireLocks(nowMs);
    this.dispatch();
    const next = Math.min(this.locks.earliest, this.sessions?.earliestExpiry ?? Infinity, this.store.earliest);
    if (next !== Infinity) this.alarm.set(next);
  }

  /** A scheduled message's time has come: it is enqueued now, under a new number. */
  #activate(message: StoredMessage, nowMs: number): void {
    this.store.remove(message);
    const { content, properties, hops } = message;
    this.enqueue({ content, properties, enqueuedSequenceNumber: message.sequenceNumber, hops, deadLetterSource: undefined }, nowMs);
  }

  /** Hands out what can be handed out. */
  dispatch(): void {
    if (this.#dispatching) return;
    this.#dispatching = true;
    try {
      let nowMs = 0;
      for (;;) {
        const message = this.shelf.candidate();
        if (message === undefined) break;
        if (nowMs === 0) nowMs = this.clock.now();
        if (message.expiresAtMs <= nowMs) {
          this.#expire(message);
          continue;
        }
        const consumer = this.shelf.consumerFor(message);
        if (consumer === undefined) break;
        this.shelf.take(message);
        this.accessedAtMs = nowMs;
        consumer.deliver(message, this.handOver(message, consumer.mode, consumer.name, nowMs));
      }
    } finally {
      this.#dispatching = false;
    }
    this.sessions?.grant();
  }
}
