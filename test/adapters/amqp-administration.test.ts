import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { type Broker, type BrokerOptions, startBroker } from "#load/broker/broker.ts";
import { readEntitySettings } from "#runtime/adapters/amqp/administration.ts";
import { checkCanSend } from "#runtime/adapters/amqp/check-sending.ts";
import type { NamespaceOptions } from "#runtime/adapters/amqp/namespace.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { TransportError } from "#runtime/core/errors.ts";

async function start(t: TestContext, entities: BrokerOptions["entities"]): Promise<Broker> {
  const broker = await startBroker({ entities });
  t.after(() => broker.stop());
  return broker;
}

async function troubleOf(asked: Promise<unknown>): Promise<unknown> {
  const error = await asked.then(
    () => assert.fail("expected it to be refused"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof TransportError, String(error));
  return error.entityTrouble;
}

/** The same broker with a key that it does not know. */
function strange({ connectionString }: Broker): NamespaceOptions {
  return { connectionString: connectionString.replace(/SharedAccessKey=[^;]*/, `SharedAccessKey=${Buffer.alloc(32, 7).toString("base64")}`) };
}

test("the settings of queues and subscriptions are read as the broker has them", async (t) => {
  const broker = await start(t, {
    queues: [
      { name: "input", lockDurationMs: 45_000, deliveryCountMax: 7, requiresSession: true, forwardTo: "a/b-c.d" },
      { name: "a/b-c.d", timeToLiveMs: 3_600_500, deadLetterOnExpiry: true },
    ],
    topics: [{ name: "news", subscriptions: [{ name: "all", deliveryCountMax: 3 }] }],
  });
  const { brokerTimeMs, ...input } = await readEntitySettings(broker, { queue: "input" });
  assert.ok(Math.abs((brokerTimeMs ?? 0) - Date.now()) < 5_000);
  assert.deepEqual(
    { ...input, forwardTo: input.forwardTo?.replace(/^.*?\/\/[^/]*\//, "") },
    {
      lockDurationMs: 45_000,
      deliveriesMax: 7,
      deadLettersOnExpiry: false,
      timeToLiveMs: Number.POSITIVE_INFINITY,
      requiresSession: true,
      status: "Active",
      forwardTo: "a/b-c.d",
    },
  );
  const nested = await readEntitySettings(broker, { queue: "a/b-c.d" });
  assert.deepEqual([nested.timeToLiveMs, nested.deadLettersOnExpiry, nested.forwardTo], [3_600_500, true, undefined]);
  assert.equal((await readEntitySettings(broker, { topic: "news", subscription: "all" })).deliveriesMax, 3);
});

test("an entity that is not there, a key that opens nothing and a broker that is away are told apart", async (t) => {
  const broker = await start(t, { queues: [{ name: "input" }], topics: [] });
  assert.equal(await troubleOf(readEntitySettings(broker, { queue: "other" })), "missing");
  assert.equal(await troubleOf(readEntitySettings(strange(broker), { queue: "input" })), "forbidden");
  const away = { connectionString: broker.connectionString.replace(/(Endpoint=sb:\/\/[^:;/]+):\d+/, "$1:1") };
  assert.equal(await troubleOf(readEntitySettings(away, { queue: "input" })), undefined);
});

test("whether messages could be sent is found without sending one", async (t) => {
  const broker = await start(t, { queues: [{ name: "input" }, { name: "closed", status: "SendDisabled" }], topics: [{ name: "news", subscriptions: [] }] });
  const check = async (options: NamespaceOptions, entity: string): Promise<unknown> => {
    const answer = await checkCanSend({ ...options, clock: systemClock }, entity);
    return answer.kind === "possible" ? "possible" : [answer.kind, answer.error.entityTrouble];
  };
  assert.deepEqual(await Promise.all([check(broker, "input"), check(broker, "news")]), ["possible", "possible"]);
  assert.deepEqual(await check(broker, "other"), ["refused", "missing"]);
  assert.deepEqual(await check(broker, "closed"), ["refused", "disabled"]);
  const away = { connectionString: broker.connectionString.replace(/(Endpoint=sb:\/\/[^:;/]+):\d+/, "$1:1") };
  assert.deepEqual(await check(away, "input"), ["unanswered", undefined]);
  assert.equal(broker.inspect().queues["input"]?.totals.accepted ?? 0, 0);
});
