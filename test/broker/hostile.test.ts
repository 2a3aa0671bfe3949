// Clients that break the rules, or do not do their part: they are answered or cut off, and the others are served.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import * as fc from "fast-check";
import rhea, { type Connection, type EventContext } from "rhea";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { eventually, within } from "../support/eventually.ts";

const entities = { queues: ["orders", { name: "large", messageBytesMax: 4 * 1024 * 1024 }] };

async function rawSocket(t: TestContext, { broker }: BrokerBench, bytes: Buffer): Promise<Socket> {
  const socket = connect(broker.port, broker.host);
  t.after(() => socket.destroy());
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write(bytes);
  return socket;
}

async function rheaConnection(t: TestContext, { broker }: BrokerBench): Promise<Connection> {
  const connection = rhea.create_container().connect({ port: broker.port, host: broker.host, reconnect: false, username: "any" });
  t.after(() => connection.close());
  connection.on("disconnected", () => undefined);
  await within("the connection to open", once(connection, "connection_open"));
  return connection;
}

async function servesOthers({ client, account }: BrokerBench): Promise<void> {
  const before = account("orders").totals.completed;
  await client.createSender("orders").sendMessages({ body: "still there" });
  const receiver = client.createReceiver("orders");
  const [message] = await receiver.receiveMessages(1);
  assert.ok(message);
  await receiver.completeMessage(message);
  await receiver.close();
  assert.equal(account("orders").totals.completed, before + 1);
}

const header = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 1, 0, 0]);
const open = Buffer.from([0, 0, 0, 0x11, 2, 0, 0, 0, 0, 0x53, 0x10, 0xc0, 4, 1, 0xa1, 1, 0x78]);
const begin = Buffer.from([0, 0, 0, 0x1a, 2, 0, 0, 0, 0, 0x53, 0x11, 0xc0, 13, 4, 0x40, 0x43, 0x70, 0, 0, 8, 0, 0x70, 0, 0, 8, 0]);
const transferOnHandle9 = Buffer.from([0, 0, 0, 0x10, 2, 0, 0, 0, 0, 0x53, 0x14, 0xc0, 3, 1, 0x52, 9]);

const broken: readonly (readonly [name: string, bytes: Buffer])[] = [
  ["another protocol's version", Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 0, 9, 1])],
  ["bytes that are no frame", Buffer.concat([header, Buffer.alloc(64, 0xee)])],
  ["a frame larger than allowed", Buffer.concat([header, open, Buffer.from([0x7f, 0xff, 0xff, 0xff, 2, 0, 0, 0])])],
  ["a frame smaller than its own head", Buffer.concat([header, open, Buffer.from([0, 0, 0, 1, 2, 0, 0, 0])])],
  ["a begin that is cut short", Buffer.concat([header, open, Buffer.from([0, 0, 0, 0x10, 2, 0, 0, 0, 0, 0x53, 0x11, 0xc0, 13, 4, 0x40, 0x43])])],
];
for (const [name, bytes] of broken) {
  test(`cuts off a client that sends ${name}`, async (t) => {
    const bench = await startBench(t, { entities });
    const socket = await rawSocket(t, bench, bytes);
    socket.resume();
    await within("the connection to be closed", once(socket, "close"));
    await servesOthers(bench);
  });
}

test("ends the session, and no more, of a client that sends on a handle that was never attached", async (t) => {
  const bench = await startBench(t, { entities });
  const socket = await rawSocket(t, bench, Buffer.concat([header, open, begin, transferOnHandle9]));
  let answer = "";
  socket.on("data", (bytes: Buffer) => (answer += bytes.toString("latin1")));
  await eventually("the session to be ended", () => answer.includes("amqp:session:unattached-handle"));
  assert.equal(bench.broker.inspect().connections, 1);
  await servesOthers(bench);
  assert.equal(socket.closed, false);
});

test("survives whatever bytes come in", async (t) => {
  const bench = await startBench(t, { entities });
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.oneof(
          fc.constantFrom(header, open, begin),
          fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
        ),
        { maxLength: 8 },
      ),
      async (parts) => {
        const socket = await rawSocket(t, bench, Buffer.concat([header, ...parts]));
        socket.resume();
        socket.end();
        await within("the connection to be closed", once(socket, "close"));
      },
    ),
    { numRuns: 200 },
  );
  await servesOthers(bench);
  await eventually("all broken connections to be gone", () => bench.broker.inspect().connections === 1);
});

test("stops giving messages to a client that does not read, and goes on when it does", async (t) => {
  const bench = await startBench(t, { entities });
  const sender = bench.client.createSender("large");
  const count = 40;
  for (let i = 0; i < count; i++) await sender.sendMessages({ body: Buffer.alloc(900_000, "x") });
  const connection = await rheaConnection(t, bench);
  const receiver = connection.open_receiver({ source: "large", credit_window: 0, autoaccept: false, rcv_settle_mode: 1, snd_settle_mode: 0 });
  let received = 0;
  receiver.on("message", () => received++);
  await within("the link to open", once(receiver, "receiver_open"));
  const { socket } = connection as unknown as { socket: Socket };
  receiver.add_credit(1000);
  await eventually("the first message", () => received > 0);
  socket.pause();
  await servesOthers(bench);
  const { delivered } = bench.account("large").totals;
  assert.ok(delivered < count, `expected fewer than ${count} deliveries to a client that does not read, found ${delivered}`);
  socket.resume();
  await eventually("all messages", () => received === count);
  assert.equal(bench.account("large").states.locked, count);
});

test("answers management requests that it cannot serve", async (t) => {
  const bench = await startBench(t, { entities });
  const connection = await rheaConnection(t, bench);
  const session = connection.create_session();
  session.open();
  const receiver = session.open_receiver({ name: "both", source: "orders/$management", target: "replies" });
  const sender = session.open_sender({ name: "requests", target: "orders/$management" });
  await within("the link to open", once(sender, "sendable"));
  const ask = async (operation: string, body: unknown): Promise<Record<string, unknown>> => {
    const replied = within("a reply", once(receiver, "message"));
    sender.send({ message_id: "r-1", reply_to: "replies", application_properties: { operation }, body });
    const [{ message }] = (await replied) as [EventContext];
    assert.equal(message?.correlation_id, "r-1");
    return message?.application_properties as Record<string, unknown>;
  };
  const unknown = await ask("com.microsoft:make-coffee", {});
  assert.deepEqual([unknown["statusCode"], unknown["errorCondition"]], [501, "amqp:not-implemented"]);
  for (const [operation, body] of [
    ["renew-lock", {}],
    ["renew-lock", { "lock-tokens": ["x"] }],
    ["renew-lock", "text"],
    ["peek-message", { "from-sequence-number": "one", "message-count": 1 }],
    ["schedule-message", { messages: [{ message: "text" }] }],
    ["schedule-message", { messages: [{ message: Buffer.from("garbage") }] }],
    ["update-disposition", { "lock-tokens": [], "disposition-status": "burned" }],
  ] as const) {
    assert.equal((await ask(`com.microsoft:${operation}`, body))["statusCode"], 400, operation);
  }
  await servesOthers(bench);
});

test("refuses a message that is none, and keeps the link", async (t) => {
  const bench = await startBench(t, { entities });
  const connection = await rheaConnection(t, bench);
  const sender = connection.open_sender({ target: "orders" });
  await within("the link to open", once(sender, "sendable"));
  sender.send(Buffer.from("garbage"), undefined, 0);
  const [{ delivery }] = (await within("a rejection", once(sender, "rejected"))) as [EventContext];
  assert.match(JSON.stringify(delivery?.remote_state), /amqp:decode-error/);
  sender.send({ body: "good" });
  await within("an acceptance", once(sender, "accepted"));
  assert.equal(bench.account("orders").totals.accepted, 1);
});
