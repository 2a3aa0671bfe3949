// The messages that are measured: 256 bytes of body with what Service Bus puts around them.
import { randomUUID } from "node:crypto";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { format } from "#runtime/amqp/codec/formats.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import type { Writer } from "#runtime/amqp/codec/writer.ts";

export const bodyBytes = 256;

/** What a producer sent: properties, application properties and body. */
export function bareMessage(): Buffer {
  return encodeMessage({
    properties: { messageId: randomUUID(), contentType: "application/json", correlationId: randomUUID() },
    applicationProperties: { eventId: randomUUID(), eventType: "VisionDocumentCreated" },
    body: { data: Buffer.alloc(bodyBytes, "x") },
  });
}

/** What a broker puts before it on every delivery: the header and the annotations. */
export function writeDeliveryPrefix(writer: Writer, sequenceNumber: number, nowMs: number): void {
  writer.descriptor(descriptor.header);
  const header = writer.openCompound(format.list8);
  writer.boolean(true);
  for (let nulls = 3; nulls > 0; nulls--) writer.null();
  writer.uint(0);
  writer.closeCompound(header, 5);
  writer.descriptor(descriptor.messageAnnotations);
  const annotations = writer.openCompound(format.map8);
  writer.symbol("x-opt-sequence-number");
  writer.longOf(sequenceNumber);
  writer.symbol("x-opt-enqueued-time");
  writer.timestamp(nowMs);
  writer.symbol("x-opt-locked-until");
  writer.timestamp(nowMs + 60_000);
  writer.closeCompound(annotations, 6);
}
