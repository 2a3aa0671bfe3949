import type { MessageView } from "../../amqp/message/message.ts";
import { ProtocolError } from "../../amqp/codec/errors.ts";
import type { Delivery as EngineDelivery } from "../../amqp/link/receiver.ts";
import { Described, Typed } from "../../amqp/codec/types.ts";
import type { Plain, TypedValue } from "../../amqp/codec/types.ts";
import { MapIndex } from "../../amqp/codec/map-index.ts";
import type { BodySection, Delivery, HeaderValue, IdValue, Particulars } from "../../core/delivery.ts";
import type { SettleOrder } from "../../ports/transport.ts";
import { timeToLiveMax } from "../support/time-to-live.ts";
import type { SettleGroup } from "./settle-group.ts";

/** Where a delivery came from, and is settled. */
export interface DeliveryHome {
  settle(delivery: AmqpDelivery, order: SettleOrder): void;
}

/** A message and the tag under which it was locked: a delivery of a link, or what a request brought, which no link settles. */
export type Received = Pick<EngineDelivery, "message" | "tag" | "settle" | "settled">;

/** A map of the message that was asked last: what is asked of one message is asked at once. */
class LastMap {
  readonly #section: "applicationProperties" | "messageAnnotations";
  readonly #index = new MapIndex();
  #of: MessageView | undefined;

  constructor(section: "applicationProperties" | "messageAnnotations") {
    this.#section = section;
  }

  /** Undefined where the message has no such map, or one that is too large for an index or broken. */
  of(message: MessageView): MapIndex | undefined {
    if (message === this.#of) return this.#index;
    this.#of = undefined;
    const at = message.mapAt(this.#section);
    if (at < 0 || !this.#opens(message, at)) return undefined;
    this.#of = message;
    return this.#index;
  }

  #opens(message: MessageView, at: number): boolean {
    try {
      return this.#index.open(message.buffer, at, message.end);
    } catch (thrown) {
      return unreadable(thrown, false);
    }
  }
}

const properties = new LastMap("applicationProperties");
const annotations = new LastMap("messageAnnotations");

/** All application properties of a message; undefined where it has none, or too many for an index, or they cannot be read. */
export function propertiesOf(message: MessageView): MapIndex | undefined {
  return properties.of(message);
}

/** A message as it lies in the socket's buffer: nothing of it is decoded before it is asked for. */
export class AmqpDelivery implements Delivery {
  readonly engine: Received;
  readonly home: DeliveryHome;
  /** The one order it may be given, and who waits for the result. */
  order: SettleOrder | undefined = undefined;
  group: SettleGroup | undefined = undefined;
  index = 0;
  /** When it came, or its lock was last renewed, monotonic. */
  lockedAtMs = 0;
  /** The broker will not take a settlement of it any more. */
  isLost = false;
  #lockedUntilMs = -1;
  #enqueuedAtMs = -1;
  #body: Uint8Array | undefined = undefined;

  constructor(engine: Received, home: DeliveryHome) {
    this.engine = engine;
    this.home = home;
  }

  get messageId(): string {
    return textOf(this.engine.message, "messageId") ?? "";
  }

  get sequenceNumber(): bigint {
    return sequenceNumberOf(this.engine.message);
  }

  get attempt(): number {
    try {
      return this.engine.message.deliveryCount + 1;
    } catch (thrown) {
      return unreadable(thrown, 1);
    }
  }

  get lockedUntilMs(): number {
    if (this.#lockedUntilMs < 0) this.#lockedUntilMs = annotatedTime(this.engine.message, "x-opt-locked-until");
    return this.#lockedUntilMs;
  }

  get enqueuedAtMs(): number {
    if (this.#enqueuedAtMs < 0) this.#enqueuedAtMs = annotatedTime(this.engine.message, "x-opt-enqueued-time");
    return this.#enqueuedAtMs;
  }

  get contentType(): string | undefined {
    return textOf(this.engine.message, "contentType");
  }

  get correlationId(): string | undefined {
    return textOf(this.engine.message, "correlationId");
  }

  get subject(): string | undefined {
    return textOf(this.engine.message, "subject");
  }

  get body(): Uint8Array {
    return (this.#body ??= this.#readBody());
  }

  get bodySection(): BodySection {
    try {
      const kind = this.engine.message.bodyKind;
      return kind === "none" ? "data" : kind;
    } catch (thrown) {
      return unreadable(thrown, "data");
    }
  }

  header(name: string): HeaderValue | undefined {
    try {
      const { message } = this.engine;
      const value = (properties.of(message) ?? message.applicationProperties)?.get(name);
      return value === undefined ? undefined : headerValueOf(value);
    } catch (thrown) {
      return unreadable(thrown, undefined);
    }
  }

  headers(): Readonly<Record<string, HeaderValue>> {
    const headers: [name: string, value: HeaderValue][] = [];
    try {
      this.engine.message.applicationProperties?.forEach((key, value) => {
        if (typeof key === "string") headers.push([key, headerValueOf(value.plain())]);
      });
    } catch (thrown) {
      return unreadable(thrown, Object.fromEntries(headers));
    }
    return Object.fromEntries(headers);
  }

  get timeToLiveMs(): number | undefined {
    try {
      const { ttlMs } = this.engine.message;
      return ttlMs === undefined || ttlMs >= timeToLiveMax ? undefined : ttlMs;
    } catch (thrown) {
      return unreadable(thrown, undefined);
    }
  }

  particulars(): Particulars {
    const { message } = this.engine;
    try {
      const userId = message.property("userId");
      const partitionKey = message.messageAnnotations?.get("x-opt-partition-key");
      return {
        correlationId: idValueOf(message.propertyView("correlationId")?.typed()),
        to: message.text("to"),
        replyTo: message.text("replyTo"),
        sessionId: message.text("groupId"),
        replyToSessionId: message.text("replyToGroupId"),
        partitionKey: typeof partitionKey === "string" ? partitionKey : undefined,
        userId: Buffer.isBuffer(userId) ? userId : undefined,
        contentEncoding: message.text("contentEncoding"),
      };
    } catch (thrown) {
      return unreadable(thrown, {});
    }
  }

  #readBody(): Uint8Array {
    try {
      return bodyOf(this.engine.message);
    } catch (thrown) {
      return unreadable(thrown, Buffer.alloc(0));
    }
  }

  renewed(lockedUntilMs: number, nowMs: number): void {
    this.#lockedUntilMs = lockedUntilMs;
    this.lockedAtMs = nowMs;
  }

  /** The delivery tag is a GUID in .NET's byte order; a lock token is the same GUID in the network's. */
  lockToken(): Buffer | undefined {
    const { tag } = this.engine;
    if (tag.length !== 16) return undefined;
    const token = Buffer.from(tag);
    token.subarray(0, 4).reverse();
    token.subarray(4, 6).reverse();
    token.subarray(6, 8).reverse();
    return token;
  }
}

/**
 * A message whose bytes are not AMQP is passed on as far as it can be read: without an event id it is dead-lettered as invalid,
 * where an error here would bring it again and again.
 */
function unreadable<T>(thrown: unknown, otherwise: T): T {
  if (thrown instanceof ProtocolError) return otherwise;
  throw thrown;
}

/** The broker's number of a message; 0 when it has none. */
export function sequenceNumberOf(message: MessageView): bigint {
  try {
    const value = (annotations.of(message) ?? message.messageAnnotations)?.get("x-opt-sequence-number");
    return typeof value === "number" || typeof value === "bigint" ? BigInt(value) : 0n;
  } catch (thrown) {
    return unreadable(thrown, 0n);
  }
}

function annotatedTime(message: MessageView, name: string): number {
  try {
    return (annotations.of(message) ?? message.messageAnnotations)?.timeMs(name) ?? 0;
  } catch (thrown) {
    return unreadable(thrown, 0);
  }
}

function textOf(message: MessageView, name: "messageId" | "correlationId" | "contentType" | "subject"): string | undefined {
  try {
    const value = message.property(name);
    if (value === undefined || typeof value === "string") return value;
    if (Buffer.isBuffer(value)) return binaryText(value);
    return typeof value === "number" || typeof value === "bigint" ? String(value) : undefined;
  } catch (thrown) {
    return unreadable(thrown, undefined);
  }
}

function idValueOf(value: TypedValue | undefined): IdValue | undefined {
  switch (value?.type) {
    case "string":
    case "ulong":
    case "binary":
      return value.value;
    case "uuid":
      return { uuid: value.value };
    default:
      return undefined;
  }
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
function bodyOf(message: MessageView): Uint8Array {
  switch (message.bodyKind) {
    case "data":
      return message.data;
    case "none":
      return Buffer.alloc(0);
    case "value": {
      const value = message.values()[0]?.plain() ?? null;
      if (Buffer.isBuffer(value)) return value;
      if (value === null) return Buffer.alloc(0);
      return Buffer.from(typeof value === "string" ? value : JSON.stringify(jsonOf(value)), "utf8");
    }
    case "sequence":
      return Buffer.from(JSON.stringify(message.values().flatMap((list) => jsonOf(list.plain()))), "utf8");
  }
}

type Json = null | boolean | number | string | Date | readonly Json[] | { readonly [key: string]: Json };

function jsonOf(value: Plain): Json {
  if (value === null || typeof value === "boolean" || typeof value === "number" || typeof value === "string") return value;
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Date) return value;
  if (Buffer.isBuffer(value)) return binaryText(value);
  if (value instanceof Described) return jsonOf(value.value);
  if (value instanceof Typed) return Buffer.from(value.value).toString("hex");
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [keyText(key), jsonOf(item)]));
  return (value as readonly Plain[]).map(jsonOf);
}

function keyText(key: Plain): string {
  return typeof key === "string" ? key : JSON.stringify(jsonOf(key));
}

/** AMQP knows more types than headers do: bytes become text, described values what they describe, the rest JSON text. */
function headerValueOf(value: Plain): HeaderValue {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
    case "bigint":
      return value;
    default:
  }
  if (value === null || value instanceof Date) return value;
  if (Buffer.isBuffer(value)) return binaryText(value);
  if (value instanceof Described) return headerValueOf(value.value);
  return JSON.stringify(jsonOf(value));
}
