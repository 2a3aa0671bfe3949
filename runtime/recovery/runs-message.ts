/** The message of an event, for a command that needs it: a dead letter, one that lies in the queue, or one from a file. */
import { eventHeaders } from "../core/event-headers.ts";
import type { BodySection, Delivery, HeaderValue } from "../core/delivery.ts";
import { ConfigurationError } from "../core/errors.ts";

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Anything that is like a delivery but was never handed out. */
export function deliveryOf(parts: {
  readonly messageId: string;
  readonly body: Uint8Array;
  readonly contentType: string | undefined;
  readonly headers: Readonly<Record<string, HeaderValue>>;
}): Delivery {
  const headers = new Map(Object.entries(parts.headers));
  const bodySection: BodySection = "data";
  return {
    messageId: parts.messageId,
    sequenceNumber: 0n,
    attempt: 1,
    lockedUntilMs: 0,
    enqueuedAtMs: 0,
    contentType: parts.contentType,
    correlationId: undefined,
    subject: undefined,
    body: parts.body,
    bodySection,
    header: (name) => headers.get(name),
    headers: () => parts.headers,
    timeToLiveMs: undefined,
    particulars: () => ({}),
  };
}

function isHeader(value: unknown): value is HeaderValue {
  return value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** An event as JSON, or a line that `dlq export` has written. Throws `ConfigurationError`, which names `where` it is from. */
export function messageFromJson(json: unknown, where = "--message"): Delivery {
  if (!isObject(json)) throw new ConfigurationError(`${where}: expected an event as a JSON object, or a line of dlq export, found something else`);
  const isExported = "body" in json || "bodyBase64" in json;
  if (!isExported) {
    const { eventId } = json;
    const headers = typeof eventId === "string" ? eventHeaders(json as unknown as Parameters<typeof eventHeaders>[0]) : {};
    const defined = Object.fromEntries(Object.entries(headers).filter(([, value]) => isHeader(value)));
    return deliveryOf({
      messageId: typeof eventId === "string" ? eventId : "message",
      body: Buffer.from(JSON.stringify(json)),
      contentType: "application/json",
      headers: defined,
    });
  }
  const { bodyBase64, body, contentType, messageId, applicationProperties } = json;
  const bytes = typeof bodyBase64 === "string" ? Buffer.from(bodyBase64, "base64") : Buffer.from(JSON.stringify(body));
  const headers = isObject(applicationProperties) ? Object.fromEntries(Object.entries(applicationProperties).filter(([, value]) => isHeader(value))) : {};
  return deliveryOf({
    messageId: typeof messageId === "string" ? messageId : "message",
    body: bytes,
    contentType: typeof contentType === "string" ? contentType : undefined,
    headers: headers as Record<string, HeaderValue>,
  });
}
