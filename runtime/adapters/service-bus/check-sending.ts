/** Whether messages could be sent to an entity: a sender is opened, and closed again. */
import type { SendingCheck } from "../../ports/broker-facts.ts";
import { type ServiceBusConnection, createClient } from "./client.ts";
import { isRefusal, transportErrorOf } from "./errors.ts";
import { answerTimeoutDefaultMs } from "./limits.ts";

export async function checkCanSend(connection: ServiceBusConnection, entity: string): Promise<SendingCheck> {
  const client = createClient(connection, { retriesMax: 0, answerTimeoutMs: answerTimeoutDefaultMs });
  try {
    await client.createSender(entity).createMessageBatch();
    return { kind: "possible" };
  } catch (thrown) {
    const error = transportErrorOf(`'${entity}' to exist and to take messages`, thrown);
    return { kind: isRefusal(error) ? "refused" : "unanswered", error };
  } finally {
    await client.close();
  }
}
