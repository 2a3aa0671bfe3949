import type { Delivery } from "../core/delivery.ts";
import type { TransportError } from "../core/errors.ts";

/** What the transport tells whoever reads. Called from the event loop, never re-entrantly from `addCredit`. */
export interface ReceiverListener {
  /** At least one delivery, in arrival order; never more in total than the credit that was granted. */
  deliveries(batch: readonly Delivery[]): void;
  /** Receiving is disturbed; the receiver goes on trying by itself. */
  disturbed(error: TransportError): void;
}

/**
 * A receiver of the configured entity under peek-lock. It takes only as many messages as credit was granted, and works out
 * by itself how to fetch them fast at any load.
 */
export interface Receiver {
  /** Allows `count` more messages (1 or more) to be taken. */
  addCredit(count: number): void;
  /**
   * Takes no more messages: first nothing more may be on its way, then it resolves, when no further call to the listener can
   * follow. What comes until then is handed to the listener or given back, whichever costs no delivery. Deliveries that were
   * handed out can still be settled. Idempotent.
   */
  stop(): Promise<void>;
}

/** One order to settle one delivery. */
export type SettleOrder =
  | { readonly verb: "complete"; readonly delivery: Delivery }
  /** Back to its place in the entity, counted as a delivery that failed. */
  | { readonly verb: "abandon"; readonly delivery: Delivery }
  /** Back to its place in the entity as if it had never been handed out, where `releaseIsFree`; else it is as `abandon`. */
  | { readonly verb: "release"; readonly delivery: Delivery }
  | { readonly verb: "defer"; readonly delivery: Delivery }
  | {
      readonly verb: "dead-letter";
      readonly delivery: Delivery;
      readonly reason: string;
      readonly description: string;
      /** Application properties that the dead letter gets beside those of the message, in place of ones of the same name. */
      readonly properties?: Readonly<Record<string, string | number>> | undefined;
    };

/** `lock-lost`: someone else will get it; `unknown`: no answer, it may or may not be settled. */
export type SettleResult = "settled" | "lock-lost" | "unknown";

/** The new end of a lock in the broker's wall clock, or why there is none. */
export type RenewResult = { readonly kind: "renewed"; readonly lockedUntilMs: number } | { readonly kind: "lock-lost" } | { readonly kind: "unknown" };

/** A connection to the broker for one consumer. */
export interface Transport {
  /**
   * Whether a released message keeps its attempt. Where it does not, whoever takes messages takes only those that can begin
   * soon, and lets them begin rather than giving them back.
   */
  readonly releaseIsFree: boolean;
  /** Connects; rejects with `TransportError` when the entity cannot be reached or does not exist. */
  start(): Promise<void>;
  /** Closes everything it opened. Idempotent. */
  stop(): Promise<void>;
  openReceiver(listener: ReceiverListener): Receiver;
  /**
   * Settles many deliveries; one result an order, in order; never rejects. Different outcomes may be mixed freely and are
   * never confused. At most one order a delivery, ever.
   */
  settle(orders: readonly SettleOrder[]): Promise<readonly SettleResult[]>;
  /** Renews the locks of many deliveries; one result a delivery, in order; never rejects. */
  renew(deliveries: readonly Delivery[]): Promise<readonly RenewResult[]>;
  /**
   * Gives up the connection, whatever its state, and makes another. For one that brings nothing although it seems to be sound:
   * a connection that is lost is made again unasked. Receivers are to be stopped before and opened anew after it; what they had
   * handed out can be settled and renewed as before. Never rejects.
   */
  reconnect(): Promise<void>;
  /** Whether the entity holds messages that could be delivered now. Rejects with `TransportError`. */
  hasBacklog(): Promise<boolean>;
}
