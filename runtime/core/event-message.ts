import type { HeaderValue, OutgoingMessage } from "./delivery.ts";
import type { EventEnvelope } from "./event-envelope.ts";
import { eventHeaders } from "./event-headers.ts";

export interface EventMessageParts {
  /** What else the message says, beside what the event itself does. */
  readonly message?: Partial<OutgoingMessage> | undefined;
  /** Application properties beside the envelope's. */
  readonly properties?: Readonly<Record<string, HeaderValue>> | undefined;
  /** Stands beside the envelope's fields, in the body and as properties. */
  readonly label?: Readonly<Record<string, string>> | undefined;
  /** Stand last among the properties. */
  readonly headers?: Readonly<Record<string, HeaderValue>> | undefined;
}

/** An event as a message: the canonical envelope as JSON, and beside it the headers that routing reads. */
export function eventMessage(event: EventEnvelope, { message, properties, label, headers }: EventMessageParts = {}): OutgoingMessage {
  return {
    messageId: event.eventId,
    body: Buffer.from(JSON.stringify({ ...event, ...label })),
    contentType: "application/json",
    correlationId: event.correlationId,
    subject: event.eventType,
    ...message,
    headers: { ...properties, ...eventHeaders(event), ...label, ...headers },
  };
}
