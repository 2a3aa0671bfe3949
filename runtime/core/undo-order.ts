/**
 * The order to go on with the compensations of a run whose own message is gone, as an application property of the message that is
 * sent for it. It is made with the consumer's secret over all that it says and over the body: one that was forged, or taken from
 * another message, is no order. A message with one never runs an event forward, and is completed where another would be dead-lettered.
 */
import { hash, timingSafeEqual } from "node:crypto";
import type { Delivery } from "./delivery.ts";

export const undoHeader = "holdfast-undo";

export interface UndoOrder {
  readonly eventId: string;
  /** Why the run is given up, where its record does not say so; else empty. */
  readonly reason: string;
  readonly description: string;
}

/** Says in a run's record that its compensations are left to the recovery queue. */
export const handedOverReason = "handed-over";

/** The kind of the jobs that see to such runs. */
export const compensateKind = "compensate";

/** `name`: the run's generation, or the delivery where its record was not read. `consumer`: of any but the first source. */
export function compensateJobId(eventId: string, name: number | string, consumer?: string): string {
  return `${consumer === undefined ? "" : `${consumer} `}${eventId} ${name}`;
}

/** What such a job knows. */
export interface CompensateData extends UndoOrder {
  /** Whose run it is; undefined for the first source of the worker. */
  readonly consumer?: string | undefined;
  /** Of the run; undefined where its record was not read. */
  readonly generation?: number | undefined;
  /** The message that brings the event, in the form of an outbox, as base64. */
  readonly message: string;
  /** How many messages were sent for it. */
  readonly sent: number;
}

const headerCharactersMax = 4_096;

function codeOf(secret: string, { eventId, reason, description }: UndoOrder, body: Uint8Array): string {
  const text = JSON.stringify(["undo", eventId, reason, description, hash("sha512-256", body, "base64url")]);
  // This hash cannot be continued from its value, so that the secret before the text makes it a code.
  return hash("sha512-256", `${secret}\n${text}`, "base64url");
}

/** The header's value. */
export function signUndo(secret: string, { eventId, reason, description }: UndoOrder, body: Uint8Array): string {
  const order = { eventId, reason, description };
  return JSON.stringify({ ...order, code: codeOf(secret, order, body) });
}

/** The order that a message carries; undefined when it carries none, or one that is not the consumer's own for this body. */
export function verifiedUndo(secret: string, delivery: Pick<Delivery, "header" | "body">): UndoOrder | undefined {
  const value = delivery.header(undoHeader);
  if (typeof value !== "string" || value.length > headerCharactersMax) return undefined;
  try {
    const { eventId, reason, description, code } = (JSON.parse(value) ?? {}) as Partial<Record<keyof UndoOrder | "code", unknown>>;
    if (typeof eventId !== "string" || typeof reason !== "string" || typeof description !== "string" || typeof code !== "string") return undefined;
    const expected = Buffer.from(codeOf(secret, { eventId, reason, description }, delivery.body));
    const found = Buffer.from(code);
    return expected.length === found.length && timingSafeEqual(expected, found) ? { eventId, reason, description } : undefined;
  } catch {
    return undefined;
  }
}
