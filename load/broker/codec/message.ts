// A message is kept as the bytes that came in. Of its sections the broker reads the header, the annotations and two
// fields of the properties; on delivery it rewrites the header and the annotations and sends the rest untouched.
import { encode } from "#runtime/amqp/codec/encode.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import type { FieldReader } from "#runtime/amqp/codec/fields.ts";
import { format } from "#runtime/amqp/codec/formats.ts";
import { writeAnnotations } from "#runtime/amqp/message/message-writer.ts";
import { ProtocolError } from "#runtime/amqp/codec/errors.ts";
import { MessageView } from "#runtime/amqp/message/message.ts";
import { type Fields, long, type Plain, symbol, uuid } from "#runtime/amqp/codec/types.ts";
import type { MapView } from "#runtime/amqp/codec/views.ts";
import { Writer } from "#runtime/amqp/codec/writer.ts";
import type { MessageContent } from "../entities/message.ts";
import { withFooterLast } from "./section-order.ts";
import { decodedOrNull, forEachNamed } from "./encoded.ts";
import { type Readable, readable } from "./readable.ts";

/** What differs between one delivery of a message and the next. */
export interface DeliveryView {
  readonly content: MessageContent;
  readonly sequenceNumber: number;
  readonly enqueuedSequenceNumber: number;
  readonly enqueuedAtMs: number;
  /** Epoch milliseconds; Infinity = it does not expire here. */
  readonly expiresAtMs: number;
  /** Tries before this one. */
  readonly deliveryCount: number;
  /** Epoch milliseconds; 0 = not locked. */
  readonly lockedUntilMs: number;
  readonly state: "active" | "deferred" | "scheduled";
  readonly deadLetterSource: string | undefined;
  /** Application properties that were set since it was enqueued: text, or an encoded AMQP value. */
  readonly properties: ReadonlyMap<string, string | Buffer> | undefined;
}

/** Annotations that the broker alone sets; a sender's are dropped. */
const ownAnnotations: ReadonlySet<string> = new Set([
  "x-opt-sequence-number",
  "x-opt-enqueue-sequence-number",
  "x-opt-enqueued-time",
  "x-opt-locked-until",
  "x-opt-message-state",
  "x-opt-deadletter-source",
  "x-opt-lock-token",
]);

/** What a Date holds; a time beyond it comes as the last. */
const dateMsMax = 8_640_000_000_000_000;
const scheduledAnnotation = "x-opt-scheduled-enqueue-time";

/** What the annotations of a message tell the broker, and those that it passes on. */
type Annotations = Pick<MessageContent, "annotations" | "annotationCount" | "partitionKey" | "scheduledAtMs">;

const noAnnotations: Annotations = { annotations: undefined, annotationCount: 0, partitionKey: undefined, scheduledAtMs: undefined };

function timeOf(value: Plain): number | undefined {
  if (value instanceof Date) return value.getTime();
  return Number.isFinite(value) ? (value as number) : undefined;
}

function textOf(value: Plain | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** A message id as text: a UUID with dashes, binary as hex. */
function idText(value: Plain | undefined): string | undefined {
  if (typeof value === "string") return value;
  if (Buffer.isBuffer(value)) return value.toString("hex");
  return typeof value === "number" || typeof value === "bigint" ? String(value) : undefined;
}

/**
 * Takes an encoded message apart, and copies what is kept.
 *
 * @param makeId what stamps a message that has no id: clients cannot settle one without
 * @throws ProtocolError when the bytes are not a message
 */
export function parseMessage(bytes: Buffer, makeId: () => string): MessageContent {
  const message = checked(bytes);
  const annotations = readAnnotations(message);
  // Receivers walk these: none is ever handed bytes that it cannot.
  message.applicationProperties?.checkEntries("strings");
  const { durable, priority, timeToLiveMs } = readHeader(message);
  const { id, sessionId } = readIds(message);
  const messageId = id ?? makeId();
  return {
    bare: id === undefined ? stampId(message, messageId) : bareCopy(message),
    durable,
    priority,
    timeToLiveMs,
    annotations: annotations.annotations,
    annotationCount: annotations.annotationCount,
    messageId,
    sessionId,
    partitionKey: annotations.partitionKey,
    scheduledAtMs: annotations.scheduledAtMs,
  };
}

function readAnnotations(message: MessageView): Annotations {
  const { messageAnnotations: map } = message;
  if (map === undefined) return noAnnotations;
  map.checkEntries();
  const onlyTimeMs = map.size === 1 ? map.timeMs(scheduledAnnotation) : undefined;
  // The one that nearly all of a worker's copies have, and no other.
  if (onlyTimeMs !== undefined && Math.abs(onlyTimeMs) <= dateMsMax)
    return { annotations: Buffer.from(map.entryBytes), annotationCount: 1, partitionKey: undefined, scheduledAtMs: onlyTimeMs };
  return readEach(map);
}

function readEach(map: MapView): Annotations {
  const pairs: Buffer[] = [];
  let partitionKey: string | undefined;
  let scheduledAtMs: number | undefined;
  map.forEach((key, value, at) => {
    if (typeof key === "string" && ownAnnotations.has(key)) return;
    if (key === scheduledAnnotation) scheduledAtMs = timeOf(value.plain());
    else if (key === "x-opt-partition-key") partitionKey = textOf(value.plain());
    pairs.push(map.bytes.subarray(at, value.end));
  });
  return { annotations: pairs.length === 0 ? undefined : Buffer.concat(pairs), annotationCount: pairs.length, partitionKey, scheduledAtMs };
}

function bareCopy(message: MessageView): Buffer {
  const start = message.startOf("properties");
  const bare = Buffer.allocUnsafe(message.end - start);
  message.buffer.copy(bare, 0, start, message.end);
  return bare;
}

/** A message whose sections are in order: as it came, or put in order. */
function checked(bytes: Buffer): MessageView {
  const message = new MessageView(bytes);
  try {
    message.check();
    return message;
  } catch (error) {
    const ordered = error instanceof ProtocolError ? withFooterLast(bytes) : bytes;
    if (ordered === bytes) throw error;
    const other = new MessageView(ordered);
    other.check();
    return other;
  }
}

const headerless: ReturnType<typeof readHeader> = { durable: false, priority: 4, timeToLiveMs: undefined };

/** The header in one walk; what it does not say is as the specification has it (part 3, 3.2.1). */
function readHeader(message: MessageView): Pick<MessageContent, "durable" | "priority" | "timeToLiveMs"> {
  const fields = message.fields("header");
  if (fields === undefined) return headerless;
  const durable = fields.boolean(headerless.durable);
  const priority = fields.ubyte(headerless.priority);
  const ttl = fields.uint(-1);
  return { durable, priority, timeToLiveMs: ttl < 0 ? undefined : ttl };
}

const groupIdField = 10;

/** The message id and the session id, in one walk over the properties. */
function readIds(message: MessageView): { readonly id: string | undefined; readonly sessionId: string | undefined } {
  const fields = message.fields("properties");
  if (fields === undefined) return { id: undefined, sessionId: undefined };
  const id = idText(fields.plain());
  for (let field = 1; field < groupIdField; field++) fields.span();
  const sessionId = textOf(fields.plain());
  fields.checkRest();
  return { id, sessionId };
}

/** The bare message with `messageId` as its id. */
function stampId(message: MessageView, messageId: string): Buffer {
  const rest = message.from("applicationProperties");
  const fields = message.fields("properties");
  const count = Math.max(1, fields?.left ?? 0);
  const writer = new Writer(message.end - message.start + messageId.length * 3 + 64);
  writer.descriptor(descriptor.properties);
  const list = writer.openCompound(format.list8);
  writer.string(messageId);
  if (fields !== undefined) {
    fields.span();
    while (fields.left > 0) writeField(writer, fields);
  }
  writer.closeCompound(list, count);
  writer.raw(rest);
  return writer.take();
}

/** The next field, as it is encoded. */
function writeField(writer: Writer, fields: FieldReader): void {
  if (fields.span()) writer.raw(fields.bytes.subarray(fields.spanStart, fields.spanEnd));
  else writer.null();
}

const keys = {
  sequenceNumber: encode(symbol("x-opt-sequence-number")),
  enqueuedSequenceNumber: encode(symbol("x-opt-enqueue-sequence-number")),
  enqueuedTime: encode(symbol("x-opt-enqueued-time")),
  lockedUntil: encode(symbol("x-opt-locked-until")),
  messageState: encode(symbol("x-opt-message-state")),
  deadLetterSource: encode(symbol("x-opt-deadletter-source")),
};

const uintMax = 2 ** 32 - 1;
const stateCodes = { active: 0, deferred: 1, scheduled: 2 };

/**
 * Writes the sections before the bare message: the header and the annotations of this delivery.
 *
 * @param annotations of this delivery alone; undefined = there is no such section
 */
export function writeHead(writer: Writer, view: DeliveryView, annotations?: Fields): void {
  const { content } = view;
  writer.descriptor(descriptor.header);
  const header = writer.openCompound(format.list8);
  writer.boolean(content.durable);
  writer.pair(format.ubyte, content.priority);
  // The life that it has here may be shorter than the one that its sender gave it.
  const livesMs = view.expiresAtMs === Infinity ? content.timeToLiveMs : view.expiresAtMs - view.enqueuedAtMs;
  if (livesMs === undefined) writer.null();
  else writer.uint(Math.min(livesMs, uintMax));
  writer.boolean(false);
  writer.uint(view.deliveryCount);
  writer.closeCompound(header, 5);
  if (annotations !== undefined) writeAnnotations(writer, "deliveryAnnotations", annotations);
  writeMessageAnnotations(writer, view);
}

function writeMessageAnnotations(writer: Writer, view: DeliveryView): void {
  const { annotations, annotationCount } = view.content;
  const locked = view.lockedUntilMs !== 0;
  const pairs = 4 + (locked ? 1 : 0) + (view.deadLetterSource === undefined ? 0 : 1) + annotationCount;
  writer.descriptor(descriptor.messageAnnotations);
  const map = writer.openCompound(format.map8);
  writer.raw(keys.sequenceNumber);
  writer.longOf(view.sequenceNumber);
  writer.raw(keys.enqueuedSequenceNumber);
  writer.longOf(view.enqueuedSequenceNumber);
  writer.raw(keys.enqueuedTime);
  writer.timestamp(view.enqueuedAtMs);
  writer.raw(keys.messageState);
  writer.int(stateCodes[view.state]);
  if (locked) {
    writer.raw(keys.lockedUntil);
    writer.timestamp(view.lockedUntilMs);
  }
  if (view.deadLetterSource !== undefined) {
    writer.raw(keys.deadLetterSource);
    writer.string(view.deadLetterSource);
  }
  if (annotations !== undefined) writer.raw(annotations);
  writer.closeCompound(map, pairs * 2);
}

/** The bytes after the head: the bare message, with the application properties that were set since. */
export function bareOf(view: DeliveryView): Buffer {
  const { bare } = view.content;
  return view.properties === undefined || view.properties.size === 0 ? bare : withApplicationProperties(bare, view.properties);
}

/**
 * The whole message as a receiver gets it. What is received outside of a link has no delivery tag to settle it by: there,
 * `lockToken` is part of the message.
 */
export function encodeDelivery(view: DeliveryView, lockToken?: Buffer): Buffer {
  const writer = new Writer(view.content.bare.length + 512);
  writeHead(writer, view, lockToken === undefined ? undefined : { "x-opt-lock-token": uuid(lockToken) });
  writer.raw(bareOf(view));
  return writer.take();
}

const noBytes = Buffer.alloc(0);

/** The message as whoever peeks sees it. One without its body has no body section, and tells how large that is. */
export function encodePeeked(view: DeliveryView, omitBody: boolean): Buffer {
  const bare = bareOf(view);
  const writer = new Writer(bare.length + 512);
  if (!omitBody) {
    writeHead(writer, view, {});
    writer.raw(bare);
    return writer.take();
  }
  const message = new MessageView(bare);
  writeHead(writer, view, { "omitted-message-body-size": long(message.startOf("footer") - message.startOf("body")) });
  writer.raw(message.section("properties") ?? noBytes);
  writer.raw(message.section("applicationProperties") ?? noBytes);
  return writer.take();
}

function withApplicationProperties(bare: Buffer, changes: ReadonlyMap<string, string | Buffer>): Buffer {
  const message = new MessageView(bare);
  const { applicationProperties } = message;
  const writer = new Writer(bare.length + 512);
  writer.raw(message.section("properties") ?? noBytes);
  writer.descriptor(descriptor.applicationProperties);
  const map = writer.openCompound(format.map8);
  let count = changes.size;
  applicationProperties?.forEach((name, value, at) => {
    if (changes.has(name as string)) return;
    writer.raw(bare.subarray(at, value.end));
    count++;
  });
  for (const [name, value] of changes) {
    writer.string(name);
    if (typeof value === "string") writer.string(value);
    else writer.raw(value);
  }
  writer.closeCompound(map, count * 2);
  writer.raw(message.from("body"));
  return writer.take();
}

/** The application properties of a message as it would be delivered now, as JSON can hold them. */
export function applicationPropertiesOf(view: Pick<DeliveryView, "content" | "properties">): Record<string, Readable> {
  const result = new Map<string, Readable>();
  const { applicationProperties } = new MessageView(view.content.bare);
  forEachNamed(applicationProperties, (name, { bytes, start, end }) => result.set(name, readableOf(bytes.subarray(start, end))));
  for (const [name, value] of view.properties ?? []) result.set(name, typeof value === "string" ? value : readableOf(value));
  return Object.fromEntries(result);
}

/** An encoded value for people; what is broken inside is shown as bytes. */
function readableOf(encoded: Buffer): Readable {
  return readable(decodedOrNull(encoded)) ?? (encoded[0] === format.null ? null : encoded.toString("base64"));
}
