// Writing messages, whole or section by section (part 3, 3.2).
import { descriptor } from "../codec/descriptors.ts";
import { writeComposite, writeValue } from "../codec/encode.ts";
import { propertyFields } from "./message.ts";
import type { PropertyName } from "./message.ts";
import { symbol, symbolMap, ubyte, uint } from "../codec/types.ts";
import type { Encodable, Fields } from "../codec/types.ts";
import { MapView } from "../codec/views.ts";
import { Writer } from "../codec/writer.ts";

/** How a message is to be carried (part 3, 3.2.1). */
export interface MessageHeader {
  /** Default false. */
  readonly durable?: boolean | undefined;
  /** 0 to 255, higher first. Default 4. */
  readonly priority?: number | undefined;
  /** 0 to 2^32 - 1. Default none. */
  readonly ttlMs?: number | undefined;
  /** Whether no other link has had it. Default false. */
  readonly firstAcquirer?: boolean | undefined;
  /** Earlier deliveries that failed. Default 0. */
  readonly deliveryCount?: number | undefined;
}

/**
 * Text properties are strings; messageId and correlationId may be a string, a uuid, a ulong or binary; userId is binary;
 * the times are Dates or timestamps; groupSequence is a number. `Raw` passes on what came in.
 */
export type MessageProperties = { readonly [Name in PropertyName]?: Encodable };

export type MessageBody =
  | { readonly data: Uint8Array | readonly Uint8Array[] }
  | { readonly value: Encodable }
  | { readonly sequences: readonly (readonly Encodable[])[] };

export interface MessageParts {
  readonly header?: MessageHeader | undefined;
  readonly deliveryAnnotations?: Fields | MapView | undefined;
  readonly messageAnnotations?: Fields | MapView | undefined;
  readonly properties?: MessageProperties | undefined;
  readonly applicationProperties?: Fields | MapView | undefined;
  readonly body: MessageBody;
  readonly footer?: Fields | MapView | undefined;
}

/** The bytes of a whole message. Throws a RangeError or TypeError for a value that is not of its field's type. */
export function encodeMessage(parts: MessageParts): Buffer {
  const writer = new Writer(1_024);
  writeMessage(writer, parts);
  return writer.take();
}

export function writeMessage(writer: Writer, parts: MessageParts): void {
  if (parts.header !== undefined) writeHeader(writer, parts.header);
  if (parts.deliveryAnnotations !== undefined) writeAnnotations(writer, "deliveryAnnotations", parts.deliveryAnnotations);
  if (parts.messageAnnotations !== undefined) writeAnnotations(writer, "messageAnnotations", parts.messageAnnotations);
  if (parts.properties !== undefined) writeProperties(writer, parts.properties);
  if (parts.applicationProperties !== undefined) writeApplicationProperties(writer, parts.applicationProperties);
  writeBody(writer, parts.body);
  if (parts.footer !== undefined) writeAnnotations(writer, "footer", parts.footer);
}

export function writeHeader(writer: Writer, header: MessageHeader): void {
  writeComposite(writer, descriptor.header, [
    header.durable,
    header.priority === undefined ? undefined : ubyte(header.priority),
    header.ttlMs === undefined ? undefined : uint(header.ttlMs),
    header.firstAcquirer,
    header.deliveryCount === undefined ? undefined : uint(header.deliveryCount),
  ]);
}

/** A section that is a map with symbols for keys. */
export function writeAnnotations(writer: Writer, section: "deliveryAnnotations" | "messageAnnotations" | "footer", annotations: Fields | MapView): void {
  writer.descriptor(descriptor[section]);
  writeValue(writer, annotations instanceof MapView ? annotations.raw() : symbolMap(annotations));
}

export function writeProperties(writer: Writer, properties: MessageProperties): void {
  writeComposite(
    writer,
    descriptor.properties,
    propertyFields.map((name) => propertyOf(name, properties[name])),
  );
}

/** The two properties that are symbols and the one that is a uint may be given as plain values too. */
function propertyOf(name: PropertyName, value: Encodable): Encodable {
  if (typeof value === "string" && (name === "contentType" || name === "contentEncoding")) return symbol(value);
  if (typeof value === "string" && name === "userId") return Buffer.from(value, "utf8");
  if (typeof value === "number" && name === "groupSequence") return uint(value);
  return value;
}

export function writeApplicationProperties(writer: Writer, properties: Fields | MapView): void {
  writer.descriptor(descriptor.applicationProperties);
  writeValue(writer, properties instanceof MapView ? properties.raw() : properties);
}

export function writeBody(writer: Writer, body: MessageBody): void {
  if ("data" in body) {
    for (const bytes of body.data instanceof Uint8Array ? [body.data] : body.data) {
      writer.descriptor(descriptor.data);
      writer.binary(bytes);
    }
  } else if ("value" in body) {
    writer.descriptor(descriptor.value);
    writeValue(writer, body.value);
  } else {
    for (const sequence of body.sequences) {
      writer.descriptor(descriptor.sequence);
      writeValue(writer, sequence);
    }
  }
}
