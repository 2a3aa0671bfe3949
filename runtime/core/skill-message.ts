import { originHeader } from "./copy.ts";
import type { Delivery, HeaderValue, IdValue } from "./delivery.ts";

/** What the message was that brought an event, as the broker delivered it. Times are by the broker's wall clock. */
export interface SkillMessage {
  readonly messageId: string;
  /** Unique in the entity, rising. A retry's copy has one of its own. */
  readonly sequenceNumber: bigint;
  /** When the broker accepted it, in milliseconds since 1970; of a scheduled message or a retry's copy, when it came up. */
  readonly enqueuedAtMs: number;
  /** 1 for the first delivery of this message; `context.attempt` counts executions of the run over all its messages. */
  readonly deliveryAttempt: number;
  readonly sessionId: string | undefined;
  readonly correlationId: IdValue | undefined;
  /** The queue or topic that its sender waits at for an answer; see `context.reply`. */
  readonly replyTo: string | undefined;
  readonly replyToSessionId: string | undefined;
  readonly subject: string | undefined;
  readonly contentType: string | undefined;
  /** Application properties with their types: whole numbers past 2^53 are bigints, times are Dates. Without those that begin with `holdfast-`, which are the worker's own. */
  readonly properties: Readonly<Record<string, HeaderValue>>;
}

const ownPattern = /^holdfast-/i;

export function skillMessageOf(delivery: Delivery): SkillMessage {
  const { sequenceNumber, enqueuedAtMs, attempt, subject, contentType } = delivery;
  const { sessionId, correlationId, replyTo, replyToSessionId } = delivery.particulars();
  // A copy has an id of its own; who waits for an answer knows that of the message that it sent.
  const messageId = String(delivery.header(originHeader) ?? delivery.messageId);
  const properties = Object.fromEntries(Object.entries(delivery.headers()).filter(([name]) => !ownPattern.test(name)));
  return {
    messageId,
    sequenceNumber,
    enqueuedAtMs,
    deliveryAttempt: attempt,
    sessionId,
    correlationId,
    replyTo,
    replyToSessionId,
    subject,
    contentType,
    properties,
  };
}
