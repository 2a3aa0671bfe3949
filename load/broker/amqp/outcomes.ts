// Between the engine's delivery states and the protocol layer's outcomes and answers.
import { accepted, type DeliveryState, rejected } from "#runtime/amqp/message/delivery-state.ts";
import { MapView } from "#runtime/amqp/codec/views.ts";
import { encodedEntries } from "../codec/encoded.ts";
import type { Answer, EncodedFields, Outcome, WireError } from "../protocol/wire.ts";

const acceptedOutcome: Outcome = { kind: "accepted" };
export const releasedOutcome: Outcome = { kind: "released" };

/** The outcome in a delivery state. A client that settles without an outcome lets the message go. */
export function outcomeOf(state: DeliveryState | undefined): Outcome {
  switch (state?.kind) {
    case "accepted":
      return acceptedOutcome;
    case "modified":
      return { kind: "modified", undeliverableHere: state.undeliverableHere, annotations: encodedFields(state.messageAnnotations) };
    case "rejected": {
      const info = state.error?.info;
      return { kind: "rejected", info: info instanceof MapView ? encodedFields(info) : undefined };
    }
    default:
      return releasedOutcome;
  }
}

/** The entries of a map, copied: they may be kept for as long as the message is. */
function encodedFields(map: MapView | undefined): EncodedFields | undefined {
  return map === undefined || map.size === 0 ? undefined : encodedEntries(map);
}

/** Makes of an error what the client of a link gets. */
export type Tell = (error: WireError) => WireError;

/** The state that tells an answer that is there; undefined for none. */
export function stateOf(answer: Exclude<Answer, { kind: "later" }>, tell: Tell): DeliveryState | undefined {
  switch (answer.kind) {
    case "accepted":
      return accepted;
    case "silent":
      return undefined;
    case "rejected":
      return rejected(tell(answer.error));
  }
}
