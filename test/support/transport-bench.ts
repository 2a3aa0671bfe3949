// A broker of a test's own with entities to receive from, reached over a relay that can cut the connection.
import type { TestContext } from "node:test";
import { ServiceBusClient, type ServiceBusMessage, type ServiceBusReceivedMessage } from "@azure/service-bus";
import { startBroker } from "#load/broker/broker.ts";
import type { InspectedMessage, QueueInspection } from "#load/broker/inspection.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import type { TransportError } from "#runtime/core/errors.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import type { Receiver, Transport } from "#runtime/ports/transport.ts";
import { eventually } from "./eventually.ts";
import { startRelay } from "./relay.ts";
import { SkewedClock } from "./skewed-clock.ts";

export type Entity = ({ readonly queue: string } | { readonly topic: string; readonly subscription: string }) & { readonly subQueue?: "dead-letter" };

/** How an adapter is made on the bench. */
export interface Adapter {
  newTransport(connectionString: string, entity: Entity): Transport;
  newPublisher(connectionString: string): Publisher;
}

export const lockDurationMs = 60_000;
export const deliveryCountMax = 10;
const queues = [
  ...["input", "other"].map((name) => ({ name, lockDurationMs, deliveryCountMax })),
  { name: "sessions", requiresSession: true, lockDurationMs, deliveryCountMax },
  { name: "full", sizeMegabytesMax: 1 },
  { name: "disabled", status: "Disabled" },
];
const topics = [
  { name: "news", subscriptions: [{ name: "reader", lockDurationMs }] },
  { name: "in-order", subscriptions: [{ name: "reader", lockDurationMs, requiresSession: true }] },
];
const entities = { queues, topics };

export interface TransportBench {
  /** Stopped with the test. */
  startTransport(entity?: Entity): Promise<Transport>;
  newTransport(entity?: Entity): Transport;
  startPublisher(): Promise<Publisher>;
  /** Sends with the plain SDK, straight to the broker. */
  send(messages: readonly ServiceBusMessage[], entity?: string): Promise<void>;
  /** Takes up to `count` messages with the plain SDK; waits for them. */
  take(entity: string, count: number): Promise<readonly ServiceBusReceivedMessage[]>;
  account(path: string): QueueInspection;
  outcomes(path: string): ReadonlyMap<string, readonly string[]>;
  deadLetters(path: string): readonly { readonly messageId: string; readonly reason: string | null; readonly description: string | null }[];
  /** What the broker holds in an entity, first a hundred. */
  messages(path: string): readonly InspectedMessage[];
  /** Turns the broker's time on. */
  advance(ms: number): void;
  /** Breaks every connection of the adapter. */
  cut(): void;
  /** Lets every connection of the adapter go silent, without a word. */
  mute(): void;
  refuse(refused: boolean): void;
}

export async function startTransportBench(
  t: TestContext,
  adapter: Adapter,
  onClientBytes?: (bytes: Buffer, connection: number) => void,
): Promise<TransportBench> {
  const clock = new SkewedClock();
  const broker = await startBroker({ entities, record: true, clock });
  const relay = await startRelay(broker.port, onClientBytes);
  const connectionString = broker.connectionString.replace(`:${broker.port}`, `:${relay.port}`);
  const parts: { stop(): Promise<void> }[] = [];
  const client = new ServiceBusClient(broker.connectionString);
  t.after(async () => {
    await Promise.all(parts.map((part) => part.stop()));
    await client.close();
    await relay.stop();
    await broker.stop();
  });
  const newTransport = (entity: Entity = { queue: "input" }): Transport => {
    const transport = adapter.newTransport(connectionString, entity);
    parts.push(transport);
    return transport;
  };
  const senders = new Map<string, ReturnType<ServiceBusClient["createSender"]>>();
  return {
    newTransport,
    async startTransport(entity) {
      const transport = newTransport(entity);
      await transport.start();
      return transport;
    },
    async startPublisher() {
      const publisher = adapter.newPublisher(connectionString);
      parts.push(publisher);
      await publisher.start();
      return publisher;
    },
    async send(messages, entity = "input") {
      const sender = senders.get(entity) ?? client.createSender(entity);
      senders.set(entity, sender);
      for (let from = 0; from < messages.length; from += 1_000) await sender.sendMessages(messages.slice(from, from + 1_000));
    },
    async take(entity, count) {
      const receiver = client.createReceiver(entity, { skipParsingBodyAsJson: true, skipConvertingDate: true });
      const taken: ServiceBusReceivedMessage[] = [];
      while (taken.length < count) taken.push(...(await receiver.receiveMessages(count - taken.length)));
      return taken;
    },
    account(path) {
      const found = broker.inspect().queues[path];
      if (found === undefined) throw new Error(`expected the broker to have ${path}`);
      return found;
    },
    outcomes(path) {
      const found = broker.outcomes(path);
      if (found === undefined) throw new Error(`expected the broker to record ${path}`);
      return found;
    },
    deadLetters(path) {
      const page = broker.inspectMessages(`${path}/$DeadLetterQueue`, { top: 1_000 });
      return (page?.messages ?? []).map(({ messageId, deadLetterReason, deadLetterDescription }) => ({
        messageId,
        reason: deadLetterReason,
        description: deadLetterDescription,
      }));
    },
    messages: (path) => broker.inspectMessages(path)?.messages ?? [],
    advance: (ms) => clock.advance(ms),
    cut: () => relay.cut(),
    mute: () => relay.mute(),
    refuse: (refused) => relay.refuse(refused),
  };
}

/** Numbered messages, all alike but for their ids. */
export function numbered(count: number, prefix = "m"): ServiceBusMessage[] {
  return Array.from({ length: count }, (_, index) => ({ messageId: `${prefix}${index}`, body: Buffer.from(`body ${index}`) }));
}

/** A receiver whose deliveries are kept, and can be waited for. */
export class Inbox {
  readonly receiver: Receiver;
  readonly deliveries: Delivery[] = [];
  /** Sizes of the batches, as they came. */
  readonly batches: number[] = [];
  readonly disturbances: TransportError[] = [];
  granted = 0;
  /** Called with each batch. */
  onBatch: (batch: readonly Delivery[]) => void = () => {};

  constructor(transport: Transport) {
    this.receiver = transport.openReceiver({
      deliveries: (batch) => {
        this.deliveries.push(...batch);
        this.batches.push(batch.length);
        if (this.deliveries.length > this.granted)
          throw new Error(`expected at most ${this.granted} deliveries, the credit granted, found ${this.deliveries.length}`);
        this.onBatch(batch);
      },
      disturbed: (error) => this.disturbances.push(error),
    });
  }

  addCredit(count: number): void {
    this.granted += count;
    this.receiver.addCredit(count);
  }

  /** Waits until this many have come in all; returns them. */
  async upTo(count: number, deadlineMs = 20_000): Promise<readonly Delivery[]> {
    await eventually(`${count} deliveries`, () => this.deliveries.length >= count, deadlineMs);
    return this.deliveries;
  }

  /** Waits for the delivery at `index`. */
  async at(index: number, deadlineMs?: number): Promise<Delivery> {
    const delivery = (await this.upTo(index + 1, deadlineMs))[index];
    if (delivery === undefined) throw new Error(`expected a delivery at ${index}`);
    return delivery;
  }
}
