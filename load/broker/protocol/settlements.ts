// Settlements between the wire's words and the entities'.
import { format } from "#runtime/amqp/codec/formats.ts";
import type { SettleResult, Settlement } from "../entities/settlement.ts";
import { lockLost } from "./refusals.ts";
import { accepted, type Answer, type EncodedFields, rejected } from "./wire.ts";

const lost: Answer = { kind: "rejected", error: lockLost };
const notAllowed = rejected("amqp:not-allowed", "A message in a dead-letter sub-queue cannot be dead-lettered again; complete or abandon it.");

export function answerOf(result: SettleResult): Answer {
  switch (result) {
    case "settled":
      return accepted;
    case "lockLost":
      return lost;
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
