import { strict as assert } from "node:assert";
import { test } from "node:test";
import { inspect } from "node:util";
import { createServiceBusPublisher } from "#runtime/adapters/service-bus/publisher.ts";
import { createServiceBusTransport } from "#runtime/adapters/service-bus/transport.ts";
import { ConfigurationError } from "#runtime/core/errors.ts";
import { publisherContract } from "../contracts/publisher.ts";
import { sessionContract } from "../contracts/sessions.ts";
import { transportContract } from "../contracts/transport.ts";
import { attach, FrameCounter } from "../support/amqp-frames.ts";
import { eventually } from "../support/eventually.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { type Adapter, Inbox, numbered, startTransportBench } from "../support/transport-bench.ts";

const adapter: Adapter = {
  newTransport: (connectionString, entity) => createServiceBusTransport({ connectionString, entity, clock: systemClock, answerTimeoutMs: 2_000 }),
  newPublisher: (connectionString) => createServiceBusPublisher({ connectionString, clock: systemClock, answerTimeoutMs: 1_500 }),
};

transportContract("the SDK", (t) => startTransportBench(t, adapter));
publisherContract("the SDK", (t) => startTransportBench(t, adapter));
sessionContract("the SDK", (t) => startTransportBench(t, adapter));

test("replaces a link long before the client's count of deliveries overflows", async (t) => {
  const frames = new FrameCounter();
  const recycling: Adapter = {
    ...adapter,
    newTransport: (connectionString, entity) => createServiceBusTransport({ connectionString, entity, clock: systemClock, deliveriesPerLinkMax: 400 }),
  };
  const bench = await startTransportBench(t, recycling, frames.look);
  await bench.send(numbered(3_000));
  const transport = await bench.startTransport();
  const before = frames.of(attach);
  const inbox = new Inbox(transport);
  inbox.onBatch = (batch) => {
    void transport.settle(batch.map((delivery) => ({ verb: "complete", delivery }))).then(() => inbox.addCredit(batch.length));
  };
  inbox.addCredit(100);
  await eventually("all to be completed", () => bench.account("input").totals.completed === 3_000);
  assert.equal(bench.account("input").totals.delivered, 3_000);
  assert.ok(frames.of(attach) - before >= 6, `expected a new link for each 400 to 500 of 3 000 messages, found ${frames.of(attach) - before} links`);
  await eventually("the old links to be closed", () => bench.account("input").receivers <= 1);
});

test("refuses impossible options, and keeps keys out of its messages", async () => {
  const entity = { queue: "input" };
  for (const creditMax of [0, 501, 1.5])
    assert.throws(() => createServiceBusTransport({ connectionString: "", entity, clock: systemClock, creditMax }), /creditMax.* 1 to 500, got/);
  assert.throws(() => createServiceBusPublisher({ connectionString: "", clock: systemClock, answerTimeoutMs: 0 }), /answerTimeoutMs of at least 100, got 0/);
  const connectionString = "SharedAccessKeyName=root;SharedAccessKey=topsecret";
  await assert.rejects(createServiceBusTransport({ connectionString, entity, clock: systemClock }).start(), (error) => {
    assert.ok(error instanceof ConfigurationError);
    assert.doesNotMatch(inspect(error), /topsecret/);
    return true;
  });
});

test("says so when the connection string is for another entity", async (t) => {
  const elsewhere: Adapter = {
    newTransport: (connectionString, entity) => adapter.newTransport(`${connectionString};EntityPath=other`, entity),
    newPublisher: (connectionString) => adapter.newPublisher(`${connectionString};EntityPath=other`),
  };
  const bench = await startTransportBench(t, elsewhere);
  await assert.rejects(bench.newTransport().start(), /^TransportError: expected to reach the entity input of .*, found .*EntityPath/);
  const publisher = await bench.startPublisher();
  await assert.rejects(
    publisher.send("input", [{ messageId: "m", body: Buffer.alloc(1), headers: {} }]),
    /^TransportError: expected to send to input, found .*EntityPath/,
  );
});
