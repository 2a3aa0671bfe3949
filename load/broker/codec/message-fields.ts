// What is inside a message's properties and application properties, for filters; and rewriting them, for actions.
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encode, writeComposite } from "#runtime/amqp/codec/encode.ts";
import { ProtocolError } from "#runtime/amqp/codec/errors.ts";
import { MessageView, propertyFields, type PropertyName } from "#runtime/amqp/message/message.ts";
import { type Encodable, type Plain, Raw, symbol } from "#runtime/amqp/codec/types.ts";
import { Writer } from "#runtime/amqp/codec/writer.ts";
import { type Double, forEachNamed, numericOrNull } from "./encoded.ts";
import type { MessageContent } from "../entities/message.ts";

export type PropertyField = "messageId" | "to" | "subject" | "replyTo" | "correlationId" | "contentType" | "sessionId" | "replyToSessionId";

/** The properties that filters and actions know, by the engine's names for them. */
const propertyNames: Readonly<Record<PropertyField, PropertyName>> = {
  messageId: "messageId",
  to: "to",
  subject: "subject",
  replyTo: "replyTo",
  correlationId: "correlationId",
  contentType: "contentType",
  sessionId: "groupId",
  replyToSessionId: "replyToGroupId",
};

/** The fields of a message, decoded. A value that is broken inside counts as none: a receiver may still make sense of the message. */
export class MessageFields {
  readonly #message: MessageView;
  readonly applicationProperties: ReadonlyMap<string, Plain | Double>;

  constructor({ bare }: Pick<MessageContent, "bare">) {
    this.#message = new MessageView(bare);
    this.applicationProperties = new Map([...encodedPairs(this.#message)].map(([name, value]) => [name, numericOrNull(value)]));
  }

  property(field: PropertyField): Plain {
    try {
      return this.#message.property(propertyNames[field]) ?? null;
    } catch (error) {
      if (error instanceof ProtocolError) return null;
      throw error;
    }
  }
}

function encodedPairs(message: MessageView): Map<string, Buffer> {
  const pairs = new Map<string, Buffer>();
  forEachNamed(message.applicationProperties, (name, { bytes, start, end }) => pairs.set(name, bytes.subarray(start, end)));
  return pairs;
}

/** Changes to a message's fields: each a text or an encoded value, or undefined to take it away. */
export interface FieldChanges {
  readonly properties: ReadonlyMap<PropertyField, string | undefined>;
  readonly applicationProperties: ReadonlyMap<string, Buffer | undefined>;
}

/** The content of a message with other fields; the original stays as it is. */
export function withFields(content: MessageContent, changes: FieldChanges): MessageContent {
  const message = new MessageView(content.bare);
  const writer = new Writer(content.bare.length + 256);
  writeProperties(writer, message, changes.properties);
  writePairs(writer, encodedPairs(message), changes.applicationProperties);
  writer.raw(message.from("body"));
  const { properties: changed } = changes;
  return {
    ...content,
    bare: writer.take(),
    messageId: changed.get("messageId") ?? content.messageId,
    sessionId: changed.has("sessionId") ? changed.get("sessionId") : content.sessionId,
  };
}

function writeProperties(writer: Writer, message: MessageView, changes: FieldChanges["properties"]): void {
  const kept = message.fields("properties");
  if (kept === undefined && changes.size === 0) return;
  const fields: Encodable[] = Array.from({ length: kept?.left ?? 0 }, () => kept?.view()?.raw());
  for (const [field, value] of changes)
    fields[propertyFields.indexOf(propertyNames[field])] = field === "contentType" && value !== undefined ? symbol(value) : value;
  writeComposite(writer, descriptor.properties, Array.from(fields));
}

function writePairs(writer: Writer, pairs: Map<string, Buffer>, changes: FieldChanges["applicationProperties"]): void {
  for (const [name, value] of changes) {
    if (value === undefined) pairs.delete(name);
    else pairs.set(name, value);
  }
  if (pairs.size === 0) return;
  writer.descriptor(descriptor.applicationProperties);
  writer.raw(encode(new Map([...pairs].map(([name, value]) => [name, new Raw(value)]))));
}
