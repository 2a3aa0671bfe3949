import type { OutgoingMessage } from "../core/delivery.ts";

/** Sends messages to queues and topics, confirmed. */
export interface Publisher {
  start(): Promise<void>;
  /** Waits for sends in flight, then closes. Idempotent. */
  stop(): Promise<void>;
  /**
   * Sends all messages to `entity` in as few broker batches as fit. Resolves when the broker has accepted every one; rejects
   * with `TransportError` otherwise, when some may have been accepted: send all again with the same ids.
   */
  send(entity: string, messages: readonly OutgoingMessage[]): Promise<void>;
}
