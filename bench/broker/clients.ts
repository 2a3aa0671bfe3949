/** Who sends and receives, in batches. */
import { ServiceBusClient } from "@azure/service-bus";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";

export const batchMessages = 256;
const bodyBytes = 256;
const body = Buffer.alloc(bodyBytes, "x");

export interface Client {
  readonly name: string;
  send(count: number): Promise<void>;
  /** Receives and completes. */
  receive(count: number): Promise<void>;
  stop(): Promise<void>;
}

export function sdkClient(connectionString: string, queue: string): Client {
  const client = new ServiceBusClient(connectionString);
  const sender = client.createSender(queue);
  const receiver = client.createReceiver(queue, { skipParsingBodyAsJson: true, skipConvertingDate: true, maxAutoLockRenewalDurationInMs: 0 });
  return {
    name: "sdk",
    async send(count) {
      for (let sent = 0; sent < count; sent += batchMessages) {
        const batch = await sender.createMessageBatch();
        for (let index = 0; index < batchMessages; index += 1) batch.tryAddMessage({ body, messageId: `message-${sent + index}` });
        await sender.sendMessages(batch);
      }
    },
    async receive(count) {
      for (let received = 0; received < count;) {
        const messages = await receiver.receiveMessages(batchMessages);
        await Promise.all(messages.map((message) => receiver.completeMessage(message)));
        received += messages.length;
      }
    },
    stop: () => client.close(),
  };
}

export async function amqpClient(connectionString: string, queue: string): Promise<Client> {
  const transport = createAmqpTransport({ connectionString, entity: { queue }, clock: systemClock });
  const publisher = createAmqpPublisher({ connectionString, clock: systemClock });
  await Promise.all([transport.start(), publisher.start()]);
  return {
    name: "amqp",
    async send(count) {
      for (let sent = 0; sent < count; sent += batchMessages) {
        await publisher.send(
          queue,
          Array.from({ length: batchMessages }, (_, index) => ({ messageId: `message-${sent + index}`, body, headers: {} })),
        );
      }
    },
    async receive(count) {
      const { promise: done, resolve, reject } = Promise.withResolvers<void>();
      let completed = 0;
      const receiver = transport.openReceiver({
        deliveries(batch) {
          transport.settle(batch.map((delivery) => ({ verb: "complete", delivery }))).then((results) => {
            completed += results.length;
            if (completed === count) resolve();
            else receiver.addCredit(results.length);
          }, reject);
        },
        disturbed: reject,
      });
      receiver.addCredit(batchMessages);
      await done;
      await receiver.stop();
    },
    async stop() {
      await Promise.all([transport.stop(), publisher.stop()]);
    },
  };
}

/** Sends one message at a time to a handler that waits for it; the times from send to handler, in milliseconds. */
export async function pingTimes(connectionString: string, queue: string, count: number): Promise<number[]> {
  const client = new ServiceBusClient(connectionString);
  const sender = client.createSender(queue);
  const receiver = client.createReceiver(queue, { maxAutoLockRenewalDurationInMs: 0 });
  let arrived = Promise.withResolvers<void>();
  receiver.subscribe({
    processMessage: () => Promise.resolve(arrived.resolve()),
    processError: ({ error }) => Promise.resolve(arrived.reject(error)),
  });
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    arrived = Promise.withResolvers();
    const startMs = performance.now();
    await Promise.all([sender.sendMessages({ body: "ping" }), arrived.promise.then(() => times.push(performance.now() - startMs))]);
  }
  await client.close();
  return times;
}
