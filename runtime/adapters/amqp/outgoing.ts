import { ProtocolError } from "../../amqp/codec/errors.ts";
import { format } from "../../amqp/codec/formats.ts";
import { descriptor } from "../../amqp/codec/descriptors.ts";
import { writeMessage } from "../../amqp/message/message-writer.ts";
import { timestamp, ulong, uuid } from "../../amqp/codec/types.ts";
import type { Encodable, Fields } from "../../amqp/codec/types.ts";
import { Writer } from "../../amqp/codec/writer.ts";
import { MessageCopy } from "../../core/copy.ts";
import type { HeaderValue, IdValue, OutgoingMessage } from "../../core/delivery.ts";
import { timeToLiveMax } from "../support/time-to-live.ts";
import { writeCopy } from "./outgoing-copy.ts";

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
    if (!(message instanceof MessageCopy && isCopied(message))) writeOutgoing(message);
  } catch (thrown) {
    // What was written of it must not become part of the next.
    writer.take();
    throw thrown;
  }
  const section = writer.take();
  section.writeUInt32BE(section.length - headBytes, headBytes - 4);
  return section;
}

/** Whether it has been written from the bytes that came. Where those are no message, what can be read of them is to go on. */
function isCopied(copy: MessageCopy): boolean {
  const mark = writer.at - writer.start;
  try {
    return writeCopy(writer, copy);
  } catch (thrown) {
    if (!(thrown instanceof ProtocolError)) throw thrown;
    writer.at = writer.start + mark;
    return false;
  }
}

export function aloneOf(section: Buffer): Buffer {
  return section.subarray(headBytes);
}

/** As every client reads it: the body as one data section, headers as application properties. */
function writeOutgoing(message: OutgoingMessage): void {
  const { messageId, body, contentType, subject, headers, timeToLiveMs, to, replyTo, sessionId, replyToSessionId, userId, contentEncoding } = message;
  writeMessage(writer, {
    header: timeToLiveMs === undefined ? undefined : { ttlMs: Math.min(timeToLiveMs, timeToLiveMax) },
    messageAnnotations: annotationsOf(message),
    properties: {
      messageId,
      userId,
      to,
      subject,
      replyTo,
      correlationId: encodableId(message.correlationId),
      contentType,
      contentEncoding,
      groupId: sessionId,
      replyToGroupId: replyToSessionId,
    },
    applicationProperties: isEmpty(headers) ? undefined : headers,
    body: { data: body },
  });
}

function annotationsOf({ scheduledAtMs, partitionKey }: OutgoingMessage): Fields | undefined {
  if (scheduledAtMs === undefined && partitionKey === undefined) return undefined;
  return {
    ...(scheduledAtMs === undefined ? undefined : { "x-opt-scheduled-enqueue-time": timestamp(Math.trunc(scheduledAtMs)) }),
    ...(partitionKey === undefined ? undefined : { "x-opt-partition-key": partitionKey }),
  };
}

function encodableId(id: IdValue | undefined): Encodable {
  if (typeof id === "bigint") return ulong(id);
  return typeof id === "object" && "uuid" in id ? uuid(id.uuid) : id;
}

function isEmpty(headers: Readonly<Record<string, HeaderValue>>): boolean {
  for (const _name in headers) return false;
  return true;
}
