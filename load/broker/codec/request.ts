// Requests to nodes such as `$management`, their replies, and the envelope of a batched transfer.
import { type AmqpValue, MalformedError, Reader } from "./reader.ts";
import { readSection, section } from "./sections.ts";
import { Writer } from "./writer.ts";

/** A request to a node such as `$management`: what replies need, and the body as a value. */
export interface Request {
  /** The message id, still encoded, so that the reply can carry it back in its own type. */
  readonly messageId: Buffer;
  readonly replyTo: string | undefined;
  readonly properties: ReadonlyMap<AmqpValue, AmqpValue>;
  readonly body: AmqpValue;
}

const replyToField = 4;

/** @throws MalformedError or RangeError when the bytes are not a message */
export function parseRequest(bytes: Buffer): Request {
  const reader = new Reader(bytes);
  let messageId: Buffer = Buffer.from([0x40]);
  let replyTo: string | undefined;
  let properties: ReadonlyMap<AmqpValue, AmqpValue> = new Map();
  let body: AmqpValue = null;
  while (!reader.done) {
    const code = readSection(reader);
    if (code === section.properties) {
      const count = reader.listHeader();
      if (count > 0) messageId = Buffer.from(reader.raw());
      for (let i = 1; i < count; i++) {
        if (i !== replyToField) reader.skip();
        else {
          const value = reader.read();
          replyTo = typeof value === "string" ? value : undefined;
        }
      }
    } else if (code === section.applicationProperties) {
      const value = reader.read();
      if (value instanceof Map) properties = value;
    } else if (code === section.value) body = reader.read();
    else reader.skip();
  }
  return { messageId, replyTo, properties, body };
}

/** Encodes a reply: the request's message id becomes the correlation id. */
export function writeReply(correlationId: Buffer, writeProperties: (writer: Writer) => void, writeBody: (writer: Writer) => void): Buffer {
  const writer = new Writer(512);
  writer.descriptor(section.properties);
  const properties = writer.open(0xd0, 6);
  for (let i = 0; i < 5; i++) writer.byte(0x40);
  writer.bytes(correlationId);
  writer.close(properties);
  writer.descriptor(section.applicationProperties);
  writeProperties(writer);
  writer.descriptor(section.value);
  writeBody(writer);
  return writer.take();
}

/** The messages of a batched transfer: each data section of the envelope holds one, encoded. */
export function splitBatch(bytes: Buffer): Buffer[] {
  const reader = new Reader(bytes);
  const messages: Buffer[] = [];
  while (!reader.done) {
    if (readSection(reader) !== section.data) {
      reader.skip();
      continue;
    }
    const code = reader.byte();
    if (code === 0xa0) messages.push(reader.bytes(reader.byte()));
    else if (code === 0xb0) messages.push(reader.bytes(reader.uint32()));
    else throw new MalformedError(`expected binary in a data section, found type code 0x${code.toString(16)}`);
  }
  return messages;
}
