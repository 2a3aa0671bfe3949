import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isServiceBusError } from "@azure/service-bus";
import { Faults } from "#load/broker/protocol/faults.ts";
import { startBench } from "../support/broker.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = { queues: ["orders", "others", { name: "steps", requiresSession: true }] };
const failsWith =
  (code: string) =>
  (error: unknown): boolean =>
    isServiceBusError(error) && error.code === code;

test("strikes at the same occasions for the same seed, with the rate asked for, and ends by count and by time", () => {
  const strikes = (seed: number): boolean[] => {
    const faults = new Faults(new ManualClock());
    faults.add({ kind: "throttle", rate: 0.3, seed });
    return Array.from({ length: 1000 }, () => faults.strike("throttle", "orders") !== undefined);
  };
  assert.deepEqual(strikes(7), strikes(7));
  assert.notDeepEqual(strikes(7), strikes(8));
  const hits = strikes(7).filter(Boolean).length;
  assert.ok(hits > 250 && hits < 350, `expected about 300 hits, found ${hits}`);

  const clock = new ManualClock();
  const faults = new Faults(clock);
  faults.add({ kind: "throttle", target: "orders*", count: 2 });
  assert.deepEqual(
    ["orders", "Orders/x", "others", "orders"].map((path) => faults.strike("throttle", path) !== undefined),
    [true, true, false, false],
  );
  assert.equal(faults.any, false);
  faults.add({ kind: "throttle", durationMs: 100 });
  clock.advance(99);
  assert.equal(faults.list()[0]?.leftMs, 1);
  clock.advance(1);
  assert.deepEqual([faults.list(), faults.strike("throttle", "orders")], [[], undefined]);
  assert.equal(clock.pending, 0);
});

test("throttles sends, management and new links of its target", async (t) => {
  const { client, broker, account } = await startBench(t, { entities });
  const sender = client.createSender("orders");
  await sender.sendMessages({ body: 1 });
  broker.faults.add({ kind: "throttle", target: "orders" });
  await assert.rejects(sender.sendMessages({ body: 2 }), failsWith("ServiceBusy"));
  await assert.rejects(client.createReceiver("orders").peekMessages(1), failsWith("ServiceBusy"));
  await assert.rejects(client.createReceiver("orders").receiveMessages(1), failsWith("ServiceBusy"));
  await client.createSender("others").sendMessages({ body: 3 });
  assert.equal(broker.faults.clear(), 1);
  await sender.sendMessages({ body: 4 });
  assert.deepEqual([account("orders").totals.accepted, account("others").totals.accepted], [2, 1]);
});

test("delivers a completed message once more", async (t) => {
  const { client, broker, account } = await startBench(t, { entities });
  await client.createSender("orders").sendMessages({ body: 1, messageId: "m" });
  broker.faults.add({ kind: "deliverTwice", target: "orders", count: 1 });
  const receiver = client.createReceiver("orders");
  const [first] = await receiver.receiveMessages(1);
  assert.ok(first);
  await receiver.completeMessage(first);
  const [second] = await receiver.receiveMessages(1);
  assert.ok(second);
  assert.deepEqual([second.messageId, second.sequenceNumber?.toNumber(), second.deliveryCount], ["m", first.sequenceNumber?.toNumber(), 1]);
  await receiver.completeMessage(second);
  assert.equal(account("orders").totals.completed, 1);
});

test("delays and loses the answers to settlements, which hold all the same", async (t) => {
  const clock = new ManualClock();
  const { client, broker, account } = await startBench(t, { entities, clock });
  await client.createSender("orders").sendMessages([{ body: 1 }, { body: 2 }]);
  const receiver = client.createReceiver("orders");
  const [one, two] = await receiver.receiveMessages(2);
  assert.ok(one && two);
  broker.faults.add({ kind: "delaySettlements", delayMs: 5000, count: 1 });
  let answered = false;
  const completing = receiver.completeMessage(one).then(() => (answered = true));
  await eventually("the completion to hold", () => account("orders").totals.completed === 1);
  assert.equal(answered, false);
  clock.advance(5000);
  await completing;
  broker.faults.add({ kind: "loseSettlements" });
  const lost = receiver.completeMessage(two);
  lost.catch(() => undefined);
  await eventually("the completion to hold", () => account("orders").totals.completed === 2);
  assert.equal(broker.faults.list()[0]?.hits, 1);
});

test("holds deliveries back until it is over", async (t) => {
  const clock = new ManualClock();
  const { client, broker, account } = await startBench(t, { entities, clock });
  broker.faults.add({ kind: "holdDeliveries", target: "orders", durationMs: 60_000 });
  await client.createSender("orders").sendMessages({ body: 1 });
  const receiving = client.createReceiver("orders").receiveMessages(1, { maxWaitTimeInMs: 9000 });
  await eventually("the receiver to be there", () => account("orders").receivers === 1);
  assert.equal(account("orders").states.active, 1);
  clock.advance(60_000);
  assert.equal((await receiving)[0]?.body, 1);
});

test("ends locks early: at once, after deliveries, and of sessions", async (t) => {
  const { client, broker, account } = await startBench(t, { entities, record: true });
  await client.createSender("orders").sendMessages([
    { body: 1, messageId: "a" },
    { body: 2, messageId: "b" },
  ]);
  const receiver = client.createReceiver("orders");
  const [one] = await receiver.receiveMessages(1);
  assert.ok(one);
  assert.equal(broker.faults.add({ kind: "expireLocks", target: "orders" }).hits, 1);
  await assert.rejects(receiver.completeMessage(one), failsWith("MessageLockLost"));
  assert.deepEqual(
    broker.inspectMessages("orders", { inDoubt: true })?.messages.map(({ messageId }) => messageId),
    ["a"],
  );
  broker.faults.add({ kind: "expireLocks", rate: 1, count: 1 });
  const [again] = await receiver.receiveMessages(1);
  assert.ok(again);
  await eventually("the lock to end", () => account("orders").totals.expiredLocks === 2);
  await client.createSender("steps").sendMessages({ body: 1, sessionId: "s" });
  const session = await client.acceptSession("steps", "s");
  assert.equal((await session.receiveMessages(1)).length, 1);
  assert.equal(broker.faults.add({ kind: "expireLocks", target: "steps" }).hits, 1);
  await eventually("the session to be lost", () => session.isClosed);
});

test("detaches links and drops connections, and clients come back", async (t) => {
  const { newClient, broker, account } = await startBench(t, { entities });
  const client = newClient({ maxRetries: 3, retryDelayInMs: 10 });
  const seen = new Set<unknown>();
  client.createReceiver("orders").subscribe({
    processMessage: ({ body }) => Promise.resolve(void seen.add(body)),
    processError: () => Promise.resolve(),
  });
  await eventually("the receiver to be there", () => account("orders").receivers === 1);
  assert.equal(broker.faults.add({ kind: "detach", target: "orders" }).hits, 1);
  await client.createSender("orders").sendMessages({ body: "after detaching" });
  await eventually("the message to be received", () => seen.has("after detaching"));
  assert.ok(broker.faults.add({ kind: "drop", target: "orders" }).hits >= 1);
  await newClient({ maxRetries: 3, retryDelayInMs: 10 }).createSender("orders").sendMessages({ body: "after dropping" });
  await eventually("the message to be received", () => seen.has("after dropping"), 30_000);
});

test("refuses tokens", async (t) => {
  const { client, broker } = await startBench(t, { entities });
  broker.faults.add({ kind: "failTokens", target: "orders", count: 1 });
  await assert.rejects(client.createSender("orders").sendMessages({ body: 1 }), failsWith("UnauthorizedAccess"));
  await client.createSender("orders").sendMessages({ body: 2 });
});
