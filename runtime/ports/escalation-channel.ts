import { HoldfastError } from "../core/errors.ts";
import type { EscalationNotice } from "../core/escalation.ts";

/** A notice could not be delivered. The message names no address beyond its host: the rest of it may be a secret. */
export class DeliveryError extends HoldfastError {
  /** The same would be refused again. */
  readonly isPermanent: boolean;

  constructor(message: string, options: ErrorOptions & { readonly isPermanent?: boolean } = {}) {
    super("HOLDFAST_DELIVERY", message, options);
    this.isPermanent = options.isPermanent ?? false;
  }
}

/** What is found of a channel without sending through it. */
export type ChannelCheck = { readonly kind: "ok" } | { readonly kind: "refused" | "unanswered"; readonly why: string };

/** Where escalations are sent. */
export interface EscalationChannel {
  /** Resolves when the notice was taken; rejects with `DeliveryError`. It may be sent twice: its id is the same then. */
  send(notice: EscalationNotice, signal: AbortSignal): Promise<void>;
  /** Whether it could send, as far as that can be seen without a notice. */
  check(): Promise<ChannelCheck>;
}
