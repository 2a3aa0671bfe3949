// What clients get when something is refused: the real service's own words, with where and when at their end, over every
// way on which a refusal leaves.
import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import type { ServiceBusReceivedMessage } from "@azure/service-bus";
import rhea, { type EventContext } from "rhea";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { array, type Encodable, int, long, timestamp, uint, uuid } from "#runtime/amqp/codec/types.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { attachedReceiver, Signal } from "../amqp/support/loopback.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { askForReceiver, askForSender, connectWire, WireNode } from "../support/broker-wire.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = {
  queues: [
    "orders",
    { name: "steps", requiresSession: true },
    { name: "off", status: "Disabled" },
    { name: "deaf", status: "ReceiveDisabled" },
    { name: "small", messageBytesMax: 2000 },
    { name: "full", sizeMegabytesMax: 0.0001 },
    "sink",
    { name: "source", forwardTo: "sink" },
  ],
  topics: [{ name: "news", subscriptions: ["s"] }],
};
const uuidPattern = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";

/** Checks a refusal's text and its end. */
function expectTold(told: unknown, text: RegExp, host: string, path: string): void {
  const message = told instanceof Error ? told.message : String(told);
  assert.match(message, text);
  const end = new RegExp(
    ` TrackingId:${uuidPattern}_B0, SystemTracker:${host.replaceAll(".", "\\.")}:${path.replaceAll("$", "\\$")}, Timestamp:\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(?:$|</Detail>|\\W)`,
  );
  assert.match(message, end);
  assert.ok(!message.includes("{host}"), message);
}

async function errorOf(action: Promise<unknown>): Promise<Error> {
  try {
    await action;
  } catch (error) {
    return error as Error;
  }
  return assert.fail("expected a refusal");
}

interface Case {
  readonly what: string;
  readonly path: string;
  readonly text: RegExp;
  readonly act: (bench: BrokerBench) => Promise<unknown>;
}

const resourceHelp = "To know more visit https://aka\\.ms/sbResourceMgrExceptions\\. ";
const help = "For more information please see https://aka\\.ms/ServiceBusExceptions \\. ";
const send = ({ client }: BrokerBench, queue: string, message: object = { body: 1 }): Promise<void> =>
  client.createSender(queue).sendMessages(message as { body: unknown });

const cases: readonly Case[] = [
  {
    what: "a sender to what is not there",
    path: "missing",
    text: new RegExp(`The messaging entity 'sb://127\\.0\\.0\\.1/missing' could not be found\\. ${resourceHelp}`),
    act: (bench) => send(bench, "missing"),
  },
  {
    what: "a receiver from what is not there",
    path: "news/Subscriptions/none",
    text: /'sb:\/\/127\.0\.0\.1\/news\/Subscriptions\/none' could not be found\./,
    act: ({ client }) => client.createReceiver("news", "none").receiveMessages(1),
  },
  {
    what: "a sender to what is disabled",
    path: "off",
    text: new RegExp(`Messaging entity 'sb://127\\.0\\.0\\.1/off' is currently disabled\\. ${help}`),
    act: (bench) => send(bench, "off"),
  },
  {
    what: "a receiver from what is disabled",
    path: "deaf",
    text: /Messaging entity 'sb:\/\/127\.0\.0\.1\/deaf' is currently disabled\./,
    act: ({ client }) => client.createReceiver("deaf").receiveMessages(1),
  },
  {
    what: "a request to what is disabled",
    path: "off",
    text: /Messaging entity 'sb:\/\/127\.0\.0\.1\/off' is currently disabled\./,
    act: ({ client }) => client.createReceiver("off").peekMessages(1),
  },
  {
    what: "a receiver without a session where they are required",
    path: "steps",
    text: /It is not possible for an entity that requires sessions to create a non-sessionful message receiver\. /,
    act: ({ client }) => client.createReceiver("steps").receiveMessages(1),
  },
  {
    what: "a message without a session",
    path: "steps",
    text: /The SessionId was not set on a message, and it cannot be sent to the entity\. /,
    act: (bench) => send(bench, "steps"),
  },
  {
    what: "a scheduled message without a session",
    path: "steps",
    text: /The SessionId was not set on a message, and it cannot be sent to the entity\. /,
    act: ({ client }) => client.createSender("steps").scheduleMessages({ body: 1 }, new Date(Date.now() + 60_000)),
  },
  {
    what: "a wait for the next session",
    path: "steps",
    text: /did not complete within the allotted timeout of 00:00:0[01]\.\d{3}\. The time allotted to this operation may have been a portion of a longer timeout\./,
    act: ({ newClient }) => newClient({ timeoutInMs: 1500 }).acceptNextSession("steps"),
  },
  {
    what: "a receiver from what is forwarded",
    path: "source",
    text: /Cannot create a message receiver on an entity with auto-forwarding enabled\. /,
    act: ({ client }) => client.createReceiver("source").receiveMessages(1),
  },
  {
    what: "a message to what is full",
    path: "full",
    text: /The maximum entity size has been reached or exceeded for Queue: 'full'\. Size of entity in bytes:0, Max entity size in bytes:\d/,
    act: (bench) => send(bench, "full", { body: "x".repeat(500) }),
  },
  {
    what: "a deferred message that is none",
    path: "orders",
    text: /Failed to lock one or more specified messages\. Either the message is already locked or does not exist\. /,
    act: async ({ client }) =>
      client
        .createReceiver("orders")
        .receiveDeferredMessages((await client.createSender("orders").scheduleMessages({ body: 1 }, new Date(Date.now() + 60_000)))[0]!),
  },
  {
    what: "a schedule that is over",
    path: "orders",
    text: /Messages not found\. Missing sequence numbers: 1 /,
    async act({ client }) {
      const sender = client.createSender("orders");
      const [one, two] = await sender.scheduleMessages([{ body: 1 }, { body: 2 }], new Date(Date.now() + 60_000));
      await sender.cancelScheduledMessages(one!);
      await sender.cancelScheduledMessages([one!, two!]);
    },
  },
  {
    what: "a rule that is there",
    path: "news/Subscriptions/s",
    text: new RegExp(`The messaging entity '127\\.0\\.0\\.1:Topic:news\\|s\\|\\$Default' already exists\\. ${resourceHelp}`),
    act: ({ client }) => client.createRuleManager("news", "s").createRule("$Default", { sqlExpression: "1=1" }),
  },
  {
    what: "a rule that is not there",
    path: "news/Subscriptions/s",
    text: new RegExp(`The messaging entity '127\\.0\\.0\\.1:Topic:news\\|s\\|none' could not be found\\. ${resourceHelp}`),
    act: ({ client }) => client.createRuleManager("news", "s").deleteRule("none"),
  },
  {
    what: "a throttled send",
    path: "orders",
    text: /The request was terminated because the entity is being throttled\. Error code : 50009\. Please wait 10 seconds and try again\. /,
    act: (bench) => {
      bench.broker.faults.add({ kind: "throttle", target: "orders" });
      return send(bench, "orders");
    },
  },
];
for (const { what, path, text, act } of cases) {
  test(`says in Azure's words, with where and when, why it refuses ${what}`, async (t) => {
    const bench = await startBench(t, { entities });
    expectTold(await errorOf(act(bench)), text, "127.0.0.1", path);
  });
}

interface Lost {
  readonly bench: BrokerBench;
  readonly clock: ManualClock;
  readonly message: ServiceBusReceivedMessage;
}

async function lose(t: TestContext): Promise<Lost & { readonly settle: () => Promise<void>; readonly renew: () => Promise<unknown> }> {
  const clock = new ManualClock();
  const bench = await startBench(t, { entities, clock });
  await send(bench, "orders");
  const receiver = bench.client.createReceiver("orders", { maxAutoLockRenewalDurationInMs: 0 });
  const [message] = await receiver.receiveMessages(1);
  assert.ok(message);
  clock.advance(60_000);
  return { bench, clock, message, settle: () => receiver.completeMessage(message), renew: () => receiver.renewMessageLock(message) };
}

test("says in Azure's words that a lock is lost, with a reference, on its link and over management", async (t) => {
  const { settle, renew } = await lose(t);
  const text = new RegExp(
    `The lock supplied is invalid\\. Either the lock expired, or the message has already been removed from the queue\\. ${help}Reference:${uuidPattern}, TrackingId:`,
  );
  expectTold(await errorOf(settle()), text, "127.0.0.1", "orders");
  expectTold(await errorOf(renew()), text, "127.0.0.1", "orders");
});

test("says in Azure's words that a session is lost, to its link and over management", async (t) => {
  const clock = new ManualClock();
  const { broker, client } = await startBench(t, { entities, clock });
  const { connection } = await connectWire(t, broker);
  const closed = new Signal<LinkEnd>("the link to be closed");
  await attachedReceiver(
    connection.begin({}),
    { name: "holder", source: { address: "steps", filter: { "com.microsoft:session-filter": "a" } } },
    { onDelivery: () => undefined, onDetach: (_receiver, end) => closed.set(end) },
  );
  clock.advance(60_000);
  const text = /^The session lock has expired on the MessageSession\. Accept a new MessageSession\. /;
  expectTold((await closed.wait()).error?.description, text, "localhost", "steps");
  const session = await client.acceptSession("steps", "b", { maxAutoLockRenewalDurationInMs: 0 });
  clock.advance(60_000);
  await eventually("the session to be over", () => session.isClosed);
  const node = await WireNode.open(connection.begin({}), "steps/$management");
  const { message } = await node.ask("com.microsoft:renew-session-lock", { "session-id": "b" });
  expectTold(message.applicationProperties?.string("statusDescription"), text, "localhost", "steps");
});

test("ends everything that management and $cbs refuse with where and when, and nothing that they grant", async (t) => {
  const { broker } = await startBench(t, { entities });
  const { connection } = await connectWire(t, broker);
  const open = async (
    entity: string,
  ): Promise<(operation: string, body: Encodable, properties?: { readonly [name: string]: Encodable }) => Promise<string>> => {
    const node = await WireNode.open(connection.begin({}), entity);
    return async (operation, body, properties) => {
      const told = (await node.ask(operation, body, { properties: properties ?? {} })).message.applicationProperties;
      return told?.string("statusDescription") ?? told?.string("status-description") ?? "";
    };
  };
  const orders = await open("orders/$management");
  const scheduled = encodeMessage({
    messageAnnotations: { "x-opt-scheduled-enqueue-time": timestamp(Date.now() + 60_000) },
    body: { value: "x".repeat(3000) },
  });
  const wrong: readonly (readonly [operation: string, body: Encodable, text: RegExp])[] = [
    ["com.microsoft:none", {}, /is not supported/],
    ["com.microsoft:peek-message", "no map", /must be a map/],
    ["com.microsoft:peek-message", {}, /'from-sequence-number' must be a whole number/],
    ["com.microsoft:get-session-state", { "session-id": "a" }, /does not require sessions/],
    ["com.microsoft:update-disposition", { "lock-tokens": array("uuid", []), "disposition-status": "odd" }, /must be completed, abandoned/],
    ["com.microsoft:renew-lock", { "lock-tokens": array("uuid", [uuid(Buffer.alloc(16))]) }, /The lock supplied is invalid/],
    [
      "com.microsoft:receive-by-sequence-number",
      { "sequence-numbers": array("long", [long(9)]), "receiver-settle-mode": uint(1) },
      /Failed to lock one or more/,
    ],
    ["com.microsoft:add-rule", {}, /Rules belong to subscriptions/],
  ];
  for (const [operation, body, text] of wrong) expectTold(await orders(operation, body), text, "localhost", "orders");
  expectTold(
    await (
      await open("small/$management")
    )("com.microsoft:schedule-message", { messages: [{ message: scheduled }] }),
    /exceeds the limit \(2000 bytes\) currently allowed on the link\./,
    "localhost",
    "small",
  );
  assert.equal(await orders("com.microsoft:peek-message", { "from-sequence-number": long(0), "message-count": int(1) }), "No Content");
  const cbs = await open("$cbs");
  expectTold(
    await cbs("put-token", "SharedAccessSignature sr=x&sig=y&se=9&skn=z", { type: "servicebus.windows.net:sastoken", name: "amqp://localhost/orders" }),
    /^InvalidSignature: The token has an invalid signature\. /,
    "localhost",
    "orders",
  );
});

test("ends the errors of links with where and when, whoever closes them", async (t) => {
  const { broker } = await startBench(t, { entities });
  const { connection } = await connectWire(t, broker);
  const session = connection.begin({});
  const closed = new Signal<LinkEnd>("the link to be closed");
  await attachedReceiver(
    session,
    { name: "taker", source: { address: "amqps://elsewhere/orders" } },
    { onDelivery: () => undefined, onDetach: (_receiver, end) => closed.set(end) },
  );
  broker.faults.add({ kind: "detach", target: "orders" });
  expectTold((await closed.wait()).error?.description, /^The link 'taker' is force detached\. Code: consumer\. Details: /, "localhost", "orders");
  const gone = new Signal<LinkEnd>("the link to be closed");
  await attachedReceiver(session, { name: "gone", source: { address: "sink" } }, { onDelivery: () => undefined, onDetach: (_receiver, end) => gone.set(end) });
  await administrationOf(broker).deleteQueue("sink");
  expectTold((await gone.wait()).error?.description, /^The messaging entity 'sb:\/\/localhost\/sink' could not be found\./, "localhost", "sink");
  for (const { end } of [
    await askForReceiver(session, { name: "topic", source: { address: "news" } }),
    await askForSender(session, { name: "sub", target: { address: "news/Subscriptions/s" } }),
  ]) {
    expectTold(end?.error?.description, /^Messages cannot be /, "localhost", "news(?:/Subscriptions/s)?");
  }
});

test("tells why a session cannot be had, which the SDK keeps to itself", async (t) => {
  const { broker, client } = await startBench(t, { entities });
  const session = (await connectWire(t, broker)).connection.begin({});
  const filter = { "com.microsoft:session-filter": "a" };
  const odd = await askForReceiver(session, { name: "odd", source: { address: "orders", filter } });
  expectTold(
    odd.end?.error?.description,
    /^A sessionful message receiver cannot be created on an entity that does not require sessions\. Ensure RequiresSession/,
    "localhost",
    "orders",
  );
  await client.acceptSession("steps", "a");
  const late = await askForReceiver(session, { name: "late", source: { address: "steps", filter } });
  expectTold(late.end?.error?.description, /^The requested session 'a' cannot be accepted\. It may be locked by another receiver\. /, "localhost", "steps");
});

test("tells a message that is too large with its size and the limit", async (t) => {
  const { broker } = await startBench(t, { entities });
  const ended = new Signal<unknown>("the outcome");
  // A client that does not look at the limit by itself.
  const connection = rhea.create_container().connect({ host: "127.0.0.1", port: broker.port, reconnect: false });
  t.after(() => connection.close());
  const sender = connection.open_sender("small");
  sender.once("sendable", () => sender.send({ body: "x".repeat(3000) }));
  sender.once("rejected", ({ delivery }: EventContext) =>
    ended.set((delivery?.remote_state as { readonly error?: { readonly description?: unknown } } | undefined)?.error?.description),
  );
  expectTold(
    await ended.wait(),
    /^The received message \(delivery-id:0, size:30\d\d bytes\) exceeds the limit \(2000 bytes\) currently allowed on the link\. /,
    "localhost",
    "small",
  );
});

const refusedByAdministration: readonly (readonly [
  what: string,
  status: number,
  path: string,
  text: RegExp,
  act: (admin: ReturnType<typeof administrationOf>) => Promise<unknown>,
])[] = [
  [
    "a queue that is not there",
    404,
    "missing",
    /SubCode=40400\. Not Found\. Entity 'missing' was not found\. To know more/,
    (admin) => admin.deleteQueue("missing"),
  ],
  [
    "a queue that is there",
    409,
    "orders",
    /SubCode=40900\. Conflict\. You're requesting an operation that isn't allowed in the resource's current state/,
    (admin) => admin.createQueue("orders"),
  ],
  [
    "a subscription that is there",
    409,
    "news/Subscriptions/s",
    /The messaging entity '127\.0\.0\.1:Topic:news\|s' already exists\. To know more/,
    (admin) => admin.createSubscription("news", "s"),
  ],
  [
    "a rule that is there",
    409,
    "news/Subscriptions/s/Rules/\\$Default",
    /The messaging entity '127\.0\.0\.1:Topic:news\|s\|\$Default' already exists\. To know more/,
    (admin) => admin.createRule("news", "s", "$Default", { sqlExpression: "1=1" }),
  ],
  [
    "a name that is none",
    400,
    "-odd-",
    /SubCode=40000\. 'http:\/\/127\.0\.0\.1:\d+\/-odd-' contains character\(s\) that is not allowed by Service Bus/,
    (admin) => admin.createQueue("-odd-"),
  ],
  [
    "a change of what cannot be changed",
    400,
    "orders",
    /SubCode=40000\. The value for the 'requiresSession' property of an existing Queue\(or Topic\) can't be changed/,
    async (admin) => admin.updateQueue({ ...(await admin.getQueue("orders")), requiresSession: true }),
  ],
];
for (const [what, status, path, text, act] of refusedByAdministration) {
  test(`says in Azure's words, with where and when, why administration refuses ${what}`, async (t) => {
    const { broker } = await startBench(t, { entities });
    const error = (await errorOf(act(administrationOf(broker)))) as Error & { readonly statusCode?: number };
    assert.equal(error.statusCode, status);
    const told = error.message.replaceAll("&apos;", "'");
    assert.match(told, text);
    assert.match(told, new RegExp(`TrackingId:${uuidPattern}_B0, SystemTracker:127\\.0\\.0\\.1:${path}, Timestamp:\\d{4}-`, "i"));
  });
}
