/**
 * Which run the code at work belongs to: what it prints, and what it throws or rejects outside of its promise, is reported with the
 * ids of that run. Only ids are kept here, for a socket or a timer that outlives its run keeps its context.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { EventEnvelope } from "../../core/event-envelope.ts";
import type { ThreadOrder } from "./run-order.ts";

export interface RunIds {
  readonly runId: number;
  readonly skill: string;
  readonly eventId: string;
  readonly traceId: string;
  readonly attempt: number;
  /** What else makes the ids of its span; see `spanOfRun`. */
  readonly source: number;
  readonly generation: number;
  readonly epoch: number;
  readonly traceparent: string | undefined;
}

export const runContext: AsyncLocalStorage<RunIds | undefined> = new AsyncLocalStorage();

export function idsOf({ order, event }: { readonly order: ThreadOrder; readonly event: Pick<EventEnvelope, "eventId" | "traceId"> }): RunIds {
  const { runId, skill, attempt, source, generation, epoch, traceparent } = order;
  return { runId, skill, eventId: event.eventId, traceId: event.traceId, attempt, source, generation, epoch, traceparent };
}

/** Names a run for people. */
export function describeRun({ skill, eventId }: Pick<RunIds, "skill" | "eventId">): string {
  return `'${skill}' (event ${eventId})`;
}
