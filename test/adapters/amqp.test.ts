import { strict as assert } from "node:assert";
import { test } from "node:test";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { publisherContract } from "../contracts/publisher.ts";
import { sessionContract } from "../contracts/sessions.ts";
import { transportContract } from "../contracts/transport.ts";
import { disposition, FrameCounter } from "../support/amqp-frames.ts";
import { type Adapter, Inbox, numbered, startTransportBench } from "../support/transport-bench.ts";

const adapter: Adapter = {
  newTransport: (connectionString, entity) => createAmqpTransport({ connectionString, entity, clock: systemClock, answerTimeoutMs: 2_000 }),
  newPublisher: (connectionString) => createAmqpPublisher({ connectionString, clock: systemClock, answerTimeoutMs: 1_500 }),
};

transportContract("our own AMQP", (t) => startTransportBench(t, adapter));
publisherContract("our own AMQP", (t) => startTransportBench(t, adapter));
sessionContract("our own AMQP", (t) => startTransportBench(t, adapter));

test("completes a thousand messages in random order with a handful of frames", async (t) => {
  const frames = new FrameCounter();
  const bench = await startTransportBench(t, adapter, frames.look);
  await bench.send(numbered(1_000));
  const transport = await bench.startTransport();
  const inbox = new Inbox(transport);
  inbox.addCredit(1_000);
  const deliveries = await inbox.upTo(1_000);
  const before = frames.of(disposition);
  const shuffled = deliveries.toSorted((a, b) => Number((a.sequenceNumber * 7_919n) % 1_000n) - Number((b.sequenceNumber * 7_919n) % 1_000n));
  const results = await transport.settle(shuffled.map((delivery) => ({ verb: "complete", delivery })));
  assert.ok(results.every((result) => result === "settled"));
  assert.equal(bench.account("input").totals.completed, 1_000);
  assert.equal(frames.of(disposition) - before, 1);
});
