import { strict as assert } from "node:assert";
import { test } from "node:test";
import { startBench } from "../support/broker.ts";

const entities = { queues: ["orders"] };

test("keeps body, properties and annotations of a message from sender to receiver", async (t) => {
  const { client } = await startBench(t, { entities });
  const before = Date.now();
  await client.createSender("orders").sendMessages({
    messageId: "m-1",
    body: { total: 12, items: ["a", "b"] },
    subject: "order",
    correlationId: "c-1",
    contentType: "application/json",
    to: "somewhere",
    replyTo: "back",
    partitionKey: "p-1",
    timeToLive: 60_000,
    applicationProperties: { eventId: "e-1", tries: 3, big: 2 ** 40, ok: true, share: 0.5 },
  });
  const [message] = await client.createReceiver("orders").receiveMessages(1);
  assert.ok(message);
  assert.deepEqual(message.body, { total: 12, items: ["a", "b"] });
  assert.deepEqual(
    [message.messageId, message.subject, message.correlationId, message.contentType, message.to, message.replyTo, message.partitionKey, message.timeToLive],
    ["m-1", "order", "c-1", "application/json", "somewhere", "back", "p-1", 60_000],
  );
  assert.deepEqual(message.applicationProperties, { eventId: "e-1", tries: 3, big: 2 ** 40, ok: true, share: 0.5 });
  assert.equal(message.sequenceNumber?.toString(), "1");
  assert.equal(message.enqueuedSequenceNumber, 1);
  assert.equal(message.deliveryCount, 0);
  assert.equal(message.state, "active");
  assert.ok(message.enqueuedTimeUtc !== undefined && message.enqueuedTimeUtc.getTime() >= before);
  assert.ok(message.lockedUntilUtc !== undefined && message.lockedUntilUtc.getTime() >= before + 60_000);
  assert.match(message.lockToken ?? "", /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
});

test("completes, abandons, defers and dead-letters", async (t) => {
  const { client, account } = await startBench(t, { entities });
  await client.createSender("orders").sendMessages([{ body: 1 }, { body: 2 }, { body: 3 }, { body: 4 }]);
  const receiver = client.createReceiver("orders");
  const [first, second, third, fourth] = await receiver.receiveMessages(4);
  assert.ok(first && second && third && fourth);
  await receiver.completeMessage(first);
  await receiver.abandonMessage(second, { note: "again" });
  await receiver.deferMessage(third, { note: "later" });
  await receiver.deadLetterMessage(fourth, { deadLetterReason: "Broken", deadLetterErrorDescription: "it is broken", more: 7 });
  const { states, totals } = account("orders");
  assert.deepEqual(states, { active: 1, locked: 0, scheduled: 0, deferred: 1, deadLettered: 1 });
  assert.deepEqual([totals.accepted, totals.delivered, totals.completed, totals.abandoned, totals.deferred, totals.deadLettered], [4, 4, 1, 1, 1, 1]);

  const [again] = await receiver.receiveMessages(1);
  assert.deepEqual([again?.body, again?.deliveryCount, again?.applicationProperties], [2, 1, { note: "again" }]);
  assert.ok(third.sequenceNumber);
  const [deferred] = await receiver.receiveDeferredMessages(third.sequenceNumber);
  assert.ok(deferred);
  assert.deepEqual([deferred.body, deferred.state, deferred.applicationProperties], [3, "deferred", { note: "later" }]);
  await receiver.completeMessage(deferred);
  const [dead] = await client.createReceiver("orders", { subQueueType: "deadLetter" }).receiveMessages(1);
  assert.deepEqual(
    [dead?.body, dead?.deadLetterReason, dead?.deadLetterErrorDescription, dead?.deadLetterSource, dead?.applicationProperties?.["more"]],
    [4, "Broken", "it is broken", undefined, 7],
  );
});

const reasons: readonly (readonly [kind: string, reason: unknown, shown: string | null])[] = [
  ["a number", 7, "7"],
  ["a flag", false, "false"],
  ["text", "Broken", "Broken"],
  ["nothing", null, null],
];
for (const [kind, reason, shown] of reasons) {
  for (const way of ["over its link", "over management"] as const) {
    test(`keeps a dead-letter reason that is ${kind} as it is, ${way}`, async (t) => {
      const { client, broker } = await startBench(t, { entities });
      await client.createSender("orders").sendMessages({ body: 1 });
      const receiver = client.createReceiver("orders");
      const [message] = await receiver.receiveMessages(1);
      assert.ok(message);
      // Without its link, the SDK settles over management.
      if (way === "over management") await receiver.close();
      const settling = way === "over management" ? client.createReceiver("orders") : receiver;
      await settling.deadLetterMessage(message, { deadLetterReason: reason as string, deadLetterErrorDescription: reason as string });
      const [letter] = await client.createReceiver("orders", { subQueueType: "deadLetter" }).peekMessages(1);
      assert.deepEqual(
        [letter?.applicationProperties?.["DeadLetterReason"], letter?.applicationProperties?.["DeadLetterErrorDescription"]],
        reason === null ? [undefined, undefined] : [reason, reason],
      );
      const [inspected] = broker.inspectMessages("orders/$DeadLetterQueue")?.messages ?? [];
      assert.deepEqual([inspected?.deadLetterReason, inspected?.deadLetterDescription], [shown, shown]);
    });
  }
}
