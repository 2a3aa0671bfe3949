/**
 * Decodes a whole message to the one `EventEnvelope`, from any of its wire forms:
 *
 * | envelope           | canonical          | snake               | CloudEvents attribute    | Event Grid           |
 * |--------------------|--------------------|---------------------|--------------------------|----------------------|
 * | `eventId`          | `eventId`          | `event_id`          | `id`                     | `id`                 |
 * | `eventType`        | `eventType`        | `event_type`        | `type`                   | `eventType`          |
 * | `version`          | `version`          | `version`           | `version`                | `dataVersion`        |
 * | `traceId`          | `traceId`          | `trace_id`          | `traceid`                | –                    |
 * | `correlationId`    | `correlationId`    | `correlation_id`    | `correlationid`          | –                    |
 * | `projectId`        | `projectId`        | `project_id`        | `projectid`              | –                    |
 * | `tenantId?`        | `tenantId`         | `tenant_id`         | `tenantid`               | –                    |
 * | `originatingAgent` | `originatingAgent` | `originating_agent` | `originatingagent`       | –                    |
 * | `timestamp`        | `timestamp`        | `timestamp`         | `time`                   | `eventTime`          |
 * | `causationId?`     | `causationId`      | `causation_id`      | `causationid`            | –                    |
 * | `artifactUri?`     | `artifactUri`      | `artifact_uri`      | `artifacturi`            | –                    |
 * | `payload`          | `payload`          | all other fields    | `data` or `data_base64`  | `data`               |
 *
 * What CloudEvents and Event Grid lack gets the defaults that `core/read-route.ts` states. A payload is null without `data`.
 * `data_base64` holds what `datacontenttype` says: JSON or msgpack is decoded, anything else arrives as bytes (a Uint8Array), and
 * without one JSON is decoded where it is JSON. In CloudEvents' binary form the attributes are application properties, prefixed
 * `cloudEvents:`, `cloudEvents_` or `ce-`, and the body is the payload, by its content type likewise. What a hook has read comes
 * with the message, under the canonical names. Everything else a message carries is ignored.
 */
import type { HeaderValue } from "../../core/delivery.ts";
import { envelopeTextMax, type EventEnvelope, type Invalid, isEnvelopeText, type Route, type WireForm } from "../../core/event-envelope.ts";
import type { DecodeLimits } from "../../core/read-route.ts";
import {
  type FieldNames,
  canonicalNames,
  cloudEventVersion,
  cloudEventsNames,
  cloudEventsPrefixes,
  codecOfMediaType,
  defaultProjectId,
  eventGridNames,
  eventGridVersion,
  formOf,
  snakeNames,
} from "../../core/wire-forms.ts";
import { readTraceparent, traceparentHeader } from "../../core/trace-context.ts";
import { type Decoded, decodeBody, decompress, unlike } from "./decode-body.ts";
import { utcTimeOf } from "./utc-time.ts";

/** What a thread is given of a message. */
export interface EncodedEvent {
  readonly route: Route;
  readonly body: Uint8Array;
  readonly contentEncoding: string | undefined;
  readonly headers: Readonly<Record<string, HeaderValue>> | undefined;
  /** When the broker accepted the message, in its wall clock. */
  readonly enqueuedAtMs: number;
}

type Fields = Readonly<Record<string, unknown>>;

const snakeFieldNames: ReadonlySet<string> = new Set(Object.values(snakeNames));

const textMax = envelopeTextMax;
const uriMax = 2_048;

/** Says why a field cannot be used; thrown only within this file, so that the reading of fields stays a straight line. */
class FieldProblem extends Error {
  readonly invalid: Invalid;

  constructor(field: string, expected: string, got: unknown) {
    super(field);
    this.invalid = { reason: "InvalidEnvelope", description: `${field}: expected ${expected}, got ${describe(got)}` };
  }
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (typeof value === "string") return value.length > textMax ? `a string of ${value.length} characters` : "another string";
  if (Array.isArray(value)) return "a list";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}

function readText(fields: Fields, name: string): string {
  const value = fields[name];
  if (!isEnvelopeText(value)) throw new FieldProblem(name, `a string of 1 to ${textMax} characters`, value);
  return value;
}

function readOptional(fields: Fields, name: string, max: number): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string" || value.length > max) throw new FieldProblem(name, `a string of at most ${max} characters`, value);
  return value;
}

/** An ISO 8601 time, in UTC: one without a zone is UTC, one with another zone is converted. */
function readTimestamp(fields: Fields, name: string): string {
  const value = fields[name];
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  const utc = typeof value === "string" ? utcTimeOf(value) : undefined;
  if (utc === undefined) throw new FieldProblem(name, "an ISO 8601 time that exists, such as 2024-05-01T12:00:00Z", value);
  return utc;
}

function checkSame(name: string, inBody: unknown, routed: string): void {
  if (inBody === routed) return;
  if (typeof inBody !== "string") throw new FieldProblem(name, "a string", inBody);
  throw new FieldProblem(name, "the same in the message's properties and its body", inBody);
}

function envelopeOf(route: Route, fields: Fields, names: FieldNames, payload: unknown): EventEnvelope {
  const tenantId = readOptional(fields, names.tenantId, textMax);
  const causationId = readOptional(fields, names.causationId, textMax);
  const artifactUri = readOptional(fields, names.artifactUri, uriMax);
  return {
    eventId: route.eventId,
    eventType: route.eventType,
    traceId: readText(fields, names.traceId),
    correlationId: readText(fields, names.correlationId),
    projectId: readText(fields, names.projectId),
    ...(tenantId === undefined ? undefined : { tenantId }),
    originatingAgent: readText(fields, names.originatingAgent),
    version: route.version,
    timestamp: readTimestamp(fields, names.timestamp),
    ...(causationId === undefined ? undefined : { causationId }),
    ...(artifactUri === undefined ? undefined : { artifactUri }),
    payload,
  };
}

function canonicalEvent(route: Route, fields: Fields): EventEnvelope {
  checkSame("eventId", fields["eventId"], route.eventId);
  checkSame("eventType", fields["eventType"], route.eventType);
  checkSame("version", fields["version"], route.version);
  if (fields["payload"] === undefined) throw new FieldProblem("payload", "a value", undefined);
  return envelopeOf(route, fields, canonicalNames, fields["payload"]);
}

function snakeEvent(route: Route, fields: Fields): EventEnvelope {
  checkSame("event_id", fields["event_id"], route.eventId);
  checkSame("event_type", fields["event_type"], route.eventType);
  checkSame("version", fields["version"], route.version);
  const payload = Object.fromEntries(Object.entries(fields).filter(([name]) => !snakeFieldNames.has(name)));
  return envelopeOf(route, fields, snakeNames, payload);
}

/** A time of the broker's, for an event whose form carries none; one that is no time counts as the first of all. */
function isoTimeOf(wallMs: number): string {
  const date = new Date(wallMs);
  return (Number.isNaN(date.getTime()) ? new Date(0) : date).toISOString();
}

/** A default is made of what a sender wrote for something else: too long a text is cut, not refused. */
function cut(value: unknown): unknown {
  return typeof value === "string" ? value.slice(0, textMax) : value;
}

/** Fills in what CloudEvents need not carry from what they must. */
function withDefaults(attributes: Fields, enqueuedAtMs: number): Fields {
  const traceId = readTraceparent(attributes[traceparentHeader])?.traceId;
  const { source } = attributes;
  const hasSource = typeof source === "string" && source !== "";
  if (!hasSource && (attributes["originatingagent"] ?? undefined) === undefined) throw new FieldProblem("source", "a string that is not empty", source);
  return {
    ...attributes,
    traceid: attributes["traceid"] ?? traceId ?? attributes["id"],
    correlationid: attributes["correlationid"] ?? attributes["id"],
    projectid: attributes["projectid"] ?? defaultProjectId,
    originatingagent: attributes["originatingagent"] ?? cut(source),
    time: attributes["time"] ?? isoTimeOf(enqueuedAtMs),
  };
}

function cloudEvent({ route, enqueuedAtMs }: EncodedEvent, attributes: Fields, payload: unknown, { demandsAttributes }: DecodeLimits): EventEnvelope {
  checkSame("id", attributes["id"], route.eventId);
  checkSame("type", attributes["type"], route.eventType);
  checkSame("version", cloudEventVersion(attributes["version"], attributes["dataschema"], demandsAttributes), route.version);
  return envelopeOf(route, demandsAttributes ? attributes : withDefaults(attributes, enqueuedAtMs), cloudEventsNames, payload);
}

function eventGridEvent(route: Route, fields: Fields, { demandsAttributes }: DecodeLimits): EventEnvelope {
  checkSame("id", fields["id"], route.eventId);
  checkSame("eventType", fields["eventType"], route.eventType);
  checkSame("dataVersion", eventGridVersion(fields["dataVersion"], demandsAttributes), route.version);
  const payload = fields["data"] ?? null;
  if (demandsAttributes) return envelopeOf(route, fields, eventGridNames, payload);
  const filled = {
    ...fields,
    traceId: fields["traceId"] ?? route.eventId,
    correlationId: fields["correlationId"] ?? route.eventId,
    projectId: fields["projectId"] ?? defaultProjectId,
    originatingAgent: fields["originatingAgent"] ?? cut(fields["topic"] || fields["subject"] || "event-grid"),
  };
  return envelopeOf(route, filled, eventGridNames, payload);
}

const base64Pattern = /^[A-Za-z0-9+/_-]*={0,2}$/;

function structuredPayload(fields: Fields, limits: DecodeLimits): Decoded<unknown> {
  const encoded = fields["data_base64"];
  if (encoded === undefined || encoded === null) return { ok: true, value: fields["data"] ?? null };
  if (typeof encoded !== "string") throw new FieldProblem("data_base64", "a string", encoded);
  if (!base64Pattern.test(encoded)) throw new FieldProblem("data_base64", "base64", encoded);
  const bytes = Buffer.from(encoded, "base64");
  const mediaType = fields["datacontenttype"];
  if (typeof mediaType === "string") return decodeBody(bytes, codecOfMediaType(mediaType) ?? "bytes", limits);
  const decoded = decodeBody(bytes, "json", limits);
  return decoded.ok || decoded.invalid.reason !== "InvalidEnvelope" ? decoded : decodeBody(bytes, "bytes", limits);
}

function attributesOfHeaders(headers: Readonly<Record<string, HeaderValue>>): Fields {
  const prefix = cloudEventsPrefixes.find((prefix) => headers[`${prefix}id`] !== undefined) ?? "cloudEvents:";
  const attributes: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(prefix)) attributes[name.slice(prefix.length)] = value ?? undefined;
  }
  return attributes;
}

/** The payload where the body is all payload. */
function wholeBody(event: EncodedEvent, body: Uint8Array, limits: DecodeLimits): Decoded<unknown> {
  return body.byteLength === 0 && event.route.codec !== "bytes" ? { ok: true, value: null } : decodeBody(body, event.route.codec, limits);
}

/** What a hook read, with the payload that it named. */
function hookedEvent(event: EncodedEvent, body: Uint8Array, limits: DecodeLimits): Decoded<EventEnvelope> {
  const { timestamp = isoTimeOf(event.enqueuedAtMs), payload: key, ...others } = event.headers ?? {};
  const fields: Fields = { timestamp, ...others };
  const decoded = wholeBody(event, body, limits);
  if (!decoded.ok) return decoded;
  if (typeof key !== "string") return { ok: true, value: envelopeOf(event.route, fields, canonicalNames, decoded.value) };
  const { value } = decoded;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key))
    throw new FieldProblem(key, "the payload, which the envelope hook says is there", undefined);
  return { ok: true, value: envelopeOf(event.route, fields, canonicalNames, (value as Fields)[key]) };
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function formOfFields(route: Route, fields: Fields): WireForm {
  return formOf(route.form === "cloudevents-structured", {
    eventId: fields["eventId"] !== undefined,
    eventIdInSnake: fields["event_id"] !== undefined,
    specversion: fields["specversion"] !== undefined,
    eventGrid: fields["id"] !== undefined && fields["eventType"] !== undefined && fields["eventTime"] !== undefined,
  });
}

function decodeEnvelope(event: EncodedEvent, value: unknown, limits: DecodeLimits): Decoded<EventEnvelope> {
  const { route } = event;
  const isListed = Array.isArray(value) && value.length === 1;
  const fields: unknown = isListed ? value[0] : value;
  if (!isFields(fields)) throw new FieldProblem("body", "an object", value);
  const form = formOfFields(route, fields);
  if (isListed && form !== "event-grid" && form !== "cloudevents-structured") throw new FieldProblem("body", "an object", value);
  switch (form) {
    case "cloudevents-structured": {
      const payload = structuredPayload(fields, limits);
      return payload.ok ? { ok: true, value: cloudEvent(event, fields, payload.value, limits) } : payload;
    }
    case "event-grid":
      return { ok: true, value: eventGridEvent(route, fields, limits) };
    case "snake":
      return { ok: true, value: snakeEvent(route, fields) };
    case "canonical":
    case "cloudevents-binary":
    case "hooked":
      return { ok: true, value: canonicalEvent(route, fields) };
  }
}

function decodeFields(event: EncodedEvent, body: Uint8Array, limits: DecodeLimits): Decoded<EventEnvelope> {
  const { route } = event;
  if (route.form === "hooked") return hookedEvent(event, body, limits);
  if (route.form === "cloudevents-binary") {
    const payload = wholeBody(event, body, limits);
    return payload.ok ? { ok: true, value: cloudEvent(event, attributesOfHeaders(event.headers ?? {}), payload.value, limits) } : payload;
  }
  const decoded = decodeBody(body, route.codec, limits);
  if (!decoded.ok) return decoded;
  return typeof decoded.value === "string" ? unlike("an object", body, "a string") : decodeEnvelope(event, decoded.value, limits);
}

/** Decodes a message, or says why it can never be handled. Never throws on what a sender can send. */
export function decodeEvent(event: EncodedEvent, limits: DecodeLimits): Decoded<EventEnvelope> {
  let { body } = event;
  if (event.contentEncoding !== undefined) {
    const plain = decompress(body, event.contentEncoding, limits);
    if (!plain.ok) return plain;
    body = plain.value;
  }
  try {
    return decodeFields(event, body, limits);
  } catch (error) {
    if (error instanceof FieldProblem) return { ok: false, invalid: error.invalid };
    throw error;
  }
}
