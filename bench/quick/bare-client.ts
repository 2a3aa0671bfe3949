/** The least a worker can do with the SDK: receive a batch, complete all of it in order, receive the next. */
import { ServiceBusClient } from "@azure/service-bus";

const [, , connectionString = "", queue = ""] = process.argv;
const batchMax = 500;
const waitMs = 1_000;

const client = new ServiceBusClient(connectionString);
const receiver = client.createReceiver(queue, {
  receiveMode: "peekLock",
  maxAutoLockRenewalDurationInMs: 0,
  skipParsingBodyAsJson: true,
  skipConvertingDate: true,
});
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
process.send?.({ type: "ready" });
while (!stop.signal.aborted) {
  const messages = await receiver.receiveMessages(batchMax, { maxWaitTimeInMs: waitMs });
  await Promise.all(messages.map((message) => receiver.completeMessage(message)));
}
await client.close();
process.disconnect?.();
