import { randomUUID } from "node:crypto";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";

/** A new event of this type, in a body of so many bytes at least. */
export function eventMessage(eventType: string, bodyBytes = 300, content: Readonly<Record<string, number>> = {}): OutgoingMessage {
  const eventId = randomUUID();
  const envelope = {
    eventId,
    eventType,
    traceId: eventId.replaceAll("-", ""),
    correlationId: "bench",
    projectId: "bench",
    originatingAgent: "bench",
    version: "1.0",
    timestamp: "2026-01-01T00:00:00.000Z",
  };
  const bare = JSON.stringify({ ...envelope, payload: { ...content, filler: "" } });
  const body = Buffer.from(JSON.stringify({ ...envelope, payload: { ...content, filler: "x".repeat(Math.max(0, bodyBytes - bare.length)) } }));
  return { messageId: eventId, contentType: "application/json", headers: eventHeaders(envelope), body };
}
