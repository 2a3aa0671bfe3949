// The descriptors of the specification: every composite type and message section by its number, and by the symbol that
// may stand in its place (part 1, 1.4; parts 2, 3, 4 and 5 for the tables).
import { u8 } from "./bytes.ts";
import { Decoder } from "./decode.ts";
import { malformed } from "./errors.ts";
import { format } from "./formats.ts";
import { skipValue } from "./skip.ts";

export const descriptor = {
  open: 0x10,
  begin: 0x11,
  attach: 0x12,
  flow: 0x13,
  transfer: 0x14,
  disposition: 0x15,
  detach: 0x16,
  end: 0x17,
  close: 0x18,
  error: 0x1d,
  received: 0x23,
  accepted: 0x24,
  rejected: 0x25,
  released: 0x26,
  modified: 0x27,
  source: 0x28,
  target: 0x29,
  coordinator: 0x30,
  declared: 0x33,
  transactionalState: 0x34,
  saslMechanisms: 0x40,
  saslInit: 0x41,
  saslChallenge: 0x42,
  saslResponse: 0x43,
  saslOutcome: 0x44,
  header: 0x70,
  deliveryAnnotations: 0x71,
  messageAnnotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
  sequence: 0x76,
  value: 0x77,
  footer: 0x78,
} as const;

type DescriptorName = keyof typeof descriptor;

const symbolicNames: { readonly [Name in DescriptorName]: string } = {
  open: "amqp:open:list",
  begin: "amqp:begin:list",
  attach: "amqp:attach:list",
  flow: "amqp:flow:list",
  transfer: "amqp:transfer:list",
  disposition: "amqp:disposition:list",
  detach: "amqp:detach:list",
  end: "amqp:end:list",
  close: "amqp:close:list",
  error: "amqp:error:list",
  received: "amqp:received:list",
  accepted: "amqp:accepted:list",
  rejected: "amqp:rejected:list",
  released: "amqp:released:list",
  modified: "amqp:modified:list",
  source: "amqp:source:list",
  target: "amqp:target:list",
  coordinator: "amqp:coordinator:list",
  declared: "amqp:declared:list",
  transactionalState: "amqp:transactional-state:list",
  saslMechanisms: "amqp:sasl-mechanisms:list",
  saslInit: "amqp:sasl-init:list",
  saslChallenge: "amqp:sasl-challenge:list",
  saslResponse: "amqp:sasl-response:list",
  saslOutcome: "amqp:sasl-outcome:list",
  header: "amqp:header:list",
  deliveryAnnotations: "amqp:delivery-annotations:map",
  messageAnnotations: "amqp:message-annotations:map",
  properties: "amqp:properties:list",
  applicationProperties: "amqp:application-properties:map",
  data: "amqp:data:binary",
  sequence: "amqp:amqp-sequence:list",
  value: "amqp:amqp-value:*",
  footer: "amqp:footer:map",
};

const codeBySymbol: ReadonlyMap<unknown, number> = new Map(Object.entries(symbolicNames).map(([name, text]) => [text, descriptor[name as DescriptorName]]));

/** What the described value at `at` is: a code of `descriptor`, another number, or -1 for a symbol that is not known. */
export function descriptorAt(bytes: Buffer, at: number, end: number): number {
  if (at + 3 > end || u8(bytes, at) !== format.described) throw malformed("expected a described value");
  if (u8(bytes, at + 1) === format.smallUlong) return u8(bytes, at + 2);
  const plain = new Decoder(bytes, at + 1, end).plain();
  return typeof plain === "number" ? plain : (codeBySymbol.get(plain) ?? -1);
}

/** Where the value begins that the descriptor at `at` describes. */
export function describedValueAt(bytes: Buffer, at: number, end: number): number {
  return u8(bytes, at + 1) === format.smallUlong ? at + 3 : skipValue(bytes, at + 1, end);
}
