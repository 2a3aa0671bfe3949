// The sections of an AMQP message, and reading which one comes next.
import { plain } from "./plain.ts";
import { MalformedError, type Reader } from "./reader.ts";

export const section = {
  header: 0x70,
  deliveryAnnotations: 0x71,
  messageAnnotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
  sequence: 0x76,
  value: 0x77,
  footer: 0x78,
};

/** Reads a descriptor that names a section; leaves the reader at the section's value. */
export function readSection(reader: Reader): number {
  if (reader.byte() !== 0) throw new MalformedError("expected a described section in the message");
  const code = reader.byte();
  if (code === 0x53) return reader.byte();
  reader.position--;
  const descriptor = reader.read();
  if (typeof descriptor === "number") return descriptor;
  const named = typeof descriptor === "string" ? sectionNames.get(descriptor) : undefined;
  if (named === undefined) throw new MalformedError(`expected the descriptor of a message section, found ${plain(descriptor)}`);
  return named;
}

const sectionNames: ReadonlyMap<string, number> = new Map([
  ["amqp:header:list", section.header],
  ["amqp:delivery-annotations:map", section.deliveryAnnotations],
  ["amqp:message-annotations:map", section.messageAnnotations],
  ["amqp:properties:list", section.properties],
  ["amqp:application-properties:map", section.applicationProperties],
  ["amqp:data:binary", section.data],
  ["amqp:amqp-sequence:list", section.sequence],
  ["amqp:amqp-value:*", section.value],
  ["amqp:footer:map", section.footer],
]);

