// `$management`, operation by operation: what a request may hold, what the reply holds, and of which type it is. Much of this
// the JavaScript client hides, or has no words for.
import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import type { ServiceBusReceivedMessage } from "@azure/service-bus";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { MessageView } from "#runtime/amqp/message/message.ts";
import { array, type Described, type Encodable, int, long, type Plain, timestamp, Typed, type TypeName, uint, ulong, uuid } from "#runtime/amqp/codec/types.ts";
import type { ValueView } from "#runtime/amqp/codec/views.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { connectWire, type Reply, WireNode } from "../support/broker-wire.ts";
import { ManualClock } from "../support/manual-clock.ts";

const entities = {
  queues: [
    { name: "orders", messageBytesMax: 2000, lockDurationMs: 30_000 },
    { name: "steps", requiresSession: true, lockDurationMs: 30_000 },
  ],
  topics: [{ name: "news", subscriptions: ["s"] }],
};

interface Bench extends BrokerBench {
  readonly clock: ManualClock;
  /** Asks an entity's node; the operation's prefix is added. */
  readonly ask: (entity: string, operation: string, body: Encodable, extra?: Parameters<WireNode["ask"]>[2]) => Promise<Reply>;
}

async function start(t: TestContext): Promise<Bench> {
  const clock = new ManualClock();
  const bench = await startBench(t, { entities, clock });
  const { connection } = await connectWire(t, bench.broker);
  const nodes = new Map<string, WireNode>();
  return {
    ...bench,
    clock,
    async ask(entity, operation, body, extra) {
      const node = nodes.get(entity) ?? (await WireNode.open(connection.begin({}), `${entity}/$management`));
      nodes.set(entity, node);
      return node.ask(`com.microsoft:${operation}`, body, extra);
    },
  };
}

/** The value of a map in a reply, with its exact type. */
function typedOf(reply: Reply, name: string): Typed<TypeName> {
  const [body] = reply.message.values();
  const view: ValueView | undefined = body?.asMap()?.view(name);
  assert.ok(view, `expected the reply to hold ${name}, found ${[...reply.body.keys()].map(String).join(", ") || "nothing"}`);
  return view.typed();
}

/** Sixteen bytes of a lock token as management carries them. */
function tokenOf({ lockToken = "" }: ServiceBusReceivedMessage): Typed<"uuid"> {
  return uuid(Buffer.from(lockToken.replaceAll("-", ""), "hex"));
}

const tokens = (...messages: readonly ServiceBusReceivedMessage[]): Encodable => array("uuid", messages.map(tokenOf));
const longs = (...numbers: readonly number[]): Encodable => array("long", numbers.map(long));

async function receive({ client }: BrokerBench, count: number): Promise<ServiceBusReceivedMessage[]> {
  await client.createSender("orders").sendMessages(Array.from({ length: count }, (_, body) => ({ body })));
  return client.createReceiver("orders").receiveMessages(count);
}

test("replies with a status of type int, a description, a condition that is a symbol, and the tracking id of the request", async (t) => {
  const { ask } = await start(t);
  const refused = await ask(
    "orders",
    "cancel-scheduled-message",
    { "sequence-numbers": longs(7) },
    { properties: { "com.microsoft:tracking-id": "track-7", "associated-link-name": "link" } },
  );
  const properties = refused.message.applicationProperties;
  assert.deepEqual(properties?.view("statusCode")?.typed(), int(404));
  assert.equal(properties?.view("statusDescription")?.typed().type, "string");
  assert.deepEqual([properties?.view("errorCondition")?.typed().type, refused.condition], ["symbol", "com.microsoft:message-not-found"]);
  assert.equal(properties?.string("com.microsoft:tracking-id"), "track-7");
  const served = await ask("orders", "peek-message", { "from-sequence-number": long(0), "message-count": int(1) });
  assert.deepEqual(served.message.applicationProperties?.view("statusCode")?.typed(), int(204));
  assert.equal(served.condition, "com.microsoft:message-not-found");
});

const ids: readonly (readonly [kind: string, id: Encodable])[] = [
  ["text", "request-1"],
  ["a number", ulong(2n ** 60n + 1n)],
  ["a UUID", uuid(Buffer.from("00112233445566778899aabbccddeeff", "hex"))],
  ["binary", Buffer.from([1, 2, 3])],
];
const emptyAnswers: readonly (readonly [operation: string, entity: string, body: Encodable, condition: string])[] = [
  ["peek-message", "orders", { "from-sequence-number": long(0), "message-count": int(1) }, "com.microsoft:message-not-found"],
  ["batch-delete-messages", "orders", { "message-count": int(1), "enqueued-time-utc": new Date(0) }, "com.microsoft:message-not-found"],
  ["batch-delete-messages", "orders/$DeadLetterQueue", { "message-count": int(1), "enqueued-time-utc": new Date(0) }, "com.microsoft:message-not-found"],
  ["get-message-sessions", "steps", { "last-updated-time": new Date(0), skip: int(0), top: int(1) }, "com.microsoft:session-not-found"],
  ["enumerate-rules", "news/Subscriptions/s", { skip: int(1), top: int(1) }, "amqp:not-found"],
];
for (const [operation, entity, body, condition] of emptyAnswers) {
  test(`${operation} on ${entity}: says with 204 what it is that was not found`, async (t) => {
    const { ask } = await start(t);
    const { code, condition: told, message } = await ask(entity, operation, body);
    assert.deepEqual([code, told, message.applicationProperties?.view("errorCondition")?.typed().type], [204, condition, "symbol"]);
  });
}

for (const [kind, messageId] of ids) {
  test(`keeps the type of a request's id in its reply's correlation id, when it is ${kind}`, async (t) => {
    const { ask } = await start(t);
    const { message } = await ask("orders", "peek-message", { "from-sequence-number": long(0), "message-count": int(1) }, { messageId });
    const told = message.fields("properties");
    const asked = new MessageView(encodeMessage({ properties: { correlationId: messageId }, body: { value: null } })).fields("properties");
    assert.ok(told && asked);
    for (let i = 0; i < 5; i++) {
      told.span();
      asked.span();
    }
    assert.deepEqual(told.view()?.typed(), asked.view()?.typed());
  });
}

test("renew-lock: renews many locks in one request, and none when one is lost", async (t) => {
  const bench = await start(t);
  const messages = await receive(bench, 3);
  bench.clock.advance(10_000);
  const reply = await bench.ask("orders", "renew-lock", { "lock-tokens": tokens(...messages) });
  const until = timestamp(bench.clock.now() + 30_000);
  assert.deepEqual(typedOf(reply, "expirations"), array("timestamp", [until, until, until]));
  bench.clock.advance(29_999);
  assert.equal(bench.account("orders").states.locked, 3);
  bench.clock.advance(1);
  const lost = await bench.ask("orders", "renew-lock", { "lock-tokens": tokens(...messages) });
  assert.deepEqual([lost.code, lost.condition], [410, "com.microsoft:message-lock-lost"]);
  const foreign = await bench.ask("orders", "renew-lock", { "lock-tokens": array("uuid", [uuid(Buffer.alloc(16, 9))]) });
  assert.equal(foreign.condition, "com.microsoft:message-lock-lost");
});

function peeked(reply: Reply): MessageView[] {
  const list = (reply.body.get("messages") ?? []) as readonly ReadonlyMap<Plain, Plain>[];
  return list.map((entry) => new MessageView(entry.get("message") as Buffer));
}

test("peek-message: from a number on, so many, of one session, without bodies; and 204 past the end", async (t) => {
  const { ask, client } = await start(t);
  await client.createSender("steps").sendMessages(["a", "b", "a", "b", "a"].map((sessionId, i) => ({ body: `body ${i}`, sessionId, messageId: `m${i}` })));
  const peek = async (body: { readonly [name: string]: Encodable }): Promise<(string | undefined)[]> =>
    peeked(await ask("steps", "peek-message", body)).map((message) => message.text("messageId"));
  assert.deepEqual(await peek({ "from-sequence-number": long(1), "message-count": int(2) }), ["m0", "m1"]);
  assert.deepEqual(await peek({ "from-sequence-number": long(3), "message-count": int(100) }), ["m2", "m3", "m4"]);
  assert.deepEqual(await peek({ "from-sequence-number": long(2), "message-count": int(100), "session-id": "a" }), ["m2", "m4"]);
  assert.deepEqual(await peek({ "from-sequence-number": long(0), "message-count": int(1), "session-id": null }), ["m0"]);
  const reply = await ask("steps", "peek-message", { "from-sequence-number": long(1), "message-count": int(1), "omit-message-body": true });
  const [light] = peeked(reply);
  assert.ok(light);
  assert.deepEqual([light.text("messageId"), light.text("groupId"), light.startOf("body")], ["m0", "a", light.end], "expected no body section");
  const [whole] = peeked(await ask("steps", "peek-message", { "from-sequence-number": long(1), "message-count": int(1), "omit-message-body": false }));
  assert.ok(whole);
  assert.deepEqual(light.deliveryAnnotations?.view("omitted-message-body-size")?.typed(), long(whole.end - whole.startOf("body")));
  assert.equal(whole.deliveryAnnotations?.size, 0, "expected one with its body to tell nothing of a size");
  assert.equal((await ask("steps", "peek-message", { "from-sequence-number": long(6), "message-count": int(1) })).code, 204);
});

test("peek-message: ends a page that grows large, and the next one goes on from there", async (t) => {
  const { client } = await startBench(t, { entities: { queues: ["large"] } });
  for (let i = 0; i < 4; i++) await client.createSender("large").sendMessages({ body: Buffer.alloc(600_000, i) });
  const receiver = client.createReceiver("large");
  const pages: number[] = [];
  for (let page = await receiver.peekMessages(10); page.length > 0; page = await receiver.peekMessages(10)) pages.push(page.length);
  assert.deepEqual(pages, [2, 2]);
});

test("schedule-message and cancel-scheduled-message: numbers of type long, for queues, sessions and topics", async (t) => {
  const { ask, clock, account, broker } = await start(t);
  const item = (sessionId?: string): Encodable => {
    const message = encodeMessage({
      properties: { messageId: "m", groupId: sessionId },
      messageAnnotations: { "x-opt-scheduled-enqueue-time": timestamp(clock.now() + 5000), "x-opt-partition-key": sessionId ?? "p" },
      body: { value: "later" },
    });
    return { message, "message-id": "m", ...(sessionId === undefined ? { "partition-key": "p" } : { "session-id": sessionId, "partition-key": sessionId }) };
  };
  const reply = await ask("orders", "schedule-message", { messages: [item(), item()] });
  assert.deepEqual(typedOf(reply, "sequence-numbers"), array("long", [long(1), long(2)]));
  assert.equal((await ask("steps", "schedule-message", { messages: [item("a")] })).code, 200);
  assert.equal((await ask("steps", "schedule-message", { messages: [item()] })).code, 400);
  assert.equal((await ask("news", "schedule-message", { messages: [item()] })).code, 200);
  assert.equal((await ask("news/Subscriptions/s", "schedule-message", { messages: [item()] })).code, 400);
  assert.equal((await ask("orders", "cancel-scheduled-message", { "sequence-numbers": longs(1, 9) })).code, 404);
  assert.equal(account("orders").states.scheduled, 2, "expected all or none to be cancelled");
  assert.equal((await ask("orders", "cancel-scheduled-message", { "sequence-numbers": longs(1) })).code, 200);
  clock.advance(5000);
  assert.deepEqual(
    [
      account("orders").states.active,
      account("steps").states.active,
      account("news/Subscriptions/s").states.active,
      broker.inspect().topics["news"]?.scheduled,
    ],
    [1, 1, 1, 0],
  );
  assert.equal(
    (await ask("orders", "cancel-scheduled-message", { "sequence-numbers": longs(2) })).code,
    404,
    "expected a message that is due to be beyond cancelling",
  );
});

test("receive-by-sequence-number: the message with a token beside it, a lock where that is asked for, and the session's own alone", async (t) => {
  const bench = await start(t);
  const { ask, client, account } = bench;
  const receiver = client.createReceiver("orders");
  for (const message of await receive(bench, 2)) await receiver.deferMessage(message);
  const locked = await ask("orders", "receive-by-sequence-number", { "sequence-numbers": longs(1), "receiver-settle-mode": uint(1) });
  const [entry] = locked.body.get("messages") as readonly ReadonlyMap<Plain, Plain>[];
  assert.ok(entry);
  const message = new MessageView(entry.get("message") as Buffer);
  assert.deepEqual([message.deliveryCount, message.messageAnnotations?.view("x-opt-message-state")?.typed()], [1, int(1)]);
  assert.equal(message.deliveryAnnotations?.get("x-opt-lock-token"), entry.get("lock-token"));
  assert.equal(account("orders").states.locked, 1);
  const taken = await ask("orders", "receive-by-sequence-number", { "sequence-numbers": longs(2), "receiver-settle-mode": uint(0) });
  const [free] = taken.body.get("messages") as readonly ReadonlyMap<Plain, Plain>[];
  assert.equal(free?.has("lock-token"), false);
  assert.deepEqual(account("orders").states, { active: 0, locked: 1, scheduled: 0, deferred: 0, deadLettered: 0 });

  await client.createSender("steps").sendMessages({ body: 1, sessionId: "a" });
  const session = await client.acceptSession("steps", "a");
  const [step] = await session.receiveMessages(1);
  assert.ok(step);
  await session.deferMessage(step);
  const from = (sessionId: string | undefined): Promise<Reply> =>
    ask("steps", "receive-by-sequence-number", {
      "sequence-numbers": longs(1),
      "receiver-settle-mode": uint(1),
      ...(sessionId !== undefined && { "session-id": sessionId }),
    });
  assert.equal((await from(undefined)).condition, "com.microsoft:session-lock-lost");
  assert.equal((await from("b")).condition, "com.microsoft:session-lock-lost");
  assert.equal((await from("a")).code, 200);
});

const dispositions: readonly (readonly [status: string, states: Readonly<Record<"active" | "deferred" | "deadLettered", number>>])[] = [
  ["completed", { active: 0, deferred: 0, deadLettered: 0 }],
  ["abandoned", { active: 1, deferred: 0, deadLettered: 0 }],
  ["defered", { active: 0, deferred: 1, deadLettered: 0 }],
  ["suspended", { active: 0, deferred: 0, deadLettered: 1 }],
];
for (const [status, states] of dispositions) {
  test(`update-disposition: ${status}, with what it sets, for the holder of a lock alone`, async (t) => {
    const bench = await start(t);
    const { ask, client, account } = bench;
    const messages = await receive(bench, 1);
    const properties = { note: "set", count: long(5), at: new Date(1000) };
    const body = {
      "lock-tokens": tokens(...messages),
      "disposition-status": status,
      "properties-to-modify": properties,
      "deadletter-reason": "Why",
      "deadletter-description": "because",
    };
    assert.equal((await ask("orders", "update-disposition", body)).code, 200);
    assert.deepEqual(account("orders").states, { ...states, locked: 0, scheduled: 0 });
    const again = await ask("orders", "update-disposition", body);
    assert.deepEqual([again.code, again.condition], [410, "com.microsoft:message-lock-lost"]);
    const [left] = await client.createReceiver("orders", status === "suspended" ? { subQueueType: "deadLetter" } : {}).peekMessages(1);
    if (status === "completed") assert.equal(left, undefined);
    else {
      assert.deepEqual(left?.applicationProperties, {
        note: "set",
        count: 5,
        at: 1000,
        ...(status === "suspended" && { DeadLetterReason: "Why", DeadLetterErrorDescription: "because" }),
      });
      assert.equal(left?.deliveryCount, status === "suspended" ? 0 : 1);
    }
  });
}

test("update-disposition: in a session, while its lock is held", async (t) => {
  const { ask, client, account, clock } = await start(t);
  await client.createSender("steps").sendMessages([
    { body: 1, sessionId: "a" },
    { body: 2, sessionId: "a" },
  ]);
  const session = await client.acceptSession("steps", "a", { maxAutoLockRenewalDurationInMs: 0 });
  const [first, second] = await session.receiveMessages(2);
  assert.ok(first && second);
  const settle = (message: ServiceBusReceivedMessage, sessionId?: string): Promise<Reply> =>
    ask("steps", "update-disposition", {
      "lock-tokens": tokens(message),
      "disposition-status": "completed",
      ...(sessionId !== undefined && { "session-id": sessionId }),
    });
  assert.equal((await settle(first)).condition, "com.microsoft:session-lock-lost");
  assert.equal((await settle(first, "a")).code, 200);
  assert.equal(account("steps").totals.completed, 1);
  clock.advance(30_000);
  assert.equal((await settle(second, "a")).condition, "com.microsoft:session-lock-lost");
});

test("renew-session-lock, get-session-state, set-session-state: until when, and bytes or null", async (t) => {
  const { ask, client, clock } = await start(t);
  const session = await client.acceptSession("steps", "a", { maxAutoLockRenewalDurationInMs: 0 });
  assert.equal(session.sessionId, "a");
  clock.advance(20_000);
  assert.deepEqual(typedOf(await ask("steps", "renew-session-lock", { "session-id": "a" }), "expiration"), timestamp(clock.now() + 30_000));
  const get = async (): Promise<Plain | undefined> => (await ask("steps", "get-session-state", { "session-id": "a" })).body.get("session-state");
  assert.equal(await get(), null);
  assert.equal((await ask("steps", "set-session-state", { "session-id": "a", "session-state": Buffer.from([0, 255]) })).code, 200);
  assert.deepEqual(await get(), Buffer.from([0, 255]));
  assert.equal((await ask("steps", "set-session-state", { "session-id": "a", "session-state": null })).code, 200);
  assert.equal(await get(), null);
  assert.equal((await ask("steps", "set-session-state", { "session-id": "a", "session-state": "text" })).code, 400);
  for (const operation of ["renew-session-lock", "get-session-state", "set-session-state"]) {
    assert.equal((await ask("steps", operation, { "session-id": "b", "session-state": null })).condition, "com.microsoft:session-lock-lost", operation);
    assert.equal((await ask("orders", operation, { "session-id": "a", "session-state": null })).code, 400, operation);
  }
});

test("get-message-sessions: those with messages, or whose state was set since, in pages; and 204 past the end", async (t) => {
  const { ask, client } = await start(t);
  await client.createSender("steps").sendMessages(["c", "a", "b"].map((sessionId) => ({ body: 1, sessionId })));
  const session = await client.acceptSession("steps", "quiet");
  await session.setSessionState("x");
  const list = (since: Date, skip: number, top: number): Promise<Reply> =>
    ask("steps", "get-message-sessions", { "last-updated-time": since, skip: int(skip), top: int(top) });
  const always = new Date(Date.UTC(9999, 11, 31));
  assert.deepEqual(typedOf(await list(always, 0, 2), "sessions-ids"), array("string", [new Typed("string", "a"), new Typed("string", "b")]));
  assert.deepEqual((await list(always, 2, 2)).body.get("sessions-ids"), ["c"]);
  assert.equal((await list(always, 3, 2)).code, 204);
  assert.deepEqual((await list(new Date(0), 0, 10)).body.get("sessions-ids"), ["quiet"]);
});

test("add-rule, enumerate-rules and remove-rule: described as the service describes them", async (t) => {
  const { ask } = await start(t);
  const at = "news/Subscriptions/s";
  const add = (name: string, description: Encodable): Promise<Reply> => ask(at, "add-rule", { "rule-name": name, "rule-description": description });
  assert.equal((await add("sql", { "sql-filter": { expression: "a = 1" }, "sql-rule-action": { expression: "SET b = 2" } })).code, 200);
  const properties = new Map<Encodable, Encodable>([
    ["n", 5],
    ["text", "x"],
  ]);
  assert.equal((await add("correlation", { "correlation-filter": { "correlation-id": "c", label: "l", "content-type": "t", properties } })).code, 200);
  assert.deepEqual(
    [(await add("SQL", { "sql-filter": { expression: "a = 1" } })).code, (await add("SQL", { "sql-filter": { expression: "a = 1" } })).condition],
    [409, "com.microsoft:entity-already-exists"],
  );
  assert.equal((await add("bad", { "sql-filter": { expression: "a = = 1" } })).code, 400);
  assert.equal((await add("bad", {})).code, 400);
  const rules = async (skip: number, top: number): Promise<Described[]> => {
    const { body } = await ask(at, "enumerate-rules", { skip: int(skip), top: int(top) });
    return ((body.get("rules") ?? []) as readonly ReadonlyMap<Plain, Plain>[]).map((entry) => entry.get("rule-description") as Described);
  };
  const [first, correlation, sql] = await rules(0, 100);
  assert.ok(first && sql && correlation);
  const codes = ({ descriptor, value }: Described): Plain[] => [
    descriptor,
    ...(value as readonly Plain[]).slice(0, 2).map((part) => (part as Described).descriptor),
  ];
  assert.deepEqual(
    [codes(first), codes(sql), codes(correlation)],
    [
      [1335734829060, 83483426823, 1335734829061],
      [1335734829060, 83483426822, 1335734829062],
      [1335734829060, 83483426825, 1335734829061],
    ],
  );
  const [filter, action, name] = sql.value as [Described, Described, string];
  assert.deepEqual([(filter.value as readonly Plain[])[0], (action.value as readonly Plain[])[0], name], ["a = 1", "SET b = 2", "sql"]);
  const [fields] = correlation.value as [Described];
  assert.deepEqual(fields.value, [
    "c",
    null,
    null,
    null,
    "l",
    null,
    null,
    "t",
    new Map<Plain, Plain>([
      ["n", 5],
      ["text", "x"],
    ]),
  ]);
  assert.deepEqual(
    (await rules(1, 1)).map(({ value }) => (value as readonly Plain[])[2]),
    ["correlation"],
  );
  assert.equal((await ask(at, "enumerate-rules", { skip: int(3), top: int(10) })).code, 204);
  assert.equal((await ask(at, "remove-rule", { "rule-name": "SQL" })).code, 200);
  assert.deepEqual(
    [(await ask(at, "remove-rule", { "rule-name": "sql" })).code, (await ask("orders", "remove-rule", { "rule-name": "sql" })).code],
    [404, 400],
  );
  assert.equal((await rules(0, 100)).length, 2);
});

test("batch-delete-messages: oldest first, none that is held, deferred or later than asked, of one session", async (t) => {
  const bench = await start(t);
  const { client, account, ask, clock } = bench;
  await receive(bench, 1);
  await client.createSender("orders").sendMessages(Array.from({ length: 9 }, (_, i) => ({ body: i + 1 })));
  const remove = (entity: string, count: number, before: Date, more: { readonly [name: string]: Encodable } = {}): Promise<Reply> =>
    ask(entity, "batch-delete-messages", { "message-count": int(count), "enqueued-time-utc": before, ...more });
  const later = new Date(clock.now() + 1000);
  assert.deepEqual(typedOf(await remove("orders", 4, later), "message-count"), int(4));
  assert.equal((await remove("orders", 4, new Date(clock.now() - 1))).code, 204);
  assert.deepEqual([account("orders").states, account("orders").totals.deleted], [{ active: 5, locked: 1, scheduled: 0, deferred: 0, deadLettered: 0 }, 4]);
  const peek = await client.createReceiver("orders").peekMessages(10);
  assert.deepEqual(
    peek.map(({ body }) => body as number),
    [0, 5, 6, 7, 8, 9],
  );
  assert.equal((await ask("orders", "batch-delete-messages", { "message-count": int(4) })).code, 400);
  await client.createSender("steps").sendMessages(["a", "b", "a"].map((sessionId) => ({ body: 1, sessionId })));
  assert.equal((await remove("steps", 10, later, { "session-id": "a" })).body.get("message-count"), 2);
  assert.equal(account("steps").states.active, 1);
});

test("refuses to schedule a message over the entity's size, with the condition for it", async (t) => {
  const bench = await start(t);
  await assert.rejects(bench.client.createSender("orders").scheduleMessages({ body: Buffer.alloc(3000) }, new Date(Date.now() + 1000)), {
    code: "MessageSizeExceeded",
  });
  assert.equal(bench.account("orders").totals.scheduledAccepted, 0);
});

test("answers an operation that it does not know, and a body that is no map", async (t) => {
  const { ask } = await start(t);
  const unknown = await ask("orders", "make-coffee", {});
  assert.deepEqual([unknown.code, unknown.condition], [501, "amqp:not-implemented"]);
  const text = await ask("orders", "peek-message", "text");
  assert.deepEqual([text.code, text.condition], [400, "amqp:invalid-field"]);
});
