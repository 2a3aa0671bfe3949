// Management requests that the installed client has no words for, as a later one or another language's would send them.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import rhea, { type EventContext, type Typed } from "rhea";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { within } from "../support/eventually.ts";

const entities = { queues: [{ name: "orders", messageBytesMax: 2000 }, { name: "steps", requiresSession: true }] };

interface Answer {
  readonly code: unknown;
  readonly condition: unknown;
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

type Ask = (operation: string, body: Record<string, unknown>) => Promise<Answer>;

async function askerOf(t: TestContext, { broker }: BrokerBench, entity: string): Promise<Ask> {
  const connection = rhea.create_container().connect({ port: broker.port, host: broker.host, reconnect: false });
  connection.on("disconnected", () => undefined);
  t.after(() => connection.close());
  const session = connection.create_session();
  session.open();
  const receiver = session.open_receiver({ source: `${entity}/$management`, target: "replies" });
  const sender = session.open_sender({ target: `${entity}/$management` });
  await within("the link to open", once(sender, "sendable"));
  return async (operation, body) => {
    const replied = within("a reply", once(receiver, "message"));
    sender.send({ message_id: "r", reply_to: "replies", application_properties: { operation: `com.microsoft:${operation}` }, body });
    const [{ message }] = (await replied) as [EventContext];
    const { statusCode, errorCondition } = message?.application_properties ?? {};
    return { code: statusCode, condition: errorCondition, body: message?.body as Answer["body"] };
  };
}

const int = (value: number): Typed => rhea.types.wrap_int(value);

test("deletes messages in a batch, oldest first, and none that is held", async (t) => {
  const bench = await startBench(t, { entities });
  const { client, account } = bench;
  await client.createSender("orders").sendMessages(Array.from({ length: 10 }, (_, body) => ({ body })));
  const [held] = await client.createReceiver("orders").receiveMessages(1);
  assert.ok(held);
  const ask = await askerOf(t, bench, "orders");
  const later = new Date(Date.now() + 1000);
  assert.deepEqual((await ask("batch-delete-messages", { "message-count": int(4), "enqueued-time-utc": later })).body, { "message-count": 4 });
  assert.equal((await ask("batch-delete-messages", { "message-count": int(4), "enqueued-time-utc": new Date(0) })).code, 204);
  assert.deepEqual([account("orders").states, account("orders").totals.deleted], [{ active: 5, locked: 1, scheduled: 0, deferred: 0, deadLettered: 0 }, 4]);
  const peeked = await client.createReceiver("orders").peekMessages(10);
  assert.deepEqual(peeked.map(({ body }) => body as number), [0, 5, 6, 7, 8, 9]);
  assert.equal((await ask("batch-delete-messages", { "message-count": int(4) })).code, 400);
});

test("lists sessions with messages, and those whose state was set, in pages", async (t) => {
  const bench = await startBench(t, { entities });
  await bench.client.createSender("steps").sendMessages(["c", "a", "b"].map((sessionId) => ({ body: 1, sessionId })));
  const session = await bench.client.acceptSession("steps", "quiet");
  await session.setSessionState("x");
  const ask = await askerOf(t, bench, "steps");
  const list = async (since: Date, skip: number, top: number): Promise<unknown> => (await ask("get-message-sessions", { "last-updated-time": since, skip: int(skip), top: int(top) })).body?.["sessions-ids"];
  const always = new Date(Date.UTC(9999, 11, 31));
  assert.deepEqual(await list(always, 0, 2), ["a", "b"]);
  assert.deepEqual(await list(always, 2, 2), ["c"]);
  assert.equal((await ask("get-message-sessions", { "last-updated-time": always, skip: int(3), top: int(2) })).code, 204);
  assert.deepEqual(await list(new Date(0), 0, 10), ["quiet"]);
  assert.deepEqual([(await ask("renew-session-lock", { "session-id": "nobody" })).condition, (await ask("set-session-state", { "session-id": "nobody", "session-state": null })).condition], [
    "com.microsoft:session-lock-lost",
    "com.microsoft:session-lock-lost",
  ]);
  assert.equal((await ask("renew-lock", { "lock-tokens": [] })).code, 200);
});

test("refuses to schedule a message over the entity's size, with the condition for it", async (t) => {
  const bench = await startBench(t, { entities });
  await assert.rejects(bench.client.createSender("orders").scheduleMessages({ body: Buffer.alloc(3000) }, new Date(Date.now() + 1000)), { code: "MessageSizeExceeded" });
  assert.equal(bench.account("orders").totals.scheduledAccepted, 0);
});
