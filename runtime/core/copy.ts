/** Scheduled copies: how a message is made to come again later, since Service Bus cannot abandon with a delay. */
import type { Delivery, HeaderValue, OutgoingMessage } from "./delivery.ts";

/** The message id of the first of a chain of copies, for whoever follows a message through the queue. */
export const originHeader = "holdfast-origin-message-id";
/** How often the message was postponed without being tried. It only lengthens the pause, so a forged one does little. */
export const postponedHeader = "holdfast-postponed";
/** Retries in place that were spent before this copy was made. It is clamped to what the policy allows, so a forged one does little. */
export const retriesInPlaceHeader = "holdfast-retries-in-place";
/** Message ids may have 128 characters; a copy's id adds the sequence number to the origin's. */
const originCharactersMax = 100;

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

export interface CopyMarks {
  /** In all, this time included. */
  readonly postponements: number;
  /** In all. */
  readonly retriesInPlace: number;
}

/**
 * The copy of a delivery that comes again at `atMs`. Its message id is made of the origin's and of the delivery's sequence
 * number: a copy that is made twice, because of a crash between scheduling it and completing the original, is one message
 * for a broker that detects duplicates, and no copy is ever taken for its original. A copy of a copy is marked: copies may be
 * read from a queue of their own, whose sequence numbers are others, and must not be taken for the copy they were made of.
 */
export function copyOf(delivery: Delivery, atMs: number, marks: CopyMarks): OutgoingMessage {
  const earlier = delivery.header(originHeader);
  const origin = typeof earlier === "string" ? earlier : delivery.messageId;
  const mark = typeof earlier === "string" ? "c" : "";
  const headers: Record<string, HeaderValue> = { ...delivery.headers(), [originHeader]: origin };
  if (marks.postponements > 0) headers[postponedHeader] = marks.postponements;
  if (marks.retriesInPlace > 0) headers[retriesInPlaceHeader] = marks.retriesInPlace;
  return {
    messageId: `${origin.slice(0, originCharactersMax)}~${mark}${delivery.sequenceNumber}`,
    body: delivery.body,
    contentType: delivery.contentType,
    correlationId: delivery.correlationId,
    subject: delivery.subject,
    headers,
    scheduledAtMs: atMs,
  };
}
