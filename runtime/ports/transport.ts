import type { Delivery } from "../core/delivery.ts";
import type { TransportError } from "../core/errors.ts";

/** What the transport tells whoever reads. Called from the event loop, never re-entrantly from `addCredit`. */
export interface ReceiverListener {
  /** At least one delivery, in arrival order; never more in total than the credit that was granted. */
  deliveries(batch: readonly Delivery[]): void;
  /** Receiving is disturbed; the receiver goes on trying by itself. */
  disturbed(error: TransportError): void;
  /** The broker serves the receiver, for the first time or again: nothing need come of it. */
  opened?(): void;
  /**
   * How many bytes of messages may be on their way, and have come of a message that is not whole, of which there are `arrivingBytes`.
   * Asked as the messages come by whoever can hold the broker to it: what was granted is not taken back, so it may be less than what is on its way. A
   * message that needs more comes as `Receiver.widen` lets it. Without it nothing bounds them.
   */
  bytesRoom?(arrivingBytes: number): number;
}

/**
 * A receiver of the configured entity under peek-lock. It takes only as many messages as credit was granted, and works out
 * by itself how to fetch them fast at any load.
 */
export interface Receiver {
  /** Allows `count` more messages (1 or more) to be taken. */
  addCredit(count: number): void;
  /** There may be more room for bytes than when it was asked for last. Of those that can hold the broker to it. */
  widen?(): void;
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
  /**
   * Back to its place in the entity as if it had never been handed out, where `releaseIsFree`; else it is as `abandon`. One of a
   * session goes back when its session is released, which is to follow: that is free everywhere, and nothing comes before it.
   */
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

/*
 * Reading an entity that requires sessions. A session is all messages with one session id; whoever holds its lock gets them in
 * their order, and nobody else gets any. The lock is the session's: its messages are locked as long as it is.
 */

/** What is told of a session to whoever holds it. Never called re-entrantly from a method of the session. */
export interface SessionListener extends Pick<ReceiverListener, "bytesRoom"> {
  /** The message that was asked for. */
  delivery(delivery: Delivery): void;
  /** Its lock is gone, and others may have it. Called at most once, and not after `release`. */
  lost(error: TransportError): void;
}

/** A session whose lock is held. Its deliveries are settled and renewed as all others are; to renew one renews the session. */
export interface HeldSession {
  readonly id: string;
  /** The end of its lock in the broker's wall clock, as it was told last. */
  readonly lockedUntilMs: number;
  /** Once, and at once after the session was accepted. */
  listen(listener: SessionListener): void;
  /** Asks for the next message: for one at a time, and only once the one before has been settled. */
  receive(): void;
  /** As of a receiver. */
  widen?(): void;
  /** Never rejects. */
  renew(): Promise<RenewResult>;
  /** Undefined when it has none. Rejects with `TransportError`. */
  getState(): Promise<Uint8Array | undefined>;
  /** Undefined takes it away. Rejects with `TransportError` when the broker refuses it; a lost lock and no answer are results. */
  setState(state: Uint8Array | undefined): Promise<SettleResult>;
  /**
   * Lets it go, for whoever asks next: what was handed out and not settled is back at its place, and it counts as no delivery.
   * Resolves when the broker has answered, or will not any more. Never rejects. Idempotent.
   */
  release(): Promise<void>;
}

export interface SessionAccess {
  /** Whether the entity gives its messages to holders of sessions alone; undefined when that could not be found out. Never rejects. */
  requiresSessions(): Promise<boolean | undefined>;
  /**
   * Takes the next session that has messages and is held by nobody, and waits for one for about `waitMs`: the client may have
   * a limit of its own. Undefined when there was none; rejects with `TransportError`.
   */
  acceptSession(waitMs: number): Promise<HeldSession | undefined>;
}

/** A connection to the broker for one consumer. */
export interface Transport extends SessionAccess {
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
   * a connection that is lost is made again by itself. Receivers are to be stopped before and opened again after it; what they had
   * handed out can be settled and renewed as before. Never rejects.
   */
  reconnect(): Promise<void>;
  /** Whether the entity holds messages that could be delivered now. Rejects with `TransportError`. */
  hasBacklog(): Promise<boolean>;
}
