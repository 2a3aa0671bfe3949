/**
 * Decodes a whole message to the one `EventEnvelope`, from any of its wire forms:
 *
 * | envelope           | canonical          | snake               | CloudEvents attribute                                      |
 * |--------------------|--------------------|---------------------|------------------------------------------------------------|
 * | `eventId`          | `eventId`          | `event_id`          | `id`                                                       |
 * | `eventType`        | `eventType`        | `event_type`        | `type`                                                     |
 * | `version`          | `version`          | `version`           | `version`; else the end of `dataschema`; else "1.0"        |
 * | `traceId`          | `traceId`          | `trace_id`          | `traceid`; else the trace id in `traceparent`; else `id`   |
 * | `correlationId`    | `correlationId`    | `correlation_id`    | `correlationid`; else `id`                                 |
 * | `projectId`        | `projectId`        | `project_id`        | `projectid`                                                |
 * | `tenantId?`        | `tenantId`         | `tenant_id`         | `tenantid`                                                 |
 * | `originatingAgent` | `originatingAgent` | `originating_agent` | `originatingagent`; else `source`                          |
 * | `timestamp`        | `timestamp`        | `timestamp`         | `time`                                                     |
 * | `causationId?`     | `causationId`      | `causation_id`      | `causationid`                                              |
 * | `artifactUri?`     | `artifactUri`      | `artifact_uri`      | `artifacturi`                                              |
 * | `payload`          | `payload`          | all other fields    | `data`, or `data_base64` holding JSON; null without either |
 *
 * In CloudEvents' binary form the attributes are application properties, prefixed `cloudEvents:`, `cloudEvents_` or `ce-`, and
 * the body is the payload. Everything else a message carries is ignored.
 */
import type { HeaderValue } from "../core/delivery.ts";
import type { EventEnvelope, Invalid, Route } from "../core/event-envelope.ts";
import { type DecodeLimits, cloudEventVersion, cloudEventsPrefixes } from "../core/read-route.ts";
import { type Decoded, decodeBody, decompress } from "./decode-body.ts";

/** What a thread is given of a message. */
export interface EncodedEvent {
  readonly route: Route;
  readonly body: Uint8Array;
  readonly contentEncoding: string | undefined;
  readonly headers: Readonly<Record<string, HeaderValue>> | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** Names of the envelope's fields in one wire form. */
interface Names {
  readonly eventId: string;
  readonly eventType: string;
  readonly traceId: string;
  readonly correlationId: string;
  readonly projectId: string;
  readonly tenantId: string;
  readonly originatingAgent: string;
  readonly version: string;
  readonly timestamp: string;
  readonly causationId: string;
  readonly artifactUri: string;
}

const canonicalNames: Names = {
  eventId: "eventId",
  eventType: "eventType",
  traceId: "traceId",
  correlationId: "correlationId",
  projectId: "projectId",
  tenantId: "tenantId",
  originatingAgent: "originatingAgent",
  version: "version",
  timestamp: "timestamp",
  causationId: "causationId",
  artifactUri: "artifactUri",
};

const snakeNames: Names = {
  eventId: "event_id",
  eventType: "event_type",
  traceId: "trace_id",
  correlationId: "correlation_id",
  projectId: "project_id",
  tenantId: "tenant_id",
  originatingAgent: "originating_agent",
  version: "version",
  timestamp: "timestamp",
  causationId: "causation_id",
  artifactUri: "artifact_uri",
};

const cloudEventsNames: Names = {
  eventId: "id",
  eventType: "type",
  traceId: "traceid",
  correlationId: "correlationid",
  projectId: "projectid",
  tenantId: "tenantid",
  originatingAgent: "originatingagent",
  version: "version",
  timestamp: "time",
  causationId: "causationid",
  artifactUri: "artifacturi",
};

const snakeFieldNames: ReadonlySet<string> = new Set(Object.values(snakeNames));

const textMax = 256;
const uriMax = 2_048;
const timestampPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?$/;

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
  if (typeof value !== "string" || value.length === 0 || value.length > textMax) throw new FieldProblem(name, `a string of 1 to ${textMax} characters`, value);
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
  const match = typeof value === "string" ? timestampPattern.exec(value) : null;
  if (match === null) throw new FieldProblem(name, "an ISO 8601 time in UTC, such as 2024-05-01T12:00:00Z", value);
  const given = match[0];
  const zoned = match[1] === undefined ? `${given}Z` : given;
  if (Number.isNaN(Date.parse(zoned))) throw new FieldProblem(name, "a time that exists", value);
  return zoned.endsWith("Z") ? zoned : new Date(zoned).toISOString();
}

function checkSame(name: string, inBody: unknown, routed: string): void {
  if (inBody === routed) return;
  if (typeof inBody !== "string") throw new FieldProblem(name, "a string", inBody);
  throw new FieldProblem(name, "the same in the message's properties and its body", inBody);
}

function envelopeOf(route: Route, fields: Fields, names: Names, payload: unknown): EventEnvelope {
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

const traceparentPattern = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

/** Fills in what CloudEvents need not carry from what they must. */
function withDefaults(attributes: Fields): Fields {
  const traceparent = attributes["traceparent"];
  const traceId = typeof traceparent === "string" ? traceparentPattern.exec(traceparent)?.[1] : undefined;
  return {
    ...attributes,
    traceid: attributes["traceid"] ?? traceId ?? attributes["id"],
    correlationid: attributes["correlationid"] ?? attributes["id"],
    originatingagent: attributes["originatingagent"] ?? attributes["source"],
  };
}

function cloudEvent(route: Route, attributes: Fields, payload: unknown): EventEnvelope {
  checkSame("id", attributes["id"], route.eventId);
  checkSame("type", attributes["type"], route.eventType);
  checkSame("version", cloudEventVersion(attributes["version"], attributes["dataschema"]), route.version);
  return envelopeOf(route, withDefaults(attributes), cloudEventsNames, payload);
}

function structuredPayload(fields: Fields, limits: DecodeLimits): Decoded<unknown> {
  const encoded = fields["data_base64"];
  if (encoded === undefined) return { ok: true, value: fields["data"] ?? null };
  if (typeof encoded !== "string") throw new FieldProblem("data_base64", "a string", encoded);
  return decodeBody(Buffer.from(encoded, "base64"), "json", limits);
}

function attributesOfHeaders(headers: Readonly<Record<string, HeaderValue>>): Fields {
  const prefix = cloudEventsPrefixes.find((prefix) => headers[`${prefix}id`] !== undefined) ?? "cloudEvents:";
  const attributes: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(prefix)) attributes[name.slice(prefix.length)] = value ?? undefined;
  }
  return attributes;
}

function decodeFields(event: EncodedEvent, body: Uint8Array, limits: DecodeLimits): Decoded<EventEnvelope> {
  const { route } = event;
  if (route.form === "cloudevents-binary") {
    const payload = body.byteLength === 0 ? ({ ok: true, value: null } as const) : decodeBody(body, route.codec, limits);
    return payload.ok ? { ok: true, value: cloudEvent(route, attributesOfHeaders(event.headers ?? {}), payload.value) } : payload;
  }
  const decoded = decodeBody(body, route.codec, limits);
  if (!decoded.ok) return decoded;
  if (typeof decoded.value !== "object" || decoded.value === null || Array.isArray(decoded.value)) throw new FieldProblem("body", "an object", decoded.value);
  const fields = decoded.value as Fields;
  const isStructured = route.form === "cloudevents-structured" || (fields["specversion"] !== undefined && fields["eventId"] === undefined && fields["event_id"] === undefined);
  if (isStructured) {
    const payload = structuredPayload(fields, limits);
    return payload.ok ? { ok: true, value: cloudEvent(route, fields, payload.value) } : payload;
  }
  const isSnake = fields["eventId"] === undefined && fields["event_id"] !== undefined;
  return { ok: true, value: isSnake ? snakeEvent(route, fields) : canonicalEvent(route, fields) };
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
