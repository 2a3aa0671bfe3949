/** `subscribe`, as the SDK's documentation shows it, with a mark in Redis against duplicates. */
import { ServiceBusClient } from "@azure/service-bus";
import { connectRedis, envelopeOf, handle, markOf, type PeerOptions, retentionS, type Running, Unreadable } from "./peer.ts";

export async function startSubscribed(options: PeerOptions, callsMax: number | undefined): Promise<Running> {
  const redis = connectRedis(options);
  const client = new ServiceBusClient(options.connectionString);
  const receiver = client.createReceiver(options.queue);
  const subscription = receiver.subscribe(
    {
      async processMessage(message) {
        try {
          const envelope = envelopeOf(message.body);
          const mark = markOf(options, envelope.eventId);
          if ((await redis.set(mark, "1", "EX", retentionS, "NX")) === null) return;
          try {
            await handle(envelope, (message.deliveryCount ?? 0) + 1, redis, options);
          } catch (error) {
            // Thrown on, it is abandoned, and is to be tried again.
            await redis.del(mark);
            throw error;
          }
        } catch (error) {
          if (!(error instanceof Unreadable)) throw error;
          await receiver.deadLetterMessage(message, { deadLetterReason: error.name, deadLetterErrorDescription: error.message });
        }
      },
      processError: () => Promise.resolve(),
    },
    callsMax === undefined ? {} : { maxConcurrentCalls: callsMax },
  );
  return {
    async stop() {
      await subscription.close();
      await client.close();
      redis.disconnect();
    },
  };
}
