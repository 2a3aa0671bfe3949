import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isServiceBusError, type ServiceBusReceivedMessage } from "@azure/service-bus";
import { startBench } from "../support/broker.ts";
import { eventually } from "../support/eventually.ts";

const entities = { queues: ["orders", { name: "small", messageBytesMax: 4096 }], topics: ["news"] };

test("hands out and forgets in receive-and-delete", async (t) => {
  const { client, account } = await startBench(t, { entities });
  await client.createSender("orders").sendMessages([{ body: 1 }, { body: 2 }]);
  const receiver = client.createReceiver("orders", { receiveMode: "receiveAndDelete" });
  const messages = await receiver.receiveMessages(2);
  assert.deepEqual(
    messages.map(({ body, lockToken }) => [body as number, lockToken]),
    [
      [1, undefined],
      [2, undefined],
    ],
  );
  const { states, totals } = account("orders");
  assert.deepEqual([states.active, states.locked, totals.receivedAndDeleted, totals.completed], [0, 0, 2, 0]);
});

test("drains: a receive that found nothing leaves no credit behind", async (t) => {
  const { client, account } = await startBench(t, { entities });
  const receiver = client.createReceiver("orders");
  assert.deepEqual(await receiver.receiveMessages(10, { maxWaitTimeInMs: 50 }), []);
  await client.createSender("orders").sendMessages({ body: "late" });
  assert.deepEqual([account("orders").states.active, account("orders").totals.delivered], [1, 0]);
  const [message] = await receiver.receiveMessages(10, { maxWaitTimeInMs: 2000 });
  assert.equal(message?.body, "late");
  await receiver.completeMessage(message);
});

test("streams thousands of messages in order to a subscriber", async (t) => {
  const { client, account } = await startBench(t, { entities });
  const sender = client.createSender("orders");
  const count = 5000;
  for (let sent = 0; sent < count;) {
    const batch = await sender.createMessageBatch();
    while (sent < count && batch.count < 500 && batch.tryAddMessage({ body: sent, messageId: `m${sent}` })) sent++;
    await sender.sendMessages(batch);
  }
  const seen: number[] = [];
  const receiver = client.createReceiver("orders");
  receiver.subscribe(
    {
      processMessage: (message: ServiceBusReceivedMessage) => {
        seen.push(message.body as number);
        return Promise.resolve();
      },
      processError: ({ error }) => Promise.reject(error),
    },
    { maxConcurrentCalls: 100 },
  );
  await eventually("all to be completed", () => account("orders").totals.completed === count, 60_000);
  assert.deepEqual(
    seen,
    Array.from({ length: count }, (_, i) => i),
  );
  assert.deepEqual(account("orders").states, { active: 0, locked: 0, scheduled: 0, deferred: 0, deadLettered: 0 });
});

test("shares a queue between receivers, each message with one of them", async (t) => {
  const { client, newClient, account } = await startBench(t, { entities });
  await client.createSender("orders").sendMessages(Array.from({ length: 100 }, (_, i) => ({ body: i })));
  const batches = await Promise.all(
    [client, newClient(), newClient()].map((each) => each.createReceiver("orders").receiveMessages(100, { maxWaitTimeInMs: 300 })),
  );
  const bodies = batches.flat().map(({ body }) => body as number);
  assert.equal(bodies.length, 100);
  assert.equal(new Set(bodies).size, 100);
  assert.equal(account("orders").states.locked, 100);
});

test("carries a message larger than a frame there and back", async (t) => {
  const { client } = await startBench(t, { entities });
  const body = Buffer.alloc(700_000, "abcdefg");
  await client.createSender("orders").sendMessages({ body });
  const [message] = await client.createReceiver("orders").receiveMessages(1);
  assert.ok(body.equals(message?.body as Buffer));
});

test("refuses a message over the entity's size", async (t) => {
  const { client, account } = await startBench(t, { entities });
  const sender = client.createSender("small");
  const batch = await sender.createMessageBatch();
  assert.equal(batch.maxSizeInBytes, 4096);
  await assert.rejects(sender.sendMessages({ body: Buffer.alloc(5000) }), (error) => isServiceBusError(error) && error.code === "MessageSizeExceeded");
  await sender.sendMessages({ body: Buffer.alloc(3000) });
  assert.equal(account("small").totals.accepted, 1);
});

test("refuses links to what is not there, and the wrong way round", async (t) => {
  const { client } = await startBench(t, { entities });
  const notFound = (error: unknown): boolean => isServiceBusError(error) && error.code === "MessagingEntityNotFound";
  await assert.rejects(client.createSender("nothing").sendMessages({ body: 1 }), notFound);
  await assert.rejects(client.createReceiver("nothing").receiveMessages(1), notFound);
  await assert.rejects(client.createReceiver("news", "nobody").receiveMessages(1), notFound);
  await assert.rejects(client.createReceiver("news").receiveMessages(1), /cannot be received from the topic/);
});

test("lets nobody receive from what it forwards itself", async (t) => {
  const { client } = await startBench(t, {
    entities: { queues: ["sink", { name: "source", forwardTo: "sink" }, { name: "letters", forwardDeadLettersTo: "sink" }] },
  });
  await client.createSender("source").sendMessages({ body: 1 });
  await assert.rejects(
    client.createReceiver("source").receiveMessages(1),
    /Cannot create a message receiver on an entity with auto-forwarding enabled\. TrackingId/,
  );
  await assert.rejects(client.createReceiver("letters", { subQueueType: "deadLetter" }).receiveMessages(1), /auto-forwarding enabled/);
  assert.deepEqual(await client.createReceiver("letters").receiveMessages(1, { maxWaitTimeInMs: 50 }), []);
  const [message] = await client.createReceiver("sink").receiveMessages(1);
  assert.equal(message?.body, 1);
});

test("finds entities whatever the case of the address", async (t) => {
  const { client, account } = await startBench(t, { entities });
  await client.createSender("ORDERS").sendMessages({ body: 1 });
  assert.equal(account("orders").totals.accepted, 1);
  assert.equal((await client.createReceiver("Orders").receiveMessages(1)).length, 1);
});
