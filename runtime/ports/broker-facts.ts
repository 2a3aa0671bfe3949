/** What the broker tells of an entity, for checks at start and for the doctor. */
import type { TransportError } from "../core/errors.ts";

export interface EntitySettings {
  readonly lockDurationMs: number;
  readonly deliveriesMax: number;
  readonly deadLettersOnExpiry: boolean;
  /** Infinity when messages never expire. */
  readonly timeToLiveMs: number;
  readonly requiresSession: boolean;
  /** `Active`, `Disabled`, `SendDisabled`, `ReceiveDisabled`, or what else the service may say. */
  readonly status: string;
  /** Where its messages move on to by themselves; undefined when they stay. */
  readonly forwardTo: string | undefined;
  /** The broker's wall clock when it answered, in whole seconds; undefined when it did not say. */
  readonly brokerTimeMs: number | undefined;
}

/** `refused`: the broker said no, and will again; `unanswered`: it did not say. */
export type SendingCheck = { readonly kind: "possible" } | { readonly kind: "refused" | "unanswered"; readonly error: TransportError };

/** Messages that lie in an entity, those that are locked among the active ones. */
export interface EntityDepth {
  readonly active: number;
  readonly scheduled: number;
  readonly deadLettered: number;
}
