// A message is kept as the bytes that came in. Of its sections the broker reads the header, the annotations and two
// fields of the properties; on delivery it writes the header and the annotations anew and sends the rest untouched.
import { plain } from "./plain.ts";
import { type AmqpValue, MalformedError, Reader, Uuid } from "./reader.ts";
import { readSection, section } from "./sections.ts";
import { Writer } from "./writer.ts";

/** The immutable part of a message, shared by every entity that holds a copy of it. */
export interface MessageContent {
  /** Properties, application properties, body and footer, as they came. */
  readonly bare: Buffer;
  readonly durable: boolean;
  readonly priority: number;
  /** How long the sender lets it live, in milliseconds; undefined = as long as the entity does. */
  readonly timeToLiveMs: number | undefined;
  /** Annotations that are not the broker's own, as encoded keys and values, and how many pairs they are. */
  readonly annotations: Buffer | undefined;
  readonly annotationCount: number;
  readonly messageId: string;
  readonly sessionId: string | undefined;
  readonly partitionKey: string | undefined;
  /** When the sender wants it enqueued, in epoch milliseconds; undefined = now. */
  readonly scheduledAtMs: number | undefined;
}

/** What differs between one delivery of a message and the next. */
export interface DeliveryView {
  readonly content: MessageContent;
  readonly sequenceNumber: number;
  readonly enqueuedSequenceNumber: number;
  readonly enqueuedAtMs: number;
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

interface Header {
  durable: boolean;
  priority: number;
  timeToLiveMs: number | undefined;
}

interface Annotations {
  raw: Buffer[];
  partitionKey: string | undefined;
  scheduledAtMs: number | undefined;
}

const priorityDefault = 4;

function readHeader(reader: Reader, header: Header): void {
  const count = reader.listHeader();
  const end = reader.compoundEnd;
  if (count > 0) header.durable = reader.read() === true;
  if (count > 1) {
    const priority = reader.read();
    if (typeof priority === "number") header.priority = priority;
  }
  if (count > 2) {
    const ttl = reader.read();
    if (typeof ttl === "number") header.timeToLiveMs = ttl;
  }
  for (let i = 3; i < count; i++) reader.skip();
  reader.leave(end);
}

function readAnnotations(reader: Reader, annotations: Annotations): void {
  const count = reader.mapHeader();
  const end = reader.compoundEnd;
  for (let i = 0; i < count; i += 2) {
    const start = reader.position;
    const key = reader.read();
    if (typeof key === "string" && ownAnnotations.has(key)) {
      reader.skip();
      continue;
    }
    if (key === "x-opt-scheduled-enqueue-time") annotations.scheduledAtMs = timeOf(reader.read());
    else if (key === "x-opt-partition-key") {
      const value = reader.read();
      if (typeof value === "string") annotations.partitionKey = value;
    } else reader.skip();
    annotations.raw.push(reader.buffer.subarray(start, reader.position));
  }
  reader.leave(end);
}

function timeOf(value: AmqpValue): number | undefined {
  if (value instanceof Date) return value.getTime();
  return typeof value === "number" ? value : undefined;
}

/** A message id as text: a UUID with dashes, binary as hex. */
function idText(value: AmqpValue): string | undefined {
  if (typeof value === "string") return value;
  if (value === null) return undefined;
  if (value instanceof Uuid) return value.toString();
  if (Buffer.isBuffer(value)) return value.toString("hex");
  return typeof value === "number" || typeof value === "bigint" ? String(value) : undefined;
}

const groupIdField = 10;

/** The message id and the session id of a properties section at the reader. */
function readIds(reader: Reader): { messageId: string | undefined; sessionId: string | undefined } {
  const count = reader.listHeader();
  const messageId = count > 0 ? idText(reader.read()) : undefined;
  if (count <= groupIdField) return { messageId, sessionId: undefined };
  for (let i = 1; i < groupIdField; i++) reader.skip();
  const group = reader.read();
  return { messageId, sessionId: typeof group === "string" ? group : undefined };
}

/**
 * Takes an encoded message apart, and copies what is kept.
 *
 * @param makeId what stamps a message that has no id: clients cannot settle one without
 * @throws MalformedError or RangeError when the bytes are not a message
 */
export function parseMessage(bytes: Buffer, makeId: () => string): MessageContent {
  const reader = new Reader(bytes);
  const header: Header = { durable: false, priority: priorityDefault, timeToLiveMs: undefined };
  const annotations: Annotations = { raw: [], partitionKey: undefined, scheduledAtMs: undefined };
  let bareStart = reader.position;
  let ids: ReturnType<typeof readIds> | undefined;
  while (!reader.done) {
    bareStart = reader.position;
    const code = readSection(reader);
    if (code === section.header) readHeader(reader, header);
    else if (code === section.deliveryAnnotations) reader.skip();
    else if (code === section.messageAnnotations) readAnnotations(reader, annotations);
    else {
      if (code === section.properties) ids = readIds(reader);
      break;
    }
    bareStart = reader.position;
  }
  checkSections(bytes, bareStart);
  const messageId = ids?.messageId ?? makeId();
  const tail = bytes.subarray(bareStart);
  return {
    bare: ids?.messageId === undefined ? stampId(tail, messageId) : Buffer.from(tail),
    durable: header.durable,
    priority: header.priority,
    timeToLiveMs: header.timeToLiveMs,
    annotations: annotations.raw.length === 0 ? undefined : Buffer.concat(annotations.raw),
    annotationCount: annotations.raw.length,
    messageId,
    sessionId: ids?.sessionId,
    partitionKey: annotations.partitionKey,
    scheduledAtMs: annotations.scheduledAtMs,
  };
}

/** Walks the sections from `start` to the end, so that no receiver is ever handed bytes that it cannot walk. */
function checkSections(bytes: Buffer, start: number): void {
  const reader = new Reader(bytes, start);
  while (!reader.done) {
    const code = readSection(reader);
    if (code < section.properties || code > section.footer) throw new MalformedError(`expected a section of the bare message, found 0x${code.toString(16)}`);
    if (code === section.properties) {
      const count = reader.listHeader();
      const end = reader.compoundEnd;
      for (let i = 0; i < count; i++) reader.skip();
      reader.leave(end);
    } else if (code === section.applicationProperties) checkProperties(reader);
    else reader.skip();
  }
}

function checkProperties(reader: Reader): void {
  const count = reader.mapHeader();
  const end = reader.compoundEnd;
  for (let i = 0; i < count; i += 2) {
    const keyCode = reader.buffer[reader.position];
    if (keyCode !== 0xa1 && keyCode !== 0xb1) throw new MalformedError("expected application properties to be named by strings");
    reader.skip();
    reader.skip();
  }
  reader.leave(end);
}

/** The bare message with `messageId` as its id. */
function stampId(bare: Buffer, messageId: string): Buffer {
  const writer = new Writer(bare.length + messageId.length + 32);
  const reader = new Reader(bare);
  writer.descriptor(section.properties);
  if (reader.done || readSection(reader) !== section.properties) {
    const at = writer.open(0xd0, 1);
    writer.string(messageId);
    writer.close(at);
    writer.bytes(bare);
    return writer.take();
  }
  const count = reader.listHeader();
  const at = writer.open(0xd0, Math.max(1, count));
  writer.string(messageId);
  if (count > 0) reader.skip();
  for (let i = 1; i < count; i++) writer.bytes(reader.raw());
  writer.close(at);
  writer.bytes(bare.subarray(reader.position));
  return writer.take();
}

const key = (name: string): Buffer => {
  const writer = new Writer();
  writer.symbol(name);
  return writer.take();
};

const keys = {
  sequenceNumber: key("x-opt-sequence-number"),
  enqueuedSequenceNumber: key("x-opt-enqueue-sequence-number"),
  enqueuedTime: key("x-opt-enqueued-time"),
  lockedUntil: key("x-opt-locked-until"),
  messageState: key("x-opt-message-state"),
  deadLetterSource: key("x-opt-deadletter-source"),
};

const stateCodes = { active: 0, deferred: 1, scheduled: 2 };

/** Writes the sections before the bare message: the header and the annotations of this delivery. */
export function writeHead(writer: Writer, view: DeliveryView, lockToken?: Uuid): void {
  const { content } = view;
  writer.descriptor(section.header);
  const header = writer.open(0xd0, 5);
  writer.byte(content.durable ? 0x41 : 0x42);
  writer.byte(0x50);
  writer.byte(content.priority);
  if (content.timeToLiveMs === undefined) writer.byte(0x40);
  else writer.uint(content.timeToLiveMs);
  writer.byte(0x42);
  writer.uint(view.deliveryCount);
  writer.close(header);
  if (lockToken !== undefined) {
    writer.descriptor(section.deliveryAnnotations);
    writer.map(new Map([["x-opt-lock-token", lockToken]]), true);
  }
  const locked = view.lockedUntilMs !== 0;
  const pairs = 4 + (locked ? 1 : 0) + (view.deadLetterSource === undefined ? 0 : 1) + content.annotationCount;
  writer.descriptor(section.messageAnnotations);
  const map = writer.open(0xd1, pairs * 2);
  writer.bytes(keys.sequenceNumber);
  writer.long(view.sequenceNumber);
  writer.bytes(keys.enqueuedSequenceNumber);
  writer.long(view.enqueuedSequenceNumber);
  writer.bytes(keys.enqueuedTime);
  writer.timestamp(view.enqueuedAtMs);
  writer.bytes(keys.messageState);
  writer.byte(0x54);
  writer.byte(stateCodes[view.state]);
  if (locked) {
    writer.bytes(keys.lockedUntil);
    writer.timestamp(view.lockedUntilMs);
  }
  if (view.deadLetterSource !== undefined) {
    writer.bytes(keys.deadLetterSource);
    writer.string(view.deadLetterSource);
  }
  if (content.annotations !== undefined) writer.bytes(content.annotations);
  writer.close(map);
}

/** The bytes after the head: the bare message, with the application properties that were set since. */
export function bareOf(view: DeliveryView): Buffer {
  const { bare } = view.content;
  return view.properties === undefined || view.properties.size === 0 ? bare : withApplicationProperties(bare, view.properties);
}

/**
 * The whole message as a receiver gets it, without its body if `omitBody`. What is received outside of a link has no delivery
 * tag to settle it by: there, `lockToken` is told in the message.
 */
export function encodeMessage(view: DeliveryView, omitBody = false, lockToken?: Uuid): Buffer {
  const writer = new Writer(view.content.bare.length + 256);
  writeHead(writer, view, lockToken);
  const bare = bareOf(view);
  if (!omitBody) writer.bytes(bare);
  else writeWithoutBody(writer, bare);
  return writer.take();
}

function writeWithoutBody(writer: Writer, bare: Buffer): void {
  const reader = new Reader(bare);
  while (!reader.done) {
    const start = reader.position;
    const code = readSection(reader);
    reader.skip();
    if (code < section.data) writer.bytes(bare.subarray(start, reader.position));
  }
  writer.descriptor(section.data);
  writer.binary(Buffer.alloc(0));
}

function withApplicationProperties(bare: Buffer, changes: ReadonlyMap<string, string | Buffer>): Buffer {
  const writer = new Writer(bare.length + 256);
  const reader = new Reader(bare);
  let kept: readonly Buffer[] = [];
  let split = 0;
  let rest = 0;
  while (!reader.done) {
    const start = reader.position;
    const code = readSection(reader);
    if (code === section.properties) {
      reader.skip();
      split = rest = reader.position;
      continue;
    }
    if (code === section.applicationProperties) {
      split = start;
      kept = keptPairs(reader, changes);
      rest = reader.position;
    }
    break;
  }
  writer.bytes(bare.subarray(0, split));
  writer.descriptor(section.applicationProperties);
  const map = writer.open(0xd1, (kept.length + changes.size) * 2);
  for (const pair of kept) writer.bytes(pair);
  for (const [name, value] of changes) {
    writer.string(name);
    if (typeof value === "string") writer.string(value);
    else writer.bytes(value);
  }
  writer.close(map);
  writer.bytes(bare.subarray(rest));
  return writer.take();
}

function keptPairs(reader: Reader, changes: ReadonlyMap<string, unknown>): Buffer[] {
  const pairs: Buffer[] = [];
  const count = reader.mapHeader();
  for (let i = 0; i < count; i += 2) {
    const start = reader.position;
    const name = reader.read();
    reader.skip();
    if (typeof name !== "string" || !changes.has(name)) pairs.push(reader.buffer.subarray(start, reader.position));
  }
  return pairs;
}

/** The application properties of a message as it would be delivered now, as JSON can hold them. */
export function applicationPropertiesOf(view: Pick<DeliveryView, "content" | "properties">): Record<string, string | number | boolean | null> {
  const result = new Map<string, string | number | boolean | null>();
  const { bare } = view.content;
  const reader = new Reader(bare);
  while (!reader.done) {
    const code = readSection(reader);
    if (code === section.properties) {
      reader.skip();
      continue;
    }
    if (code === section.applicationProperties) {
      const count = reader.mapHeader();
      for (let i = 0; i < count; i += 2) {
        const name = String(plain(reader.read()));
        result.set(name, readable(reader.raw()));
      }
    }
    break;
  }
  for (const [name, value] of view.properties ?? []) result.set(name, typeof value === "string" ? value : readable(value));
  return Object.fromEntries(result);
}

/** An encoded value for people; what is broken inside is shown as bytes. */
function readable(encoded: Buffer): string | number | boolean | null {
  try {
    return plain(new Reader(encoded).read());
  } catch (error) {
    if (error instanceof MalformedError || error instanceof RangeError) return encoded.toString("base64");
    throw error;
  }
}
