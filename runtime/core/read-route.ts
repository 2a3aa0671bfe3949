/**
 * Reads from a delivery what routing needs, without decoding its body: from application properties where they are there,
 * else from a look at the body's top-level keys. The thread that decodes the body later checks that both say the same.
 *
 * | form                   | application properties                                          | top-level keys of the body       |
 * |------------------------|-----------------------------------------------------------------|----------------------------------|
 * | canonical              | `eventId`, `eventType`, `version`                               | the same                         |
 * | snake                  | `event_id`, `event_type`, `version`                             | the same                         |
 * | cloudevents-binary     | `cloudEvents:id` (or `cloudEvents_id`, `ce-id`), …`type`,       | –                                |
 * |                        | …`version` or …`dataschema`                                     |                                  |
 * | cloudevents-structured | as canonical                                                    | `id`, `type`, `version` or       |
 * |                        |                                                                 | `dataschema`, and `specversion`  |
 *
 * The content type tells the structured form and msgpack; without one the body's first byte and keys do. All other
 * properties are data, whatever they are called: a sender cannot set an attempt or a generation.
 */
import type { Delivery, HeaderValue } from "./delivery.ts";
import { type BodyCodec, type Invalid, type InvalidReason, type Route, type WireForm, isEventId, isEventType, isVersion } from "./event-envelope.ts";
import { lookAtJson } from "./json-scan.ts";
import { beginsLikeMsgpackMap, lookAtMsgpack } from "./msgpack-scan.ts";
import { type Found, wanted } from "./wanted-keys.ts";

export interface DecodeLimits {
  /** Largest body, in bytes, as sent and again when decompressed; default 1 MiB. */
  readonly bodyBytesMax: number;
  /** Objects and lists that may be open at once; default 64. */
  readonly depthMax: number;
  /** Largest ratio of a decompressed body to its compressed bytes; default 100. Bodies up to 64 KiB may exceed it. */
  readonly ratioMax: number;
}

export const defaultDecodeLimits: DecodeLimits = { bodyBytesMax: 1024 * 1024, depthMax: 64, ratioMax: 100 };

export type RouteResult =
  | {
      readonly ok: true;
      readonly route: Route;
      /** `gzip`, `deflate`, `br` or undefined. */
      readonly contentEncoding: string | undefined;
      /** All application properties, for the form whose envelope they are. */
      readonly headers: Readonly<Record<string, HeaderValue>> | undefined;
    }
  | { readonly ok: false; readonly invalid: Invalid };

interface Content {
  readonly cloudEvents: boolean;
  /** Undefined when the content type does not say. */
  readonly codec: BodyCodec | undefined;
}

/** The version of a CloudEvent that names none. */
const defaultVersion = "1.0";

const structuredPattern = /^application\/cloudevents(?:\+(json|msgpack))?\s*(?:;|$)/i;
const msgpackPattern = /^application\/(?:x-|vnd\.)?(?:[a-z0-9.-]+\+)?(?:msgpack|messagepack)\s*(?:;|$)/i;
const jsonPattern = /^(?:application|text)\/(?:[a-z0-9.-]+\+)?json\s*(?:;|$)/i;

function contentOf(contentType: string): Content {
  const structured = structuredPattern.exec(contentType);
  if (structured !== null) return { cloudEvents: true, codec: structured[1]?.toLowerCase() === "msgpack" ? "msgpack" : "json" };
  if (msgpackPattern.test(contentType)) return { cloudEvents: false, codec: "msgpack" };
  return { cloudEvents: false, codec: jsonPattern.test(contentType) ? "json" : undefined };
}

const noContent: Content = { cloudEvents: false, codec: undefined };
/** The content type met last: one producer sends the same again and again. */
let lastContentType: string | undefined;
let lastContent = noContent;

function readContent(contentType: string | undefined): Content {
  if (contentType === undefined) return noContent;
  if (contentType !== lastContentType) {
    lastContent = contentOf(contentType);
    lastContentType = contentType;
  }
  return lastContent;
}

function refuse(reason: InvalidReason, description: string): RouteResult {
  return { ok: false, invalid: { reason, description } };
}

const contentEncodings: ReadonlySet<HeaderValue> = new Set(["gzip", "deflate", "br"]);
/** How the attributes of a binary CloudEvent are prefixed among the application properties. */
export const cloudEventsPrefixes: readonly string[] = ["cloudEvents:", "cloudEvents_", "ce-"];

/** The three fields wherever they were found; anything may be missing. */
interface Fields {
  id: HeaderValue | Found;
  type: HeaderValue | Found;
  version: HeaderValue | Found;
  form: WireForm | undefined;
}

/** The last `major.minor` in a schema's URI, such as `https://schemas.example/order/1.2` or `urn:order:v1.2`. */
function versionOfSchemaUri(uri: string): string | undefined {
  return /(?:^|[/:#?=@_-])v?(\d{1,4}\.\d{1,4})(?:\.json)?[#/]?$/.exec(uri.slice(-256))?.[1];
}

/** The version of a CloudEvent: its `version`, else what its schema's URI ends with, else "1.0". */
export function cloudEventVersion<Value>(version: Value, dataschema: unknown): Value | string {
  if (version !== undefined) return version;
  return typeof dataschema === "string" ? (versionOfSchemaUri(dataschema) ?? defaultVersion) : defaultVersion;
}

function readHeaders(delivery: Delivery): Fields {
  const id = delivery.header("eventId");
  if (id !== undefined) return { id, type: delivery.header("eventType"), version: delivery.header("version"), form: "canonical" };
  const snakeId = delivery.header("event_id");
  if (snakeId !== undefined) return { id: snakeId, type: delivery.header("event_type"), version: delivery.header("version"), form: "snake" };
  for (const prefix of cloudEventsPrefixes) {
    const id = delivery.header(`${prefix}id`);
    if (id === undefined) continue;
    const version = cloudEventVersion(delivery.header(`${prefix}version`), delivery.header(`${prefix}dataschema`));
    return { id, type: delivery.header(`${prefix}type`), version, form: "cloudevents-binary" };
  }
  return { id: undefined, type: undefined, version: undefined, form: undefined };
}

/** The three fields as a body's keys say, by the form that the keys make out. */
function fieldsOfBody(found: readonly Found[], cloudEvents: boolean): Fields {
  const version = found[wanted.version];
  if (cloudEvents || (found[wanted.specversion] !== undefined && found[wanted.eventId] === undefined && found[wanted.event_id] === undefined)) {
    return { id: found[wanted.id], type: found[wanted.type], version: cloudEventVersion(version, found[wanted.dataschema]), form: "cloudevents-structured" };
  }
  if (found[wanted.eventId] === undefined && found[wanted.event_id] !== undefined) {
    return { id: found[wanted.event_id], type: found[wanted.event_type], version, form: "snake" };
  }
  return { id: found[wanted.eventId], type: found[wanted.eventType], version, form: "canonical" };
}

/** The event id that the application properties tell, for naming a message that is not read; undefined when they tell none. */
export function readEventIdHeader(delivery: Delivery): string | undefined {
  const { id } = readHeaders(delivery);
  return isEventId(id) ? id : undefined;
}

const fieldNames: Readonly<Record<WireForm, readonly [id: string, type: string, version: string]>> = {
  canonical: ["eventId", "eventType", "version"],
  snake: ["event_id", "event_type", "version"],
  "cloudevents-structured": ["id", "type", "version"],
  "cloudevents-binary": ["cloudEvents:id", "cloudEvents:type", "cloudEvents:version"],
};

function describe(value: HeaderValue | Found): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (typeof value === "string") return value.length > 128 ? `a string of ${value.length} characters` : "a string with other characters";
  if (typeof value !== "object") return `a ${typeof value}`;
  return "found" in value ? value.found : "a date";
}

function refuseField(name: string, expected: string, value: HeaderValue | Found): RouteResult {
  return refuse("InvalidEnvelope", `${name}: expected ${expected}, got ${describe(value)}`);
}

function routeOf(fields: Fields, form: WireForm, codec: BodyCodec, contentEncoding: string | undefined, delivery: Delivery): RouteResult {
  const { id, type, version } = fields;
  if (isEventId(id) && isEventType(type) && isVersion(version)) {
    const headers = form === "cloudevents-binary" ? delivery.headers() : undefined;
    return { ok: true, route: { eventId: id, eventType: type, version, form, codec }, contentEncoding, headers };
  }
  const names = fieldNames[form];
  if (!isEventId(id)) return refuseField(names[0], "a string of 1 to 128 characters of A-Z a-z 0-9 . _ ~ : / + = @ | -", id);
  if (!isEventType(type)) return refuseField(names[1], "a string of 1 to 128 characters of A-Z a-z 0-9 . _ ~ : / -", type);
  return refuseField(names[2], "a string 'major.minor' of digits", version);
}

function codecOf(content: Content, body: Uint8Array): BodyCodec {
  return content.codec ?? (beginsLikeMsgpackMap(body) ? "msgpack" : "json");
}

/** What the body says, where the properties do not say all three; a property that is there wins and is checked later. */
function routeByBody(delivery: Delivery, headers: Fields, content: Content, limits: DecodeLimits): RouteResult {
  const codec = codecOf(content, delivery.body);
  const look = codec === "json" ? lookAtJson : lookAtMsgpack;
  const top = look(delivery.body, content.cloudEvents, limits.depthMax);
  if (top.kind === "too-deep") return refuse("DecodeLimit", `body: expected a depth of at most ${limits.depthMax}, got more`);
  if (top.kind === "malformed") return refuse("InvalidEnvelope", `body: expected ${top.expected}, got something else`);
  const fields = fieldsOfBody(top.fields, content.cloudEvents);
  fields.id = headers.id ?? fields.id;
  fields.type = headers.type ?? fields.type;
  fields.version = headers.version ?? fields.version;
  return routeOf(fields, fields.form ?? "canonical", codec, undefined, delivery);
}

/** Reads the route of a delivery, or says why it can never be handled. Never throws on what a sender can send. */
export function readRoute(delivery: Delivery, limits: DecodeLimits): RouteResult {
  const { body } = delivery;
  if (body.byteLength > limits.bodyBytesMax) {
    return refuse("BodyTooLarge", `body: expected at most ${limits.bodyBytesMax} bytes, got ${body.byteLength}`);
  }
  let contentEncoding = delivery.header("contentEncoding") ?? delivery.header("content-encoding") ?? undefined;
  if (contentEncoding === "identity" || contentEncoding === "") contentEncoding = undefined;
  if (contentEncoding !== undefined && !contentEncodings.has(contentEncoding)) {
    return refuse("InvalidEnvelope", "content-encoding: expected gzip, deflate, br or identity, got something else");
  }
  const content = readContent(delivery.contentType);
  const headers = readHeaders(delivery);
  const isWhole = headers.id !== undefined && headers.type !== undefined && headers.version !== undefined;
  if (!isWhole && contentEncoding === undefined && headers.form !== "cloudevents-binary") return routeByBody(delivery, headers, content, limits);
  if (!isWhole && headers.form === undefined) {
    return refuse("InvalidEnvelope", "eventId: expected the application properties eventId, eventType and version with a compressed body, got none");
  }
  const form = content.cloudEvents ? "cloudevents-structured" : (headers.form ?? "canonical");
  const codec = contentEncoding === undefined ? codecOf(content, body) : (content.codec ?? "json");
  return routeOf(headers, form, codec, contentEncoding as string | undefined, delivery);
}
