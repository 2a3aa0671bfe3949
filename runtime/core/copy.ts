/** Scheduled copies: how a message is delivered again later, since Service Bus cannot abandon with a delay. */
import type { Delivery, HeaderValue, IdValue, OutgoingMessage, Particulars } from "./delivery.ts";
import { deathHeaders } from "./death.ts";
import { unguessableId } from "./message-ids.ts";
import { replayHeader } from "./replay-order.ts";
import { traceparentHeader } from "./trace-context.ts";

/** The message id of the first of a chain of copies, for whoever follows a message through the queue. */
export const originHeader = "holdfast-origin-message-id";
/** How often the message was postponed without being tried. It only lengthens the pause, so a forged one does little. */
export const postponedHeader = "holdfast-postponed";
/** Retries in place that were spent before this copy was made. It is clamped to what the policy allows, so a forged one does little. */
export const retriesInPlaceHeader = "holdfast-retries-in-place";

/** It did not let go of its thread, or ended it: it is tried in a thread of its own. A forged one costs its own message its speed. */
export const apartHeader = "holdfast-apart";

/**
 * When the first of a chain of copies was enqueued, in the broker's milliseconds. A copy is enqueued when it is due, and is no
 * younger for that. A forged one only makes its own message older than it is.
 */
export const enqueuedFirstHeader = "holdfast-enqueued-first";

/** What a copy waits for until it is due, for people: a failure's code, or why it was postponed and the dependency. */
export const waitsForHeader = "holdfast-waits-for";

/** What the worker counted on the way of one message; a message that brings its event back, or elsewhere, goes without. */
export const triesHeaders: readonly string[] = [postponedHeader, retriesInPlaceHeader, apartHeader, enqueuedFirstHeader, waitsForHeader];

function countOf(delivery: Delivery, header: string): number {
  const value = delivery.header(header);
  const count = typeof value === "bigint" ? Number(value) : value;
  return typeof count === "number" && Number.isSafeInteger(count) && count > 0 ? count : 0;
}

export function postponementsOf(delivery: Delivery): number {
  return countOf(delivery, postponedHeader);
}

/** Never more than `immediateMax`. */
export function retriesInPlaceOf(delivery: Delivery, immediateMax: number): number {
  return Math.min(immediateMax, countOf(delivery, retriesInPlaceHeader));
}

export function isApartOf(delivery: Delivery): boolean {
  return delivery.header(apartHeader) === true;
}

/** When this message of its event was first enqueued, by the broker's wall clock, through all its copies. */
export function enqueuedFirstMs(delivery: Delivery): number {
  const first = countOf(delivery, enqueuedFirstHeader);
  // A dead letter that was sent again as it was has the times of the message that died.
  if (first === 0 || delivery.header("DeadLetterReason") !== undefined) return delivery.enqueuedAtMs;
  return Math.min(first, delivery.enqueuedAtMs);
}

/**
 * Whether a worker may have begun its event before, as far as its message tells: it was delivered before, or carries on one that was. A
 * forged header only makes its own message's event one that is handled with more care.
 */
export function wasDelivered(delivery: Delivery): boolean {
  return delivery.attempt > 1 || delivery.header(originHeader) !== undefined || wasBroughtBack(delivery);
}

/** By a replay, or by someone who sent its dead letter as it was. */
function wasBroughtBack(delivery: Delivery): boolean {
  return ["DeadLetterReason", replayHeader].some((header) => delivery.header(header) !== undefined);
}

/** Says in a copy's `waitsForHeader` that nothing was tried of it: its worker was over its bounds, and others were more important. */
export const shedReason = "shed";

/**
 * Whether nothing of its event has begun, as far as its message tells: it is new, or carries on one that was and has only been shed. A
 * forged header only has its own message shed.
 */
export function isUntouched(delivery: Delivery): boolean {
  return !wasDelivered(delivery) || (delivery.attempt === 1 && delivery.header(waitsForHeader) === shedReason && !wasBroughtBack(delivery));
}

/** When it is over with a delivery, by the broker's wall clock; Infinity when it does not say. */
export function expiresAtMs(delivery: Delivery): number {
  return delivery.timeToLiveMs === undefined ? Number.POSITIVE_INFINITY : delivery.enqueuedAtMs + delivery.timeToLiveMs;
}

export interface CopyOrder {
  /** When it is to be delivered again, by the broker's wall clock. */
  readonly atMs: number;
  /** Shared by the workers of the consumer; see message-ids.ts. */
  readonly secret: string;
  /** In all, this time included. */
  readonly postponements: number;
  /** In all. */
  readonly retriesInPlace: number;
  readonly isApart?: boolean;
  /** At most 200 characters. */
  readonly waitsFor?: string;
  /** It comes however old it is by then. */
  readonly outlivesItself?: boolean;
  /** Of the try that it repeats, where that is told of; else it says of its trace what the delivery does. */
  readonly traceparent?: string | undefined;
}

/** The application properties of a delivery, without what an earlier death has left. */
export function livingHeaders(delivery: Delivery): Record<string, HeaderValue> {
  return Object.fromEntries(Object.entries(delivery.headers()).filter(([name]) => !deathHeaders.has(name)));
}

type CopyParts = Pick<MessageCopy, "of" | "messageId" | "added" | "scheduledAtMs" | "timeToLiveMs">;

/**
 * A delivery's message, sent once more under another id. A publisher that has the delivery as bytes copies those and writes only what changes;
 * for every other one it is a message like any other, which is put together when it is read.
 */
export class MessageCopy implements OutgoingMessage {
  readonly of: Delivery;
  readonly messageId: string;
  /** Application properties that it has besides those of the delivery, or in their place. */
  readonly added: ReadonlyMap<string, HeaderValue>;
  readonly scheduledAtMs: number;
  readonly timeToLiveMs: number | undefined;
  #particulars: Particulars | undefined;

  constructor({ of, messageId, added, scheduledAtMs, timeToLiveMs }: CopyParts) {
    this.of = of;
    this.messageId = messageId;
    this.added = added;
    this.scheduledAtMs = scheduledAtMs;
    this.timeToLiveMs = timeToLiveMs;
  }

  /** Whether the copy goes without this application property of the delivery. */
  drops(name: string): boolean {
    return deathHeaders.has(name) || this.added.has(name);
  }

  get headers(): Readonly<Record<string, HeaderValue>> {
    return Object.fromEntries([...Object.entries(livingHeaders(this.of)), ...this.added]);
  }

  get body(): Uint8Array {
    return this.of.body;
  }

  get contentType(): string | undefined {
    return this.of.contentType;
  }

  get subject(): string | undefined {
    return this.of.subject;
  }

  get #of(): Particulars {
    return (this.#particulars ??= this.of.particulars());
  }

  get correlationId(): IdValue | undefined {
    return this.#of.correlationId;
  }

  get to(): string | undefined {
    return this.#of.to;
  }

  get replyTo(): string | undefined {
    return this.#of.replyTo;
  }

  get sessionId(): string | undefined {
    return this.#of.sessionId;
  }

  get replyToSessionId(): string | undefined {
    return this.#of.replyToSessionId;
  }

  get partitionKey(): string | undefined {
    return this.#of.partitionKey;
  }

  get userId(): Uint8Array | undefined {
    return this.#of.userId;
  }

  get contentEncoding(): string | undefined {
    return this.#of.contentEncoding;
  }
}

/**
 * The copy of a delivery that is delivered again later, and the same message in every other respect. Its id stands for this very
 * delivery's message, in its entity: a copy that is made twice, because of a crash between scheduling it and completing the
 * original, is one message for a broker that detects duplicates; and no copy is taken for its original, for the copy it
 * was made of, or for what somebody else has sent. What it has left to live counts from when it is due.
 */
export function copyOf(
  delivery: Delivery,
  { atMs, secret, postponements, retriesInPlace, isApart = false, waitsFor, outlivesItself = false, traceparent }: CopyOrder,
): MessageCopy {
  const earlier = delivery.header(originHeader);
  const origin = typeof earlier === "string" ? earlier : delivery.messageId;
  const added = new Map<string, HeaderValue>();
  added.set(originHeader, origin).set(enqueuedFirstHeader, enqueuedFirstMs(delivery));
  if (postponements > 0) added.set(postponedHeader, postponements);
  if (retriesInPlace > 0) added.set(retriesInPlaceHeader, retriesInPlace);
  if (isApart) added.set(apartHeader, true);
  if (waitsFor !== undefined) added.set(waitsForHeader, waitsFor);
  if (traceparent !== undefined) added.set(traceparentHeader, traceparent);
  const untilMs = outlivesItself ? Number.POSITIVE_INFINITY : expiresAtMs(delivery);
  return new MessageCopy({
    of: delivery,
    messageId: unguessableId(secret, origin, "copy", delivery.messageId, delivery.sequenceNumber, delivery.enqueuedAtMs),
    added,
    scheduledAtMs: atMs,
    timeToLiveMs: untilMs === Number.POSITIVE_INFINITY ? undefined : Math.max(1, Math.ceil(untilMs - atMs)),
  });
}
