// What is inside a message's properties and application properties, for filters; and writing them anew, for actions.
import type { MessageContent } from "./message.ts";
import { plain } from "./plain.ts";
import { type AmqpValue, MalformedError, Reader } from "./reader.ts";
import { readSection, section } from "./sections.ts";
import { Writer } from "./writer.ts";

/** The fields of the properties section that have a name here, and their places. */
export const propertyPlaces = {
  messageId: 0,
  to: 2,
  subject: 3,
  replyTo: 4,
  correlationId: 5,
  contentType: 6,
  sessionId: 10,
  replyToSessionId: 12,
};

export type PropertyField = keyof typeof propertyPlaces;

export interface MessageFields {
  /** The properties section, by place. */
  readonly properties: readonly AmqpValue[];
  readonly applicationProperties: ReadonlyMap<string, AmqpValue>;
}

/** Reads a message's fields. A value that is broken inside counts as none: a receiver may still make sense of the message. */
export function readFields({ bare }: Pick<MessageContent, "bare">): MessageFields {
  const reader = new Reader(bare);
  let properties: AmqpValue[] = [];
  const applicationProperties = new Map<string, AmqpValue>();
  while (!reader.done) {
    const code = readSection(reader);
    if (code === section.properties) properties = Array.from({ length: reader.listHeader() }, () => decodeValue(reader.raw()));
    else if (code === section.applicationProperties) {
      const count = reader.mapHeader();
      for (let i = 0; i < count; i += 2) {
        const name = decodeValue(reader.raw());
        const value = decodeValue(reader.raw());
        if (typeof name === "string") applicationProperties.set(name, value);
      }
      break;
    } else break;
  }
  return { properties, applicationProperties };
}

/** An encoded value; null when it is broken inside. */
export function decodeValue(encoded: Buffer): AmqpValue {
  try {
    return new Reader(encoded).read();
  } catch (error) {
    if (error instanceof MalformedError || error instanceof RangeError) return null;
    throw error;
  }
}

/** Changes to a message's fields: each an encoded value, or undefined to take it away. */
export interface FieldChanges {
  readonly properties: ReadonlyMap<PropertyField, string | undefined>;
  readonly applicationProperties: ReadonlyMap<string, Buffer | undefined>;
}

/** The content of a message with other fields; the original stays as it is. */
export function withFields(content: MessageContent, changes: FieldChanges): MessageContent {
  const { bare } = content;
  const writer = new Writer(bare.length + 256);
  const reader = new Reader(bare);
  let properties: Buffer[] = [];
  const pairs = new Map<string, Buffer>();
  let rest = 0;
  while (!reader.done) {
    const code = readSection(reader);
    if (code === section.properties) properties = Array.from({ length: reader.listHeader() }, () => reader.raw());
    else if (code === section.applicationProperties) {
      const count = reader.mapHeader();
      for (let i = 0; i < count; i += 2) pairs.set(String(plain(decodeValue(reader.raw()))), reader.raw());
    } else break;
    rest = reader.position;
  }
  writeProperties(writer, properties, changes.properties);
  writePairs(writer, pairs, changes.applicationProperties);
  writer.bytes(bare.subarray(rest));
  const { properties: changed } = changes;
  return {
    ...content,
    bare: writer.take(),
    messageId: changed.get("messageId") ?? content.messageId,
    sessionId: changed.has("sessionId") ? changed.get("sessionId") : content.sessionId,
  };
}

function writeProperties(writer: Writer, fields: readonly Buffer[], changes: ReadonlyMap<PropertyField, string | undefined>): void {
  const byPlace = new Map<number, string | undefined>([...changes].map(([name, value]) => [propertyPlaces[name], value]));
  const count = Math.max(fields.length, ...[...byPlace.keys()].map((place) => place + 1));
  if (count === 0) return;
  writer.descriptor(section.properties);
  const list = writer.open(0xd0, count);
  for (let place = 0; place < count; place++) {
    const changed = byPlace.get(place);
    if (changed !== undefined) writeText(writer, place, changed);
    else if (byPlace.has(place)) writer.byte(0x40);
    else writer.bytes(fields[place] ?? nothing);
  }
  writer.close(list);
}

const nothing = Buffer.from([0x40]);

/** The content type is a symbol, all others here are strings. */
function writeText(writer: Writer, place: number, text: string): void {
  if (place === propertyPlaces.contentType) writer.symbol(text);
  else writer.string(text);
}

function writePairs(writer: Writer, pairs: Map<string, Buffer>, changes: ReadonlyMap<string, Buffer | undefined>): void {
  for (const [name, value] of changes) {
    if (value === undefined) pairs.delete(name);
    else pairs.set(name, value);
  }
  if (pairs.size === 0) return;
  writer.descriptor(section.applicationProperties);
  const map = writer.open(0xd1, pairs.size * 2);
  for (const [name, value] of pairs) {
    writer.string(name);
    writer.bytes(value);
  }
  writer.close(map);
}
