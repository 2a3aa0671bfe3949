import { format } from "../../amqp/formats.ts";
import { descriptor } from "../../amqp/descriptors.ts";
import { writeMessage } from "../../amqp/message-writer.ts";
import { timestamp } from "../../amqp/types.ts";
import { Writer } from "../../amqp/writer.ts";
import type { HeaderValue, OutgoingMessage } from "../../core/delivery.ts";

/** The message format of a transfer that carries many messages, each encoded in a data section. */
export const batchFormat = 0x8001_3700;

/** Bytes of a data section before its content: descriptor, type and length. */
const headBytes = 8;

/** Messages lie one after another in its slabs, so that one costs no allocation of its own. */
const writer = new Writer(65_536);

/** A message as a data section, as it goes into a batch; `aloneOf` gives it as it goes by itself. */
export function encodeOutgoing(message: OutgoingMessage): Buffer {
  try {
    writer.descriptor(descriptor.data);
    writer.wide32(format.binary32, 0);
    writeOutgoing(message);
  } catch (thrown) {
    // What was written of it must not become part of the next.
    writer.take();
    throw thrown;
  }
  const section = writer.take();
  section.writeUInt32BE(section.length - headBytes, headBytes - 4);
  return section;
}

export function aloneOf(section: Buffer): Buffer {
  return section.subarray(headBytes);
}

/** As every client reads it: the body as one data section, headers as application properties. */
function writeOutgoing({ messageId, body, contentType, correlationId, subject, headers, scheduledAtMs }: OutgoingMessage): void {
  writeMessage(writer, {
    messageAnnotations: scheduledAtMs === undefined ? undefined : { "x-opt-scheduled-enqueue-time": timestamp(Math.trunc(scheduledAtMs)) },
    properties: { messageId, contentType, correlationId, subject },
    applicationProperties: isEmpty(headers) ? undefined : headers,
    body: { data: body },
  });
}

function isEmpty(headers: Readonly<Record<string, HeaderValue>>): boolean {
  for (const _name in headers) return false;
  return true;
}
