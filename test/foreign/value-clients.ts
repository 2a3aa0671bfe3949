// Clients for Node that send and receive values of every type: bare rhea, Azure's SDK, and our own engine and transport.
import { once } from "node:events";
import type { TestContext } from "node:test";
import { ServiceBusClient, type ServiceBusReceivedMessage } from "@azure/service-bus";
import rhea, { type Connection as RheaConnection, type EventContext, type Message } from "rhea";
import type { Broker } from "#load/broker/broker.ts";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import { encodeMessage, type MessageBody, type MessageProperties } from "#runtime/amqp/message/message-writer.ts";
import type { MessageView } from "#runtime/amqp/message/message.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import { int, symbol, Typed, type TypedValue, ubyte, uint, ulong, ushort, uuid } from "#runtime/amqp/codec/types.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { attachedReceiver, attachedSender, Signal } from "../amqp/support/loopback.ts";
import { rheaValue } from "../amqp/support/rhea-codec.ts";
import { connectWire } from "../support/broker-wire.ts";
import { eventually, within } from "../support/eventually.ts";
import { decimals, type Seen, textOf } from "./values.ts";

/** What was received: the producer and subject, and the fields. */
export type Received = readonly (readonly [message: string, seen: Seen])[];

type AmqpAnnotatedMessage = ServiceBusReceivedMessage["_rawAmqpMessage"];

const uuidBytes = Buffer.from("0123456789abcdef0123456789abcdef", "hex");
const bytes = Buffer.from([0, 255, 128]);
const text = "grüße ☃ 🚀";
const at = new Date(1_700_000_000_123);
const big = 9_007_199_254_740_993n;
const nested = { list: [1, "two", null, true], map: { inner: { deep: "x" } }, bytes: Buffer.from([254, 255, 128]) };
const decimalBytes = Object.entries(decimals).map(([name, hex]) => [name, Buffer.from(hex, "hex")] as const);

// --- the engine ---

const engineScalars = {
  nothing: null,
  yes: true,
  no: false,
  ubyte: ubyte(255),
  ushort: ushort(65_535),
  uint: uint(4_294_967_295),
  ulong: ulong(18_446_744_073_709_551_615n),
  byte: new Typed("byte", -128),
  short: new Typed("short", -32_768),
  int: int(-2_147_483_647),
  long: -9_223_372_036_854_775_808n,
  float: new Typed("float", 1.5),
  double: 0.1,
  timestamp: at,
  uuid: uuid(uuidBytes),
  binary: bytes,
  string: text,
  symbol: symbol("sym"),
} as const;

function engineMessages(): Buffer[] {
  const message = (subject: string, body: MessageBody, properties: MessageProperties = {}, values: object = {}): Buffer =>
    encodeMessage({ properties: { ...properties, subject }, applicationProperties: { from: "engine", ...values }, body });
  const empty = { data: Buffer.alloc(0) };
  const fields = {
    messageId: "the id",
    correlationId: "correlated",
    contentType: symbol("text/plain"),
    to: "to",
    replyTo: "back",
    userId: Buffer.from("user"),
    groupId: "group",
    replyToGroupId: "back group",
  };
  const ids = { ulong: ulong(7), uuid: uuid(uuidBytes), binary: bytes, string: "s" };
  return [
    message("scalars", { data: bytes }, fields, engineScalars),
    message(
      "rare",
      empty,
      {},
      { char: new Typed("char", "☃"), ...Object.fromEntries(decimalBytes.map(([name, value]) => [name, new Typed(name as "decimal32", value)])) },
    ),
    message("nested", { value: { ...nested, big } }),
    message("text", { value: text }),
    message("sequence", { sequences: [[1, "two", [3]]] }),
    ...Object.entries(ids).map(([kind, id]) => message(`id ${kind}`, empty, { messageId: id, correlationId: id })),
  ];
}

export async function engineSend(t: TestContext, broker: Broker, address: string): Promise<void> {
  const { connection } = await connectWire(t, broker);
  const messages = engineMessages();
  const outcomes: (string | undefined)[] = [];
  const sendable = new Signal<Sender>("credit");
  const sender = await attachedSender(
    connection.begin({}),
    { name: "values", target: { address } },
    { onSendable: sendable.set, onOutcome: (_delivery, state) => outcomes.push(state?.kind) },
  );
  await sendable.wait();
  for (const message of messages) sender.send(message, undefined);
  await eventually("every message to be accepted", () => outcomes.filter((kind) => kind === "accepted").length === messages.length);
}

function typedText(name: string, value: TypedValue): string {
  return `${value.type} ${textOf(name, value.value)}`;
}

function engineSeen(message: MessageView): readonly [string, Seen] {
  const seen: Record<string, string> = {};
  let from = "";
  message.applicationProperties?.forEach((key, view) => {
    const name = textOf("", key);
    if (name === "from") from = textOf("", view.plain());
    else seen[`property ${name}`] = typedText(name, view.typed());
  });
  const [value] = message.values();
  const plain = message.values().map((view) => view.plain());
  seen["body"] = message.bodyKind === "data" ? message.data.toString("hex") : textOf("", message.bodyKind === "sequence" ? plain.flat() : value?.plain());
  const subject = message.text("subject") ?? "";
  for (const [name, field] of [
    ["id", "messageId"],
    ["correlationId", "correlationId"],
  ] as const) {
    const found = message.property(field);
    if (found !== undefined) seen[name] = textOf(name, found);
  }
  if (subject === "scalars")
    for (const name of ["contentType", "to", "replyTo", "userId", "groupId", "replyToGroupId"] as const) seen[name] = textOf(name, message.property(name));
  return [`${from} ${subject}`, seen];
}

export async function engineReceive(t: TestContext, broker: Broker, address: string, count: number): Promise<Received> {
  const { connection } = await connectWire(t, broker);
  const found: (readonly [string, Seen])[] = [];
  const receiver = await attachedReceiver(
    connection.begin({}),
    { name: "values", source: { address } },
    {
      onDelivery: (delivery) => {
        found.push(engineSeen(delivery.message));
        delivery.settle(accepted);
      },
    },
  );
  receiver.addCredit(count);
  await eventually("all messages", () => found.length === count);
  return found;
}

// --- the fast transport ---

export async function transportSend(_t: TestContext, broker: Broker, address: string): Promise<void> {
  const publisher = createAmqpPublisher({ connectionString: broker.connectionString, clock: systemClock });
  await publisher.start();
  const headers = {
    from: "transport",
    nothing: null,
    yes: true,
    no: false,
    int: -2_147_483_647,
    long: -9_223_372_036_854_775_808n,
    double: 0.1,
    timestamp: at,
    string: text,
  };
  await publisher.send(address, [{ messageId: "the id", correlationId: "correlated", contentType: "text/plain", subject: "scalars", body: bytes, headers }]);
  await publisher.stop();
}

/** What the transport tells as JSON text is read as such: it has fewer types. */
function transportSeen(delivery: Delivery): readonly [string, Seen] {
  const { from, ...headers } = delivery.headers();
  const seen: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    seen[`property ${name}`] = textOf(name, typeof value === "string" ? value.replace(/^"(.*)"$/, "$1") : value);
  const subject = delivery.subject ?? "";
  const body = Buffer.from(delivery.body);
  seen["body"] =
    subject === "nested" || subject === "sequence"
      ? textOf("", JSON.parse(body.toString("utf8")))
      : subject === "text"
        ? body.toString("utf8")
        : body.toString("hex");
  seen["id"] = delivery.messageId;
  if (delivery.correlationId !== undefined) seen["correlationId"] = delivery.correlationId;
  if (subject === "scalars") seen["contentType"] = delivery.contentType ?? "null";
  return [`${String(from)} ${subject}`, seen];
}

export async function transportReceive(_t: TestContext, broker: Broker, topic: string, subscription: string, count: number): Promise<Received> {
  const transport = createAmqpTransport({ connectionString: broker.connectionString, clock: systemClock, entity: { topic, subscription } });
  await transport.start();
  const found: (readonly [string, Seen])[] = [];
  const settled: Promise<unknown>[] = [];
  const troubles: Error[] = [];
  const receiver = transport.openReceiver({
    deliveries: (batch) => {
      for (const delivery of batch) found.push(transportSeen(delivery));
      settled.push(transport.settle(batch.map((delivery) => ({ verb: "complete", delivery }))));
    },
    disturbed: (error) => void troubles.push(error),
  });
  receiver.addCredit(count);
  await eventually("all messages", () => found.length === count);
  await Promise.all(settled);
  await transport.stop();
  if (troubles[0] !== undefined) throw troubles[0];
  return found;
}

// --- rhea ---

async function rheaConnection(t: TestContext, broker: Broker): Promise<RheaConnection> {
  const connection = rhea.create_container().connect({ port: broker.port, host: broker.host, username: "anonymous", reconnect: false });
  t.after(() => connection.close());
  await within("the connection", once(connection, "connection_open"));
  return connection;
}

function rheaMessages(): Message[] {
  const wrap = (name: string, value: unknown): unknown => rheaValue(`wrap_${name}`, value);
  const signed64 = (value: bigint): Buffer => {
    const buffer = Buffer.alloc(8);
    buffer.writeBigInt64BE(value);
    return buffer;
  };
  const scalars = {
    nothing: null,
    yes: true,
    no: false,
    ubyte: wrap("ubyte", 255),
    ushort: wrap("ushort", 65_535),
    uint: wrap("uint", 4_294_967_295),
    ulong: wrap("ulong", Buffer.alloc(8, 255)),
    byte: wrap("byte", -128),
    short: wrap("short", -32_768),
    int: wrap("int", -2_147_483_647),
    long: wrap("long", signed64(-(2n ** 63n))),
    float: wrap("float", 1.5),
    double: wrap("double", 0.1),
    timestamp: at,
    uuid: wrap("uuid", uuidBytes),
    binary: bytes,
    string: text,
    symbol: wrap("symbol", "sym"),
  };
  const message = (subject: string, body: unknown, fields: Partial<Message> = {}): Message => ({
    subject,
    body,
    ...fields,
    application_properties: { from: "rhea", ...(fields.application_properties as object | undefined) },
  });
  const data = (content: Buffer): unknown => rhea.message.data_section(content);
  const fields = {
    message_id: "the id",
    correlation_id: "correlated",
    content_type: "text/plain",
    to: "to",
    reply_to: "back",
    user_id: Buffer.from("user"),
    group_id: "group",
    reply_to_group_id: "back group",
  } as unknown as Partial<Message>;
  const ids = { ulong: 7, uuid: wrap("uuid", uuidBytes), binary: wrap("binary", bytes), string: "s" };
  return [
    message("scalars", data(bytes), { ...fields, application_properties: scalars }),
    message("rare", data(Buffer.alloc(0)), {
      application_properties: {
        char: rheaValue("CharUTF32", "☃".codePointAt(0)),
        ...Object.fromEntries(decimalBytes.map(([name, value]) => [name, rheaValue(`D${name.slice(1)}`, value)])),
      } as never,
    }),
    message("nested", { ...nested, big: wrap("long", signed64(big)) }),
    message("text", text),
    message("sequence", rhea.message.sequence_section([1, "two", [3]] as never)),
    ...Object.entries(ids).map(([kind, id]) =>
      message(`id ${kind}`, data(Buffer.alloc(0)), { message_id: id, correlation_id: id } as unknown as Partial<Message>),
    ),
  ];
}

export async function rheaSend(t: TestContext, broker: Broker, address: string): Promise<void> {
  const connection = await rheaConnection(t, broker);
  const sender = connection.open_sender(address);
  let outcomes = 0;
  sender.on("accepted", () => outcomes++);
  await within("credit", once(sender, "sendable"));
  const messages = rheaMessages();
  for (const message of messages) sender.send(message);
  await eventually("every message to be accepted", () => outcomes === messages.length);
}

interface Section {
  readonly typecode: number;
  readonly content: unknown;
}

function rheaBody(body: unknown): string {
  const section = body as Section | null;
  if (section?.typecode === 0x75) return (section.content as Buffer).toString("hex");
  return textOf("", section?.typecode === 0x76 ? section.content : body);
}

const rheaFields = { contentType: "content_type", to: "to", replyTo: "reply_to", userId: "user_id", groupId: "group_id", replyToGroupId: "reply_to_group_id" };

function rheaSeen(message: Message): readonly [string, Seen] {
  const { from, ...properties } = (message.application_properties ?? {}) as Record<string, unknown>;
  const subject = message.subject ?? "";
  const seen: Record<string, string> = { body: rheaBody(message.body) };
  for (const [name, value] of Object.entries(properties)) seen[`property ${name}`] = textOf(name, value);
  const idName = subject.replace("id ", "");
  if (message.message_id !== undefined) seen["id"] = textOf(idName, message.message_id);
  if (message.correlation_id !== undefined) seen["correlationId"] = textOf(idName, message.correlation_id);
  if (subject === "scalars")
    for (const [name, field] of Object.entries(rheaFields)) seen[name] = textOf(name, (message as unknown as Record<string, unknown>)[field]);
  return [`${String(from)} ${subject}`, seen];
}

export async function rheaReceive(t: TestContext, broker: Broker, address: string, count: number): Promise<Received> {
  const connection = await rheaConnection(t, broker);
  const receiver = connection.open_receiver({ source: address, credit_window: 0 });
  const found: (readonly [string, Seen])[] = [];
  receiver.on("message", ({ message }: EventContext) => found.push(rheaSeen(message!)));
  receiver.add_credit(count);
  await eventually("all messages", () => found.length === count);
  return found;
}

// --- Azure's SDK ---

export async function azureSend(_t: TestContext, broker: Broker, address: string): Promise<void> {
  const client = new ServiceBusClient(broker.connectionString);
  const sender = client.createSender(address);
  const applicationProperties = { from: "azureJs", nothing: null, yes: true, no: false, int: -2_147_483_647, double: 0.1, timestamp: at, string: text };
  const properties = {
    messageId: "the id",
    correlationId: "correlated",
    contentType: "text/plain",
    subject: "scalars",
    to: "to",
    replyTo: "back",
    groupId: "group",
    replyToGroupId: "back group",
  };
  const messages = [
    { bodyType: "data", body: bytes, properties, applicationProperties },
    { bodyType: "value", body: nested, properties: { subject: "nested" }, applicationProperties: { from: "azureJs" } },
    { bodyType: "value", body: text, properties: { subject: "text" }, applicationProperties: { from: "azureJs" } },
    { bodyType: "sequence", body: [1, "two", [3]], properties: { subject: "sequence" }, applicationProperties: { from: "azureJs" } },
  ] as AmqpAnnotatedMessage[];
  for (const message of messages) await sender.sendMessages(message);
  await client.close();
}

/** The SDK makes bytes in application properties into objects with a property for each byte. */
function bytesAgain(value: unknown): unknown {
  return typeof value === "object" && value !== null && "0" in value ? Buffer.from(Object.values(value) as number[]) : value;
}

function azureSeen({ bodyType, body, properties = {}, applicationProperties = {} }: AmqpAnnotatedMessage): readonly [string, Seen] {
  const { from, ...values } = applicationProperties as Record<string, unknown>;
  const subject = properties.subject ?? "";
  const seen: Record<string, string> = { body: bodyType === "value" ? textOf("", body) : rheaBody(body) };
  for (const [name, value] of Object.entries(values)) seen[`property ${name}`] = textOf(name, bytesAgain(value));
  const idName = subject.replace("id ", "");
  if (properties.messageId !== undefined) seen["id"] = textOf(idName, properties.messageId);
  if (properties.correlationId !== undefined) seen["correlationId"] = textOf(idName, properties.correlationId);
  if (subject === "scalars")
    for (const name of ["contentType", "to", "replyTo", "userId", "groupId", "replyToGroupId"] as const)
      seen[name] = textOf(name, (properties as unknown as Record<string, unknown>)[name]);
  return [`${String(from)} ${subject}`, seen];
}

export async function azureReceive(_t: TestContext, broker: Broker, topic: string, subscription: string, count: number): Promise<Received> {
  const client = new ServiceBusClient(broker.connectionString);
  const receiver = client.createReceiver(topic, subscription, { skipParsingBodyAsJson: true });
  const found: (readonly [string, Seen])[] = [];
  while (found.length < count) {
    const messages = await receiver.receiveMessages(count - found.length, { maxWaitTimeInMs: 5_000 });
    if (messages.length === 0) break;
    for (const message of messages) {
      found.push(azureSeen(message._rawAmqpMessage));
      await receiver.completeMessage(message);
    }
  }
  await client.close();
  return found;
}
