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

test("creates, changes and deletes queues", async (t) => {
  const { broker, client } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  const created = await admin.createQueue("fresh", { lockDuration: "PT2S", maxDeliveryCount: 2, requiresSession: false, forwardDeadLetteredMessagesTo: "orders", userMetadata: "ours" });
  assert.deepEqual([created.name, created.lockDuration, created.maxDeliveryCount], ["fresh", "PT2S", 2]);
  assert.match(created.forwardDeadLetteredMessagesTo ?? "", /orders$/);
  await assert.rejects(admin.createQueue("Fresh"), { statusCode: 409, code: "MessageEntityAlreadyExistsError" });
  await assert.rejects(admin.createQueue("news"), { statusCode: 409 });
  await assert.rejects(admin.createQueue("-odd-"), { statusCode: 400 });
  await assert.rejects(admin.createQueue("other", { lockDuration: "soon" }), { statusCode: 400 });
  await assert.rejects(admin.createQueue("other", { forwardTo: "nowhere" }), { statusCode: 400 });
  const sender = client.createSender("fresh");
  await sender.sendMessages({ body: 1 });
  const updated = await admin.updateQueue({ ...created, maxDeliveryCount: 7 });
  assert.equal(updated.maxDeliveryCount, 7);
  await assert.rejects(admin.updateQueue({ ...created, requiresSession: true }), { statusCode: 400 });
  await assert.rejects(admin.updateQueue({ ...created, name: "missing" }), { statusCode: 404 });
  await admin.updateQueue({ ...created, status: "SendDisabled" });
  await assert.rejects(client.createSender("fresh").sendMessages({ body: 2 }), { code: "MessagingEntityDisabled" });
  await admin.updateQueue({ ...created, status: "Active" });
  await client.createSender("fresh").sendMessages({ body: 3 });
  assert.equal((await admin.getQueueRuntimeProperties("fresh")).activeMessageCount, 2);
  await admin.deleteQueue("fresh");
  assert.equal(await admin.queueExists("fresh"), false);
  await assert.rejects(client.createSender("fresh").sendMessages({ body: 4 }), { code: "MessagingEntityNotFound" });
  await assert.rejects(admin.deleteQueue("fresh"), { statusCode: 404 });
});

test("creates, changes and deletes topics and subscriptions", async (t) => {
  const { broker, client } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  const topic = await admin.createTopic("events", { defaultMessageTimeToLive: "PT1H" });
  assert.equal(topic.defaultMessageTimeToLive, "PT1H");
  const audit = await admin.createSubscription("events", "audit", { forwardTo: "orders", maxDeliveryCount: 4 });
  assert.equal(audit.maxDeliveryCount, 4);
  await assert.rejects(admin.createSubscription("events", "audit"), { statusCode: 409 });
  await assert.rejects(admin.createSubscription("nothing", "audit"), { statusCode: 404 });
  await client.createSender("events").sendMessages({ body: "forwarded" });
  assert.equal((await admin.getQueueRuntimeProperties("orders")).activeMessageCount, 1);
  const { forwardTo: _, ...kept } = audit;
  const updated = await admin.updateSubscription(kept);
  assert.equal(updated.forwardTo, undefined);
  await client.createSender("events").sendMessages({ body: "stays" });
  assert.equal((await admin.getSubscriptionRuntimeProperties("events", "audit")).activeMessageCount, 1);
  await admin.updateTopic({ ...topic, defaultMessageTimeToLive: "PT2H" });
  assert.equal((await admin.getTopic("events")).defaultMessageTimeToLive, "PT2H");
  await admin.deleteSubscription("events", "audit");
  assert.equal(await admin.subscriptionExists("events", "audit"), false);
  await admin.deleteTopic("events");
  assert.equal(await admin.topicExists("events"), false);
});
