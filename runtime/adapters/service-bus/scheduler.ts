import type { ServiceBusSender } from "@azure/service-bus";
import Long from "long";
import { TransportError } from "../../core/errors.ts";
import type { Scheduler } from "../../ports/scheduler.ts";
import { type ServiceBusConnection, createClient } from "./client.ts";
import { transportErrorOf } from "./errors.ts";
import { sendRetriesMax, sendTimeoutDefaultMs } from "./limits.ts";
import { sdkMessageOf } from "./outgoing.ts";

/** A scheduler on the official SDK. An entity is connected with the first request about it. */
export function createServiceBusScheduler(connection: ServiceBusConnection): Scheduler {
  const client = createClient(connection, { answerTimeoutMs: sendTimeoutDefaultMs, retriesMax: sendRetriesMax });
  const senders = new Map<string, ServiceBusSender>();
  const asked = async <Answer>(entity: string, what: string, ask: (sender: ServiceBusSender) => Promise<Answer>): Promise<Answer> => {
    try {
      const sender = senders.get(entity) ?? client.createSender(entity);
      senders.set(entity, sender);
      return await ask(sender);
    } catch (error) {
      throw error instanceof TransportError ? error : transportErrorOf(`${what} ${entity}`, error);
    }
  };
  return {
    schedule: (entity, messages) =>
      asked(entity, "to schedule messages to", async (sender) => {
        const numbers: bigint[] = [];
        // Each message has a time of its own, and a request of the client has one for all.
        for (const message of messages) {
          const [number] = await sender.scheduleMessages([sdkMessageOf(message)], new Date(message.scheduledAtMs ?? 0));
          if (number === undefined) throw new TransportError(`expected the sequence number of a message scheduled to ${entity}, found none`);
          numbers.push(BigInt(number.toString()));
        }
        return numbers;
      }),
    cancel: (entity, sequenceNumbers) =>
      asked(entity, "to cancel messages scheduled to", async (sender) =>
        sender.cancelScheduledMessages(sequenceNumbers.map((number) => Long.fromString(String(number)))),
      ),
    stop: () => client.close(),
  };
}
