import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isServiceBusError, type ServiceBusReceivedMessage } from "@azure/service-bus";
import { startBench } from "../support/broker.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { eventually, within } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = {
  queues: [{ name: "steps", requiresSession: true, deliveryCountMax: 3 }, "plain"],
  topics: [{ name: "news", subscriptions: [{ name: "s", requiresSession: true }] }],
};

const bodies = (messages: readonly ServiceBusReceivedMessage[]): unknown[] => messages.map(({ body }) => body as unknown);
const failsWith =
  (code: string) =>
  (error: unknown): boolean =>
    isServiceBusError(error) && error.code === code;

const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

test("gives a session's messages to whoever accepts it, in order, and to nobody else", async (t) => {
  const { client, newClient, account } = await startBench(t, { entities });
  const sender = client.createSender("steps");
  await sender.sendMessages(["a", "b", "a", "b", "a"].map((sessionId, i) => ({ body: i, sessionId })));
  const a = await client.acceptSession("steps", "a");
  assert.equal(a.sessionId, "a");
  assert.ok(Math.abs(a.sessionLockedUntilUtc.getTime() - Date.now() - 60_000) < 20_000);
  await assert.rejects(newClient().acceptSession("steps", "a"), failsWith("SessionCannotBeLocked"));
  const messages = await a.receiveMessages(10, { maxWaitTimeInMs: 300 });
  assert.deepEqual(bodies(messages), [0, 2, 4]);
  assert.deepEqual(
    messages.map(({ sessionId }) => sessionId),
    ["a", "a", "a"],
  );
  for (const message of messages) await a.completeMessage(message);
  const b = await newClient().acceptNextSession("steps");
  assert.equal(b.sessionId, "b");
  assert.deepEqual(bodies(await b.receiveMessages(10, { maxWaitTimeInMs: 300 })), [1, 3]);
  assert.deepEqual([account("steps").states.locked, account("steps").totals.completed], [2, 3]);
});

test("says of an entity that is deleted or disabled that it is to whoever waits for a session of it", async (t) => {
  const { broker, newClient, account } = await startBench(t, { entities });
  const admin = administrationOf(broker);
  const refusals: Promise<unknown>[] = [];
  for (const path of [["steps"], ["news", "s"]]) {
    const [entity = "", subscription] = path;
    const client = newClient({ maxRetries: 0 });
    refusals.push(errorOf(subscription === undefined ? client.acceptNextSession(entity) : client.acceptNextSession(entity, subscription)));
    await eventually("the client to wait", () => account(path.join("/Subscriptions/")).receivers === 1, 5_000);
  }
  await admin.updateQueue({ ...(await admin.getQueue("steps")), status: "ReceiveDisabled" });
  await admin.deleteTopic("news");
  const codes = (await within("both to be refused", Promise.all(refusals), 5_000)).map((error) => isServiceBusError(error) && error.code);
  assert.deepEqual(codes, ["MessagingEntityDisabled", "MessagingEntityNotFound"]);
});

test("waits for the next session, and tells when none came in time", async (t) => {
  const { client, newClient } = await startBench(t, { entities });
  const accepting = client.acceptNextSession("steps");
  await newClient().createSender("steps").sendMessages({ body: 1, sessionId: "late" });
  const session = await accepting;
  assert.equal(session.sessionId, "late");
  assert.deepEqual(bodies(await session.receiveMessages(1)), [1]);
  const impatient = newClient({ timeoutInMs: 1500 });
  await assert.rejects(impatient.acceptNextSession("steps"), failsWith("ServiceTimeout"));
});

test("gives up a session that is closed, without counting a try", async (t) => {
  const { client, newClient, account } = await startBench(t, { entities });
  await client.createSender("steps").sendMessages([1, 2].map((body) => ({ body, sessionId: "a" })));
  const first = await client.acceptSession("steps", "a");
  assert.equal((await first.receiveMessages(2)).length, 2);
  await first.close();
  await eventually("the messages to be back", () => account("steps").states.active === 2);
  const again = await newClient().acceptNextSession("steps");
  const messages = await again.receiveMessages(2);
  assert.deepEqual([bodies(messages), messages[0]?.deliveryCount], [[1, 2], 0]);
});

test("takes an expired session away, and counts a try for what was handed out", async (t) => {
  const clock = new ManualClock();
  const { client, newClient, account } = await startBench(t, { entities, clock });
  await client.createSender("steps").sendMessages([1, 2].map((body) => ({ body, sessionId: "a" })));
  const lost = await client.acceptSession("steps", "a", { maxAutoLockRenewalDurationInMs: 0 });
  const [held] = await lost.receiveMessages(1);
  assert.ok(held);
  clock.advance(60_001);
  await eventually("the lock to be over", () => account("steps").totals.expiredLocks === 1);
  await eventually("the client to know", () => lost.isClosed);
  await assert.rejects(lost.completeMessage(held), failsWith("SessionLockLost"));
  const next = await newClient().acceptSession("steps", "a");
  const messages = await next.receiveMessages(2, { maxWaitTimeInMs: 1000 });
  assert.deepEqual(
    messages.map(({ body, deliveryCount }) => [body as number, deliveryCount]),
    [
      [1, 1],
      [2, 0],
    ],
  );
});

test("renews a session's lock", async (t) => {
  const clock = new ManualClock();
  const { client, account } = await startBench(t, { entities, clock });
  await client.createSender("steps").sendMessages({ body: 1, sessionId: "a" });
  const session = await client.acceptSession("steps", "a", { maxAutoLockRenewalDurationInMs: 0 });
  const [message] = await session.receiveMessages(1);
  assert.ok(message);
  clock.advance(50_000);
  const until = await session.renewSessionLock();
  assert.equal(until.getTime(), clock.now() + 60_000);
  clock.advance(50_000);
  await session.completeMessage(message);
  assert.equal(account("steps").totals.completed, 1);
  clock.advance(10_001);
  await eventually("the client to know", () => session.isClosed);
  await assert.rejects(session.renewSessionLock(), /closed|expired/);
});

test("keeps a session's state", async (t) => {
  const { client, newClient } = await startBench(t, { entities });
  await client.createSender("steps").sendMessages({ body: 1, sessionId: "a" });
  const session = await client.acceptSession("steps", "a");
  assert.equal(await session.getSessionState(), null);
  await session.setSessionState({ step: 3 });
  assert.deepEqual(await session.getSessionState(), { step: 3 });
  await session.close();
  const again = await newClient().acceptSession("steps", "a");
  assert.deepEqual(await again.getSessionState(), { step: 3 });
  await again.setSessionState(null);
  assert.equal(await again.getSessionState(), null);
});

test("defers, schedules, peeks and dead-letters in a session", async (t) => {
  const { client, account } = await startBench(t, { entities });
  const sender = client.createSender("steps");
  await sender.sendMessages([1, 2, 3].map((body) => ({ body, sessionId: "a" })));
  await sender.sendMessages({ body: 4, sessionId: "b" });
  const session = await client.acceptSession("steps", "a");
  assert.deepEqual(bodies(await session.peekMessages(10)), [1, 2, 3]);
  const [one, two, three] = await session.receiveMessages(3);
  assert.ok(one?.sequenceNumber && two && three);
  await session.deferMessage(one);
  await session.deadLetterMessage(two);
  await session.abandonMessage(three);
  const [deferred] = await session.receiveDeferredMessages(one.sequenceNumber);
  assert.equal(deferred?.body, 1);
  await session.completeMessage(deferred);
  const [again] = await session.receiveMessages(1);
  assert.deepEqual([again?.body, again?.deliveryCount], [3, 1]);
  assert.ok(again);
  await session.completeMessage(again);
  assert.deepEqual(account("steps").states, { active: 1, locked: 0, scheduled: 0, deferred: 0, deadLettered: 1 });
  const [letter] = await client.createReceiver("steps", { subQueueType: "deadLetter" }).receiveMessages(1);
  assert.deepEqual([letter?.body, letter?.sessionId], [2, "a"]);
});

test("subscribes to a session, and to a subscription's", async (t) => {
  const { client, account } = await startBench(t, { entities });
  await client.createSender("news").sendMessages(Array.from({ length: 50 }, (_, body) => ({ body, sessionId: "x" })));
  const session = await client.acceptNextSession("news", "s");
  const seen: unknown[] = [];
  session.subscribe({
    processMessage: (message) => Promise.resolve(void seen.push(message.body)),
    processError: ({ error }) => Promise.reject(error),
  });
  await eventually("all to be completed", () => account("news/Subscriptions/s").totals.completed === 50);
  assert.deepEqual(
    seen,
    Array.from({ length: 50 }, (_, i) => i),
  );
});

test("refuses messages without a session, receivers without one, and sessions where there are none", async (t) => {
  const { client, account } = await startBench(t, { entities });
  await assert.rejects(client.createSender("steps").sendMessages({ body: 1 }), /The SessionId was not set on a message/);
  await assert.rejects(client.createReceiver("steps").receiveMessages(1), /non-sessionful/);
  await assert.rejects(client.acceptSession("plain", "a"), /Failed to create a receiver/);
  await client.createSender("news").sendMessages({ body: "unsorted" });
  assert.equal(account("news/Subscriptions/s").states.deadLettered, 1);
});

test("hands sessions out one by one to many clients, each message once", async (t) => {
  const { client, newClient, account } = await startBench(t, { entities });
  const ids = Array.from({ length: 12 }, (_, i) => `s${i}`);
  await client.createSender("steps").sendMessages(Array.from({ length: 120 }, (_, i) => ({ body: i, sessionId: ids[i % ids.length] ?? "" })));
  const seen = new Map<string, number[]>();
  await Promise.all(
    [client, newClient(), newClient()].map(async (each) => {
      for (let i = 0; i < 4; i++) {
        const session = await each.acceptNextSession("steps");
        const messages = await session.receiveMessages(10, { maxWaitTimeInMs: 1000 });
        seen.set(session.sessionId, bodies(messages) as number[]);
        for (const message of messages) await session.completeMessage(message);
        await session.close();
      }
    }),
  );
  assert.equal(account("steps").totals.completed, 120);
  for (const [i, id] of ids.entries())
    assert.deepEqual(
      seen.get(id),
      Array.from({ length: 10 }, (_, k) => i + k * ids.length),
    );
});
