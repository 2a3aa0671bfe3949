// What a message is made of on the wire, on its way in and out; how deliveries end; and draining.
import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import { accepted, modified, rejected, released, type DeliveryState } from "#runtime/amqp/message/delivery-state.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { Delivery, Receiver } from "#runtime/amqp/link/receiver.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import type { Session } from "#runtime/amqp/session/session.ts";
import { int, long, symbol, timestamp, Typed, ulong, uuid } from "#runtime/amqp/codec/types.ts";
import { attachedReceiver, attachedSender, Signal } from "../amqp/support/loopback.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { connectWire } from "../support/broker-wire.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = {
  queues: [
    { name: "orders", lockDurationMs: 30_000, deliveryCountMax: 3 },
    { name: "short", timeToLiveMs: 10_000 },
  ],
};

interface Bench extends BrokerBench {
  readonly clock: ManualClock;
  readonly session: Session;
}

async function start(t: TestContext): Promise<Bench> {
  const clock = new ManualClock();
  const bench = await startBench(t, { entities, clock });
  return { ...bench, clock, session: (await connectWire(t, bench.broker)).connection.begin({}) };
}

/** Sends encoded messages, each of which must be accepted unless `expected` says otherwise. */
async function senderTo(session: Session, address: string): Promise<(bytes: Buffer, format?: number) => Promise<DeliveryState | undefined>> {
  const ready = new Signal("credit");
  let outcome = new Signal<DeliveryState | undefined>("an outcome");
  const sender: Sender = await attachedSender(
    session,
    { name: `to ${address}`, target: { address } },
    { onSendable: () => ready.set(), onOutcome: (_delivery, state) => outcome.set(state) },
  );
  await ready.wait();
  return (bytes, format) => {
    outcome = new Signal("an outcome");
    sender.send(bytes, undefined, undefined, format);
    return outcome.wait();
  };
}

interface Incoming {
  readonly receiver: Receiver;
  readonly deliveries: Delivery[];
  readonly settled: (DeliveryState | undefined)[];
  readonly next: () => Promise<Delivery>;
}

async function receiverFrom(session: Session, address: string): Promise<Incoming> {
  const deliveries: Delivery[] = [];
  const settled: (DeliveryState | undefined)[] = [];
  const receiver = await attachedReceiver(
    session,
    { name: `from ${address}`, source: { address }, senderSettleMode: "unsettled", receiverSettleMode: "second" },
    {
      onDelivery: (delivery) => deliveries.push(delivery),
      onSettled: (_delivery, state) => settled.push(state),
    },
  );
  let taken = 0;
  return {
    receiver,
    deliveries,
    settled,
    async next() {
      receiver.addCredit(1);
      return eventually("a delivery", () => deliveries[taken]).then((delivery) => {
        taken++;
        return delivery;
      });
    },
  };
}

test("stamps what it knows with the types that clients expect, and keeps everything else as it came", async (t) => {
  const { session, clock } = await start(t);
  const send = await senderTo(session, "orders");
  const sent = encodeMessage({
    header: { durable: true, priority: 7, ttlMs: 60_000 },
    deliveryAnnotations: { hop: 1 },
    messageAnnotations: { mine: symbol("kept"), "x-opt-partition-key": "p", "x-opt-sequence-number": long(99), "x-opt-locked-until": timestamp(1) },
    properties: { messageId: "m", groupId: "g", groupSequence: new Typed("uint", 4), userId: Buffer.from("u"), creationTime: new Date(5000) },
    applicationProperties: { small: new Typed("byte", -3), large: ulong(2n ** 63n), id: uuid(Buffer.alloc(16, 1)), letter: new Typed("char", "x") },
    body: { value: ["any", 1] },
    footer: { end: true },
  });
  assert.equal((await send(sent))?.kind, "accepted");
  const { message, tag } = await (await receiverFrom(session, "orders")).next();
  const annotations = message.messageAnnotations;
  const typed = (name: string): unknown => annotations?.view(name)?.typed();
  assert.deepEqual(
    [
      "x-opt-sequence-number",
      "x-opt-enqueue-sequence-number",
      "x-opt-enqueued-time",
      "x-opt-locked-until",
      "x-opt-message-state",
      "x-opt-partition-key",
      "mine",
    ].map(typed),
    [long(1), long(1), timestamp(clock.now()), timestamp(clock.now() + 30_000), int(0), new Typed("string", "p"), symbol("kept")],
  );
  assert.equal(annotations?.size, 7, "expected what a sender says of the broker's own to be dropped");
  assert.deepEqual([message.durable, message.priority, message.ttlMs, message.deliveryCount, message.firstAcquirer], [true, 7, 60_000, 0, false]);
  const bare = Buffer.from(message.from("properties"));
  assert.ok(sent.subarray(sent.length - bare.length).equals(bare), "expected the bare message to be untouched");
  assert.equal(tag.length, 16);
});

test("stamps a message that has no id with one, and takes ids of every type", async (t) => {
  const { session, client } = await start(t);
  const send = await senderTo(session, "orders");
  for (const properties of [
    undefined,
    { subject: "s" },
    { messageId: ulong(7) },
    { messageId: uuid(Buffer.from("00112233445566778899aabbccddeeff", "hex")) },
  ]) {
    assert.equal((await send(encodeMessage({ ...(properties && { properties }), body: { value: "x" } })))?.kind, "accepted");
  }
  const receiver = client.createReceiver("orders");
  const messages = await receiver.receiveMessages(4);
  assert.match(String(messages[0]?.messageId), /^[0-9a-f]{32}$/);
  assert.deepEqual([messages[1]?.subject, String(messages[1]?.messageId).length], ["s", 32]);
  assert.notEqual(messages[0]?.messageId, messages[1]?.messageId);
  for (const message of messages) await receiver.completeMessage(message);
});

test("takes a batch whole or not at all", async (t) => {
  const { session, account } = await start(t);
  const send = await senderTo(session, "orders");
  const message = (id: string): Buffer => encodeMessage({ properties: { messageId: id }, body: { value: id } });
  const batch = (...messages: readonly Buffer[]): Buffer => encodeMessage({ messageAnnotations: { any: 1 }, body: { data: messages } });
  assert.equal((await send(batch(message("a"), message("b"), message("c")), 0x8001_3700))?.kind, "accepted");
  assert.equal(account("orders").totals.accepted, 3);
  const refused = await send(batch(message("d"), Buffer.from("garbage")), 0x8001_3700);
  assert.deepEqual([refused?.kind, refused?.kind === "rejected" && refused.error?.condition], ["rejected", "amqp:decode-error"]);
  assert.equal(account("orders").totals.accepted, 3);
});

test("refuses a batch that holds its messages elsewhere than in data sections", async (t) => {
  const { session, account } = await start(t);
  const send = await senderTo(session, "orders");
  for (const body of [{ value: "x" }, { sequences: [["x"]] }]) {
    const refused = await send(encodeMessage({ messageAnnotations: { any: 1 }, body }), 0x8001_3700);
    assert.deepEqual([refused?.kind, refused?.kind === "rejected" && refused.error?.condition], ["rejected", "amqp:decode-error"]);
  }
  assert.equal(account("orders").totals.accepted, 0);
});

test("tells the life that a message has here, which may be shorter than its sender's", async (t) => {
  const { client } = await start(t);
  await client.createSender("short").sendMessages([{ body: 1 }, { body: 2, timeToLive: 4000 }, { body: 3, timeToLive: 60_000 }]);
  const messages = await client.createReceiver("short").peekMessages(3);
  assert.deepEqual(
    messages.map(({ expiresAtUtc, enqueuedTimeUtc }) => (expiresAtUtc?.getTime() ?? 0) - (enqueuedTimeUtc?.getTime() ?? 0)),
    [10_000, 4000, 10_000],
  );
});

const verbs: readonly (readonly [verb: string, state: DeliveryState, after: object, tries: number])[] = [
  ["accepted completes", accepted, { active: 0, deferred: 0, deadLettered: 0 }, 0],
  ["released gives back, without a try", released, { active: 1, deferred: 0, deadLettered: 0 }, 0],
  ["modified abandons, and counts a try", modified({ deliveryFailed: true }), { active: 1, deferred: 0, deadLettered: 0 }, 1],
  ["modified without a failed delivery abandons, too", modified({}), { active: 1, deferred: 0, deadLettered: 0 }, 1],
  ["modified with undeliverable here defers, and counts a try", modified({ undeliverableHere: true }), { active: 0, deferred: 1, deadLettered: 0 }, 1],
  ["rejected dead-letters", rejected({ condition: "com.microsoft:dead-letter", description: "d" }), { active: 0, deferred: 0, deadLettered: 1 }, 0],
  ["rejected for any reason dead-letters", rejected({ condition: "amqp:internal-error", description: "d" }), { active: 0, deferred: 0, deadLettered: 1 }, 0],
];
for (const [verb, state, after, tries] of verbs) {
  test(`${verb}, and the broker settles when it has`, async (t) => {
    const { session, client, account } = await start(t);
    await client.createSender("orders").sendMessages({ body: 1 });
    const incoming = await receiverFrom(session, "orders");
    const delivery = await incoming.next();
    assert.equal(delivery.settled, false);
    delivery.settle(state);
    await eventually("the broker to settle", () => incoming.settled.length === 1);
    assert.equal(incoming.settled[0]?.kind, "accepted");
    assert.deepEqual(account("orders").states, { ...after, locked: 0, scheduled: 0 });
    const [left] = await client.createReceiver("orders", account("orders").states.deadLettered === 1 ? { subQueueType: "deadLetter" } : {}).peekMessages(1);
    assert.equal(left?.deliveryCount ?? 0, tries);
  });
}

test("answers a settlement under a lock that is lost with a rejection that says so", async (t) => {
  const { session, client, clock } = await start(t);
  await client.createSender("orders").sendMessages({ body: 1 });
  const incoming = await receiverFrom(session, "orders");
  const delivery = await incoming.next();
  clock.advance(30_000);
  delivery.settle(accepted);
  await eventually("the broker to settle", () => incoming.settled.length === 1);
  const [state] = incoming.settled;
  assert.deepEqual([state?.kind, state?.kind === "rejected" && state.error?.condition], ["rejected", "com.microsoft:message-lock-lost"]);
});

test("never uses a lock token twice", async (t) => {
  const { session, client } = await start(t);
  await client.createSender("orders").sendMessages({ body: 1 });
  const incoming = await receiverFrom(session, "orders");
  const tags = new Set<string>();
  for (let i = 0; i < 20; i++) {
    const delivery = await incoming.next();
    tags.add(delivery.tag.toString("hex"));
    delivery.settle(released);
    await eventually("the broker to settle", () => incoming.settled.length === i + 1);
  }
  assert.equal(tags.size, 20);
});

test("drains: uses what credit it can and gives the rest back", async (t) => {
  const { session, client, account } = await start(t);
  await client.createSender("orders").sendMessages([{ body: 1 }, { body: 2 }]);
  const drained = new Signal("the drain");
  let delivered = 0;
  const receiver = await attachedReceiver(
    session,
    { name: "drainer", source: { address: "orders" }, receiverSettleMode: "second" },
    { onDelivery: () => delivered++, onDrained: () => drained.set() },
  );
  receiver.addCredit(10);
  receiver.drain();
  await drained.wait();
  assert.deepEqual([delivered, receiver.credit], [2, 0]);
  await client.createSender("orders").sendMessages({ body: 3 });
  assert.equal(account("orders").states.active, 1, "expected no credit to be left behind");
  receiver.addCredit(1);
  await eventually("the third", () => delivered === 3);
});

test("forwards a message four times, and keeps it at the fifth", async (t) => {
  const chain = (length: number): object[] => Array.from({ length }, (_, i) => ({ name: `hop${i}`, ...(i < length - 1 && { forwardTo: `hop${i + 1}` }) }));
  const four = await startBench(t, { entities: { queues: chain(5) } });
  await four.client.createSender("hop0").sendMessages({ body: 1 });
  assert.equal(four.account("hop4").states.active, 1);
  const five = await startBench(t, { entities: { queues: chain(6) } });
  await five.client.createSender("hop0").sendMessages({ body: 1 });
  assert.equal(five.account("hop5").states.active, 0);
  const [letter] = await five.client.createReceiver("hop4", { subQueueType: "transferDeadLetter" }).receiveMessages(1);
  assert.deepEqual([letter?.body, letter?.deadLetterReason, letter?.deliveryCount], [1, "AutoForwardFailed", 0]);
});

test("keeps the number of a message where it was first enqueued, through topics, forwards and dead letters", async (t) => {
  const bench = await startBench(t, {
    entities: {
      queues: ["sink", { name: "graves" }],
      topics: [
        {
          name: "news",
          subscriptions: [
            { name: "on", forwardTo: "sink" },
            { name: "off", forwardDeadLettersTo: "graves" },
          ],
        },
      ],
    },
  });
  await bench.client.createSender("sink").sendMessages([{ body: "before" }, { body: "before" }]);
  await bench.client.createSender("news").sendMessages([{ body: "first" }, { body: "second" }]);
  const sink = await bench.client.createReceiver("sink").peekMessages(4);
  assert.deepEqual(
    sink.map(({ sequenceNumber, enqueuedSequenceNumber }) => [sequenceNumber?.toNumber(), enqueuedSequenceNumber]),
    [
      [1, 1],
      [2, 2],
      [3, 1],
      [4, 2],
    ],
  );
  const off = bench.client.createReceiver("news", "off");
  const [, second] = await off.receiveMessages(2);
  assert.ok(second);
  await off.deadLetterMessage(second, { deadLetterReason: "R", deadLetterErrorDescription: "d" });
  const [grave] = await bench.client.createReceiver("graves").receiveMessages(1);
  assert.deepEqual(
    [grave?.body, grave?.sequenceNumber?.toNumber(), grave?.enqueuedSequenceNumber, grave?.deadLetterSource, grave?.deadLetterReason],
    ["second", 1, 2, "news/Subscriptions/off", "R"],
  );
});
