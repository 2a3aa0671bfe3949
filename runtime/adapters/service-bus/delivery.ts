import type { ServiceBusReceivedMessage } from "@azure/service-bus";
import type { BodySection, Delivery, HeaderValue, IdValue, Particulars } from "../../core/delivery.ts";
import type { SettleOrder, SettleResult } from "../../ports/transport.ts";
import { timeToLiveMax } from "../support/time-to-live.ts";

/** The AMQP link object under the SDK's, as far as it concerns us. */
export interface AmqpLink {
  /** Gives the link so much more credit; undefined in a client that does not have it. */
  readonly add_credit?: (count: number) => void;
}

/** What the SDK keeps beside its public fields: the AMQP delivery. */
interface WithAmqpDelivery {
  readonly delivery?: { readonly link?: AmqpLink };
}

/** The AMQP link a message came over, which tells one attachment from the next; undefined when the SDK does not tell. */
export function amqpLinkOf(message: ServiceBusReceivedMessage): AmqpLink | undefined {
  return (message as WithAmqpDelivery).delivery?.link;
}

/** Takes the result of the order at `index` among those that are answered together. */
export interface Answers {
  finish(index: number, result: SettleResult): void;
}

/** Where a delivery came from, and is settled. */
export interface DeliveryHome {
  settle(order: SettleOrder, delivery: ServiceBusDelivery, answers: Answers, index: number): void;
}

/** A message of the SDK, read only as far as it is asked for. */
export class ServiceBusDelivery implements Delivery {
  readonly message: ServiceBusReceivedMessage;
  readonly home: DeliveryHome;
  /** Its place in the order of arrival on its link, from 0. */
  readonly ordinal: number;
  /** When it came, or its lock was last renewed, monotonic. */
  lockedAtMs: number;
  /** Set when the one order it may be given was taken. */
  ordered = false;
  private bytes: Uint8Array | undefined;

  constructor(message: ServiceBusReceivedMessage, home: DeliveryHome, ordinal: number, lockedAtMs: number) {
    this.message = message;
    this.home = home;
    this.ordinal = ordinal;
    this.lockedAtMs = lockedAtMs;
  }

  get messageId(): string {
    return textOf(this.message.messageId) ?? "";
  }

  get sequenceNumber(): bigint {
    const long = this.message.sequenceNumber;
    return long === undefined ? 0n : (BigInt(long.high) << 32n) | BigInt(long.low >>> 0);
  }

  get attempt(): number {
    return (this.message.deliveryCount ?? 0) + 1;
  }

  get lockedUntilMs(): number {
    return this.message.lockedUntilUtc?.getTime() ?? 0;
  }

  get enqueuedAtMs(): number {
    return this.message.enqueuedTimeUtc?.getTime() ?? 0;
  }

  get contentType(): string | undefined {
    return this.message.contentType;
  }

  get correlationId(): string | undefined {
    return textOf(this.message.correlationId);
  }

  get subject(): string | undefined {
    return this.message.subject;
  }

  get body(): Uint8Array {
    this.bytes ??= bytesOf(this.message.body);
    return this.bytes;
  }

  get bodySection(): BodySection {
    const { body, _rawAmqpMessage } = this.message;
    return body === undefined || body === null ? "data" : (_rawAmqpMessage.bodyType ?? "data");
  }

  header(name: string): HeaderValue | undefined {
    const properties = this.message.applicationProperties;
    if (properties === undefined || !Object.hasOwn(properties, name)) return undefined;
    return headerValueOf(properties[name]);
  }

  headers(): Readonly<Record<string, HeaderValue>> {
    return Object.fromEntries(Object.entries(this.message.applicationProperties ?? {}).map(([name, value]) => [name, headerValueOf(value)]));
  }

  get timeToLiveMs(): number | undefined {
    const { timeToLive } = this.message;
    return timeToLive === undefined || timeToLive >= timeToLiveMax ? undefined : timeToLive;
  }

  particulars(): Particulars {
    const { correlationId, to, replyTo, sessionId, replyToSessionId, partitionKey } = this.message;
    return { correlationId: idValueOf(correlationId), to, replyTo, sessionId, replyToSessionId, partitionKey };
  }
}

/** The client gives a UUID and binary alike as bytes. */
function idValueOf(id: string | number | Buffer | undefined): IdValue | undefined {
  if (id === undefined || typeof id === "string") return id;
  if (typeof id === "number") return Number.isSafeInteger(id) && id >= 0 ? BigInt(id) : String(id);
  return id.length === 16 ? { uuid: id } : id;
}

function textOf(id: string | number | Buffer | undefined): string | undefined {
  if (id === undefined || typeof id === "string") return id;
  return typeof id === "number" ? String(id) : binaryText(id);
}

/** A UUID is how most stacks write 16 bytes; other lengths have no common text, so hexadecimal. */
function binaryText(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return bytes.length === 16 ? `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}` : hex;
}

/**
 * The body's bytes. Data sections are what every current client sends: their bytes as they are. An AMQP value that is text
 * gives its UTF-8 bytes; any other value, or a sequence, gives its JSON text, with integers beyond 2^53 as strings.
 */
function bytesOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body;
  if (body === undefined || body === null) return Buffer.alloc(0);
  if (typeof body === "string") return Buffer.from(body, "utf8");
  if (Array.isArray(body) && body.length > 0 && body.every((part) => part instanceof Uint8Array)) return Buffer.concat(body);
  const text = JSON.stringify(body, (_key, value: unknown) => (typeof value === "bigint" ? value.toString() : value));
  return Buffer.from(text ?? "", "utf8");
}

/**
 * AMQP knows more types than headers do. An integer that no double can hold arrives as its eight bytes and a UUID as its
 * sixteen; described values (a .NET Uri, for one) are given by what they describe. Whatever remains becomes JSON text.
 */
function headerValueOf(value: unknown): HeaderValue {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
    case "bigint":
      return value;
    case "undefined":
      return null;
    default:
  }
  if (value === null || value instanceof Date) return value;
  if (Buffer.isBuffer(value)) return value.length === 8 ? value.readBigInt64BE() : binaryText(value);
  if (typeof value === "object" && "value" in value && "descriptor" in value) return headerValueOf(value.value);
  return JSON.stringify(value) ?? null;
}
