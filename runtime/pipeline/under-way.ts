/** A delivery that is here, for people. */
import type { Stage, Work } from "./work.ts";

export interface UnderWay {
  readonly eventId: string;
  readonly eventType: string;
  readonly skill: string;
  readonly source: string;
  readonly stage: Stage;
  /** Number of its last execution; 0 while none has begun. */
  readonly attempt: number;
  readonly enqueuedAtMs: number;
  /** Since it has waited where it waits; 0 while it does not. */
  readonly waitingMs: number;
  /** What it waits, or last waited, for; empty for nothing. */
  readonly waitedFor: string;
  readonly steps: readonly { readonly name: string; readonly state: "intent" | "completed" }[];
}

/** `nowMs`: monotonic. */
export function underWay(work: Work, nowMs: number): UnderWay {
  const { eventId, skillName, source, stage, attempt, delivery, waitingSinceMs, waitedFor, steps } = work;
  const isWaiting = stage === "waiting" || stage === "ready";
  return {
    eventId,
    eventType: work.route?.eventType ?? "",
    skill: skillName,
    source: source.name,
    stage,
    attempt,
    enqueuedAtMs: delivery.enqueuedAtMs,
    waitingMs: isWaiting ? Math.max(0, nowMs - waitingSinceMs) : 0,
    waitedFor,
    steps: steps.map(({ name, state }) => ({ name, state })),
  };
}
