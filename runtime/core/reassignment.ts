/** The copy of a dead-lettered message that goes to a queue of other workers, or of people. */
import { triesHeaders, livingHeaders, originHeader } from "./copy.ts";
import type { Delivery, OutgoingMessage } from "./delivery.ts";
import { unguessableId } from "./message-ids.ts";
import { replayHeader } from "./replay-order.ts";

/** Where it comes from, and why it is there. What has one was reassigned once, and is not again: else two pools could pass an event to and fro for ever. */
export const reassignedFromHeader = "holdfast-reassigned-from";
const ruleHeader = "holdfast-reassigned-by";
const reasonHeader = "holdfast-reassigned-reason";
const codeHeader = "holdfast-reassigned-code";

export interface Reassignment {
  readonly queue: string;
  /** Of the workers that gave it up. */
  readonly consumer: string;
  readonly rule: string;
  readonly reason: string;
  readonly code: string;
}

export function wasReassigned(delivery: Pick<Delivery, "header">): boolean {
  return delivery.header(reassignedFromHeader) !== undefined;
}

/** Made once more of the same message, it has the same id. It lives as long as its queue lets it. */
export function reassigned(secret: string, delivery: Delivery, { queue, consumer, rule, reason, code }: Reassignment): OutgoingMessage {
  const headers = livingHeaders(delivery);
  for (const name of [...triesHeaders, replayHeader]) delete headers[name];
  const earlier = delivery.header(originHeader);
  const origin = typeof earlier === "string" ? earlier : delivery.messageId;
  return {
    ...delivery.particulars(),
    messageId: unguessableId(secret, origin, "reassigned", queue, delivery.messageId, delivery.sequenceNumber),
    body: delivery.body,
    contentType: delivery.contentType,
    subject: delivery.subject,
    headers: { ...headers, [reassignedFromHeader]: consumer, [ruleHeader]: rule, [reasonHeader]: reason, [codeHeader]: code },
  };
}
