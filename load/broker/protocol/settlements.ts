// Settlements between the wire's words and the entities'.
import { format } from "#runtime/amqp/formats.ts";
import type { SettleResult, Settlement } from "../entities/settlement.ts";
import { accepted, type Answer, type EncodedFields, rejected } from "./wire.ts";

export const lockLostText =
  "The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue, or was received by a different receiver instance.";

export const sessionLockLostText = "The session lock has expired on the session, or was never held. Accept a new session.";

const lockLost = rejected("com.microsoft:message-lock-lost", lockLostText);
const notAllowed = rejected("amqp:not-allowed", "A message in a dead-letter sub-queue cannot be dead-lettered again; complete or abandon it.");

export function answerOf(result: SettleResult): Answer {
  switch (result) {
    case "settled":
      return accepted;
    case "lockLost":
      return lockLost;
    case "notAllowed":
      return notAllowed;
  }
}

/** A rejection's info holds the reason, the description, and properties to change. One that is no text stays what it is; null says none. */
export function deadLetterSettlement(info: EncodedFields | undefined): Settlement {
  const properties = new Map(info);
  for (const name of ["DeadLetterReason", "DeadLetterErrorDescription"]) {
    if (properties.get(name)?.[0] === format.null) properties.delete(name);
  }
  return { kind: "deadLetter", properties };
}
