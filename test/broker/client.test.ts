// What else the JavaScript client offers: bodies of every kind, batches that are full, iterators, automatic renewal, giving up.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isServiceBusError } from "@azure/service-bus";
import { startBench } from "../support/broker.ts";
import { eventually } from "../support/eventually.ts";

const entities = {
  queues: [
    { name: "orders", lockDurationMs: 5000 },
    { name: "brief", lockDurationMs: 4000 },
    { name: "small", messageBytesMax: 5000 },
    { name: "steps", requiresSession: true, lockDurationMs: 4000 },
  ],
  topics: [{ name: "news", subscriptions: ["a"] }],
};

const bodies: readonly (readonly [what: string, message: { readonly body: unknown; readonly bodyType: "data" | "value" | "sequence" }])[] = [
  ["data", { body: Buffer.from([0, 1, 255]), bodyType: "data" }],
  ["a value of text", { body: "text", bodyType: "value" }],
  ["a value of a map", { body: { deep: { list: [1, "two", true, null] } }, bodyType: "value" }],
  ["no value", { body: null, bodyType: "value" }],
  ["sequences", { body: [[1, 2], ["three"]], bodyType: "sequence" }],
];
for (const [what, message] of bodies) {
  test(`carries a body of ${what}, with header, properties, annotations and footer`, async (t) => {
    const { client } = await startBench(t, { entities });
    await client.createSender("orders").sendMessages({
      ...message,
      header: { durable: true, priority: 6 },
      properties: { messageId: "m", groupSequence: 3, contentEncoding: "utf-8" },
      applicationProperties: { n: 1 },
      messageAnnotations: { mine: "kept" },
      footer: { end: 1 },
    });
    const receiver = client.createReceiver("orders");
    const [received] = await receiver.receiveMessages(1);
    assert.ok(received);
    const raw = received._rawAmqpMessage;
    assert.deepEqual(received.body, message.body);
    assert.equal(raw.bodyType, message.bodyType);
    assert.deepEqual(
      [raw.header?.durable, raw.header?.priority, raw.properties?.messageId, raw.properties?.groupSequence, raw.properties?.contentEncoding],
      [true, 6, "m", 3, "utf-8"],
    );
    assert.deepEqual([raw.applicationProperties?.["n"], raw.messageAnnotations?.["mine"], raw.footer?.["end"]], [1, "kept", 1]);
    await receiver.completeMessage(received);
  });
}

test("fills a batch up to the entity's size and takes it", async (t) => {
  const { client, account } = await startBench(t, { entities });
  const sender = client.createSender("small");
  const batch = await sender.createMessageBatch();
  while (batch.tryAddMessage({ body: Buffer.alloc(300) }));
  assert.ok(batch.count > 10 && batch.sizeInBytes <= 5000, `expected a full batch, found ${batch.count} messages in ${batch.sizeInBytes} bytes`);
  await sender.sendMessages(batch);
  assert.equal(account("small").totals.accepted, batch.count);
  await assert.rejects(sender.createMessageBatch({ maxSizeInBytes: 5001 }), /is greater than maximum message size \(5000 bytes\)/);
  await sender.sendMessages(Array.from({ length: 100 }, () => ({ body: Buffer.alloc(30) }))).then(
    () => assert.fail("expected an array that is too large for one batch to be refused"),
    (error: unknown) => assert.ok(isServiceBusError(error) && error.code === "MessageSizeExceeded", String(error)),
  );
});

test("iterates over messages, and over those of a topic's subscription", async (t) => {
  const { client } = await startBench(t, { entities });
  await client.createSender("news").sendMessages([{ body: 1 }, { body: 2 }, { body: 3 }]);
  const receiver = client.createReceiver("news", "a");
  const got: unknown[] = [];
  for await (const message of receiver.getMessageIterator()) {
    got.push(message.body);
    await receiver.completeMessage(message);
    if (got.length === 3) break;
  }
  assert.deepEqual(got, [1, 2, 3]);
});

test("renews locks by itself for as long as a handler works", async (t) => {
  const { client, account } = await startBench(t, { entities });
  await client.createSender("brief").sendMessages({ body: 1 });
  const receiver = client.createReceiver("brief", { maxAutoLockRenewalDurationInMs: 60_000 });
  const held = Promise.withResolvers<void>();
  receiver.subscribe({ processMessage: () => held.promise, processError: ({ error }) => Promise.reject(error) });
  await eventually("the second renewal", () => account("brief").totals.renewedLocks >= 2);
  assert.deepEqual([account("brief").states.locked, account("brief").totals.expiredLocks], [1, 0]);
  held.resolve();
  await eventually("the message to be completed", () => account("brief").totals.completed === 1);
});

test("renews a session's lock by itself", async (t) => {
  const { client, newClient } = await startBench(t, { entities });
  await client.createSender("steps").sendMessages({ body: 1, sessionId: "a" });
  const session = await client.acceptSession("steps", "a", { maxAutoLockRenewalDurationInMs: 60_000 });
  const grantedUntil = session.sessionLockedUntilUtc.getTime();
  await eventually("a renewal", () => session.sessionLockedUntilUtc.getTime() > grantedUntil + 1000);
  await assert.rejects(newClient().acceptSession("steps", "a"), (error) => isServiceBusError(error) && error.code === "SessionCannotBeLocked");
});

test("gives up waiting when it is told to, and leaves nothing locked", async (t) => {
  const { client, account } = await startBench(t, { entities });
  const receiver = client.createReceiver("orders");
  const stop = new AbortController();
  const waiting = receiver.receiveMessages(1, { maxWaitTimeInMs: 60_000, abortSignal: stop.signal });
  await eventually("the receiver to wait", () => account("orders").receivers === 1);
  stop.abort();
  await assert.rejects(waiting, { name: "AbortError" });
  await receiver.close();
  await eventually("the receiver to be gone", () => account("orders").receivers === 0);
  await client.createSender("orders").sendMessages({ body: 1 });
  assert.deepEqual([account("orders").states.active, account("orders").states.locked], [1, 0]);
});

test("completes by itself what a handler returns from, and abandons what it throws on", async (t) => {
  const { client, account } = await startBench(t, { entities });
  await client.createSender("orders").sendMessages([{ body: "good" }, { body: "bad" }]);
  const tries: number[] = [];
  const receiver = client.createReceiver("orders");
  receiver.subscribe({
    processMessage: ({ body, deliveryCount }) => {
      if (body === "good") return Promise.resolve();
      tries.push(deliveryCount ?? -1);
      return tries.length < 3 ? Promise.reject(new Error("not yet")) : Promise.resolve();
    },
    processError: () => Promise.resolve(),
  });
  await eventually("both to be completed", () => account("orders").totals.completed === 2);
  assert.deepEqual([tries, account("orders").totals.abandoned], [[0, 1, 2], 2]);
});
