// What an entity's settings forbid: how much it holds, how long it stays unused, which direction is open.
import { strict as assert } from "node:assert";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isServiceBusError } from "@azure/service-bus";
import Long from "long";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { attachedReceiver, attachedSender, Signal } from "../amqp/support/loopback.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { startBench } from "../support/broker.ts";
import { askForReceiver, connectWire } from "../support/broker-wire.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

const failsWith =
  (code: string) =>
  (error: unknown): boolean =>
    isServiceBusError(error) && error.code === code;

/** A hundredth of a megabyte. */
const sizeMegabytesMax = 0.01;
const body = Buffer.alloc(4000);

test("refuses what is over a queue's size, a batch whole, until there is room again", async (t) => {
  const { client, account } = await startBench(t, { entities: { queues: [{ name: "orders", sizeMegabytesMax }] } });
  const sender = client.createSender("orders");
  await sender.sendMessages([{ body }, { body }]);
  await assert.rejects(sender.sendMessages({ body }), failsWith("QuotaExceeded"));
  await assert.rejects(sender.sendMessages([{ body: "small" }, { body }]), failsWith("QuotaExceeded"));
  await assert.rejects(sender.scheduleMessages({ body }, new Date(Date.now() + 60_000)), failsWith("QuotaExceeded"));
  assert.deepEqual(account("orders").states, { active: 2, locked: 0, scheduled: 0, deferred: 0, deadLettered: 0 });
  const receiver = client.createReceiver("orders");
  const [first] = await receiver.receiveMessages(1);
  assert.ok(first);
  await receiver.deadLetterMessage(first);
  await assert.rejects(sender.sendMessages({ body }), failsWith("QuotaExceeded"), "expected dead letters to count");
  const letters = client.createReceiver("orders", { subQueueType: "deadLetter" });
  const [letter] = await letters.receiveMessages(1);
  assert.ok(letter);
  await letters.completeMessage(letter);
  await sender.sendMessages({ body });
  assert.equal(account("orders").states.active, 2);
});

test("refuses what is over a topic's size, whatever of it waits in a subscription or for its time", async (t) => {
  const { client, account } = await startBench(t, { entities: { topics: [{ name: "news", sizeMegabytesMax, subscriptions: ["a"] }] } });
  const sender = client.createSender("news");
  await sender.sendMessages({ body });
  const [number] = await sender.scheduleMessages({ body }, new Date(Date.now() + 60_000));
  assert.ok(number);
  await assert.rejects(sender.sendMessages({ body }), failsWith("QuotaExceeded"));
  await sender.cancelScheduledMessages(number);
  await sender.sendMessages({ body });
  assert.equal(account("news/Subscriptions/a").states.active, 2);
});

test("keeps what cannot be forwarded to a full queue as a transfer dead letter", async (t) => {
  const { client, account } = await startBench(t, {
    entities: {
      queues: [
        { name: "full", sizeMegabytesMax },
        { name: "source", forwardTo: "full" },
      ],
    },
  });
  await client.createSender("full").sendMessages([{ body }, { body }]);
  await client.createSender("source").sendMessages({ body });
  const [letter] = await client.createReceiver("source", { subQueueType: "transferDeadLetter" }).receiveMessages(1);
  assert.match(letter?.deadLetterErrorDescription ?? "", /maximum size/);
  assert.equal(account("full").states.active, 2);
});

const unmovable: readonly (readonly [why: string, target: object, message: RegExp])[] = [
  ["is too large for its target", { messageBytesMax: 1000 }, /larger than the 1000 bytes/],
  ["has no session for a target that requires one", { requiresSession: true }, /has no session id/],
  ["would go where nothing is taken", { status: "SendDisabled" }, /is disabled/],
];
for (const [why, settings, message] of unmovable) {
  test(`keeps a message as a transfer dead letter that ${why}, whether it was sent, copied by a topic or dead-lettered`, async (t) => {
    const { client, account } = await startBench(t, {
      entities: {
        queues: [
          { name: "target", ...settings },
          { name: "source", forwardTo: "target" },
          { name: "dying", forwardDeadLettersTo: "target" },
        ],
        topics: [{ name: "news", subscriptions: [{ name: "s", forwardTo: "target" }] }],
      },
    });
    for (const name of ["source", "dying", "news"]) await client.createSender(name).sendMessages({ body });
    const receiver = client.createReceiver("dying");
    const [dead] = await receiver.receiveMessages(1);
    assert.ok(dead);
    await receiver.deadLetterMessage(dead);
    for (const path of ["source", "dying", "news/Subscriptions/s"]) {
      const { states, totals } = account(`${path}/$Transfer/$DeadLetterQueue`);
      assert.deepEqual([states.active, totals.movedIn], [1, 1], path);
    }
    const [letter] = await client.createReceiver("source", { subQueueType: "transferDeadLetter" }).receiveMessages(1);
    assert.match(letter?.deadLetterErrorDescription ?? "", message);
    assert.equal(account("target").states.active, 0);
  });
}

test("deletes queues, topics and subscriptions that nobody has used for as long as they are to stay", async (t) => {
  const clock = new ManualClock();
  const autoDeleteOnIdleMs = 300_000;
  const entities = {
    queues: [{ name: "temporary", autoDeleteOnIdleMs }, "lasting"],
    topics: [
      { name: "news", subscriptions: [{ name: "brief", autoDeleteOnIdleMs }, "long"] },
      { name: "gossip", autoDeleteOnIdleMs, subscriptions: ["s"] },
    ],
  };
  const { broker, client } = await startBench(t, { entities, clock });
  const paths = (): string[] => [...Object.keys(broker.inspect().queues), ...Object.keys(broker.inspect().topics)].filter((path) => !path.includes("$"));
  clock.advance(299_999);
  assert.equal(paths().length, 7);
  await client.createSender("temporary").sendMessages({ body: 1 });
  clock.advance(1);
  assert.deepEqual(paths().sort(), ["lasting", "news", "news/Subscriptions/long", "temporary"]);
  clock.advance(299_000);
  await client.createReceiver("temporary").peekMessages(1);
  clock.advance(299_999);
  assert.ok(paths().includes("temporary"), "expected a peek to count as use");
  clock.advance(1);
  assert.deepEqual(paths().sort(), ["lasting", "news", "news/Subscriptions/long"]);
  await assert.rejects(client.createSender("temporary").sendMessages({ body: 1 }), failsWith("MessagingEntityNotFound"));
});

test("counts sending through an entity as its use, and watching it as none", async (t) => {
  const clock = new ManualClock();
  const { broker, client } = await startBench(t, {
    entities: { queues: [{ name: "passing", autoDeleteOnIdleMs: 300_000, forwardTo: "sink" }, "sink", { name: "watched", autoDeleteOnIdleMs: 300_000 }] },
    clock,
  });
  clock.advance(200_000);
  await client.createSender("passing").sendMessages({ body: 1 });
  assert.equal(broker.inspectMessages("watched")?.messages.length, 0);
  clock.advance(200_000);
  assert.deepEqual(
    Object.keys(broker.inspect().queues).filter((path) => !path.includes("$")),
    ["passing", "sink"],
  );
});

test("keeps an entity while a receiver waits on it, and closes links to one that goes", async (t) => {
  const clock = new ManualClock();
  const { broker, client } = await startBench(t, { entities: { queues: [{ name: "temporary", autoDeleteOnIdleMs: 300_000 }] }, clock });
  const receiver = client.createReceiver("temporary");
  const errors: unknown[] = [];
  const subscription = receiver.subscribe({
    processMessage: () => Promise.resolve(),
    processError: ({ error }) => Promise.resolve(void errors.push(error)),
  });
  await eventually("the receiver to wait", () => broker.inspect().queues["temporary"]?.receivers === 1);
  clock.advance(900_000);
  assert.ok(broker.inspect().queues["temporary"], "expected the queue to stay while somebody waits");
  await subscription.close();
  await receiver.close();
  await eventually("the receiver to be gone", () => broker.inspect().queues["temporary"]?.receivers === 0);
  const session = (await connectWire(t, broker)).connection.begin({});
  const closed = new Signal<LinkEnd>("the link to be closed");
  await attachedSender(session, { name: "idle", target: { address: "temporary" } }, { onDetach: (_sender, end) => closed.set(end) });
  clock.advance(300_000);
  assert.equal(broker.inspect().queues["temporary"], undefined);
  assert.equal((await closed.wait()).error?.condition, "amqp:not-found");
});

test("takes entities that administration makes to delete when they are idle, and those it changes", async (t) => {
  const clock = new ManualClock();
  const { broker } = await startBench(t, { entities: { queues: ["changed"] }, clock });
  const admin = administrationOf(broker);
  const made = await admin.createQueue("made", { autoDeleteOnIdle: "PT5M" });
  assert.equal(made.autoDeleteOnIdle, "PT5M");
  await admin.updateQueue({ ...(await admin.getQueue("changed")), autoDeleteOnIdle: "PT10M" });
  clock.advance(300_000);
  assert.equal(await admin.queueExists("made"), false);
  assert.equal(await admin.queueExists("changed"), true);
  clock.advance(300_000);
  assert.equal(await admin.queueExists("changed"), false);
});

const statuses = [
  { status: "Disabled", sends: false, receives: false },
  { status: "SendDisabled", sends: false, receives: true },
  { status: "ReceiveDisabled", sends: true, receives: false },
  { status: "Active", sends: true, receives: true },
] as const;
for (const { status, sends, receives } of statuses) {
  test(`${sends ? "lets" : "does not let"} clients send to and ${receives ? "lets" : "does not let"} them receive from a queue that is ${status}`, async (t) => {
    const { client } = await startBench(t, { entities: { queues: [{ name: "orders", status }] } });
    const judge = async (isAllowed: boolean, what: Promise<unknown>): Promise<void> =>
      isAllowed ? void (await what) : assert.rejects(what, failsWith("MessagingEntityDisabled"));
    await judge(sends, client.createSender("orders").sendMessages({ body: 1 }));
    await judge(sends, client.createSender("orders").scheduleMessages({ body: 1 }, new Date(Date.now() + 60_000)));
    await judge(receives, client.createReceiver("orders").receiveMessages(1, { maxWaitTimeInMs: 50 }));
    const deferred = client.createReceiver("orders").receiveDeferredMessages(Long.fromNumber(7));
    await assert.rejects(deferred, failsWith(receives ? "MessageNotFound" : "MessagingEntityDisabled"));
    await judge(status !== "Disabled", client.createReceiver("orders").peekMessages(1));
  });
}

test("closes open links of a direction that is disabled, and forwards nothing to what takes nothing", async (t) => {
  const { broker, client } = await startBench(t, { entities: { queues: ["orders", { name: "source", forwardTo: "orders" }] } });
  const admin = administrationOf(broker);
  const session = (await connectWire(t, broker)).connection.begin({});
  const closed = new Signal<LinkEnd>("the link to be closed");
  await attachedSender(session, { name: "out", target: { address: "orders" } }, { onDetach: (_sender, end) => closed.set(end) });
  const receiver = await attachedReceiver(session, { name: "in", source: { address: "orders" } }, { onDelivery: () => undefined });
  await admin.updateQueue({ ...(await admin.getQueue("orders")), status: "SendDisabled" });
  assert.equal((await closed.wait()).error?.condition, "com.microsoft:entity-disabled");
  assert.ok(receiver.isAttached, "expected the other direction to stay open");
  await client.createSender("source").sendMessages({ body: 3 });
  const [letter] = await client.createReceiver("source", { subQueueType: "transferDeadLetter" }).receiveMessages(1);
  assert.match(letter?.deadLetterErrorDescription ?? "", /is disabled/);
});

test("closes open links to the dead letters of an entity that is disabled, and opens none", async (t) => {
  const { broker } = await startBench(t, { entities: { queues: ["orders"] } });
  const admin = administrationOf(broker);
  const session = (await connectWire(t, broker)).connection.begin({});
  for (const [index, address] of ["orders/$DeadLetterQueue", "orders/$Transfer/$DeadLetterQueue"].entries()) {
    const closed = new Signal<LinkEnd>("the link to be closed");
    const source = { address };
    await attachedReceiver(session, { name: `open ${index}`, source }, { onDelivery: () => undefined, onDetach: (_receiver, end) => closed.set(end) });
    await admin.updateQueue({ ...(await admin.getQueue("orders")), status: "ReceiveDisabled" });
    assert.equal((await closed.wait()).error?.condition, "com.microsoft:entity-disabled", address);
    const late = await askForReceiver(session, { name: `late ${index}`, source });
    assert.equal(late.end?.error?.condition, "com.microsoft:entity-disabled", address);
    await admin.updateQueue({ ...(await admin.getQueue("orders")), status: "Active" });
  }
});

test("keeps what was deleted for being idle gone over a restart", async (t) => {
  const clock = new ManualClock();
  const data = await mkdtemp(join(tmpdir(), "holdfast-broker-idle-"));
  t.after(() => rm(data, { recursive: true, force: true }));
  const first = await startBench(t, { data, clock });
  const admin = administrationOf(first.broker);
  await admin.createQueue("brief", { autoDeleteOnIdle: "PT5M" });
  await admin.createQueue("lasting");
  await first.client.createSender("brief").sendMessages({ body: 1 });
  clock.advance(300_000);
  await first.client.close();
  await first.broker.stop();
  const { broker } = await startBench(t, { data, clock });
  assert.deepEqual(Object.keys(broker.inspect().queues), ["lasting", "lasting/$DeadLetterQueue"]);
});
