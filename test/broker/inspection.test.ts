import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { BrokerInspection, MessagePage, QueueInspection } from "#load/broker/inspection.ts";
import { startBench } from "../support/broker.ts";

const entities = { queues: ["orders"], topics: [{ name: "news", subscriptions: ["a"] }] };

async function getJson<T>(port: number, path: string, status = 200): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  assert.equal(response.status, status, path);
  return (await response.json()) as T;
}

test("tells over HTTP, on the AMQP port, what every entity holds and did", async (t) => {
  const { client, broker } = await startBench(t, { entities });
  const get = <T>(path: string, status?: number): Promise<T> => getJson<T>(broker.controlPort, path, status);
  assert.deepEqual(await get("/health"), { status: "healthy" });
  await client
    .createSender("orders")
    .sendMessages(Array.from({ length: 5 }, (_, i) => ({ body: i, messageId: `m${i}`, applicationProperties: { eventId: `e${i}` } })));
  const receiver = client.createReceiver("orders");
  const [first, second] = await receiver.receiveMessages(2);
  assert.ok(first && second);
  await receiver.deadLetterMessage(second, { deadLetterReason: "Broken", deadLetterErrorDescription: "why" });
  const { queues, connections } = await get<BrokerInspection>("/inspect");
  assert.equal(connections, 1);
  assert.deepEqual(queues["orders"]?.states, { active: 3, locked: 1, scheduled: 0, deferred: 0, deadLettered: 1 });
  assert.deepEqual(broker.states("orders"), queues["orders"]?.states);
  assert.equal(broker.states("orders/$DeadLetterQueue")?.active, 1);
  assert.equal(broker.states("news"), undefined);
  assert.equal((await get<QueueInspection>("/inspect/news/Subscriptions/a")).kind, "subscription");
  assert.equal((await get<QueueInspection>("/inspect/news")).kind, "topic");

  const locked = await get<MessagePage>("/inspect/orders/messages?state=locked");
  assert.deepEqual(
    locked.messages.map(({ messageId, state }) => [messageId, state]),
    [["m0", "locked"]],
  );
  assert.match(locked.messages[0]?.lock?.holder ?? "", /orders/);
  const page = await get<MessagePage>("/inspect/orders/messages?state=active&top=2");
  assert.deepEqual(
    page.messages.map(({ messageId }) => messageId),
    ["m2", "m3"],
  );
  const next = await get<MessagePage>(`/inspect/orders/messages?state=active&top=2&from=${page.next}`);
  assert.deepEqual([next.messages.map(({ applicationProperties }) => applicationProperties["eventId"]), next.next], [["e4"], null]);
  const letters = await get<MessagePage>("/inspect/orders/$DeadLetterQueue/messages");
  assert.deepEqual(
    letters.messages.map(({ messageId, deadLetterReason, deadLetterDescription, deadLetterSource }) => [
      messageId,
      deadLetterReason,
      deadLetterDescription,
      deadLetterSource,
    ]),
    [["m1", "Broken", "why", "orders"]],
  );

  await get("/inspect/nothing", 404);
  await get("/inspect/nothing/messages", 404);
  await get("/inspect/orders/messages?state=odd", 400);
  await get("/inspect/orders/outcomes", 404);
  await get("/elsewhere", 404);
});

test("keeps each message id's outcomes when asked to", async (t) => {
  const { client, broker } = await startBench(t, { entities, record: true, controlPort: 0 });
  assert.notEqual(broker.controlPort, broker.port);
  await client.createSender("orders").sendMessages([
    { body: 1, messageId: "a" },
    { body: 2, messageId: "b" },
  ]);
  const receiver = client.createReceiver("orders");
  const [a, b] = await receiver.receiveMessages(2);
  assert.ok(a && b);
  await receiver.completeMessage(a);
  await receiver.abandonMessage(b);
  const [again] = await receiver.receiveMessages(1);
  assert.ok(again);
  await receiver.deadLetterMessage(again);
  assert.deepEqual(await getJson(broker.controlPort, "/inspect/orders/outcomes"), {
    a: ["accepted", "delivered", "completed"],
    b: ["accepted", "delivered", "abandoned", "delivered", "deadLettered"],
  });
});

test("stops twice without harm, with clients connected", async (t) => {
  const { client, broker } = await startBench(t, { entities });
  await client.createSender("orders").sendMessages({ body: 1 });
  await Promise.all([broker.stop(), broker.stop()]);
  await broker.stop();
  await assert.rejects(fetch(`http://127.0.0.1:${broker.port}/health`));
});
