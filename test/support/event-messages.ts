// Messages in every wire form, for the tests of decoders.
import { pack } from "msgpackr";
import type { Delivery, HeaderValue } from "../../runtime/core/delivery.ts";
import type { EventEnvelope } from "../../runtime/core/event-envelope.ts";

export const envelope: EventEnvelope<Readonly<Record<string, unknown>>> = {
  eventId: "0190b1c2-7d3e-7f00-8000-1234567890ab",
  eventType: "OrderPlaced",
  traceId: "trace-1",
  correlationId: "correlation-1",
  projectId: "project-1",
  originatingAgent: "shop",
  version: "1.2",
  timestamp: "2024-05-01T12:00:00.000Z",
  payload: { orderId: "o-1", lines: [{ sku: "a", count: 2 }], note: 'größer "quoted" \\ 漢字' },
};

export const snake: Readonly<Record<string, unknown>> = {
  event_id: envelope.eventId,
  event_type: envelope.eventType,
  trace_id: envelope.traceId,
  correlation_id: envelope.correlationId,
  project_id: envelope.projectId,
  originating_agent: envelope.originatingAgent,
  version: envelope.version,
  timestamp: envelope.timestamp,
  ...envelope.payload,
};

export const cloudEvent: Readonly<Record<string, unknown>> = {
  specversion: "1.0",
  id: envelope.eventId,
  type: envelope.eventType,
  source: envelope.originatingAgent,
  time: envelope.timestamp,
  dataschema: "https://schemas.example/orders/1.2",
  traceid: envelope.traceId,
  correlationid: envelope.correlationId,
  projectid: envelope.projectId,
  data: envelope.payload,
};

/** As Event Grid delivers it to a queue. */
export const eventGridEvent: Readonly<Record<string, unknown>> = {
  id: "9aeb0fdf-c01e-0131-0922-9eb54906e209",
  topic: "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/a",
  subject: "/blobServices/default/containers/c/blobs/b.png",
  eventType: "Microsoft.Storage.BlobCreated",
  eventTime: "2024-05-01T12:00:00.9584103Z",
  data: { api: "PutBlob", contentLength: 30 },
  dataVersion: "",
  metadataVersion: "1",
};

export const cloudEventHeaders: Readonly<Record<string, HeaderValue>> = Object.fromEntries(
  Object.entries(cloudEvent).flatMap(([name, value]) => (typeof value === "string" ? [[`cloudEvents:${name}`, value]] : [])),
);

export const routeHeaders: Readonly<Record<string, string>> = { eventId: envelope.eventId, eventType: envelope.eventType, version: envelope.version };

export function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

export function msgpack(value: unknown): Uint8Array {
  return Uint8Array.from(pack(value));
}

export function delivery(body: Uint8Array, headers: Readonly<Record<string, HeaderValue>> = {}, contentType?: string): Delivery {
  return {
    messageId: "m",
    sequenceNumber: 1n,
    attempt: 1,
    lockedUntilMs: 0,
    enqueuedAtMs: 0,
    contentType,
    correlationId: undefined,
    subject: undefined,
    timeToLiveMs: undefined,
    particulars: () => ({}),
    body,
    bodySection: "data",
    header: (name) => (Object.hasOwn(headers, name) ? headers[name] : undefined),
    headers: () => headers,
  };
}
