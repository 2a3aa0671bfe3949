import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isServiceBusError, type ServiceBusReceiver } from "@azure/service-bus";
import { startBench } from "../support/broker.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = { queues: [{ name: "orders", lockDurationMs: 5000, deliveryCountMax: 3 }] };

const lockLost = (error: unknown): boolean => isServiceBusError(error) && error.code === "MessageLockLost";

async function receiveOne(receiver: ServiceBusReceiver): ReturnType<typeof receiver.receiveMessages> {
  const messages = await receiver.receiveMessages(1, { maxWaitTimeInMs: 5000 });
  assert.equal(messages.length, 1);
  return messages;
}

test("delivers a message again when its lock has expired, and refuses the old lock", async (t) => {
  const clock = new ManualClock();
  const { client, account } = await startBench(t, { entities, clock });
  await client.createSender("orders").sendMessages({ body: "a" });
  const receiver = client.createReceiver("orders");
  const [message] = await receiveOne(receiver);
  assert.ok(message);
  clock.advance(4999);
  assert.equal(account("orders").states.locked, 1);
  clock.advance(1);
  assert.deepEqual([account("orders").states.active, account("orders").totals.expiredLocks], [1, 1]);
  await assert.rejects(receiver.completeMessage(message), lockLost);
  assert.equal(account("orders").totals.lockLost, 1);
  const [again] = await receiveOne(receiver);
  assert.ok(again);
  assert.equal(again.deliveryCount, 1);
  await receiver.completeMessage(again);
  assert.equal(account("orders").totals.completed, 1);
});

test("keeps a renewed lock for another lock duration from the renewal on", async (t) => {
  const clock = new ManualClock();
  const { client, account } = await startBench(t, { entities, clock });
  await client.createSender("orders").sendMessages({ body: "a" });
  const receiver = client.createReceiver("orders");
  const [message] = await receiveOne(receiver);
  assert.ok(message);
  clock.advance(4000);
  const until = await receiver.renewMessageLock(message);
  assert.equal(until.getTime(), clock.now() + 5000);
  assert.equal(message.lockedUntilUtc?.getTime(), clock.now() + 5000);
  clock.advance(4000);
  assert.equal(account("orders").states.locked, 1);
  await receiver.completeMessage(message);
  assert.deepEqual([account("orders").totals.completed, account("orders").totals.renewedLocks, account("orders").totals.expiredLocks], [1, 1, 0]);
});

test("refuses to renew a lock that has expired", async (t) => {
  const clock = new ManualClock();
  const { client } = await startBench(t, { entities, clock });
  await client.createSender("orders").sendMessages({ body: "a" });
  const receiver = client.createReceiver("orders");
  const [message] = await receiveOne(receiver);
  assert.ok(message);
  clock.advance(5000);
  await assert.rejects(receiver.renewMessageLock(message), lockLost);
});

test("dead-letters a message whose deliveries are used up, whether abandoned or expired", async (t) => {
  const clock = new ManualClock();
  const { client, account } = await startBench(t, { entities, clock });
  await client.createSender("orders").sendMessages({ body: "a", messageId: "m" });
  const receiver = client.createReceiver("orders");
  for (const [round, end] of ["abandon", "expire", "abandon"].entries()) {
    const [message] = await receiveOne(receiver);
    assert.ok(message);
    assert.equal(message.deliveryCount, round);
    if (end === "abandon") await receiver.abandonMessage(message);
    else clock.advance(5000);
  }
  assert.deepEqual(account("orders").states, { active: 0, locked: 0, scheduled: 0, deferred: 0, deadLettered: 1 });
  assert.equal(account("orders").totals.deadLetteredByDeliveryCount, 1);
  const letters = client.createReceiver("orders", { subQueueType: "deadLetter" });
  const [letter] = await receiveOne(letters);
  assert.ok(letter);
  assert.equal(letter.deadLetterReason, "MaxDeliveryCountExceeded");
  assert.equal(letter.messageId, "m");
});

test("never dead-letters a dead letter, and leaves its delivery count as it is, however often it is tried", async (t) => {
  const clock = new ManualClock();
  const { client, account } = await startBench(t, { entities, clock });
  await client.createSender("orders").sendMessages({ body: "a" });
  const receiver = client.createReceiver("orders");
  const [message] = await receiveOne(receiver);
  assert.ok(message);
  await receiver.abandonMessage(message);
  const [again] = await receiveOne(receiver);
  assert.ok(again);
  await receiver.deadLetterMessage(again);
  const letters = client.createReceiver("orders", { subQueueType: "deadLetter", maxAutoLockRenewalDurationInMs: 0 });
  for (const end of ["abandon", "expire", "abandon", "defer"]) {
    const [letter] = await receiveOne(letters);
    assert.equal(letter?.deliveryCount, 1, end);
    if (end === "abandon") await letters.abandonMessage(letter);
    else if (end === "defer") await letters.deferMessage(letter);
    else clock.advance(5000);
  }
  const [letter] = await letters.receiveDeferredMessages(again.sequenceNumber!);
  assert.equal(letter?.deliveryCount, 1);
  await assert.rejects(letters.deadLetterMessage(letter), /cannot be dead-lettered again/);
  // The refusal ended the delivery, not the lock.
  assert.deepEqual([account("orders/$DeadLetterQueue").states.locked, account("orders").states.deadLettered], [1, 1]);
});

test("keeps locks when the receiver or its connection is gone, until they expire", async (t) => {
  const clock = new ManualClock();
  const { client, newClient, account } = await startBench(t, { entities, clock });
  await client.createSender("orders").sendMessages([{ body: "a" }, { body: "b" }]);
  const other = newClient();
  const receiver = other.createReceiver("orders");
  assert.equal((await receiver.receiveMessages(2)).length, 2);
  await receiver.close();
  assert.equal(account("orders").states.locked, 2);
  await other.close();
  await eventually("the receiver to be gone", () => account("orders").receivers === 0);
  assert.equal(account("orders").states.locked, 2);
  clock.advance(5000);
  assert.deepEqual([account("orders").states.locked, account("orders").states.active], [0, 2]);
  const [first, second] = await client.createReceiver("orders").receiveMessages(2);
  assert.deepEqual([first?.body, first?.deliveryCount, second?.body, second?.deliveryCount], ["a", 1, "b", 1]);
});

test("settles over management when the receiving link is gone", async (t) => {
  const { client, account } = await startBench(t, { entities });
  await client.createSender("orders").sendMessages([{ body: 1 }, { body: 2 }, { body: 3 }, { body: 4 }]);
  const receiver = client.createReceiver("orders");
  const [first, second, third, fourth] = await receiver.receiveMessages(4);
  assert.ok(first && second && third && fourth);
  await receiver.close();
  const settler = client.createReceiver("orders");
  await settler.completeMessage(first);
  await settler.abandonMessage(second, { note: "again", share: 0.5 });
  await settler.deferMessage(third);
  await settler.deadLetterMessage(fourth, { deadLetterReason: "Broken", deadLetterErrorDescription: "d" });
  assert.deepEqual(account("orders").states, { active: 1, locked: 0, scheduled: 0, deferred: 1, deadLettered: 1 });
  const [again] = await receiveOne(settler);
  assert.deepEqual(again?.applicationProperties, { note: "again", share: 0.5 });
  await assert.rejects(settler.completeMessage(first), lockLost);
});
