// What a queue in memory holds, and what may go wrong with it.
import type { HeaderValue, OutgoingMessage } from "../../core/delivery.ts";
import type { ProcessClock } from "./sim-clock.ts";

export type BrokerFault =
  | "settle-lost" // the order never arrives
  | "settle-answer-lost" // it is carried out, its answer is lost
  | "renew-unknown"
  | "lock-lost" // on renewal
  | "send-refused" // nothing is taken
  | "send-answer-lost" // everything is taken, the answer is lost
  | "session-detached" // with the next message that is asked for
  | "disturbed";

/** What one process has of the broker. */
export interface ModelConnection {
  readonly clock: ProcessClock;
  /** Nothing that was sent or asked arrives, while the process lives. */
  readonly isDown: boolean;
  /** Deliveries that reached the process. */
  handedOut: number;
  /** There and back again. */
  ask<T>(act: () => T): Promise<T>;
}

export interface Lock {
  readonly connection: ModelConnection;
  readonly number: number;
  untilMs: number;
}

export interface Stored {
  readonly sequenceNumber: bigint;
  readonly message: OutgoingMessage;
  readonly enqueuedAtMs: number;
  state: "scheduled" | "active" | "locked" | "completed" | "dead-lettered";
  /** Deliveries that ended without settlement. */
  failedDeliveries: number;
  lock: Lock | undefined;
  reason: string | undefined;
  /** Of a dead letter, beside those of its message. */
  properties: Readonly<Record<string, HeaderValue>>;
}
