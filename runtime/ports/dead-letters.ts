import type { Delivery } from "../core/delivery.ts";
import type { Transport } from "./transport.ts";

/** A message as it was seen in its place: nobody has locked it, and it may be gone by now. */
export interface SeenMessage {
  readonly delivery: Delivery;
  /** `active`: it can be delivered, or somebody has locked it. */
  readonly state: "active" | "scheduled" | "deferred";
  /** When a scheduled one can be delivered, by the broker's wall clock. */
  readonly scheduledAtMs: number | undefined;
  /** The entity in which it was dead-lettered; undefined while it lies in that entity's own dead-letter queue. */
  readonly deadLetterSource: string | undefined;
}

/** One place where dead letters lie: a dead-letter queue, or a queue that they were forwarded to. */
export interface DeadLetterBox {
  /** Such as `orders/$DeadLetterQueue`. */
  readonly name: string;
  /** Whether all that lies here are dead letters of the consumer, as in its own dead-letter queue. */
  readonly isOwn: boolean;
  /** Locks messages, to complete them or to let go of them. Started and stopped with the box. */
  readonly transport: Transport;
  /** Rejects with `TransportError`. */
  start(): Promise<void>;
  /** Idempotent. */
  stop(): Promise<void>;
  /** Up to `count` messages from this sequence number on, in their order; empty when there are none. Rejects with `TransportError`. */
  peek(fromSequenceNumber: bigint, count: number): Promise<readonly SeenMessage[]>;
}
