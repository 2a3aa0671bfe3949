/**
 * A probe: an event of the worker's own that goes the whole way (sent, received, claimed, run in a thread, recorded, settled) so that the way
 * can be measured while nobody else uses it. It reaches a skill of the runtime's own, and nobody's else; it is counted apart, and never
 * dead-lettered.
 */
import type { Delivery, OutgoingMessage } from "./delivery.ts";
import { eventMessage } from "./event-message.ts";
import type { Route } from "./event-envelope.ts";

/** Kept for the runtime: no plugin's skill handles it. */
export const probeEventType = "holdfast.probe";
export const probeSkill = "holdfast.probe";
const probeVersion = "1.0";

/** Parts of the way, in their order; together they are the critical time, but for `send`, which is before the broker's enqueue time. */
export const probeStages = ["send", "queue", "claim", "run", "settle"] as const;
export type ProbeStage = (typeof probeStages)[number];

/** What the worker that a probe has ended at says of it. */
export interface ProbeReport {
  readonly eventId: string;
  /** What it was received under. */
  readonly consumer: string;
  /** Who settled it. */
  readonly by: string;
  /** Why it failed; empty where it did not. */
  readonly failure: string;
  /** From the broker's enqueue time to settlement. */
  readonly criticalMs: number;
  /** A stage that it did not come to is left out. */
  readonly stagesMs: Readonly<Partial<Record<ProbeStage, number>>>;
}

/** By its type, wherever that can be read; a sender that names it for an event of its own has it run, and completed, as a probe. */
export function isProbe({ route, delivery }: { readonly route: Pick<Route, "eventType"> | undefined; readonly delivery: Pick<Delivery, "header"> }): boolean {
  return (route?.eventType ?? delivery.header("eventType")) === probeEventType;
}

export interface ProbeMessageOptions {
  readonly eventId: string;
  /** Who sends it. */
  readonly workerId: string;
  /** ISO 8601. */
  readonly timestamp: string;
  /** Of 32 hexadecimal digits. */
  readonly traceId: string;
  /** Where its entity requires sessions. */
  readonly sessionId?: string | undefined;
}

export function probeMessage({ eventId, workerId, timestamp, traceId, sessionId }: ProbeMessageOptions): OutgoingMessage {
  const event = {
    eventId,
    eventType: probeEventType,
    traceId,
    correlationId: eventId,
    projectId: "holdfast",
    originatingAgent: workerId,
    version: probeVersion,
    timestamp,
    payload: {},
  };
  return eventMessage(event, { message: sessionId === undefined ? {} : { sessionId } });
}
