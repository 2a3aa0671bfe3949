import type { ServiceBusMessage } from "@azure/service-bus";
import type { HeaderValue, IdValue, OutgoingMessage } from "../../core/delivery.ts";
import { timeToLiveMax } from "../support/time-to-live.ts";

type ApplicationProperties = NonNullable<ServiceBusMessage["applicationProperties"]>;

/** The message as the SDK sends it: bytes go out as one data section, as they are. */
export function sdkMessageOf(message: OutgoingMessage): ServiceBusMessage {
  const sent: ServiceBusMessage = { messageId: message.messageId, body: message.body, applicationProperties: propertiesOf(message.headers) };
  const correlationId = sdkIdOf(message.correlationId);
  if (correlationId !== undefined) sent.correlationId = correlationId;
  for (const name of plainFields) {
    const value = message[name];
    if (value !== undefined) sent[name] = value;
  }
  if (message.scheduledAtMs !== undefined) sent.scheduledEnqueueTimeUtc = new Date(message.scheduledAtMs);
  if (message.timeToLiveMs !== undefined) sent.timeToLive = Math.min(message.timeToLiveMs, timeToLiveMax);
  return sent;
}

/** Fields of the same name and type on both sides. */
const plainFields = ["contentType", "subject", "to", "replyTo", "sessionId", "replyToSessionId", "partitionKey"] as const;

/** The client sends numbers as ulong and bytes as UUID; what is neither goes as text. */
function sdkIdOf(id: IdValue | undefined): string | number | Buffer | undefined {
  if (id === undefined || typeof id === "string") return id;
  if (typeof id === "bigint") return id <= Number.MAX_SAFE_INTEGER ? Number(id) : String(id);
  return "uuid" in id ? Buffer.from(id.uuid) : Buffer.from(id).toString("hex");
}

function propertiesOf(headers: Readonly<Record<string, HeaderValue>>): ApplicationProperties {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, typeof value === "bigint" ? integerOf(value) : value]));
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
