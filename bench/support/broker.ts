/** The local broker as a bench sees it: a child process whose CPU and memory are known. */
import { fileURLToPath } from "node:url";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { BrokerOptions } from "#load/broker/broker.ts";
import type { BrokerCalls } from "./broker-process.ts";
import { Peer } from "./peer.ts";

export interface BenchBroker {
  readonly connectionString: string;
  readonly peer: Peer<BrokerCalls>;
}

const script = fileURLToPath(import.meta.resolve("./broker-process.ts"));
/** Longer than any turn takes, so that no lock ends in one. */
const longLockMs = 300_000;

export interface BenchBrokerOptions extends BrokerOptions {
  readonly messageBytesMax?: number;
  /** Default: longer than a turn. */
  readonly lockDurationMs?: number;
}

export async function startBenchBroker(
  queues: readonly string[],
  { messageBytesMax, lockDurationMs = longLockMs, ...options }: BenchBrokerOptions = {},
): Promise<BenchBroker> {
  const settings = { lockDurationMs, deliveryCountMax: 100, ...(messageBytesMax === undefined ? undefined : { messageBytesMax }) };
  const entities = { queues: queues.map((name) => ({ name, ...settings })), topics: [] };
  const peer = await Peer.start<BrokerCalls>(script, JSON.stringify({ entities, ...options }));
  return { connectionString: await peer.call("connectionString"), peer };
}

const sliceMessages = 5_000;

/** Sends `count` messages made by `make`, slice by slice, so that few of them are in this process at a time. */
export async function fill({ connectionString }: BenchBroker, queue: string, count: number, make: (index: number) => OutgoingMessage): Promise<void> {
  const publisher = createAmqpPublisher({ connectionString, clock: systemClock });
  await publisher.start();
  for (let sent = 0; sent < count; sent += sliceMessages) {
    const from = sent;
    await publisher.send(
      queue,
      Array.from({ length: Math.min(sliceMessages, count - sent) }, (_, index) => make(from + index)),
    );
  }
  await publisher.stop();
}
