// Writes one event in each form that a producer may use.
import type { HeaderValue, OutgoingMessage } from "#runtime/core/delivery.ts";
import { type EncodedPayload, packHead } from "./material.ts";

/**
 * - `canonical`: camelCase with the payload under `payload`; id, type and version in headers too.
 * - `canonical-bare`: the same without headers.
 * - `snake`, `snake-bare`: snake_case with the payload's fields beside the envelope's.
 * - `cloudevents-structured`, `cloudevents-binary`: CloudEvents 1.0.
 * - `msgpack`: canonical, encoded as msgpack.
 */
export type Form = "canonical" | "canonical-bare" | "snake" | "snake-bare" | "cloudevents-structured" | "cloudevents-binary" | "msgpack";

/** An envelope without its payload. */
export interface Envelope {
  readonly eventId: string;
  readonly eventType: string;
  readonly traceId: string;
  readonly correlationId: string;
  readonly projectId: string;
  readonly tenantId?: string;
  readonly originatingAgent: string;
  readonly version: string;
  readonly timestamp: string;
  readonly causationId?: string;
}

type Headers = Readonly<Record<string, HeaderValue>>;

const noHeaders: Headers = {};

/** A body made by copying its pieces; `head` is ASCII. */
function bodyOf(head: string | Buffer, payload: EncodedPayload, close: string): Buffer {
  const { head: payloadHead, example, tail } = payload;
  const body = Buffer.allocUnsafe(head.length + payloadHead.length + example.length + tail.length + close.length);
  let at = typeof head === "string" ? body.write(head, 0, "latin1") : head.copy(body, 0);
  at += payloadHead.copy(body, at);
  at += example.copy(body, at);
  at += tail.copy(body, at);
  body.write(close, at, "latin1");
  return body;
}

/** A JSON object's text up to where one more field goes. */
function openJson(fields: object): string {
  return JSON.stringify(fields).slice(0, -1);
}

/** A payload whose opening brace is dropped, because its fields go on an object that is open. */
function fieldsOnly(payload: EncodedPayload): EncodedPayload {
  return { ...payload, head: payload.head.subarray(1) };
}

function canonicalHeaders({ eventId, eventType, version, traceId }: Envelope): Headers {
  return { eventId, eventType, version, traceId };
}

function snakeFields(envelope: Envelope): Headers {
  return {
    event_id: envelope.eventId,
    event_type: envelope.eventType,
    trace_id: envelope.traceId,
    correlation_id: envelope.correlationId,
    project_id: envelope.projectId,
    ...(envelope.tenantId === undefined ? undefined : { tenant_id: envelope.tenantId }),
    originating_agent: envelope.originatingAgent,
    version: envelope.version,
    timestamp: envelope.timestamp,
    ...(envelope.causationId === undefined ? undefined : { causation_id: envelope.causationId }),
  };
}

/** The attributes of a CloudEvent, each name after `prefix`. */
function cloudEventAttributes(envelope: Envelope, prefix: string): Record<string, string> {
  return {
    [`${prefix}specversion`]: "1.0",
    [`${prefix}id`]: envelope.eventId,
    [`${prefix}type`]: envelope.eventType,
    [`${prefix}source`]: `/agents/${envelope.originatingAgent}`,
    [`${prefix}time`]: envelope.timestamp,
    [`${prefix}version`]: envelope.version,
    [`${prefix}traceid`]: envelope.traceId,
    [`${prefix}correlationid`]: envelope.correlationId,
    [`${prefix}projectid`]: envelope.projectId,
    ...(envelope.tenantId === undefined ? undefined : { [`${prefix}tenantid`]: envelope.tenantId }),
    ...(envelope.causationId === undefined ? undefined : { [`${prefix}causationid`]: envelope.causationId }),
  };
}

/** The codec of the payload that a form wants. */
export function codecOf(form: Form): "json" | "msgpack" {
  return form === "msgpack" ? "msgpack" : "json";
}

/** The message for an event; the payload is encoded as `codecOf(form)` says. */
export function encode(form: Form, envelope: Envelope, payload: EncodedPayload, messageId: string): OutgoingMessage {
  const { correlationId } = envelope;
  switch (form) {
    case "canonical":
    case "canonical-bare": {
      const body = bodyOf(`${openJson(envelope)},"payload":`, payload, "}");
      return { messageId, correlationId, contentType: "application/json", headers: form === "canonical" ? canonicalHeaders(envelope) : noHeaders, body };
    }
    case "snake":
    case "snake-bare": {
      const { event_id, event_type, version } = snakeFields(envelope) as Record<string, string>;
      const headers = form === "snake" ? ({ event_id, event_type, version } as Headers) : noHeaders;
      return {
        messageId,
        correlationId,
        contentType: "application/json",
        headers,
        body: bodyOf(`${openJson(snakeFields(envelope))},`, fieldsOnly(payload), ""),
      };
    }
    case "cloudevents-structured": {
      const fields = { ...cloudEventAttributes(envelope, ""), datacontenttype: "application/json" };
      return {
        messageId,
        correlationId,
        contentType: "application/cloudevents+json; charset=utf-8",
        headers: noHeaders,
        body: bodyOf(`${openJson(fields)},"data":`, payload, "}"),
      };
    }
    case "cloudevents-binary":
      return {
        messageId,
        correlationId,
        contentType: "application/json",
        headers: cloudEventAttributes(envelope, "cloudEvents:"),
        body: bodyOf("", payload, ""),
      };
    case "msgpack": {
      const head = packHead(envelope as unknown as Readonly<Record<string, unknown>>, "payload");
      return { messageId, correlationId, contentType: "application/msgpack", headers: canonicalHeaders(envelope), body: bodyOf(head, payload, "") };
    }
  }
}
