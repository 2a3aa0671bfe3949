/** How a delivery ends that cannot go on: what is decided, and what is said of it. */
import type { Verdict } from "../core/compensation.ts";
import type { TransportError } from "../core/errors.ts";
import { expiredReason, type GivenUp } from "./deaths.ts";
import type { Failure } from "./setbacks.ts";

export interface PublishFailure {
  readonly eventType: string;
  readonly entity: string;
  readonly error: TransportError;
}

/** A message whose time-to-live ends before its next attempt. */
export interface TooLate {
  /** What it would be retried for. */
  readonly why: string;
  readonly description: string;
}

export function expired({ why, description }: TooLate): Extract<Failure, { kind: "dead-letter" }> {
  return { kind: "dead-letter", state: "dead", reason: expiredReason, description, cause: { class: "expired", code: expiredReason, message: why } };
}

/** It is given up for the reason that its run failed with; the description also says why its message could not wait. */
export function handedOver({ reason, description, cause }: Verdict, late: TooLate): Extract<Failure, { kind: "hand-over" }> {
  const text = `${description}; its compensations go on in the recovery queue: ${late.description}`;
  return { kind: "hand-over", reason, description: text, ...(cause === undefined ? {} : { cause }) };
}

/** The run is done: it is its events that cannot be published. */
export function unpublished(reason: string, description: string): GivenUp {
  return { reason, description, cause: { class: "permanent", code: reason, message: description } };
}

export function publishFailedText({ eventType, entity, error }: PublishFailure, count: number, of: number): string {
  const which = count === 1 ? `'${eventType}' to '${entity}'` : `'${eventType}' to '${entity}' and ${count - 1} more`;
  return `expected the ${of} emitted events to be published, found that ${which} cannot be: ${error.message}. Then send this message again: its run is done and is not repeated, its events wait in the run's record`;
}
