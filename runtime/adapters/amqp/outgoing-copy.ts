/**
 * A delivery's message, sent again: its sections are copied as the bytes that they came in, each property with the type that its sender gave
 * it, and only what changes is written. That is also much cheaper than to decode and encode all that nobody looks at.
 */
import { descriptor } from "../../amqp/codec/descriptors.ts";
import { writeValue } from "../../amqp/codec/encode.ts";
import { format } from "../../amqp/codec/formats.ts";
import type { MapIndex } from "../../amqp/codec/map-index.ts";
import type { Writer } from "../../amqp/codec/writer.ts";
import type { MessageView } from "../../amqp/message/message.ts";
import { writeHeader } from "../../amqp/message/message-writer.ts";
import type { MessageCopy } from "../../core/copy.ts";
import { timeToLiveMax } from "../support/time-to-live.ts";
import { AmqpDelivery, propertiesOf } from "./delivery.ts";

const partitionKeyAnnotation = "x-opt-partition-key";

/** Of the properties section: after the id, those from userId to contentEncoding, and two times, which were the original's. */
const fieldsBeforeTimes = 7;
const timeFields = 2;

/** False, with nothing written, where the message is not at hand as bytes that can be copied. Throws a ProtocolError for bytes that are no message. */
export function writeCopy(writer: Writer, copy: MessageCopy): boolean {
  const { of } = copy;
  if (!(of instanceof AmqpDelivery)) return false;
  const { message } = of.engine;
  const headers = propertiesOf(message);
  const body = message.section("body");
  // A map that is too large for an index; and senders leave out no body, whatever else they do.
  if ((headers === undefined && message.mapAt("applicationProperties") >= 0) || body === undefined) return false;
  if (copy.timeToLiveMs !== undefined) writeHeader(writer, { ttlMs: Math.min(copy.timeToLiveMs, timeToLiveMax) });
  writeAnnotations(writer, message, copy.scheduledAtMs);
  writeProperties(writer, message, copy.messageId);
  writeApplicationProperties(writer, message, headers, copy);
  writer.raw(body);
  return true;
}

/** What the broker noted stays with the original. */
function writeAnnotations(writer: Writer, message: MessageView, scheduledAtMs: number): void {
  const partitionKey = message.messageAnnotations?.view(partitionKeyAnnotation);
  writer.descriptor(descriptor.messageAnnotations);
  const mark = writer.openCompound(format.map8);
  writer.symbol("x-opt-scheduled-enqueue-time");
  writer.timestamp(Math.trunc(scheduledAtMs));
  if (partitionKey !== undefined) {
    writer.symbol(partitionKeyAnnotation);
    writer.part(partitionKey.bytes, partitionKey.start, partitionKey.end);
  }
  writer.closeCompound(mark, partitionKey === undefined ? 2 : 4);
}

function writeProperties(writer: Writer, message: MessageView, messageId: string): void {
  writer.descriptor(descriptor.properties);
  const mark = writer.openCompound(format.list8);
  writer.string(messageId);
  let count = 1;
  const fields = message.fields("properties");
  fields?.span();
  if (fields !== undefined && fields.left > 0) {
    const from = fields.at;
    for (; fields.left > 0 && count <= fieldsBeforeTimes; count += 1) fields.span();
    writer.part(fields.bytes, from, fields.at);
    for (let skipped = 0; skipped < timeFields; skipped += 1) fields.span();
    if (fields.left > 0) {
      for (let time = 0; time < timeFields; time += 1) writer.null();
      count += timeFields + fields.left;
      const last = fields.at;
      fields.checkRest();
      writer.part(fields.bytes, last, fields.at);
    }
  }
  writer.closeCompound(mark, count);
}

/** Entries that stay lie behind one another but for a few: they are copied together. */
function writeApplicationProperties(writer: Writer, { buffer }: MessageView, headers: MapIndex | undefined, copy: MessageCopy): void {
  writer.descriptor(descriptor.applicationProperties);
  const mark = writer.openCompound(format.map8);
  let count = 0;
  let from = -1;
  const size = headers === undefined ? 0 : headers.size;
  for (let entry = 0; entry < size; entry += 1) {
    const name = headers!.name(entry);
    if (name !== undefined && !copy.drops(name)) {
      if (from < 0) from = headers!.startOf(entry);
      count += 1;
    } else if (from >= 0) {
      writer.part(buffer, from, headers!.startOf(entry));
      from = -1;
    }
  }
  if (from >= 0) writer.part(buffer, from, headers!.endOf(size - 1));
  for (const [name, value] of copy.added) {
    writer.string(name);
    writeValue(writer, value);
  }
  writer.closeCompound(mark, 2 * (count + copy.added.size));
}
