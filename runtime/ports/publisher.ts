import type { OutgoingMessage } from "../core/delivery.ts";

/** Sends messages to queues and topics, confirmed. */
export interface Publisher {
  start(): Promise<void>;
  /** Waits for sends in flight, then closes. Idempotent. */
  stop(): Promise<void>;
  /**
   * Sends all messages to `entity` in as few broker batches as fit. Resolves when the broker has accepted every one; rejects
   * with `TransportError` otherwise. A `SendError` says which were not accepted, each with its own reason: one that cannot be
   * sent, whatever is wrong with it, keeps no other. What failed may have been accepted all the same: it is sent again with the
   * same id.
   */
  send(entity: string, messages: readonly OutgoingMessage[]): Promise<void>;
}
