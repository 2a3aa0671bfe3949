/**
 * A probe: an event of the worker's own that goes the whole way (sent, received, claimed, run in a thread, recorded, settled) so that the way
 * can be measured while nobody else uses it. It reaches a skill of the runtime's own, and nobody's else; it is counted apart, and never
 * dead-lettered.
 */
import { hash, timingSafeEqual } from "node:crypto";
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
  /** Why it was completed without having been run; left out where it was. */
  readonly passedBy?: string | undefined;
  /** From the broker's enqueue time to settlement. */
  readonly criticalMs: number;
  /** A stage that it did not come to is left out. */
  readonly stagesMs: Readonly<Partial<Record<ProbeStage, number>>>;
}

const proofHeader = "holdfast-probe";
const probeId = /^holdfast-probe-[\da-f]{16}$/;

function proofOf(secret: string, eventId: string): string {
  // This hash cannot be continued from its value, so that the secret before the text makes it a code.
  return hash("sha512-256", `${secret}\n${JSON.stringify(["probe", eventId])}`, "base64url");
}

interface PerhapsProbe {
  readonly route: Pick<Route, "eventType" | "eventId"> | undefined;
  readonly delivery: Pick<Delivery, "header">;
}

/**
 * By its type and id, wherever those can be read, and by what a worker of this consumer has signed it with: what somebody else sends
 * under the type is an event of a type that nobody handles.
 */
export function isProbe(secret: string, { route, delivery }: PerhapsProbe): boolean {
  if ((route?.eventType ?? delivery.header("eventType")) !== probeEventType) return false;
  const eventId = route?.eventId ?? delivery.header("eventId");
  const proof = delivery.header(proofHeader);
  if (typeof eventId !== "string" || typeof proof !== "string" || !probeId.test(eventId)) return false;
  const expected = Buffer.from(proofOf(secret, eventId));
  const found = Buffer.from(proof);
  return expected.length === found.length && timingSafeEqual(expected, found);
}

/** What a worker of an earlier version refuses of a later one's probe: it cannot be read there, or means something that nobody there knows. */
export function isPassedBy(reason: string): boolean {
  return reason === "UnsupportedVersion" || reason === "InvalidEnvelope";
}

export interface ProbeMessageOptions {
  /** `holdfast-probe-` and 16 hexadecimal digits. */
  readonly eventId: string;
  /** Of the consumer that is to take it as a probe. */
  readonly secret: string;
  /** Who sends it. */
  readonly workerId: string;
  /** ISO 8601. */
  readonly timestamp: string;
  /** Of 32 hexadecimal digits. */
  readonly traceId: string;
  /** Where its entity requires sessions. */
  readonly sessionId?: string | undefined;
}

export function probeMessage({ eventId, secret, workerId, timestamp, traceId, sessionId }: ProbeMessageOptions): OutgoingMessage {
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
  return eventMessage(event, { message: sessionId === undefined ? {} : { sessionId }, headers: { [proofHeader]: proofOf(secret, eventId) } });
}
