/** A loop around `receiveMessages`: the marks of a batch in one pipeline, its handlers at once, then each settled. */
import { ServiceBusClient, type ServiceBusReceivedMessage, type ServiceBusReceiver } from "@azure/service-bus";
import type { Redis } from "ioredis";
import { connectRedis, type Envelope, envelopeOf, handle, markOf, type PeerOptions, retentionS, type Running } from "./peer.ts";

const batchMax = 500;
const waitMs = 1_000;

export async function startReceiving(options: PeerOptions): Promise<Running> {
  const redis = connectRedis(options);
  const client = new ServiceBusClient(options.connectionString);
  const receiver = client.createReceiver(options.queue, { skipParsingBodyAsJson: true, skipConvertingDate: true, maxAutoLockRenewalDurationInMs: 0 });
  const stop = new AbortController();
  const work = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        const messages = await receiver.receiveMessages(batchMax, { maxWaitTimeInMs: waitMs });
        if (messages.length > 0) await workOff(messages, receiver, redis, options);
      } catch {
        // A disturbed receiver is asked once more; what it held is delivered again.
      }
    }
  };
  const working = work();
  return {
    async stop() {
      stop.abort();
      await working;
      await client.close();
      redis.disconnect();
    },
  };
}

async function workOff(messages: readonly ServiceBusReceivedMessage[], receiver: ServiceBusReceiver, redis: Redis, options: PeerOptions): Promise<void> {
  const readable: { readonly message: ServiceBusReceivedMessage; readonly envelope: Envelope }[] = [];
  const settling: Promise<void>[] = [];
  for (const message of messages) {
    try {
      readable.push({ message, envelope: envelopeOf(message.body) });
    } catch (error) {
      settling.push(receiver.deadLetterMessage(message, { deadLetterReason: "Unreadable", deadLetterErrorDescription: String(error) }));
    }
  }
  const pipeline = redis.pipeline();
  for (const { envelope } of readable) pipeline.set(markOf(options, envelope.eventId), "1", "EX", retentionS, "NX");
  const marks = (await pipeline.exec()) ?? [];
  const works = readable.map(async ({ message, envelope }, index) => {
    if (marks[index]?.[1] === "OK") {
      try {
        await handle(envelope, (message.deliveryCount ?? 0) + 1, redis, options);
      } catch {
        await redis.del(markOf(options, envelope.eventId));
        return receiver.abandonMessage(message);
      }
    }
    return receiver.completeMessage(message);
  });
  await Promise.allSettled([...settling, ...works]);
}
