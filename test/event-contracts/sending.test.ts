// Contracts in a whole worker with its threads, and for who sends events to it.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { InvalidEventError, createProducer } from "#runtime/index.ts";
import { testWorker } from "#runtime/testing/index.ts";
import { startBench } from "../support/broker.ts";
import { folderOfTest, sampleContracts } from "../support/contract-files.ts";
import plugin from "../support/contracted-plugin.ts";
import { runCommand } from "../support/holdfast-command.ts";

const good = { orderId: "o-1", amount: "12.50" };

test("a worker reads its contracts at start, converts older events in its threads, and dead-letters what breaks a contract", async (t) => {
  const bench = await testWorker({ plugins: [plugin], queues: ["shipments"], config: { contracts: sampleContracts, publish: { entity: "shipments" } } });
  t.after(() => bench.stop());
  const older = await bench.send("OrderPlaced", { payload: good });
  const broken = await bench.send("OrderPlaced", { payload: { orderId: 1 } });
  assert.equal((await bench.settled(older)).outcome, "completed");
  assert.equal((await bench.settled(broken)).outcome, "dead-lettered");
  const [letter] = bench.deadLetters();
  assert.deepEqual([letter?.reason, letter?.description], ["InvalidPayload", "contract OrderPlaced 1.0: payload: must have required property 'amount'"]);
  const [sent] = bench.broker.inspectMessages("shipments", { bodies: true })?.messages ?? [];
  assert.deepEqual((JSON.parse(sent?.body?.value ?? "{}") as { payload?: unknown }).payload, { orderId: "o-1", at: "2026-01-01T00:00:00Z" });
});

test("a worker does not start on contracts that cannot be read, and says which file is wrong", async (t) => {
  const contracts = folderOfTest(t, { "OrderPlaced/1.1.json": {} });
  await assert.rejects(
    testWorker({ plugins: [plugin], config: { contracts } }),
    /contracts in .*: OrderPlaced\/1\.1\.json: expected version 1\.0 of OrderPlaced/,
  );
});

test("a producer checks by the contracts before it sends, as the version that it names", async (t) => {
  const { broker, account } = await startBench(t, { entities: { queues: ["orders"] } });
  const producer = createProducer({
    serviceBus: { connectionString: broker.connectionString },
    publish: { entity: "orders" },
    projectId: "shop",
    agent: "storefront",
    contracts: sampleContracts,
  });
  t.after(() => producer.stop());
  await producer.send("OrderPlaced", good);
  await producer.send("OrderPlaced", { ...good, cents: 1250 }, { version: "2.0" });
  await producer.send("Other", { any: "thing" });
  const refused = (sending: Promise<unknown>, message: RegExp): Promise<void> =>
    assert.rejects(sending, (error) => error instanceof InvalidEventError && message.test(error.message));
  await refused(producer.send("OrderPlaced", good, { version: "2.0" }), /^contract OrderPlaced 2\.0: payload\/cents: .*; nothing was sent$/);
  await refused(
    producer.schedule("OrderPlaced", { orderId: "o-1" }, { delayMs: 5 }),
    /^contract OrderPlaced 1\.0: payload: must have required property 'amount'/,
  );
  await refused(producer.send("OrderPlaced", good, { version: "1.9" }), /expected a version that has a contract \(1\.0, 1\.1, 2\.0\), found none of 1\.9/);
  assert.equal(account("orders").states.active, 3);
});

test("holdfast send checks by the configuration's contracts, and sends what they refuse when it is asked to", async (t) => {
  const { broker, account } = await startBench(t, { entities: { queues: ["orders"] } });
  const folder = folderOfTest(t, {
    "holdfast.config.json": {
      sources: [{ queue: "orders" }],
      serviceBus: { connectionString: broker.connectionString },
      plugins: ["./none"],
      contracts: sampleContracts,
    },
  });
  const send = (...more: string[]) => runCommand(["send", "--event-type", "OrderShipped", "--payload", '{"orderId":"o-1"}', ...more], undefined, folder);
  const [refused, forced] = await Promise.all([send(), send("--no-check")]);
  assert.match(
    refused.stderr,
    /--payload: contract OrderShipped 1\.0: payload: must have required property 'at'; nothing was sent; --no-check sends it all the same/,
  );
  assert.deepEqual([refused.code, forced.code, account("orders").states.active], [2, 0, 1]);
});
