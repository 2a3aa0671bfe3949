/**
 * Sees to runs under compensation that nobody is at any more: a message is sent for such a run, with an order to go on with it, and
 * goes the way of all others, through bulkheads, claims and retries. The record says how far the compensations are, so it does not
 * matter where the worker before has ended.
 *
 *   has it ended? ──▶ done          somebody is at it, or was a moment ago ──▶ look again later
 *   nobody is ──▶ send a message ──▶ look again later
 */
import { verdictOf } from "../core/compensation.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import { lineageOf } from "../core/lineage.ts";
import { unguessableId } from "../core/message-ids.ts";
import { decodeOutbox } from "../core/outbox.ts";
import { platformEventHeader } from "../core/platform-catalogue.ts";
import type { RunView } from "../core/run.ts";
import { type CompensateData, handedOverReason, signUndo, undoHeader } from "../core/undo-order.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { JobHandler, JobResult } from "../ports/recovery-queue.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { AboutEvent, Telemetry } from "../ports/telemetry.ts";
import { deliveryOf } from "./runs-message.ts";

export interface CompensationsOptions {
  readonly store: Pick<RunStore, "read">;
  readonly publisher: Pick<Publisher, "send">;
  readonly telemetry: Pick<Telemetry, "emit">;
  /** The queue that is read, or the private retry queue of a subscription. */
  readonly retryEntity: string;
  /** The consumer's. */
  readonly secret: string;
  /** How long a record has not been written of a run that nobody is at. */
  readonly compensateAfterMs: number;
}

/** Messages that are sent for one run: each of them has all its deliveries and retries. */
const sentMax = 10;
const lookMinMs = 1_000;

/** How long until it is looked at again; 0 when nobody is at it, undefined when there is nothing to be done for it. */
function leftBehindInMs(view: RunView | undefined, { generation, reason }: CompensateData, compensateAfterMs: number): number | undefined {
  if (view === undefined || view.steps.length === 0 || (generation !== undefined && view.generation !== generation)) return undefined;
  // A job is kept before the failure is put on record: where that was never done, the run goes on forward.
  if (reason === "" && verdictOf(view.steps) === undefined) return undefined;
  switch (view.state) {
    case "done":
    case "dead":
    case "parked":
      return undefined;
    case "running":
      return Math.max(0, view.claim?.leftMs ?? 0, compensateAfterMs - view.writtenAgoMs);
    case "waiting":
      return view.reason === handedOverReason ? 0 : Math.max(0, compensateAfterMs - view.writtenAgoMs);
  }
}

/** What the event belongs to, as its message says it. */
function aboutEvent({ eventId }: CompensateData, { messageId, body, contentType, headers }: OutgoingMessage): AboutEvent {
  return { eventId, lineage: lineageOf(deliveryOf({ messageId, body, contentType, headers })), ofPlatform: headers[platformEventHeader] === true };
}

export function compensationsOf(options: CompensationsOptions): JobHandler {
  const { store, publisher, telemetry, retryEntity, secret, compensateAfterMs } = options;
  return async ({ data: given }): Promise<JobResult> => {
    // Written by `pipeline/hand-over.ts`.
    const data = given as CompensateData;
    const inMs = leftBehindInMs(await store.read(data.eventId), data, compensateAfterMs);
    if (inMs === undefined) return { kind: "done" };
    if (inMs > 0) return { kind: "again", afterMs: Math.max(lookMinMs, Math.min(inMs, compensateAfterMs)) };
    const [message] = decodeOutbox(Buffer.from(data.message, "base64"));
    if (message === undefined || data.sent >= sentMax)
      throw new Error(
        `expected the compensations of '${data.eventId}' to end, found that ${data.sent} messages sent for it did not get there; undo it by hand`,
      );
    const sent = data.sent + 1;
    const messageId = unguessableId(secret, message.messageId, "undo", data.eventId, data.generation ?? "", sent);
    const headers = { ...message.headers, [undoHeader]: signUndo(secret, data, message.body) };
    await publisher.send(retryEntity, [{ ...message, messageId, headers }]);
    telemetry.emit({ type: "recovery.continued", eventId: data.eventId, sent }, aboutEvent(data, message));
    return { kind: "again", afterMs: compensateAfterMs, data: { ...data, sent } };
  };
}
