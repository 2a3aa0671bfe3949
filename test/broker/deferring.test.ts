import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isServiceBusError } from "@azure/service-bus";
import { startBench } from "../support/broker.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = { queues: [{ name: "orders", lockDurationMs: 5000 }] };

const notFound = (error: unknown): boolean => isServiceBusError(error) && error.code === "MessageNotFound";

test("gives a deferred message only to who asks for its number, and back to deferred when that ends without a result", async (t) => {
  const clock = new ManualClock();
  const { client, account } = await startBench(t, { entities, clock });
  await client.createSender("orders").sendMessages([{ body: "a" }, { body: "b" }]);
  const receiver = client.createReceiver("orders");
  const [a, b] = await receiver.receiveMessages(2);
  assert.ok(a?.sequenceNumber && b?.sequenceNumber);
  await receiver.deferMessage(a);
  await assert.rejects(receiver.receiveDeferredMessages([a.sequenceNumber, b.sequenceNumber]), notFound);
  assert.equal(account("orders").states.deferred, 1);

  const [again] = await receiver.receiveDeferredMessages(a.sequenceNumber);
  assert.ok(again);
  assert.deepEqual([again.body, again.state, again.deliveryCount], ["a", "deferred", 1]);
  await assert.rejects(receiver.receiveDeferredMessages(a.sequenceNumber), notFound, "expected a locked message to be out of reach");
  await receiver.abandonMessage(again);
  assert.equal(account("orders").states.deferred, 1);

  const [third] = await receiver.receiveDeferredMessages(a.sequenceNumber);
  assert.ok(third);
  const until = await receiver.renewMessageLock(third);
  assert.equal(until.getTime(), clock.now() + 5000);
  clock.advance(5000);
  // Both locks are over: the deferred one is deferred again, the other one active.
  assert.deepEqual([account("orders").states.deferred, account("orders").states.active], [1, 1]);

  const [fourth] = await receiver.receiveDeferredMessages(a.sequenceNumber);
  assert.ok(fourth);
  assert.equal(fourth.deliveryCount, 3);
  await receiver.deadLetterMessage(fourth, { deadLetterReason: "Late", deadLetterErrorDescription: "too late" });
  assert.deepEqual(account("orders").states, { active: 1, locked: 0, scheduled: 0, deferred: 0, deadLettered: 1 });
});

test("takes deferred messages away in receive-and-delete", async (t) => {
  const { client, account } = await startBench(t, { entities });
  await client.createSender("orders").sendMessages({ body: "a" });
  const receiver = client.createReceiver("orders");
  const [a] = await receiver.receiveMessages(1);
  assert.ok(a?.sequenceNumber);
  await receiver.deferMessage(a);
  const deleter = client.createReceiver("orders", { receiveMode: "receiveAndDelete" });
  const [gone] = await deleter.receiveDeferredMessages(a.sequenceNumber);
  assert.equal(gone?.body, "a");
  assert.deepEqual(account("orders").states, { active: 0, locked: 0, scheduled: 0, deferred: 0, deadLettered: 0 });
});
