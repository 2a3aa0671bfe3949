import { strict as assert } from "node:assert";
import { test } from "node:test";
import { administrationOf } from "../support/broker-administration.ts";
import { startBench } from "../support/broker.ts";

const entities = {
  queues: [{ name: "orders", lockDurationMs: 5000, deliveryCountMax: 3, timeToLiveMs: 90_000, deadLetterOnExpiry: true }, "in/boxes"],
  topics: [{ name: "news", subscriptions: [{ name: "all", lockDurationMs: 30_000 }] }],
};

test("tells the settings of a queue and of a subscription", async (t) => {
  const { broker } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  const orders = await admin.getQueue("orders");
  assert.deepEqual(
    [orders.name, orders.lockDuration, orders.maxDeliveryCount, orders.defaultMessageTimeToLive, orders.deadLetteringOnMessageExpiration, orders.requiresSession, orders.status],
    ["orders", "PT5S", 3, "PT1M30S", true, false, "Active"],
  );
  assert.equal((await admin.getQueue("in/boxes")).name, "in/boxes");
  assert.equal((await admin.getQueue("in/boxes")).defaultMessageTimeToLive, "P10675199DT2H48M5.4775807S");
  const all = await admin.getSubscription("news", "all");
  assert.deepEqual([all.topicName, all.subscriptionName, all.lockDuration, all.maxDeliveryCount], ["news", "all", "PT30S", 10]);
  assert.equal((await admin.getTopic("news")).name, "news");
  assert.equal((await admin.getNamespaceProperties()).messagingSku, "Standard");
  await assert.rejects(admin.getQueue("nothing"), { statusCode: 404, code: "MessageEntityNotFoundError" });
  await assert.rejects(admin.getSubscription("news", "nobody"), { statusCode: 404 });
});

test("tells runtime counts", async (t) => {
  const { broker, client } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  const sender = client.createSender("orders");
  await sender.sendMessages([{ body: 1 }, { body: 2 }, { body: 3 }]);
  await sender.scheduleMessages({ body: 4 }, new Date(Date.now() + 60_000));
  const receiver = client.createReceiver("orders");
  const [first, second] = await receiver.receiveMessages(2);
  assert.ok(first && second);
  await receiver.deadLetterMessage(first);
  await receiver.deferMessage(second);
  const counts = await admin.getQueueRuntimeProperties("orders");
  assert.deepEqual([counts.activeMessageCount, counts.deadLetterMessageCount, counts.scheduledMessageCount, counts.totalMessageCount], [2, 1, 1, 4]);
  assert.ok((counts.sizeInBytes ?? 0) > 0);
  assert.ok(Math.abs(counts.createdAt.getTime() - Date.now()) < 60_000);
  await client.createSender("news").sendMessages({ body: 1 });
  assert.equal((await admin.getSubscriptionRuntimeProperties("news", "all")).activeMessageCount, 1);
  assert.equal((await admin.getTopicRuntimeProperties("news")).subscriptionCount, 1);
});

test("lists entities in pages", async (t) => {
  const names = Array.from({ length: 7 }, (_, i) => `q${i}`);
  const { broker } = await startBench(t, { entities: { queues: names, topics: [{ name: "t", subscriptions: names }] } });
  const admin = administrationOf(broker);
  const sizes: number[] = [];
  const seen: string[] = [];
  for await (const page of admin.listQueues().byPage({ maxPageSize: 3 })) {
    sizes.push(page.length);
    seen.push(...page.map(({ name }) => name));
  }
  assert.deepEqual([sizes, seen], [[3, 3, 1], names]);
  const subscriptions: string[] = [];
  for await (const { subscriptionName } of admin.listSubscriptions("t")) subscriptions.push(subscriptionName);
  assert.deepEqual(subscriptions, names);
  const topics = await admin.listTopics().next();
  assert.equal(topics.value?.name, "t");
});
