// What a program sends, it sends as a worker reads it; what cannot be sent, it hears of before anything is.
import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { z } from "zod";
import { eventually } from "../support/eventually.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { type Producer, type ProducerConfig, InvalidEventError, TransportError, createProducer } from "#runtime/index.ts";

const events = {
  OrderPlaced: { version: "2.1", payload: z.object({ orderId: z.string(), amount: z.number().positive() }) },
  OrderNoted: { payload: { type: "object", required: ["note"] } },
};
type Events = typeof events;

async function start(t: TestContext, transport: "amqp" | "sdk"): Promise<BrokerBench & { readonly producer: Producer<Events> }> {
  const bench = await startBench(t, { entities: { queues: ["orders", "notes"] } });
  const config: ProducerConfig<Events> = {
    serviceBus: { connectionString: bench.broker.connectionString },
    transport,
    publish: { entity: "orders", byEventType: { OrderNoted: "notes" } },
    projectId: "shop",
    agent: "storefront",
    events,
  };
  const producer = createProducer(config);
  t.after(() => producer.stop());
  return { ...bench, producer };
}

for (const transport of ["amqp", "sdk"] as const) {
  test(`a stop over ${transport} waits for what is being sent and scheduled, and refuses what is asked for after it`, async (t) => {
    const { producer, account } = await start(t, transport);
    const asked = [
      producer.send("OrderPlaced", { orderId: "o-1", amount: 5 }),
      producer.schedule("OrderPlaced", { orderId: "o-2", amount: 5 }, { delayMs: 3_600_000 }),
    ];
    await producer.stop();
    const ends = await Promise.allSettled(asked);
    assert.deepEqual(
      ends.map(({ status }) => status),
      ["fulfilled", "fulfilled"],
    );
    const { active, scheduled } = account("orders").states;
    assert.deepEqual([active, scheduled], [1, 1]);
    await assert.rejects(producer.schedule("OrderPlaced", { orderId: "o-3", amount: 5 }, { delayMs: 1_000 }), /before it is stopped/);
  });

  test(`sends, schedules and cancels events over ${transport}`, async (t) => {
    const { producer, client, account } = await start(t, transport);
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    const sent = await producer.send(
      "OrderPlaced",
      { orderId: "o-1", amount: 5 },
      { eventId: "e-1", traceparent, tenantId: "acme", replyTo: "answers", replyToSessionId: "s-1", properties: { region: "north", large: 2n ** 60n } },
    );
    assert.deepEqual(sent, { eventId: "e-1", entity: "orders" });
    const [message] = await client.createReceiver("orders").peekMessages(1);
    assert.ok(message);
    assert.deepEqual(
      [message.messageId, message.correlationId, message.subject, message.replyTo, message.replyToSessionId],
      ["e-1", "e-1", "OrderPlaced", "answers", "s-1"],
    );
    const { timestamp: _, ...body } = message.body as Record<string, unknown>;
    const envelope = { eventId: "e-1", eventType: "OrderPlaced", traceId: "a".repeat(32), correlationId: "e-1", projectId: "shop", tenantId: "acme" };
    assert.deepEqual(body, { ...envelope, originatingAgent: "storefront", version: "2.1", payload: { orderId: "o-1", amount: 5 } });
    assert.deepEqual([message.applicationProperties?.["eventId"], message.applicationProperties?.["traceparent"]], ["e-1", traceparent]);
    const all = await producer.sendAll([
      { eventType: "OrderPlaced", payload: { orderId: "o-2", amount: 1 } },
      { eventType: "OrderNoted", payload: { note: "soon" } },
    ]);
    assert.deepEqual(
      all.map(({ entity }) => entity),
      ["orders", "notes"],
    );
    const later = await producer.schedule("OrderPlaced", { orderId: "o-3", amount: 1 }, { delayMs: 3_600_000 });
    assert.equal(account("orders").states.scheduled, 1);
    await producer.cancel(later);
    assert.equal(account("orders").states.scheduled, 0);
    await assert.rejects(producer.cancel(later), TransportError);
    await producer.schedule("OrderPlaced", { orderId: "o-4", amount: 1 }, { at: new Date(0), entity: "notes" });
    await eventually("what is due already to be there", () => account("orders").states.active === 2 && account("notes").states.active === 2);
  });
}

test("what cannot be sent is refused with the place, before anything is sent", async (t) => {
  const { producer, account } = await start(t, "amqp");
  const good = { orderId: "o-1", amount: 1 };
  const cases: readonly (readonly [Promise<unknown>, RegExp])[] = [
    [producer.send("OrderPlaced", { orderId: "o-1", amount: -1 }), /events\.OrderPlaced: payload\/amount: .*; nothing was sent$/],
    [producer.send("OrderNoted", {}), /events\.OrderNoted: payload: must have required property 'note'/],
    [producer.send("OrderPlaced", good, { eventId: "a b" }), /send\.eventId: expected 1 to 128 characters/],
    [producer.send("OrderPlaced", good, { traceparent: "00-1-2-3" }), /send\.traceparent: expected a W3C traceparent/],
    [
      producer.send("OrderPlaced", good, { properties: { eventId: "x" } }),
      /send\.properties\.eventId: expected a name that the event's own envelope does not have/,
    ],
    [producer.send("OrderPlaced", good, { tenant: "x" } as never), /send: expected only the keys .*, got 'tenant'; did you mean 'tenantId'/],
    [producer.schedule("OrderPlaced", good, { delayMs: -1 }), /schedule\.delayMs: expected/],
    [producer.send("OrderPlace" as never, good as never), /send: expected an event of OrderPlaced, OrderNoted, got 'OrderPlace'; did you mean 'OrderPlaced'/],
    [
      producer.sendAll([
        { eventType: "OrderPlaced", payload: good },
        { eventType: "OrderPlaced", payload: { orderId: "o-2", amount: 0 } },
      ]),
      /payload\/amount/,
    ],
  ];
  for (const [refused, expected] of cases)
    await assert.rejects(refused, (error) => error instanceof InvalidEventError && expected.test(error.message), String(expected));
  assert.equal(account("orders").totals.accepted, 0);
  const misconfigured = createProducer({ serviceBus: { connectionString: "x" }, publish: { entity: "orders" }, projectId: "", agent: "a" });
  await assert.rejects(misconfigured.send("A", {}), /^ConfigurationError: createProducer: projectId/);
  await misconfigured.stop();
});
