/**
 * What is done to messages by their sequence numbers, over the entity's management node: scheduling them, cancelling that, and
 * receiving what was deferred, which no link brings.
 */
import { MessageView } from "../../amqp/message/message.ts";
import { array, long, uint } from "../../amqp/codec/types.ts";
import type { Encodable, Plain } from "../../amqp/codec/types.ts";
import type { OutgoingMessage } from "../../core/delivery.ts";
import { TransportError } from "../../core/errors.ts";
import { AmqpDelivery } from "./delivery.ts";
import type { DeliveryHome } from "./delivery.ts";
import { numbersPerRequestMax } from "./limits.ts";
import { replyError } from "./management.ts";
import type { Management } from "./management.ts";
import { aloneOf, encodeOutgoing } from "./outgoing.ts";
import type { Reply } from "./request-link.ts";

/** Receiver settle mode "second": under a lock. */
const peekLock = 1;

/**
 * Schedules messages, each of which names its time, all or none; returns their sequence numbers in order. Rejects with
 * `TransportError`.
 */
export async function scheduleMessages(management: Management, messages: readonly OutgoingMessage[]): Promise<readonly bigint[]> {
  refuseTooMany("to schedule", messages.length);
  const entries = messages.map((message): Encodable => ({ "message-id": message.messageId, message: aloneOf(encodeOutgoing(message)) }));
  const reply = await ask(management, "schedule-message", { messages: entries });
  const numbers = reply.body?.get("sequence-numbers");
  if (!Array.isArray(numbers) || numbers.length !== messages.length)
    throw new TransportError(
      `expected the sequence numbers of ${messages.length} scheduled messages, found ${Array.isArray(numbers) ? numbers.length : "none"}; they may have been scheduled`,
    );
  return numbers.map((number: Plain) => (typeof number === "number" || typeof number === "bigint" ? BigInt(number) : 0n));
}

/** Takes back what was scheduled and has not come up yet. Rejects with `TransportError`, when none of them was taken back. */
export async function cancelScheduled(management: Management, sequenceNumbers: readonly bigint[]): Promise<void> {
  refuseTooMany("to cancel", sequenceNumbers.length);
  await ask(management, "cancel-scheduled-message", { "sequence-numbers": array("long", sequenceNumbers.map(long)) });
}

/** Receives deferred messages under locks of their own; rejects with `TransportError`, when none of them was locked. */
export async function receiveDeferred(management: Management, sequenceNumbers: readonly bigint[]): Promise<readonly AmqpDelivery[]> {
  refuseTooMany("to receive", sequenceNumbers.length);
  const reply = await ask(management, "receive-by-sequence-number", {
    "sequence-numbers": array("long", sequenceNumbers.map(long)),
    "receiver-settle-mode": uint(peekLock),
  });
  const messages = reply.body?.get("messages");
  if (!Array.isArray(messages)) return [];
  const home: DeliveryHome = {
    settle: (delivery, order) => void management.settle(delivery, order).then((result) => delivery.group?.finish(delivery.index, result)),
  };
  return messages.flatMap((entry: Plain) => {
    if (!(entry instanceof Map)) return [];
    const fields: ReadonlyMap<Plain, Plain> = entry;
    const [bytes, token] = [fields.get("message"), fields.get("lock-token")];
    if (!Buffer.isBuffer(bytes) || typeof token !== "string") return [];
    return [new AmqpDelivery({ message: new MessageView(bytes), tag: tagOf(token), settled: false, settle: () => false }, home)];
  });
}

async function ask(management: Management, operation: string, fields: { readonly [key: string]: Encodable }): Promise<Reply> {
  const reply = await management.ask(operation, fields);
  if (reply.code < 200 || reply.code > 299) throw replyError(`${operation} to be carried out`, reply);
  return reply;
}

function refuseTooMany(expected: string, count: number): void {
  if (count > numbersPerRequestMax)
    throw new TransportError(`expected at most ${numbersPerRequestMax} messages ${expected} in one request, found ${count}; make several`);
}

/** A lock token is the delivery tag's GUID in the network's byte order; see `AmqpDelivery.lockToken`. */
function tagOf(token: string): Buffer {
  const tag = Buffer.from(token.replaceAll("-", ""), "hex");
  tag.subarray(0, 4).reverse();
  tag.subarray(4, 6).reverse();
  tag.subarray(6, 8).reverse();
  return tag;
}
