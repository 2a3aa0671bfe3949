import type { HeaderValue } from "./delivery.ts";
import type { EventEnvelope } from "./event-envelope.ts";

/** The application properties beside a canonical envelope, so that a reader can route it without opening the body. */
export function eventHeaders(event: Omit<EventEnvelope, "payload">): Record<string, HeaderValue> {
  return {
    eventId: event.eventId,
    eventType: event.eventType,
    version: event.version,
    traceId: event.traceId,
    correlationId: event.correlationId,
    projectId: event.projectId,
    originatingAgent: event.originatingAgent,
    ...(event.tenantId === undefined ? undefined : { tenantId: event.tenantId }),
    ...(event.causationId === undefined ? undefined : { causationId: event.causationId }),
  };
}
