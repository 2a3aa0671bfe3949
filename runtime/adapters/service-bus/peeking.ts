/** Looks at the messages of an entity without locking them. */
import type { ServiceBusReceiver } from "@azure/service-bus";
import Long from "long";
import type { SeenMessage } from "../../ports/dead-letters.ts";
import { createClient, createReceiver, nameOf, type ServiceBusConnection, type ServiceBusEntity } from "./client.ts";
import { type DeliveryHome, ServiceBusDelivery } from "./delivery.ts";
import { transportErrorOf } from "./errors.ts";
import { answerTimeoutDefaultMs } from "./limits.ts";

export interface Peeking {
  peek(fromSequenceNumber: bigint, count: number): Promise<readonly SeenMessage[]>;
  stop(): Promise<void>;
}

const retriesMax = 3;
/** What was only seen is nobody's to settle. */
const nowhere: DeliveryHome = { settle: (_order, _delivery, answers, index) => answers.finish(index, "lock-lost") };

async function peek(receiver: ServiceBusReceiver, entity: ServiceBusEntity, from: bigint, count: number): Promise<readonly SeenMessage[]> {
  try {
    const messages = await receiver.peekMessages(count, { fromSequenceNumber: Long.fromString(from.toString()) });
    return messages.map((message) => ({
      delivery: new ServiceBusDelivery(message, nowhere, 0, 0),
      state: message.state,
      scheduledAtMs: message.scheduledEnqueueTimeUtc?.getTime(),
      deadLetterSource: message.deadLetterSource,
    }));
  } catch (error) {
    throw transportErrorOf(`to look into ${nameOf(entity)}`, error);
  }
}

export function openPeeking(connection: ServiceBusConnection, entity: ServiceBusEntity): Peeking {
  const client = createClient(connection, { retriesMax, answerTimeoutMs: answerTimeoutDefaultMs });
  const receiver = createReceiver(client, entity);
  return { peek: (from, count) => peek(receiver, entity, from, count), stop: () => client.close() };
}
