// What addresses mean, and how a link to one is answered.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Session } from "#runtime/amqp/session/session.ts";
import { type Fields, long } from "#runtime/amqp/codec/types.ts";
import { attachedReceiver, Signal } from "../amqp/support/loopback.ts";
import { startBench } from "../support/broker.ts";
import { askForReceiver, askForSender, connectWire, WireNode } from "../support/broker-wire.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = {
  queues: ["Orders", { name: "small", messageBytesMax: 4096 }, { name: "steps", requiresSession: true, lockDurationMs: 30_000 }, "in/boxes"],
  topics: [{ name: "News", subscriptions: ["All", { name: "sorted", requiresSession: true }] }],
};

const places: readonly (readonly [address: string, send: boolean, receive: boolean])[] = [
  ["Orders", true, true],
  ["orders", true, true],
  ["ORDERS", true, true],
  ["/orders/", true, true],
  ["amqp://localhost/orders", true, true],
  ["amqps://some.host:5671/orders", true, true],
  ["sb://localhost:5672/Orders", true, true],
  ["in/boxes", true, true],
  ["orders/$DeadLetterQueue", false, true],
  ["orders/$deadletterqueue", false, true],
  ["orders/$Transfer/$DeadLetterQueue", false, true],
  ["news", true, false],
  ["news/Subscriptions/all", false, true],
  ["NEWS/subscriptions/ALL", false, true],
  ["amqps://host/news/Subscriptions/all/$DeadLetterQueue", false, true],
  ["news/Subscriptions/all/$Transfer/$DeadLetterQueue", false, true],
  ["news/Subscriptions/sorted/$DeadLetterQueue", false, true],
];
const nodes = [
  "$cbs",
  "$CBS",
  "orders/$management",
  "Orders/$Management",
  "orders/$DeadLetterQueue/$management",
  "orders/$Transfer/$DeadLetterQueue/$management",
  "news/$management",
  "news/Subscriptions/all/$management",
  "news/Subscriptions/all/$DeadLetterQueue/$management",
  "sb://localhost/orders/$management",
];
const nowhere = [
  "nothing",
  "orders/$Nothing",
  "news/Subscriptions",
  "news/Subscriptions/nobody",
  "news/all",
  "news/$DeadLetterQueue",
  "news/Subscriptions/all/more",
  "nothing/$management",
];

test("finds queues, topics, subscriptions and their sub-queues whatever the case and the host before", async (t) => {
  const { broker } = await startBench(t, { entities });
  const session = (await connectWire(t, broker)).connection.begin({});
  for (const [address, send, receive] of places) {
    const sender = await askForSender(session, { name: `to ${address}`, target: { address } });
    const receiver = await askForReceiver(session, { name: `from ${address}`, source: { address } });
    assert.deepEqual([sender.remote !== undefined, receiver.remote !== undefined], [send, receive], address);
    for (const { end } of [sender, receiver]) if (end !== undefined) assert.equal(end.error?.condition, "amqp:not-allowed", address);
  }
  for (const address of nodes) {
    assert.ok((await askForSender(session, { name: `to ${address}`, target: { address } })).remote, address);
    assert.ok((await askForReceiver(session, { name: `from ${address}`, source: { address } })).remote, address);
  }
});

test("refuses what is not there with a condition and a text that clients look for, and closes the link", async (t) => {
  const { broker } = await startBench(t, { entities });
  const session = (await connectWire(t, broker)).connection.begin({});
  for (const address of nowhere) {
    for (const { end } of [
      await askForSender(session, { name: `to ${address}`, target: { address } }),
      await askForReceiver(session, { name: `from ${address}`, source: { address } }),
    ]) {
      assert.deepEqual([end?.by, end?.closed, end?.error?.condition], ["peer", true, "amqp:not-found"], address);
      assert.ok(end?.error?.description?.startsWith(`The messaging entity 'sb://localhost/${address}' could not be found`), end?.error?.description);
    }
  }
  assert.equal((await askForSender(session, { name: "to no address", target: {} })).end?.error?.condition, "amqp:invalid-field");
});

test("tells a sender the largest message and gives it credit", async (t) => {
  const { broker } = await startBench(t, { entities });
  const session = (await connectWire(t, broker)).connection.begin({});
  const credit = new Signal<number>("credit");
  const remotes = new Signal<number>("the attach");
  session.openSender(
    { name: "s", target: { address: "small" } },
    { onAttach: (_sender, remote) => remotes.set(remote.maxMessageSize), onSendable: (sender) => credit.set(sender.credit) },
  );
  assert.equal(await remotes.wait(), 4096);
  assert.ok((await credit.wait()) > 0);
});

const modes = [
  { wanted: "peek-lock", senderSettleMode: "unsettled", receiverSettleMode: "second", locked: 1 },
  { wanted: "receive-and-delete", senderSettleMode: "settled", receiverSettleMode: "first", locked: 0 },
] as const;
for (const { wanted, senderSettleMode, receiverSettleMode, locked } of modes) {
  test(`answers a receiver's modes for ${wanted}, its address as it was written, and delivers nothing before it grants credit`, async (t) => {
    const { broker, client, account } = await startBench(t, { entities });
    await client.createSender("orders").sendMessages({ body: 1 });
    const session = (await connectWire(t, broker)).connection.begin({});
    const address = "amqps://some.host/oRDERS";
    const { remote } = await askForReceiver(session, { name: "in", source: { address }, senderSettleMode, receiverSettleMode });
    assert.deepEqual([remote?.senderSettleMode, remote?.receiverSettleMode, remote?.source?.address], [senderSettleMode, receiverSettleMode, address]);
    assert.equal(account("Orders").totals.delivered, 0);
    const delivered = new Signal<boolean>("the message");
    const receiver = await attachedReceiver(
      session,
      { name: "second", source: { address }, senderSettleMode, receiverSettleMode },
      { onDelivery: ({ settled }) => delivered.set(settled) },
    );
    receiver.addCredit(1);
    assert.equal(await delivered.wait(), wanted === "receive-and-delete");
    assert.equal(account("Orders").states.locked, locked);
  });
}

const filter = "com.microsoft:session-filter";

function sessionSource(address: string, sessionId: string | null): { address: string; filter: Fields } {
  return { address, filter: { [filter]: sessionId } };
}

test("grants a session by its id, and tells until when in ticks of .NET", async (t) => {
  const clock = new ManualClock(Date.UTC(2024, 0, 2, 3, 4, 5, 678));
  const { broker } = await startBench(t, { entities, clock });
  const session = (await connectWire(t, broker)).connection.begin({});
  const { remote } = await askForReceiver(session, { name: "a", source: sessionSource("steps", "a") });
  assert.equal(remote?.source?.address, "steps");
  assert.equal(remote.source.filter?.get(filter), "a");
  const told = remote.properties?.view("com.microsoft:locked-until-utc")?.typed();
  // 2024-01-02T03:04:35.678Z: what the lock lasts after what the clock says.
  assert.deepEqual(told, long(638_397_614_756_780_000n));
  const again = await askForReceiver(session, { name: "again", source: sessionSource("steps", "a") });
  assert.equal(again.end?.error?.condition, "com.microsoft:session-cannot-be-locked");
});

test("grants the next session with messages at once, and tells which it is", async (t) => {
  const { broker, client } = await startBench(t, { entities });
  await client.createSender("steps").sendMessages([
    { body: 1, sessionId: "first" },
    { body: 2, sessionId: "second" },
  ]);
  const session = (await connectWire(t, broker)).connection.begin({});
  for (const expected of ["first", "second"]) {
    const { remote } = await askForReceiver(session, { name: expected, source: sessionSource("STEPS", null) });
    assert.deepEqual([remote?.source?.address, remote?.source?.filter?.get(filter)], ["STEPS", expected]);
    assert.ok(remote?.properties?.has("com.microsoft:locked-until-utc"));
  }
});

test("waits with the answer as long as a client says, and then refuses", async (t) => {
  const clock = new ManualClock();
  const { broker, account } = await startBench(t, { entities, clock });
  const session = (await connectWire(t, broker)).connection.begin({});
  const asked = askForReceiver(session, { name: "next", source: sessionSource("steps", null), properties: { "com.microsoft:timeout": 7000 } });
  await eventually("the client to wait", () => account("steps").receivers === 1);
  clock.advance(6999);
  assert.equal(account("steps").receivers, 1);
  clock.advance(1);
  const { end } = await asked;
  assert.deepEqual([end?.by, end?.closed, end?.error?.condition], ["peer", true, "com.microsoft:timeout"]);
  assert.equal(account("steps").receivers, 0);
});

test("takes a wish for the next session back when its link or connection goes", async (t) => {
  const { broker, client, account } = await startBench(t, { entities });
  const { connection } = await connectWire(t, broker);
  connection.begin({}).openReceiver({ name: "next", source: sessionSource("steps", null) }, { onDelivery: () => undefined });
  await eventually("the client to wait", () => account("steps").receivers === 1);
  connection.abort();
  await eventually("nobody to wait", () => account("steps").receivers === 0);
  await client.createSender("steps").sendMessages({ body: 1, sessionId: "a" });
  assert.equal((await client.acceptNextSession("steps")).sessionId, "a");
});

test("serves links of both directions with one name, and several nodes, in one session", async (t) => {
  const { broker } = await startBench(t, { entities });
  const session: Session = (await connectWire(t, broker)).connection.begin({});
  assert.ok((await askForSender(session, { name: "same", target: { address: "orders" } })).remote);
  assert.ok((await askForReceiver(session, { name: "same", source: { address: "orders" } })).remote);
  const orders = await WireNode.open(session, "orders/$management");
  const news = await WireNode.open(session, "news/Subscriptions/all/$management");
  const peek = { "from-sequence-number": long(0), "message-count": 1 };
  assert.deepEqual([(await orders.ask("com.microsoft:peek-message", peek)).code, (await news.ask("com.microsoft:peek-message", peek)).code], [204, 204]);
});
