// The sections of a message in the order that the specification has. Some clients write the footer before the body, and other
// brokers do not mind.
import { describedValueAt, descriptor, descriptorAt } from "#runtime/amqp/codec/descriptors.ts";
import { skipValue } from "#runtime/amqp/codec/skip.ts";

/**
 * The message with its footer at its end; the same bytes where the footer is there already or there is none.
 *
 * @throws ProtocolError when the bytes are no row of sections
 */
export function withFooterLast(bytes: Buffer): Buffer {
  for (let at = 0; at < bytes.length;) {
    const next = skipValue(bytes, describedValueAt(bytes, at, bytes.length), bytes.length);
    if (descriptorAt(bytes, at, bytes.length) === descriptor.footer)
      return next === bytes.length ? bytes : Buffer.concat([bytes.subarray(0, at), bytes.subarray(next), bytes.subarray(at, next)]);
    at = next;
  }
  return bytes;
}
