// Links, on a client that keeps its side small on purpose.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { MessageView } from "#runtime/amqp/message/message.ts";
import type { Delivery, Receiver } from "#runtime/amqp/link/receiver.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import type { SourceFields } from "#runtime/amqp/message/terminus.ts";
import { array, type Encodable, long, Raw, uint } from "#runtime/amqp/codec/types.ts";
import { Signal, attachedReceiver, attachedSender } from "../amqp/support/loopback.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { askForReceiver, askForSender, connectWire } from "../support/broker-wire.ts";
import { eventually, within } from "../support/eventually.ts";

const entities = { queues: ["left", "right"] };

async function send({ client }: BrokerBench, queue: string, count: number): Promise<void> {
  await client.createSender(queue).sendMessages(Array.from({ length: count }, (_, index) => ({ body: index, messageId: `${queue} ${index}` })));
}

const lossless = { receiverSettleMode: "second" } as const;

test("two links that share a narrow window get all that is there for each, in order", async (t) => {
  const bench = await startBench(t, { entities });
  const { connection } = await connectWire(t, bench.broker, { incomingWindowFrames: 3 });
  const session = connection.begin({});
  const got = new Map<string, (string | undefined)[]>([
    ["left", []],
    ["right", []],
  ]);
  for (const [address, texts] of got) {
    const receiver = await attachedReceiver(
      session,
      { name: address, source: { address }, ...lossless },
      {
        onDelivery: (delivery) => {
          texts.push(delivery.message.text("messageId"));
          delivery.settle(accepted);
        },
      },
    );
    receiver.addCredit(100);
  }
  await Promise.all([send(bench, "left", 50), send(bench, "right", 50)]);
  await eventually("all messages to be completed", () => ["left", "right"].every((queue) => bench.account(queue).totals.completed === 50));
  for (const [queue, texts] of got)
    assert.deepEqual(
      texts,
      Array.from({ length: 50 }, (_, index) => `${queue} ${index}`),
    );
});

for (const mode of ["unsettled", "settled"] as const)
  test(`lets go of what waits, ${mode}, for a client that does not read when its link is closed`, async (t) => {
    const bench = await startBench(t, { entities });
    const { connection, socket } = await connectWire(t, bench.broker);
    const session = connection.begin({});
    let received = 0;
    const open = async (address: string, senderSettleMode: "unsettled" | "settled"): Promise<Receiver> => {
      const receiver = await attachedReceiver(
        session,
        { name: address, source: { address }, senderSettleMode, ...lossless },
        {
          onDelivery: (delivery) => {
            received++;
            delivery.settle(accepted);
          },
        },
      );
      receiver.addCredit(100);
      return receiver;
    };
    const right = await open("right", mode);
    await open("left", "unsettled");
    await send(bench, "left", 1);
    await eventually("a first message", () => received === 1);
    socket.pause();
    const sender = bench.client.createSender("left");
    for (let i = 0; i < 20; i++) await sender.sendMessages({ body: Buffer.alloc(900_000) });
    assert.ok(bench.account("left").states.active > 0, "expected the broker to hold messages back");
    await send(bench, "right", 10);
    await eventually("the first to be given away, which shows that there is no room", () => bench.account("right").totals.delivered === 1);
    right.close();
    await eventually("the messages to be back", () => bench.account("right").states.active === 10);
    const { released, receivedAndDeleted } = bench.account("right").totals;
    assert.deepEqual([released, receivedAndDeleted], [1, 0]);
    socket.resume();
    await eventually("the others", () => bench.account("left").totals.completed === 21);
    assert.equal(received, 21);
  });

for (const end of ["link", "connection"] as const)
  test(`takes back what was to be deleted as it went out and did so in part when its ${end} ends`, async (t) => {
    const bench = await startBench(t, { entities });
    const { connection, socket } = await connectWire(t, bench.broker);
    // It never lets the rest come.
    const session = connection.begin({}, { incomingBytes: () => 200_000 });
    const receiver = await attachedReceiver(
      session,
      { name: "right", source: { address: "right" }, senderSettleMode: "settled", ...lossless },
      { onDelivery() {} },
    );
    receiver.addCredit(2);
    await bench.client.createSender("right").sendMessages([{ body: Buffer.alloc(900_000) }]);
    await eventually("it to be on its way", () => bench.account("right").totals.delivered === 1);
    if (end === "link") receiver.close();
    else socket.destroy();
    await eventually("it to be back", () => bench.account("right").states.active === 1);
    assert.equal(bench.account("right").totals.receivedAndDeleted, 0);
  });

test("settles a request before it replies, and tells the lock of a deferred message in it and beside it", async (t) => {
  const bench = await startBench(t, { entities });
  await send(bench, "left", 1);
  const deferring = bench.client.createReceiver("left");
  const [message] = await deferring.receiveMessages(1);
  assert.ok(message);
  await deferring.deferMessage(message);
  const { connection } = await connectWire(t, bench.broker);
  const session = connection.begin({});
  const address = "left/$management";
  const heard: string[] = [];
  const replied = new Signal<Delivery>("the reply");
  const replies = await attachedReceiver(
    session,
    { name: "replies", source: { address }, target: { address: "replies" }, senderSettleMode: "unsettled" },
    {
      onDelivery: (delivery) => {
        heard.push("reply");
        delivery.settle(accepted);
        replied.set(delivery);
      },
    },
  );
  replies.addCredit(10);
  const sendable = new Signal<Sender>("credit");
  await attachedSender(
    session,
    { name: "requests", target: { address } },
    { onSendable: sendable.set, onOutcome: (_delivery, state) => heard.push(state?.kind ?? "none") },
  );
  const body = new Map<string, Encodable>([
    ["sequence-numbers", array("long", [long(1)])],
    ["receiver-settle-mode", uint(1)],
  ]);
  (await sendable.wait()).send(
    encodeMessage({
      properties: { messageId: "r", replyTo: "replies" },
      applicationProperties: { operation: "com.microsoft:receive-by-sequence-number" },
      body: { value: body },
    }),
    undefined,
  );
  const [reply] = (await replied.wait()).message.values();
  assert.deepEqual(heard, ["accepted", "reply"]);
  assert.ok(reply);
  const [entry] = (reply.plain() as ReadonlyMap<string, readonly ReadonlyMap<string, Buffer>[]>).get("messages") ?? [];
  const told = new MessageView(entry?.get("message") ?? Buffer.alloc(0)).deliveryAnnotations?.get("x-opt-lock-token");
  assert.ok(told);
  assert.equal(told, entry?.get("lock-token"));
});

test("closes a client's connection in order when it stops, and waits for none that does not answer", async (t) => {
  const bench = await startBench(t, { entities });
  const polite = await connectWire(t, bench.broker);
  const deaf = await connectWire(t, bench.broker);
  deaf.socket.pause();
  await within("the broker to stop", bench.broker.stop());
  const { by, error } = await polite.closed.wait();
  assert.deepEqual([by, error?.condition], ["peer", "amqp:connection:forced"]);
});

test("has properties in its answer, for clients that merge them into their own", async (t) => {
  const { connection } = await connectWire(t, (await startBench(t, { entities })).broker);
  const session = connection.begin({});
  const { remote: sending } = await askForReceiver(session, { name: "in", source: { address: "left" } });
  const { remote: taking } = await askForSender(session, { name: "out", target: { address: "left" } });
  assert.deepEqual([sending?.properties?.size, taking?.properties?.size, taking?.maxMessageSize], [0, 0, 1_048_576]);
});

const beyond: readonly (readonly [what: string, role: "sender" | "receiver", terminus: SourceFields | Raw])[] = [
  ["a coordinator of transactions", "sender", new Raw(encodeComposite(descriptor.coordinator, []))],
  ["a dynamic source", "receiver", { dynamic: true }],
  ["a dynamic target", "sender", { dynamic: true }],
];

for (const [what, role, terminus] of beyond) {
  test(`refuses ${what} as what it does not have`, async (t) => {
    const { connection } = await connectWire(t, (await startBench(t, { entities })).broker);
    const session = connection.begin({});
    const ended = new Signal<LinkEnd>("the refusal");
    if (role === "sender") session.openSender({ name: what, target: terminus }, { onDetach: (_sender, end) => ended.set(end) });
    else session.openReceiver({ name: what, source: terminus }, { onDelivery: () => undefined, onDetach: (_receiver, end) => ended.set(end) });
    assert.equal((await ended.wait()).error?.condition, "amqp:not-implemented");
    await attachedSender(session, { name: "still", target: { address: "left" } });
  });
}

for (const mechanism of ["ANONYMOUS", "MSSBCBS", "EXTERNAL", "PLAIN"] as const) {
  test(`lets a client in by ${mechanism}`, async (t) => {
    const bench = await startBench(t, { entities });
    await connectWire(
      t,
      bench.broker,
      {},
      mechanism === "PLAIN" ? { mechanism, username: "RootManageSharedAccessKey", password: "SAS_KEY_VALUE" } : { mechanism },
    );
    assert.equal(bench.broker.inspect().connections, 1);
  });
}
