// A topic: takes messages, keeps the scheduled ones until they are due, and gives each subscription a copy.
import { MessageView } from "../filters/message-view.ts";
import type { RuleSet } from "../filters/rules.ts";
import { Alarm, type Clock } from "./clock.ts";
import { DeadlineHeap } from "./deadline-heap.ts";
import { DuplicateHistory } from "./duplicate-history.ts";
import { byDue, fresh, type MessageContent, StoredMessage, type Transfer } from "./message.ts";
import type { EntityJournal } from "./message-store.ts";
import type { MessageQueue } from "./queue.ts";
import { SequenceIndex } from "./sequence-index.ts";
import { fits, type TopicSettings } from "./settings.ts";

export interface Subscription {
  readonly name: string;
  readonly queue: MessageQueue;
  readonly rules: RuleSet;
}

/** The account of a topic; each starts at 0 and nothing resets it. */
export interface TopicCounters {
  accepted: number;
  scheduledAccepted: number;
  duplicatesDropped: number;
  cancelled: number;
  /** Copies that subscriptions got. */
  copied: number;
  /** Messages that no subscription wanted. */
  unmatched: number;
}

const activationsPerRingMax = 4096;

export class Topic {
  readonly path: string;
  readonly counters: TopicCounters = { accepted: 0, scheduledAccepted: 0, duplicatesDropped: 0, cancelled: 0, copied: 0, unmatched: 0 };
  /** By name in lower case. */
  readonly subscriptions: Map<string, Subscription> = new Map<string, Subscription>();
  readonly history: DuplicateHistory;
  readonly createdAtMs: number;
  updatedAtMs: number;
  /** When something was last sent to it. */
  accessedAtMs: number;
  #scheduledBytes = 0;
  readonly #clock: Clock;
  readonly #alarm: Alarm;
  readonly #journal: EntityJournal | undefined;
  readonly #scheduled = new SequenceIndex<StoredMessage>();
  readonly #dues = new DeadlineHeap<StoredMessage>(byDue);
  #settings: TopicSettings;
  #lastSequence = 0;

  constructor(path: string, settings: TopicSettings, clock: Clock, journal?: EntityJournal) {
    this.#journal = journal;
    this.path = path;
    this.#settings = settings;
    this.#clock = clock;
    this.createdAtMs = this.updatedAtMs = this.accessedAtMs = clock.now();
    this.#alarm = new Alarm(clock, () => this.#ring());
    this.history = new DuplicateHistory(settings.requiresDuplicateDetection ? settings.duplicateWindowMs : undefined, journal);
  }

  get settings(): TopicSettings {
    return this.#settings;
  }

  /** Takes other settings, for what comes from now on. */
  configure(settings: TopicSettings): void {
    this.#settings = settings;
    this.updatedAtMs = this.#clock.now();
    this.history.resize(settings.duplicateWindowMs);
  }

  get scheduledCount(): number {
    return this.#dues.size;
  }

  /** Bytes of what waits for its time, and of what the subscriptions hold. */
  get bytes(): number {
    let bytes = this.#scheduledBytes;
    for (const { queue } of this.subscriptions.values()) bytes += queue.bytes;
    return bytes;
  }

  /** Whether so many more bytes are within the size that is set. */
  hasRoomFor(bytes: number): boolean {
    return fits(this.bytes + bytes, this.#settings);
  }

  /** Messages wait for their time, or one of its subscriptions is in use. */
  get isInUse(): boolean {
    return this.#dues.size > 0 || [...this.subscriptions.values()].some(({ queue }) => queue.isInUse);
  }

  /** When it or one of its subscriptions was last used. */
  get usedAtMs(): number {
    return Math.max(this.accessedAtMs, this.updatedAtMs, ...[...this.subscriptions.values()].map(({ queue }) => queue.usedAtMs));
  }

  stop(): void {
    this.#alarm.stop();
    for (const { queue } of this.subscriptions.values()) queue.stop();
  }

  accept(content: MessageContent): void {
    const nowMs = this.#clock.now();
    if (content.scheduledAtMs !== undefined && content.scheduledAtMs > nowMs) {
      this.schedule(content, content.scheduledAtMs);
      return;
    }
    if (this.#isRepeat(content, nowMs)) return;
    this.counters.accepted++;
    this.accessedAtMs = nowMs;
    this.#fanOut(fresh(content));
  }

  /** Takes a message that was forwarded here. */
  acceptTransfer(transfer: Transfer, _how?: "movedIn"): void {
    if (this.#isRepeat(transfer.content, this.#clock.now())) return;
    this.counters.accepted++;
    this.accessedAtMs = this.#clock.now();
    this.#fanOut(transfer);
  }

  schedule(content: MessageContent, dueAtMs: number): number {
    const nowMs = this.#clock.now();
    const message = new StoredMessage(fresh(content), ++this.#lastSequence, nowMs);
    if (this.#isRepeat(content, nowMs)) return message.sequenceNumber;
    this.counters.scheduledAccepted++;
    this.accessedAtMs = nowMs;
    message.state = "scheduled";
    message.dueAtMs = dueAtMs;
    this.#hold(message);
    this.#journal?.put(message);
    this.#alarm.set(dueAtMs);
    return message.sequenceNumber;
  }

  cancelScheduled(sequenceNumbers: readonly number[]): readonly number[] {
    const found = sequenceNumbers.map((sequence) => this.#scheduled.get(sequence));
    const missing = sequenceNumbers.filter((_, i) => found[i] === undefined);
    if (missing.length > 0) return missing;
    for (const message of new Set(found)) {
      if (message === undefined) continue;
      this.#letGo(message);
      this.counters.cancelled++;
    }
    return missing;
  }

  /** The last number that was given to a message. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  /** The messages that wait for their time, in the order of their numbers. */
  *messages(): Generator<StoredMessage> {
    for (let message = this.#scheduled.first(); message !== undefined; message = this.#scheduled.atOrAfter(message.sequenceNumber + 1)) yield message;
  }

  /** Takes back what was kept over a restart. To be called before anything else is sent here. */
  restore(messages: Iterable<StoredMessage>, lastSequence: number): void {
    this.#lastSequence = Math.max(this.#lastSequence, lastSequence);
    for (const message of messages) {
      this.#hold(message);
    }
    if (this.#dues.size > 0) this.#alarm.set(this.#dues.earliest);
  }

  dispatch(): void {
    for (const { queue } of this.subscriptions.values()) queue.dispatch();
  }

  #hold(message: StoredMessage): void {
    this.#scheduled.set(message.sequenceNumber, message);
    this.#dues.add(message);
    this.#scheduledBytes += message.content.bare.length;
  }

  #letGo(message: StoredMessage): void {
    this.#dues.remove(message);
    this.#scheduled.delete(message.sequenceNumber);
    this.#scheduledBytes -= message.content.bare.length;
    this.#journal?.remove(message);
  }

  #isRepeat(content: MessageContent, nowMs: number): boolean {
    if (!this.history.isRepeat(content.messageId, nowMs)) return false;
    this.counters.duplicatesDropped++;
    return true;
  }

  #fanOut(transfer: Transfer): void {
    const copy: Transfer = { ...transfer, enqueuedSequenceNumber: transfer.enqueuedSequenceNumber ?? ++this.#lastSequence };
    const view = new MessageView(copy, this.#clock.now());
    let copies = 0;
    for (const { queue, rules } of this.subscriptions.values()) {
      const selection = rules.select(copy, view);
      for (const each of selection.copies) queue.acceptTransfer(each, "accepted");
      if (selection.trouble !== undefined && queue.settings.deadLetterOnFilterError) queue.acceptDead(copy, "FilterEvaluationException", selection.trouble);
      copies += selection.copies.length;
    }
    this.counters.copied += copies;
    if (copies === 0) this.counters.unmatched++;
  }

  #ring(): void {
    const nowMs = this.#clock.now();
    let budget = activationsPerRingMax;
    for (let message = this.#dues.peek(); message !== undefined && message.dueAtMs <= nowMs && budget-- > 0; message = this.#dues.peek()) {
      this.#letGo(message);
      this.#fanOut({ content: message.content, properties: undefined, enqueuedSequenceNumber: message.sequenceNumber, hops: 0, deadLetterSource: undefined });
    }
    this.dispatch();
    this.#alarm.set(this.#dues.earliest);
  }
}
