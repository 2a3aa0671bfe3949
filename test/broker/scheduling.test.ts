import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isServiceBusError } from "@azure/service-bus";
import { startBench } from "../support/broker.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = { queues: ["orders"], topics: [{ name: "news", subscriptions: ["a", "b"] }] };

test("holds scheduled messages until they are due, and cancels them", async (t) => {
  const clock = new ManualClock();
  const { client, account } = await startBench(t, { entities, clock });
  const sender = client.createSender("orders");
  const due = new Date(clock.now() + 60_000);
  const [kept, dropped] = await sender.scheduleMessages([{ body: "kept" }, { body: "dropped" }], due);
  assert.ok(kept && dropped);
  assert.deepEqual([account("orders").states.scheduled, account("orders").totals.scheduledAccepted], [2, 2]);
  await sender.cancelScheduledMessages(dropped);
  await assert.rejects(sender.cancelScheduledMessages(dropped), (error) => isServiceBusError(error) && error.code === "MessageNotFound");
  clock.advance(59_999);
  assert.equal(account("orders").states.active, 0);
  clock.advance(1);
  assert.deepEqual([account("orders").states.active, account("orders").states.scheduled, account("orders").totals.cancelled], [1, 0, 1]);
  const [message] = await client.createReceiver("orders").receiveMessages(1);
  assert.ok(message);
  assert.equal(message.body, "kept");
  assert.equal(message.scheduledEnqueueTimeUtc?.getTime(), due.getTime());
  assert.equal(message.enqueuedTimeUtc?.getTime(), due.getTime());
  assert.ok(message.sequenceNumber && message.sequenceNumber.greaterThan(kept), "expected a new number on becoming active");
});

test("schedules by annotation on ordinary sends, alone and inside a batch", async (t) => {
  const clock = new ManualClock();
  const { client, account } = await startBench(t, { entities, clock });
  const sender = client.createSender("orders");
  const later = new Date(clock.now() + 1000);
  await sender.sendMessages({ body: "alone", scheduledEnqueueTimeUtc: later });
  await sender.sendMessages([
    { body: "now" },
    { body: "batched", scheduledEnqueueTimeUtc: later },
    { body: "past", scheduledEnqueueTimeUtc: new Date(clock.now() - 1) },
  ]);
  assert.deepEqual(
    [account("orders").states.active, account("orders").states.scheduled, account("orders").totals.accepted, account("orders").totals.scheduledAccepted],
    [2, 2, 2, 2],
  );
  const receiver = client.createReceiver("orders", { receiveMode: "receiveAndDelete" });
  assert.deepEqual(
    (await receiver.receiveMessages(2)).map(({ body }) => body as string),
    ["now", "past"],
  );
  clock.advance(1000);
  assert.deepEqual(
    (await receiver.receiveMessages(2)).map(({ body }) => body as string),
    ["alone", "batched"],
  );
});

test("a topic holds scheduled messages and copies them when they are due", async (t) => {
  const clock = new ManualClock();
  const { client, broker, account } = await startBench(t, { entities, clock });
  const sender = client.createSender("news");
  const [first] = await sender.scheduleMessages({ body: 1 }, new Date(clock.now() + 1000));
  await sender.scheduleMessages({ body: 2, messageId: "kept", subject: "s" }, new Date(clock.now() + 1000));
  assert.ok(first);
  assert.equal(broker.inspect().topics["news"]?.scheduled, 2);
  await sender.cancelScheduledMessages(first);
  await assert.rejects(sender.cancelScheduledMessages(first.add(99)), (error) => isServiceBusError(error) && error.code === "MessageNotFound");
  clock.advance(1000);
  assert.deepEqual([account("news/Subscriptions/a").states.active, account("news/Subscriptions/b").states.active], [1, 1]);
  const receiver = client.createReceiver("news", "a");
  const [message] = await receiver.receiveMessages(1);
  assert.deepEqual([message?.body, message?.messageId, message?.subject], [2, "kept", "s"]);
  await sender.sendMessages({ body: 3, scheduledEnqueueTimeUtc: new Date(clock.now() - 1) });
  const { totals, scheduled } = broker.inspect().topics["news"] ?? {};
  assert.deepEqual([totals?.accepted, totals?.scheduledAccepted, scheduled], [1, 2, 0], "expected a time in the past to mean now");
  assert.equal((await receiver.receiveMessages(1))[0]?.body, 3);
});

test("delivers a message that falls due to a receiver that is waiting", async (t) => {
  const { client } = await startBench(t, { entities });
  const receiver = client.createReceiver("orders");
  const waiting = receiver.receiveMessages(1, { maxWaitTimeInMs: 10_000 });
  const due = new Date(Date.now() + 200);
  await client.createSender("orders").scheduleMessages({ body: "soon" }, due);
  const [message] = await waiting;
  assert.equal(message?.body, "soon");
  assert.ok(Date.now() >= due.getTime());
});
