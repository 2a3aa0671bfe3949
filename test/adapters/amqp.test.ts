import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { publisherContract } from "../contracts/publisher.ts";
import { transportContract } from "../contracts/transport.ts";
import { type Adapter, startTransportBench } from "../support/transport-bench.ts";

const adapter: Adapter = {
  newTransport: (connectionString, entity) => createAmqpTransport({ connectionString, entity, clock: systemClock, answerTimeoutMs: 2_000 }),
  newPublisher: (connectionString) => createAmqpPublisher({ connectionString, clock: systemClock, answerTimeoutMs: 500 }),
};

transportContract("our own AMQP", (t) => startTransportBench(t, adapter));
publisherContract("our own AMQP", (t) => startTransportBench(t, adapter));
