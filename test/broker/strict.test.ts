// A broker that is held to the bounds of the vendor's emulator.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isServiceBusError } from "@azure/service-bus";
import { BrokerConfigError } from "#load/broker/entities/config-checks.ts";
import { readEntities } from "#load/broker/entities/config.ts";
import { Namespace } from "#load/broker/entities/namespace.ts";
import { checkBounds } from "#load/broker/entities/setting-bounds.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { attachedReceiver } from "../amqp/support/loopback.ts";
import { startBench } from "../support/broker.ts";
import { connectWire } from "../support/broker-wire.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

const vendor = (queues: unknown, topics: unknown = []): unknown => ({ UserConfig: { Namespaces: [{ Name: "sbemulatorns", Queues: queues, Topics: topics }] } });
const queue = (properties: unknown): unknown => vendor([{ Name: "a", Properties: properties }]);
const many = (count: number): { Name: string }[] => Array.from({ length: count }, (_, i) => ({ Name: `n${i}` }));
const rules = (count: number, properties: unknown): unknown =>
  vendor([], [{ Name: "t", Subscriptions: [{ Name: "s", Rules: many(count).map(({ Name }) => ({ Name, Properties: properties })) }] }]);
const sql = { FilterType: "Sql", SqlFilter: { SqlExpression: "a = 1" } };
const correlation = { FilterType: "Correlation", CorrelationFilter: { Label: "x" } };

const beyond: readonly (readonly [what: string, within: unknown, without: unknown, message: RegExp])[] = [
  [
    "50 queues and topics",
    vendor(
      many(30),
      many(20).map(({ Name }) => ({ Name: `t${Name}` })),
    ),
    vendor(many(51)),
    /at most 50 queues and topics, found 51/,
  ],
  [
    "50 subscriptions of a topic",
    vendor([], [{ Name: "t", Subscriptions: many(50) }]),
    vendor([], [{ Name: "t", Subscriptions: many(51) }]),
    /at most 50 subscriptions, found 51/,
  ],
  ["20 rules with a SQL filter", rules(20, sql), rules(21, sql), /at most 20 rules with a SQL filter, found 21/],
  ["1000 rules with a correlation filter", rules(1000, correlation), rules(1001, correlation), /at most 1000 rules with a correlation filter, found 1001/],
  [
    "a lock of 5 minutes",
    queue({ LockDuration: "PT5M" }),
    queue({ LockDuration: "PT5M1S" }),
    /a\.lockDurationMs: expected 1 to 300000 .*--strict.*, found 301000/,
  ],
  ["a life of an hour", queue({ DefaultMessageTimeToLive: "PT1H" }), queue({ DefaultMessageTimeToLive: "PT1H1S" }), /a\.timeToLiveMs: expected 1 to 3600000/],
  [
    "a window of 5 minutes",
    queue({ DuplicateDetectionHistoryTimeWindow: "PT5M" }),
    queue({ DuplicateDetectionHistoryTimeWindow: "PT6M" }),
    /a\.duplicateWindowMs: expected 20000 to 300000/,
  ],
  [
    "a window of no less than 20 seconds",
    queue({ DuplicateDetectionHistoryTimeWindow: "PT20S" }),
    queue({ DuplicateDetectionHistoryTimeWindow: "PT19S" }),
    /a\.duplicateWindowMs: expected 20000/,
  ],
  ["10 deliveries", queue({ MaxDeliveryCount: 10 }), queue({ MaxDeliveryCount: 11 }), /a\.deliveryCountMax: expected 1 to 10 .*, found 11/],
];
for (const [what, within, without, message] of beyond) {
  test(`takes ${what} and no more`, () => {
    assert.doesNotThrow(() => checkBounds(readEntities(within), "emulator"));
    assert.throws(
      () => checkBounds(readEntities(without), "emulator"),
      (error) => error instanceof BrokerConfigError && message.test(error.message),
    );
    assert.doesNotThrow(() => checkBounds(readEntities(without), "none"), "expected the bound to hold on request only");
  });
}

test("fixes what the emulator fixes, and gives what was not chosen a value within its bounds", () => {
  const entities = readEntities(
    vendor([{ Name: "a" }, { Name: "b", Properties: { DefaultMessageTimeToLive: "PT1M", MaxMessageSizeInKilobytes: 1024, MaxSizeInMegabytes: 5120 } }]),
  );
  const namespace = new Namespace(entities, { clock: new ManualClock(), record: false, bounding: "emulator" });
  const settings = [...namespace.queues.values()].map(({ settings: { timeToLiveMs, duplicateWindowMs, messageBytesMax, sizeMegabytesMax } }) => ({
    timeToLiveMs,
    duplicateWindowMs,
    messageBytesMax,
    sizeMegabytesMax,
  }));
  const fixed = { duplicateWindowMs: 300_000, messageBytesMax: 256 * 1024, sizeMegabytesMax: 100 };
  assert.deepEqual(settings, [
    { timeToLiveMs: 3_600_000, ...fixed },
    { timeToLiveMs: 60_000, ...fixed },
  ]);
});

test("takes 10 connections at one time", async (t) => {
  const { broker, newClient } = await startBench(t, { entities: { queues: ["a"] }, strict: true });
  const clients = Array.from({ length: 10 }, () => newClient());
  await Promise.all(clients.map((client) => client.createSender("a").sendMessages({ body: 1 })));
  const eleventh = newClient();
  await assert.rejects(eleventh.createSender("a").sendMessages({ body: 1 }), /ConnectionsQuotaExceeded.*at most 10 connections/);
  await eleventh.close();
  await clients[0]?.close();
  await eventually("a connection to be gone", () => broker.inspect().connections === 9);
  await newClient().createSender("a").sendMessages({ body: 1 });
  assert.equal(broker.inspect().queues["a"]?.states.active, 11);
});

test("takes 200 receivers of one entity at one time", async (t) => {
  const { broker, client } = await startBench(t, { entities: { queues: ["a", "b"] }, strict: true });
  const session = (await connectWire(t, broker)).connection.begin({});
  const receivers = await Promise.all(
    Array.from({ length: 200 }, (_, i) => attachedReceiver(session, { name: `r${i}`, source: { address: "a" } }, { onDelivery: () => undefined })),
  );
  await assert.rejects(client.createReceiver("a").receiveMessages(1), (error) => isServiceBusError(error) && error.code === "QuotaExceeded");
  assert.deepEqual(await client.createReceiver("b").receiveMessages(1, { maxWaitTimeInMs: 1 }), []);
  receivers[0]?.close();
  await client.createSender("a").sendMessages({ body: 1 });
  const again = client.createReceiver("a");
  await eventually("a place to be free", () =>
    again.receiveMessages(1, { maxWaitTimeInMs: 1000 }).then(
      ({ length }) => length === 1,
      () => false,
    ),
  );
});

test("refuses a message of more than 256 KB", async (t) => {
  const { client } = await startBench(t, { entities: { queues: ["a"] }, strict: true });
  const sender = client.createSender("a");
  assert.equal((await sender.createMessageBatch()).maxSizeInBytes, 256 * 1024);
  await assert.rejects(sender.sendMessages({ body: Buffer.alloc(256 * 1024) }), (error) => isServiceBusError(error) && error.code === "MessageSizeExceeded");
});

test("holds administration and rule managers to the bounds, too", async (t) => {
  const { broker, client } = await startBench(t, {
    entities: { queues: many(48).map(({ Name }) => Name), topics: [{ name: "t", subscriptions: ["s"] }] },
    strict: true,
  });
  const admin = administrationOf(broker);
  await assert.rejects(admin.createQueue("q", { lockDuration: "PT6M" }), { statusCode: 400 });
  const made = await admin.createQueue("q", { lockDuration: "PT5M" });
  assert.deepEqual([made.maxSizeInMegabytes, made.defaultMessageTimeToLive, made.maxMessageSizeInKilobytes], [100, "PT1H", 256]);
  const changed = await admin.updateQueue({ ...made, maxSizeInMegabytes: 1024, maxDeliveryCount: 5 });
  assert.deepEqual([changed.maxSizeInMegabytes, changed.maxDeliveryCount], [100, 5]);
  await assert.rejects(admin.updateQueue({ ...made, maxDeliveryCount: 11 }), { statusCode: 400 });
  await assert.rejects(admin.createQueue("one-too-many"), { statusCode: 403 });
  await assert.rejects(admin.createTopic("one-too-many"), { statusCode: 403 });
  const manager = client.createRuleManager("t", "s");
  for (let i = 0; i < 20; i++) await manager.createRule(`r${i}`, { sqlExpression: `a = ${i}` });
  await assert.rejects(manager.createRule("r20", { sqlExpression: "a = 20" }), /at most 20 rules with a SQL filter/);
  await assert.rejects(admin.createRule("t", "s", "r20", { sqlExpression: "a = 20" }), { statusCode: 403 });
  await assert.rejects(admin.createSubscription("t", "other", { defaultRuleOptions: { name: "d", filter: { sqlExpression: "a = 1" } } }), { statusCode: 403 });
  await admin.createSubscription("t", "open");
  await manager.createRule("c", { subject: "x" });
});
