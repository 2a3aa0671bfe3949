/** An event for the skills of the drills, as the message that brings it. */
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import type { Kind } from "./plugin.ts";

export function eventMessage(eventId: string, kind: Kind, payload: Readonly<Record<string, unknown>>): OutgoingMessage {
  const envelope = {
    eventId,
    eventType: kind,
    traceId: "drill",
    correlationId: eventId,
    projectId: "drill",
    originatingAgent: "drill",
    version: "1.0",
    timestamp: new Date().toISOString(),
    payload,
  };
  return { messageId: eventId, contentType: "application/json", headers: eventHeaders(envelope), body: Buffer.from(JSON.stringify(envelope)) };
}
