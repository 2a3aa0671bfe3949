/** The SDK by itself, with parsing, date conversion and lock renewal off: what its documentation has, as fast as it goes. */
import { ServiceBusClient, type ServiceBusReceiverOptions } from "@azure/service-bus";
import type { Source } from "./source.ts";

const options: ServiceBusReceiverOptions = {
  receiveMode: "peekLock",
  skipParsingBodyAsJson: true,
  skipConvertingDate: true,
  maxAutoLockRenewalDurationInMs: 0,
};
const batchMax = 500;
const callsMax = 200;

export async function receiveBatches({ connectionString, queue, messages }: Source): Promise<number> {
  const client = new ServiceBusClient(connectionString);
  const receiver = client.createReceiver(queue, options);
  for (let received = 0; received < messages;) {
    const batch = await receiver.receiveMessages(Math.min(batchMax, messages - received));
    received += batch.length;
    await Promise.all(batch.map((message) => receiver.completeMessage(message)));
  }
  const doneMs = performance.now();
  await client.close();
  return doneMs;
}

export async function receiveSubscribed({ connectionString, queue, messages }: Source): Promise<number> {
  const client = new ServiceBusClient(connectionString);
  const receiver = client.createReceiver(queue, options);
  const { promise: done, resolve, reject } = Promise.withResolvers<void>();
  let completed = 0;
  receiver.subscribe(
    {
      async processMessage(message) {
        await receiver.completeMessage(message);
        completed += 1;
        if (completed === messages) resolve();
      },
      processError: ({ error }) => Promise.resolve(reject(error)),
    },
    { autoCompleteMessages: false, maxConcurrentCalls: callsMax },
  );
  await done;
  const doneMs = performance.now();
  await client.close();
  return doneMs;
}
