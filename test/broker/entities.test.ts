// What an entity's settings do: expiry, duplicate detection, forwarding, subscriptions.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Alarm } from "#load/broker/entities/clock.ts";
import { readEntities } from "#load/broker/entities/config.ts";
import { BrokerConfigError } from "#load/broker/entities/config-checks.ts";
import { startBench } from "../support/broker.ts";
import { ManualClock } from "../support/manual-clock.ts";

test("gives each subscription of a topic its own copy", async (t) => {
  const { client, broker, account } = await startBench(t, { entities: { topics: [{ name: "news", subscriptions: ["a", "b"] }] } });
  await client.createSender("news").sendMessages([{ body: 1 }, { body: 2 }]);
  const receiver = client.createReceiver("news", "a");
  const messages = await receiver.receiveMessages(2);
  for (const message of messages) await receiver.completeMessage(message);
  const [first] = messages;
  assert.deepEqual([first?.body, first?.sequenceNumber?.toNumber(), first?.enqueuedSequenceNumber], [1, 1, 1]);
  assert.deepEqual([account("news/Subscriptions/a").totals.completed, account("news/Subscriptions/b").states.active], [2, 2]);
  assert.deepEqual([broker.inspect().topics["news"]?.totals.accepted, broker.inspect().topics["news"]?.totals.copied], [2, 4]);
  const [other] = await client.createReceiver("news", "b").receiveMessages(1);
  assert.ok(other);
  await client.createReceiver("news", "b").deadLetterMessage(other);
  assert.equal(account("news/Subscriptions/b/$DeadLetterQueue").states.active, 1);
  const [letter] = await client.createReceiver("news", "b", { subQueueType: "deadLetter" }).receiveMessages(1);
  assert.equal(letter?.body, 1);
});

test("drops expired messages, or dead-letters them where that is set", async (t) => {
  const clock = new ManualClock();
  const entities = {
    queues: [
      { name: "drops", timeToLiveMs: 10_000 },
      { name: "keeps", deadLetterOnExpiry: true, lockDurationMs: 60_000 },
    ],
  };
  const { client, account } = await startBench(t, { entities, clock });
  await client.createSender("drops").sendMessages([
    { body: "short", timeToLive: 1000 },
    { body: "long", timeToLive: 60_000 },
  ]);
  await client.createSender("keeps").sendMessages([{ body: "held", timeToLive: 1000 }, { body: "short", timeToLive: 1000 }, { body: "for ever" }]);
  const receiver = client.createReceiver("keeps");
  const [held] = await receiver.receiveMessages(1);
  assert.ok(held);
  clock.advance(1000);
  assert.deepEqual([account("drops").states.active, account("drops").totals.expiredDropped], [1, 1]);
  // A lock protects from expiry, which comes when the lock ends.
  assert.deepEqual(account("keeps").states, { active: 1, locked: 1, scheduled: 0, deferred: 0, deadLettered: 1 });
  await receiver.abandonMessage(held);
  assert.deepEqual(account("keeps").states, { active: 1, locked: 0, scheduled: 0, deferred: 0, deadLettered: 2 });
  assert.equal(account("keeps").totals.deadLetteredByExpiry, 2);
  clock.advance(9000);
  assert.equal(account("drops").totals.expiredDropped, 2);
  const [letter] = await client.createReceiver("keeps", { subQueueType: "deadLetter" }).receiveMessages(1);
  assert.equal(letter?.deadLetterReason, "TTLExpiredException");
});

test("drops repeats of a message id within the window, for queues and topics", async (t) => {
  const clock = new ManualClock();
  const detection = { requiresDuplicateDetection: true, duplicateWindowMs: 10_000 };
  const entities = { queues: [{ name: "orders", ...detection }], topics: [{ name: "news", ...detection, subscriptions: ["a"] }] };
  const { client, broker, account } = await startBench(t, { entities, clock, record: true, relaxed: true });
  const sender = client.createSender("orders");
  await sender.sendMessages([
    { body: 1, messageId: "x" },
    { body: 2, messageId: "x" },
    { body: 3, messageId: "y" },
  ]);
  await sender.scheduleMessages({ body: 4, messageId: "y" }, new Date(clock.now() + 1000));
  assert.deepEqual([account("orders").totals.accepted, account("orders").totals.duplicatesDropped, account("orders").totals.scheduledAccepted], [2, 2, 0]);
  clock.advance(9999);
  await sender.sendMessages({ body: 5, messageId: "x" });
  assert.equal(account("orders").totals.duplicatesDropped, 3);
  clock.advance(1);
  await sender.sendMessages({ body: 6, messageId: "x" });
  assert.equal(account("orders").totals.accepted, 3);
  assert.deepEqual(broker.outcomes("orders")?.get("x"), ["accepted", "duplicate", "duplicate", "accepted"]);
  await client.createSender("news").sendMessages([
    { body: 1, messageId: "x" },
    { body: 2, messageId: "x" },
  ]);
  assert.equal(account("news/Subscriptions/a").states.active, 1);
});

test("forwards a subscription's messages to a queue", async (t) => {
  const entities = {
    UserConfig: {
      Namespaces: [
        {
          Name: "ns",
          Queues: [{ Name: "input" }],
          Topics: [{ Name: "news", Subscriptions: [{ Name: "a", Properties: { ForwardTo: "input", LockDuration: "PT30S" } }, { Name: "b" }] }],
        },
      ],
    },
  };
  const { client, account } = await startBench(t, { entities });
  await client.createSender("news").sendMessages([{ body: 1, applicationProperties: { eventId: "e" } }, { body: 2 }]);
  assert.deepEqual(
    [
      account("input").states.active,
      account("input").totals.movedIn,
      account("news/Subscriptions/a").totals.forwarded,
      account("news/Subscriptions/a").states.active,
      account("news/Subscriptions/b").states.active,
    ],
    [2, 2, 2, 0, 2],
  );
  const [message] = await client.createReceiver("input").receiveMessages(1);
  assert.deepEqual([message?.body, message?.applicationProperties], [1, { eventId: "e" }]);
});

test("ends a circle of forwards in the transfer dead-letter queue", async (t) => {
  const entities = {
    queues: [
      { name: "a", forwardTo: "b" },
      { name: "b", forwardTo: "a" },
    ],
  };
  const { client } = await startBench(t, { entities });
  await client.createSender("a").sendMessages({ body: 1 });
  const [message] = await client.createReceiver("a", { subQueueType: "transferDeadLetter" }).receiveMessages(1);
  assert.deepEqual([message?.body, message?.deadLetterReason, message?.deadLetterSource], [1, "AutoForwardFailed", undefined]);
  assert.match(message?.deadLetterErrorDescription ?? "", /more than 4 times/);
});

test("moves dead letters on where that is set", async (t) => {
  const entities = { queues: [{ name: "orders", forwardDeadLettersTo: "graveyard" }, "graveyard"] };
  const { client, account } = await startBench(t, { entities });
  await client.createSender("orders").sendMessages({ body: 1 });
  const receiver = client.createReceiver("orders");
  const [message] = await receiver.receiveMessages(1);
  assert.ok(message);
  await receiver.deadLetterMessage(message, { deadLetterReason: "Broken", deadLetterErrorDescription: "why" });
  assert.equal(account("orders").states.deadLettered, 0);
  const [buried] = await client.createReceiver("graveyard").receiveMessages(1);
  assert.deepEqual([buried?.body, buried?.deadLetterReason, buried?.deadLetterSource, buried?.deliveryCount], [1, "Broken", "orders", 0]);
});

const bad: readonly (readonly [name: string, config: unknown, message: RegExp])[] = [
  ["an unknown key", { queue: [] }, /configuration\.queue: expected one of queues, topics, UserConfig, found \[\]/],
  ["a bad name", { queues: ["/x"] }, /queues\[0\]\.name: expected a name/],
  ["a name used twice", { queues: ["a", "A"] }, /A: expected each queue and topic to have a name of its own/],
  ["a subscription's name used twice", { topics: [{ name: "t", subscriptions: ["s", "S"] }] }, /t\.S: expected each subscription to have a name of its own/],
  [
    "a rule's name used twice",
    {
      topics: [
        {
          name: "t",
          subscriptions: [
            {
              name: "s",
              rules: [
                { name: "r", sql: "a = 1" },
                { name: "R", sql: "a = 2" },
              ],
            },
          ],
        },
      ],
    },
    /t\.s\.R: expected each rule to have a name of its own/,
  ],
  ["forwarding to itself", { queues: [{ name: "a", forwardTo: "A" }] }, /a\.forwardTo: expected another queue or topic than this one/],
  ["forwarding to nowhere", { queues: [{ name: "a", forwardTo: "b" }] }, /a\.forwardTo: expected a queue or topic of this configuration, found "b"/],
  ["a wrong number", { queues: [{ name: "a", deliveryCountMax: 0 }] }, /deliveryCountMax: expected a whole number of at least 1, found 0/],
  [
    "a vendor duration",
    { UserConfig: { Namespaces: [{ Queues: [{ Name: "a", Properties: { LockDuration: "1m" } }] }] } },
    /LockDuration: expected an ISO 8601 duration/,
  ],
  ["a key that every object knows", { queues: [{ name: "a", constructor: 1 }] }, /queues\[0\]\.constructor: expected one of name, /],
  [
    "a vendor key that every object knows",
    { UserConfig: { Namespaces: [{ Queues: [{ Name: "a", Properties: { toString: 1 } }] }] } },
    /Properties\.toString: expected one of/,
  ],
  ["an unknown vendor key", { UserConfig: { Namespaces: [{ Queues: [{ Name: "a", Properties: { Lock: 1 } }] }] } }, /Properties\.Lock: expected one of/],
];
for (const [name, config, message] of bad) {
  test(`refuses a configuration with ${name}`, () => {
    assert.throws(
      () => readEntities(config),
      (error) => error instanceof BrokerConfigError && message.test(error.message),
    );
  });
}

test("an entity that is gone sets no timer for what comes back to it", () => {
  const clock = new ManualClock();
  const alarm = new Alarm(clock, () => undefined);
  alarm.set(clock.now() + 1_000);
  alarm.stop();
  alarm.set(clock.now() + 500);
  assert.equal(clock.pending, 0);
});
