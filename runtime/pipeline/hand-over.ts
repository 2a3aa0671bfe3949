/**
 * Leaves runs that are to be compensated to the recovery queue, for what their messages do not live to see: the time-to-live ends
 * before the next try, the broker's maximum of deliveries is reached, or a message is dead-lettered while no worker looks.
 *
 *   the run has failed for good ──keep──▶ a job that looks again after a while ─┐
 *   its message is over         ──take──▶ the same job, at once ────────────────┴▶ recovery/compensations.ts
 *
 * So the job is there before the first compensation begins, and a crash at any point leaves one.
 */
import { enqueuedFirstHeader, enqueuedFirstMs, livingHeaders, originHeader, triesHeaders } from "../core/copy.ts";
import type { Delivery, OutgoingMessage } from "../core/delivery.ts";
import type { Invalid } from "../core/event-envelope.ts";
import { encodeOutbox } from "../core/outbox.ts";
import { replayHeader } from "../core/replay-order.ts";
import { type CompensateData, compensateJobId, compensateKind, undoHeader, type UndoOrder, verifiedUndo } from "../core/undo-order.ts";
import type { NewJob, RecoveryQueue } from "../ports/recovery-queue.ts";
import type { Source } from "./source.ts";
import type { Work } from "./work.ts";

export interface HandOverOptions {
  readonly source: Pick<Source, "skills">;
  /** Undefined where there is none: then what a message does not live to see is left undone, and said. */
  readonly recovery?:
    | { readonly queue: RecoveryQueue; /** How long nobody has been at a run that is left behind. */ readonly compensateAfterMs: number }
    | undefined;
}

/** What the worker noted on the way does not count for the message that goes on. */
const ofEarlierTries: readonly string[] = [...triesHeaders, replayHeader, undoHeader];

/** As it is to be sent, but for its id and its order. It lives as long as the entity lets it. */
function messageOf(delivery: Delivery): OutgoingMessage {
  const headers = livingHeaders(delivery);
  for (const name of ofEarlierTries) delete headers[name];
  headers[originHeader] ??= delivery.messageId;
  headers[enqueuedFirstHeader] = enqueuedFirstMs(delivery);
  const { body, contentType, subject } = delivery;
  return { ...delivery.particulars(), messageId: delivery.messageId, body, contentType, subject, headers };
}

export class HandOver {
  readonly #options: HandOverOptions;
  readonly #hasCritical: boolean;
  #secret = "";

  constructor(options: HandOverOptions) {
    this.#options = options;
    this.#hasCritical = options.source.skills.policies.some(({ critical }) => critical);
  }

  /** `secret` is the consumer's. */
  start(secret: string): void {
    this.#secret = secret;
  }

  /** Of a message that was sent for a run whose own message is gone. */
  orderOf(work: Work): UndoOrder | undefined {
    const order = verifiedUndo(this.#secret, work.delivery);
    return order?.eventId === work.eventId ? order : undefined;
  }

  /** Before compensating begins. Resolves whether the run will be looked after; undefined where there is no recovery queue. */
  keep(work: Work): Promise<boolean> | undefined {
    const { recovery } = this.#options;
    return recovery && this.#add(this.#jobOf(work, String(work.generation), recovery.compensateAfterMs));
  }

  /** Its record says now that it is left to the queue. */
  hurry(work: Work): void {
    // If the queue cannot be asked now, the job comes to it in its own time.
    this.#options.recovery?.queue.hurry(compensateKind, compensateJobId(work.eventId, work.generation, ofConsumer(work).consumer)).catch(() => undefined);
  }

  /** A message that was delivered too often and is not looked at: what its run had done, if anything, is undone. */
  keepUnseen(work: Work, { reason, description }: Invalid): Promise<boolean> | undefined {
    const { recovery } = this.#options;
    if (recovery === undefined || !this.#hasCritical || work.eventId === "" || this.orderOf(work) !== undefined) return undefined;
    const job = this.#jobOf(work, `delivery ${work.delivery.sequenceNumber}`, 0, { reason, description });
    return this.#add(job);
  }

  #jobOf(work: Work, name: string, delayMs: number, why?: Pick<UndoOrder, "reason" | "description">): NewJob {
    const message = Buffer.from(encodeOutbox([messageOf(work.delivery)])).toString("base64");
    const generation = why === undefined ? { generation: work.generation } : {};
    const data: CompensateData = { ...ofConsumer(work), eventId: work.eventId, reason: "", description: "", ...why, ...generation, message, sent: 0 };
    return { kind: compensateKind, id: compensateJobId(work.eventId, name, ofConsumer(work).consumer), data, delayMs, keepDoneMs: 0, replacesEnded: true };
  }

  async #add(job: NewJob): Promise<boolean> {
    try {
      await this.#options.recovery?.queue.add(job);
      return true;
    } catch {
      return false;
    }
  }
}

/** The jobs of all sources lie in one queue; those of the first are named as if it were the only one. */
function ofConsumer({ source: { number, consumer } }: Work): { readonly consumer?: string } {
  return number === 0 ? {} : { consumer };
}
