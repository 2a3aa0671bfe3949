// A message as one entity holds it. Its content never changes and may be shared with other entities.
import type { HeapFields } from "./deadline-heap.ts";

/** The immutable part of a message, shared by every entity that holds a copy of it. */
export interface MessageContent {
  /** Properties, application properties, body and footer, as they came. */
  readonly bare: Buffer;
  readonly durable: boolean;
  readonly priority: number;
  /** How long the sender lets it live, in milliseconds; undefined = as long as the entity does. */
  readonly timeToLiveMs: number | undefined;
  /** Annotations that are not the broker's own, as encoded keys and values, and how many pairs they are. */
  readonly annotations: Buffer | undefined;
  readonly annotationCount: number;
  readonly messageId: string;
  readonly sessionId: string | undefined;
  readonly partitionKey: string | undefined;
  /** When the sender wants it enqueued, in epoch milliseconds; undefined = now. */
  readonly scheduledAtMs: number | undefined;
}

/** Application properties that were set since a message was enqueued: text, or an encoded value. */
export type PropertyChanges = ReadonlyMap<string, string | Buffer>;

/** What travels when a message moves from one entity to another. */
export interface Transfer {
  readonly content: MessageContent;
  readonly properties: PropertyChanges | undefined;
  /** The number it had where it was first enqueued; undefined = here. */
  readonly enqueuedSequenceNumber: number | undefined;
  /** Auto-forwards so far. */
  readonly hops: number;
  /** Where it was dead-lettered; undefined = it was not. */
  readonly deadLetterSource: string | undefined;
}

export type MessageState = "active" | "deferred" | "scheduled";

export class StoredMessage {
  readonly content: MessageContent;
  sequenceNumber: number;
  enqueuedSequenceNumber: number;
  enqueuedAtMs: number;
  state: MessageState = "active";
  /** Tries that did not end in a settlement that removes it or releases it; starts at 0, nothing resets it. Stands still in a dead-letter sub-queue. */
  deliveryCount = 0;
  /** The lock it is under; 0 = none. A number is never used for a second lock. */
  lockId = 0;
  lockedUntilMs = 0;
  /** Who holds the lock, for people to read. */
  holder = "";
  /** Whether a holder's lock ended without a settlement, so that its work may have been done or not. */
  isInDoubt = false;
  expiresAtMs: number = Infinity;
  /** When it is due, while it is scheduled. */
  dueAtMs: number = Infinity;
  properties: PropertyChanges | undefined;
  /** The entity that last dead-lettered it. */
  readonly deadLetteredBy: string | undefined;
  /** Whether it lies in a dead-letter sub-queue. */
  isBuried = false;
  hops = 0;
  expiryPlace = -1;
  /** Its neighbours among those that are under a lock, by when that ends. */
  lockBefore: StoredMessage | undefined = undefined;
  lockAfter: StoredMessage | undefined = undefined;
  duePlace = -1;

  constructor(transfer: Transfer, sequenceNumber: number, enqueuedAtMs: number) {
    this.content = transfer.content;
    this.sequenceNumber = sequenceNumber;
    this.enqueuedSequenceNumber = transfer.enqueuedSequenceNumber ?? sequenceNumber;
    this.enqueuedAtMs = enqueuedAtMs;
    this.properties = transfer.properties;
    this.hops = transfer.hops;
    this.deadLetteredBy = transfer.deadLetterSource;
  }

  /** What receivers see: only a dead letter that has moved on says where it was one. */
  get deadLetterSource(): string | undefined {
    return this.isBuried ? undefined : this.deadLetteredBy;
  }
}

/** The content of a message that has just been sent. */
export function fresh(content: MessageContent): Transfer {
  return { content, properties: undefined, enqueuedSequenceNumber: undefined, hops: 0, deadLetterSource: undefined };
}

/** The properties that say why a message was dead-lettered. */
export function lettersOf(reason: string | undefined, description: string | undefined): PropertyChanges {
  const letters = new Map<string, string>();
  if (reason !== undefined) letters.set("DeadLetterReason", reason);
  if (description !== undefined) letters.set("DeadLetterErrorDescription", description);
  return letters;
}

/** The changes of `added` on top of those of `base`. */
export function mergeProperties(base: PropertyChanges | undefined, added: PropertyChanges | undefined): PropertyChanges | undefined {
  if (added === undefined || added.size === 0) return base;
  return base === undefined ? added : new Map([...base, ...added]);
}

export const byExpiry: HeapFields<StoredMessage> = {
  deadline: (message) => message.expiresAtMs,
  rank: (message) => message.sequenceNumber,
  place: (message) => message.expiryPlace,
  setPlace: (message, place) => {
    message.expiryPlace = place;
  },
};

export const byDue: HeapFields<StoredMessage> = {
  deadline: (message) => message.dueAtMs,
  rank: (message) => message.sequenceNumber,
  place: (message) => message.duePlace,
  setPlace: (message, place) => {
    message.duePlace = place;
  },
};
