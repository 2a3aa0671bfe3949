import type { OutgoingMessage } from "../core/delivery.ts";

/** Schedules messages at queues and topics, so that each can be taken back by its number. */
export interface Scheduler {
  /**
   * Schedules the messages, each of which names its time, all or none; resolves with their sequence numbers, in order. Rejects with `TransportError`; they may
   * have been scheduled all the same.
   */
  schedule(entity: string, messages: readonly OutgoingMessage[]): Promise<readonly bigint[]>;
  /** Takes back what has not come up yet, all or none. Rejects with `TransportError`. */
  cancel(entity: string, sequenceNumbers: readonly bigint[]): Promise<void>;
  /** Closes; what is under way fails. Idempotent. */
  stop(): Promise<void>;
}
