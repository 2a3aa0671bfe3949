// The account of an entity. Everything starts at 0 with the entity and nothing resets it, but for `receivedAndDeleted` as it says. What came in is
// accepted + scheduledAccepted + movedIn; what went out is completed + receivedAndDeleted + deadLettered + expiredDropped +
// cancelled + deleted + forwarded; the difference is what the entity holds.

import type { OutcomeWord } from "./outcome-log.ts";

export interface Counters {
  /** Messages that senders enqueued, to be received at once; a duplicate that was dropped does not count. */
  accepted: number;
  /** Messages that senders scheduled, whether by management or by annotation. */
  scheduledAccepted: number;
  /** Messages that came from another entity: by auto-forwarding or dead-lettering. */
  movedIn: number;
  duplicatesDropped: number;
  /** Deliveries to receivers, each try counted; deferred messages received by number included. */
  delivered: number;
  completed: number;
  /** Deliveries in receive-and-delete; one that did not go out, for its link ended before, is taken off again. */
  receivedAndDeleted: number;
  abandoned: number;
  /** Settlements by "released", and deliveries that did not go out: back without a raised delivery count. */
  released: number;
  deferred: number;
  /** Messages that left for the dead-letter sub-queue, whatever the reason. */
  deadLettered: number;
  /** Of those: by a receiver's settlement. */
  deadLetteredByReceiver: number;
  /** Of those: because the delivery count reached its maximum. */
  deadLetteredByDeliveryCount: number;
  /** Of those: because they expired. */
  deadLetteredByExpiry: number;
  /** Messages that expired and were dropped. */
  expiredDropped: number;
  /** Scheduled messages that were cancelled. */
  cancelled: number;
  /** Messages that were deleted in a batch. */
  deleted: number;
  /** Messages that were moved on by auto-forwarding. */
  forwarded: number;
  expiredLocks: number;
  renewedLocks: number;
  /** Settlements and renewals refused because the lock was gone. */
  lockLost: number;
}

export function newCounters(): Counters {
  return {
    accepted: 0,
    scheduledAccepted: 0,
    movedIn: 0,
    duplicatesDropped: 0,
    delivered: 0,
    completed: 0,
    receivedAndDeleted: 0,
    abandoned: 0,
    released: 0,
    deferred: 0,
    deadLettered: 0,
    deadLetteredByReceiver: 0,
    deadLetteredByDeliveryCount: 0,
    deadLetteredByExpiry: 0,
    expiredDropped: 0,
    cancelled: 0,
    deleted: 0,
    forwarded: 0,
    expiredLocks: 0,
    renewedLocks: 0,
    lockLost: 0,
  };
}

/** What an entity holds, by state. A message under a lock counts as locked only. */
export interface StateCounts {
  readonly active: number;
  readonly locked: number;
  readonly scheduled: number;
  readonly deferred: number;
  /** In the dead-letter sub-queue, whatever its state there. */
  readonly deadLettered: number;
}

/** The counters that count what the log of outcomes tells, too. */
export type CountedEvent =
  | "accepted"
  | "scheduledAccepted"
  | "movedIn"
  | "duplicatesDropped"
  | "delivered"
  | "completed"
  | "receivedAndDeleted"
  | "abandoned"
  | "released"
  | "deferred"
  | "deadLettered"
  | "cancelled"
  | "deleted"
  | "forwarded"
  | "expiredLocks"
  | "lockLost";

/** What the log says of a message when a counter counts it. */
export const countedWords: Readonly<Record<CountedEvent, OutcomeWord>> = {
  accepted: "accepted",
  scheduledAccepted: "scheduled",
  movedIn: "accepted",
  duplicatesDropped: "duplicate",
  delivered: "delivered",
  completed: "completed",
  receivedAndDeleted: "receivedAndDeleted",
  abandoned: "abandoned",
  released: "released",
  deferred: "deferred",
  deadLettered: "deadLettered",
  cancelled: "cancelled",
  deleted: "deleted",
  forwarded: "forwarded",
  expiredLocks: "lockExpired",
  lockLost: "lockLost",
};
