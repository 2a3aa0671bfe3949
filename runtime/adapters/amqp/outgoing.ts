import { encodeMessage } from "../../amqp/message-writer.ts";
import type { Fields } from "../../amqp/types.ts";
import { timestamp } from "../../amqp/types.ts";
import type { OutgoingMessage } from "../../core/delivery.ts";

/** The message as every client reads it: the body as one data section, headers as application properties. */
export function encodeOutgoing(message: OutgoingMessage): Buffer {
  const { messageId, contentType, correlationId, subject, scheduledAtMs } = message;
  const headers: Fields = message.headers;
  return encodeMessage({
    ...(scheduledAtMs === undefined ? {} : { messageAnnotations: { "x-opt-scheduled-enqueue-time": timestamp(Math.trunc(scheduledAtMs)) } }),
    properties: { messageId, contentType, correlationId, subject },
    ...(Object.keys(headers).length === 0 ? {} : { applicationProperties: headers }),
    body: { data: message.body },
  });
}

/** Bytes that a batch adds to each message: descriptor, type and length. */
export const batchedHeadBytes = 8;

/** A data section's head for a message of so many bytes. */
export function batchedHead(length: number): Buffer {
  const head = Buffer.allocUnsafe(batchedHeadBytes);
  head[0] = 0x00;
  head[1] = 0x53;
  head[2] = 0x75;
  head[3] = 0xb0;
  head.writeUInt32BE(length, 4);
  return head;
}

/** The message format of a transfer that carries many messages, each encoded in a data section. */
export const batchFormat = 0x8001_3700;
