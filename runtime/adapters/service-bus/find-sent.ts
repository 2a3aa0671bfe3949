/** Finds messages that were just sent: the broker's answer to a send holds no sequence numbers, but who looks into the queue sees them. */
import { type ServiceBusConnection, createClient } from "./client.ts";
import { answerTimeoutMinMs } from "./limits.ts";

/** A queue is looked through from its head, this far at most. */
const messagesMax = 1_000;
const pageSize = 250;
const answerTimeoutMs = Math.max(answerTimeoutMinMs, 3_000);

/**
 * The sequence numbers of the messages with these ids that still lie in the queue, by id. Empty when none is seen: all were taken
 * already, they lie further back, it is a topic, or the key may not look.
 */
export async function findSequenceNumbers(
  connection: ServiceBusConnection,
  queue: string,
  messageIds: ReadonlySet<string>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const client = createClient(connection, { retriesMax: 0, answerTimeoutMs });
  const found = new Map<string, string[]>();
  try {
    const receiver = client.createReceiver(queue, { skipParsingBodyAsJson: true });
    for (let seen = 0; seen < messagesMax;) {
      const page = await receiver.peekMessages(pageSize, { abortSignal: AbortSignal.timeout(answerTimeoutMs) });
      for (const { messageId, sequenceNumber } of page) {
        if (typeof messageId !== "string" || !messageIds.has(messageId) || sequenceNumber === undefined) continue;
        const known = found.get(messageId);
        if (known === undefined) found.set(messageId, [sequenceNumber.toString()]);
        else known.push(sequenceNumber.toString());
      }
      if (page.length === 0) break;
      seen += page.length;
    }
  } catch {
    // What cannot be looked at is not known.
  } finally {
    await client.close();
  }
  return found;
}
