// Values that came decoded in a management request, encoded again as a message keeps them.
import { plain } from "../codec/plain.ts";
import { type AmqpValue, Described, Uuid } from "../codec/reader.ts";
import { Writer } from "../codec/writer.ts";

/** A map's entries under their names, each encoded. What is not a plain value becomes text. */
export function encodeFields(fields: ReadonlyMap<AmqpValue, AmqpValue>): Map<string, Buffer> {
  const encoded = new Map<string, Buffer>();
  for (const [name, value] of fields) {
    const writer = new Writer(64);
    encodeOne(writer, value);
    encoded.set(String(plain(name)), writer.take());
  }
  return encoded;
}

function encodeOne(writer: Writer, value: AmqpValue): void {
  if (value === null || typeof value === "boolean" || typeof value === "string" || Buffer.isBuffer(value) || value instanceof Uuid) writer.value(value);
  else if (value instanceof Date) writer.timestamp(value.getTime());
  else if (value instanceof Described) encodeOne(writer, value.value);
  else if (typeof value !== "number") writer.string(String(plain(value)));
  else if (Number.isSafeInteger(value)) writer.long(value);
  else writer.double(value);
}
