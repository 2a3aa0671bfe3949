// Makes the answer to the message that a run's event came by.
import { isEventType } from "../../core/event-envelope.ts";
import type { OutgoingMessage } from "../../core/delivery.ts";
import type { SkillMessage } from "../../core/skill-message.ts";
import type { EmitOptions, ReplyOptions } from "../author/context.ts";
import { refuse } from "../author/check-options.ts";
import { PermanentError } from "../author/errors.ts";
import { entityCharactersMax } from "./emit-options.ts";

export const defaultReplyType = (eventType: string): string => `${eventType}.reply`;

/** Where the answer goes, and with what. Throws `PermanentError` for a message that does not say where. */
export function addressOf({ replyTo, replyToSessionId, correlationId, messageId }: SkillMessage): Partial<OutgoingMessage> {
  if (replyTo === undefined || replyTo === "")
    throw new PermanentError(
      "reply: expected a message that names in reply-to where its answer is to go, got one that names nothing; look at (await context.message()).replyTo first, or emit an event",
      { code: "REPLY_UNADDRESSED" },
    );
  if (replyTo.length > entityCharactersMax || !/^[A-Za-z0-9][\w\-./]*$/.test(replyTo))
    throw new PermanentError(
      `reply: expected a reply-to that is the name of a queue or topic of this namespace, got '${replyTo.slice(0, 100)}'; have its sender name the entity alone`,
      { code: "REPLY_UNADDRESSED" },
    );
  // Who has no id of the exchange waits for an answer to this message.
  return { entity: replyTo, correlationId: correlationId ?? messageId, ...(replyToSessionId === undefined ? {} : { sessionId: replyToSessionId }) };
}

/** What a reply's options say of the event that it is. */
export function emissionOf(eventType: string, options: ReplyOptions = {}): { readonly eventType: string; readonly options: EmitOptions } {
  const { eventType: given = defaultReplyType(eventType), ...rest } = options;
  if (!isEventType(given)) refuse("reply.eventType", "1 to 128 characters of A-Z a-z 0-9 . _ ~ : / -", given);
  for (const name of ["entity", "sessionId", "delayMs", "at"])
    if (name in rest)
      refuse("reply", "only the options eventType, version, artifactUri, timeToLiveMs and properties, for the message says where its answer goes", name);
  return { eventType: given, options: rest };
}

export function replyNotAwaited(): PermanentError {
  return new PermanentError("expected the skill to wait for its reply, it went on before; write await before context.reply", { code: "REPLY_NOT_AWAITED" });
}
