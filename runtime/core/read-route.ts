/**
 * Reads from a delivery what routing needs, without decoding its body: from application properties where they are there,
 * else from a look at the body's top-level keys. The thread that decodes the body later checks that both say the same.
 *
 * | form                   | application properties                        | top-level keys of the body                               |
 * |------------------------|-----------------------------------------------|----------------------------------------------------------|
 * | canonical              | `eventId`, `eventType`, `version`             | the same                                                 |
 * | snake                  | `event_id`, `event_type`, `version`           | the same                                                 |
 * | cloudevents-binary     | `cloudEvents:id` (or `cloudEvents_id`,        | –                                                        |
 * |                        | `ce-id`), …`type`, …`version`, …`dataschema`  |                                                          |
 * | cloudevents-structured | as canonical                                  | `id`, `type`, `specversion`, `version`, `dataschema`     |
 * | event-grid             | as canonical                                  | `id`, `eventType`, `eventTime`, `dataVersion`            |
 * | hooked                 | what a hook of the configuration reads        | what it reads; see `envelope-hook.ts`                    |
 *
 * The content type tells the structured form and msgpack; without one the body's first byte and keys do. The object may be the
 * one item of a list in the forms `cloudevents-structured` and `event-grid`, as Event Grid sends them. All other properties are
 * data, whatever they are called: a sender cannot set an attempt or a generation.
 *
 * Producers outside know nothing of our own fields. What their forms lack gets a default, unless `demandsAttributes` refuses it:
 *
 * | envelope           | CloudEvents                                  | Event Grid                                   | hook              |
 * |--------------------|----------------------------------------------|----------------------------------------------|-------------------|
 * | `version`          | the end of `dataschema`, else 1.0            | `dataVersion`: 2 is 2.0, empty or none is 1.0 | 1.0              |
 * | `traceId`          | the trace id in `traceparent`, else `id`     | `id`                                         | the correlation id |
 * | `correlationId`    | `id`                                         | `id`                                         | the message's own, else the event id |
 * | `projectId`        | `default`                                    | `default`                                    | `default`         |
 * | `originatingAgent` | `source`                                     | `topic`, else `subject`                      | the hook's name   |
 * | `timestamp`        | when the broker took the message             | – (`eventTime` must be there)                | when the broker took the message |
 */
import { type ContentEncoding, isContentEncoding } from "./decompress.ts";
import type { Delivery, HeaderValue } from "./delivery.ts";
import { type EnvelopeHook, askHooks } from "./envelope-hook.ts";
import { type BodyCodec, type Invalid, type InvalidReason, type Route, type WireForm, isEventId, isEventType, isVersion } from "./event-envelope.ts";
import { lookAtJson } from "./json-scan.ts";
import { beginsLikeMsgpackMap, lookAtMsgpack } from "./msgpack-scan.ts";
import { probeEventType } from "./probe.ts";
import { recogniseBody } from "./recognise-body.ts";
import { type Found, type TopLevel, wanted } from "./wanted-keys.ts";
import { cloudEventVersion, cloudEventsPrefixes, codecOfMediaType, eventGridVersion, formOf } from "./wire-forms.ts";

export interface DecodeLimits {
  /** Largest body, in bytes, as sent and again when decompressed; default 1 MiB. */
  readonly bodyBytesMax: number;
  /** Objects and lists that may be open at once; default 64. */
  readonly depthMax: number;
  /** Largest ratio of a decompressed body to its compressed bytes; default 100. Bodies up to 64 KiB may exceed it. */
  readonly ratioMax: number;
  /** Whether forms of others are refused when they lack what the platform's own envelopes hold; default false: see above. */
  readonly demandsAttributes: boolean;
}

export const defaultDecodeLimits: DecodeLimits = { bodyBytesMax: 1024 * 1024, depthMax: 64, ratioMax: 100, demandsAttributes: false };

/** A message whose route could be read. */
export interface Routed {
  readonly route: Route;
  readonly contentEncoding: ContentEncoding | undefined;
  /** What the thread needs beside the body: the application properties of a binary CloudEvent, or what a hook read. */
  readonly headers: Readonly<Record<string, HeaderValue>> | undefined;
}

export type RouteResult = (Routed & { readonly ok: true }) | { readonly ok: false; readonly invalid: Invalid };

interface Content {
  readonly cloudEvents: boolean;
  /** Undefined when the content type does not say. */
  readonly codec: "json" | "msgpack" | undefined;
  /** It says that the body is something else. */
  readonly isOther: boolean;
}

const structuredPattern = /^application\/cloudevents(?:-batch)?(?:\+(json|msgpack))?\s*(?:;|$)/i;

function contentOf(contentType: string): Content {
  const structured = structuredPattern.exec(contentType);
  if (structured !== null) return { cloudEvents: true, codec: structured[1]?.toLowerCase() === "msgpack" ? "msgpack" : "json", isOther: false };
  const codec = codecOfMediaType(contentType);
  return { cloudEvents: false, codec, isOther: codec === undefined && contentType !== "" };
}

const noContent: Content = { cloudEvents: false, codec: undefined, isOther: false };
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

/** The three fields wherever they were found; anything may be missing. */
interface Fields {
  id: HeaderValue | Found;
  type: HeaderValue | Found;
  version: HeaderValue | Found;
  form: WireForm | undefined;
}

function readHeaders(delivery: Delivery, demands: boolean): Fields {
  const id = delivery.header("eventId");
  if (id !== undefined) return { id, type: delivery.header("eventType"), version: delivery.header("version"), form: "canonical" };
  const snakeId = delivery.header("event_id");
  if (snakeId !== undefined) return { id: snakeId, type: delivery.header("event_type"), version: delivery.header("version"), form: "snake" };
  for (const prefix of cloudEventsPrefixes) {
    const id = delivery.header(`${prefix}id`);
    if (id === undefined) continue;
    const version = cloudEventVersion(delivery.header(`${prefix}version`), delivery.header(`${prefix}dataschema`), demands);
    return { id, type: delivery.header(`${prefix}type`), version, form: "cloudevents-binary" };
  }
  return { id: undefined, type: undefined, version: undefined, form: undefined };
}

/** The three fields as a body's keys say, by the form that the keys make out. */
function fieldsOfBody(found: readonly Found[], cloudEvents: boolean, demands: boolean): Fields {
  const version = found[wanted.version];
  const form = formOf(cloudEvents, {
    eventId: found[wanted.eventId] !== undefined,
    eventIdInSnake: found[wanted.event_id] !== undefined,
    specversion: found[wanted.specversion] !== undefined,
    eventGrid: found[wanted.id] !== undefined && found[wanted.eventType] !== undefined && found[wanted.eventTime] !== undefined,
  });
  switch (form) {
    case "cloudevents-structured":
      return { id: found[wanted.id], type: found[wanted.type], version: cloudEventVersion(version, found[wanted.dataschema], demands), form };
    case "event-grid":
      return { id: found[wanted.id], type: found[wanted.eventType], version: eventGridVersion(found[wanted.dataVersion], demands), form };
    case "snake":
      return { id: found[wanted.event_id], type: found[wanted.event_type], version, form };
    case "canonical":
    case "cloudevents-binary":
    case "hooked":
      return { id: found[wanted.eventId], type: found[wanted.eventType], version, form: "canonical" };
  }
}

/** The event id that the application properties tell, for naming a message that is not read; undefined when they tell none. */
export function readEventIdHeader(delivery: Delivery): string | undefined {
  const { id } = readHeaders(delivery, false);
  return isEventId(id) ? id : undefined;
}

const fieldNames: Readonly<Record<WireForm, readonly [id: string, type: string, version: string]>> = {
  canonical: ["eventId", "eventType", "version"],
  snake: ["event_id", "event_type", "version"],
  "cloudevents-structured": ["id", "type", "version"],
  "cloudevents-binary": ["cloudEvents:id", "cloudEvents:type", "cloudEvents:version"],
  "event-grid": ["id", "eventType", "dataVersion"],
  hooked: ["eventId", "eventType", "version"],
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

function routeOf(fields: Fields, form: WireForm, codec: BodyCodec, contentEncoding: ContentEncoding | undefined, delivery: Delivery): RouteResult {
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

function codecOf(content: Content, body: Uint8Array): "json" | "msgpack" {
  return content.codec ?? (beginsLikeMsgpackMap(body) ? "msgpack" : "json");
}

const sections = {
  value: "an AMQP value that is neither text of an envelope nor a map; send the envelope's bytes in a data section",
  sequence: "an AMQP sequence; send the envelope's bytes in a data section, each event as a message of its own",
} as const;

/** A body that holds no envelope: what it is, as far as that can be seen. */
function refuseBody(delivery: Delivery, expected: string): RouteResult {
  const { bodySection } = delivery;
  const isKnown = bodySection !== "data";
  const recognised = recogniseBody(delivery.body);
  const found = bodySection === "sequence" ? sections.sequence : (recognised ?? (isKnown ? sections[bodySection] : "something else"));
  return refuse("InvalidEnvelope", `body: expected ${expected}, ${recognised === undefined && !isKnown ? "got" : "found"} ${found}`);
}

function refuseLook(delivery: Delivery, top: Exclude<TopLevel, { kind: "fields" }>, limits: DecodeLimits): RouteResult {
  if (top.kind === "too-deep") return refuse("DecodeLimit", `body: expected a depth of at most ${limits.depthMax}, got more`);
  return refuseBody(delivery, top.expected);
}

/** What the body says, where the properties do not say all three; a property that is there wins and is checked later. */
function routeByBody(delivery: Delivery, headers: Fields, content: Content, limits: DecodeLimits): RouteResult {
  const codec = codecOf(content, delivery.body);
  const look = codec === "json" ? lookAtJson : lookAtMsgpack;
  const top = look(delivery.body, content.cloudEvents, limits.depthMax);
  if (top.kind !== "fields") return refuseLook(delivery, top, limits);
  const fields = fieldsOfBody(top.fields, content.cloudEvents, limits.demandsAttributes);
  const form = fields.form ?? "canonical";
  if (top.isListed && form !== "event-grid" && form !== "cloudevents-structured") return refuse("InvalidEnvelope", "body: expected an object, got a list");
  fields.id = headers.id ?? fields.id;
  fields.type = headers.type ?? fields.type;
  fields.version = headers.version ?? fields.version;
  return routeOf(fields, form, codec, undefined, delivery);
}

function routeByHook(
  delivery: Delivery,
  hooks: readonly EnvelopeHook[],
  content: Content,
  contentEncoding: ContentEncoding | undefined,
  limits: DecodeLimits,
): RouteResult | undefined {
  const { body } = delivery;
  const seeming = contentEncoding === undefined ? codecOf(content, body) : "bytes";
  const hooked = askHooks(hooks, delivery, seeming, limits.depthMax, limits.demandsAttributes);
  if (hooked === undefined) return undefined;
  if ("reason" in hooked) return { ok: false, invalid: hooked };
  const { eventId, eventType, version, headers } = hooked;
  const codec = hooked.codec ?? content.codec ?? (contentEncoding === undefined ? codecOf(content, body) : "json");
  return { ok: true, route: { eventId, eventType, version, form: "hooked", codec }, contentEncoding, headers };
}

const noHooks: readonly EnvelopeHook[] = [];

/** Reads the route of a delivery, or says why it can never be handled. Never throws on what a sender can send. */
export function readRoute(delivery: Delivery, limits: DecodeLimits, hooks: readonly EnvelopeHook[] = noHooks): RouteResult {
  const { body } = delivery;
  if (body.byteLength > limits.bodyBytesMax) {
    return refuse("BodyTooLarge", `body: expected at most ${limits.bodyBytesMax} bytes, got ${body.byteLength}`);
  }
  let encoding = delivery.header("contentEncoding") ?? delivery.header("content-encoding") ?? undefined;
  if (encoding === "identity" || encoding === "") encoding = undefined;
  if (encoding !== undefined && !isContentEncoding(encoding)) {
    return refuse("InvalidEnvelope", "content-encoding: expected gzip, deflate, br or identity, got something else");
  }
  const content = readContent(delivery.contentType);
  const byHook = hooks.length === 0 || delivery.header("eventType") === probeEventType ? undefined : routeByHook(delivery, hooks, content, encoding, limits);
  if (byHook !== undefined) return byHook;
  const headers = readHeaders(delivery, limits.demandsAttributes);
  const isWhole = headers.id !== undefined && headers.type !== undefined && headers.version !== undefined;
  if (headers.form === "cloudevents-binary" && !content.cloudEvents) {
    const codec = content.isOther ? "bytes" : encoding === undefined ? codecOf(content, body) : (content.codec ?? "json");
    return routeOf(headers, "cloudevents-binary", codec, encoding, delivery);
  }
  if (delivery.bodySection === "sequence") return refuseBody(delivery, "an object");
  if (!isWhole && encoding === undefined) return routeByBody(delivery, headers, content, limits);
  if (!isWhole && headers.form === undefined) {
    return refuse("InvalidEnvelope", "eventId: expected the application properties eventId, eventType and version with a compressed body, got none");
  }
  const form = content.cloudEvents ? "cloudevents-structured" : (headers.form ?? "canonical");
  const codec = encoding === undefined ? codecOf(content, body) : (content.codec ?? "json");
  return routeOf(headers, form, codec, encoding, delivery);
}
