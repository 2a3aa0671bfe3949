import type { ServiceBusMessage } from "@azure/service-bus";
import type { HeaderValue, OutgoingMessage } from "../../core/delivery.ts";

type ApplicationProperties = NonNullable<ServiceBusMessage["applicationProperties"]>;

/** The message as the SDK sends it: bytes go out as one data section, as they are. */
export function sdkMessageOf(message: OutgoingMessage): ServiceBusMessage {
  return {
    messageId: message.messageId,
    body: message.body,
    applicationProperties: propertiesOf(message.headers),
    ...(message.contentType === undefined ? {} : { contentType: message.contentType }),
    ...(message.correlationId === undefined ? {} : { correlationId: message.correlationId }),
    ...(message.subject === undefined ? {} : { subject: message.subject }),
    ...(message.scheduledAtMs === undefined ? {} : { scheduledEnqueueTimeUtc: new Date(message.scheduledAtMs) }),
  };
}

function propertiesOf(headers: Readonly<Record<string, HeaderValue>>): ApplicationProperties {
  const properties: ApplicationProperties = {};
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value === undefined) continue;
    properties[name] = typeof value === "bigint" ? integerOf(value) : value;
  }
  return properties;
}

/** AMQP's signed 64-bit integer, as the client's encoder wants a value whose type is already known. */
class AmqpLong {
  readonly type = { typecode: 0x81, width: 8, category: 1 } as const;
  readonly value: Buffer;

  constructor(value: bigint) {
    this.value = Buffer.alloc(8);
    this.value.writeBigInt64BE(BigInt.asIntN(64, value));
  }

  toRheaTyped(): this {
    return this;
  }
}

/** The SDK does not know bigints and would send an empty map in their place. */
function integerOf(value: bigint): number {
  if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) return Number(value);
  return new AmqpLong(value) as unknown as number;
}
