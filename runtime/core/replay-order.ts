/**
 * The order to bring a dead event back, as an application property of the message that is sent for it. It is made with the
 * consumer's secret, which no sender of events knows, over all that it says and over the event's id and payload: one that was
 * forged, or taken from another message, is no order.
 */
import { hash, timingSafeEqual } from "node:crypto";
import type { Delivery } from "./delivery.ts";
import { type ResumeFrom, whoCharactersMax } from "./history.ts";
import { cutText } from "./well-formed-json.ts";

export const replayHeader = "holdfast-replay";

export interface ReplayOrder {
  /** Of the dead letter that it was made for: the order made once more for the same letter is the same one. */
  readonly id: string;
  readonly from: ResumeFrom;
  /** The payload was edited. */
  readonly patched: boolean;
  /** Steps of the kind `atMostOnce` whose outcome is unknown are tried once more, on somebody's word. */
  readonly repeatsInDoubt: boolean;
  /** At most 200 characters. */
  readonly reason: string;
  /** Who ordered it; at most 100 characters, empty where that is not known. */
  readonly who: string;
}

interface SignedOrder extends ReplayOrder {
  readonly code: string;
}

export const replayReasonCharactersMax = 200;
const headerCharactersMax = 2_048;

function codeOf(secret: string, { id, from, patched, repeatsInDoubt, reason, who }: ReplayOrder, eventId: string, payloadHash: string): string {
  const text = JSON.stringify(["replay", id, from, patched, repeatsInDoubt, reason, eventId, payloadHash, ...(who === "" ? [] : [who])]);
  // This hash cannot be continued from its value, so that the secret before the text makes it a code.
  return hash("sha512-256", `${secret}\n${text}`, "base64url");
}

/** The header's value. What is too long for it is cut before it is signed: as it will be read. */
export function signReplay(secret: string, { reason, who, ...rest }: ReplayOrder, eventId: string, payloadHash: string): string {
  const order = { ...rest, reason: cutText(reason, replayReasonCharactersMax), who: cutText(who, whoCharactersMax) };
  return JSON.stringify({ ...order, code: codeOf(secret, order, eventId, payloadHash) } satisfies SignedOrder);
}

/** What a message claims to be ordered; nobody has looked whether it is true. */
export function readReplayHeader(delivery: Pick<Delivery, "header">): SignedOrder | undefined {
  const value = delivery.header(replayHeader);
  if (typeof value !== "string" || value.length > headerCharactersMax) return undefined;
  try {
    const read = JSON.parse(value) as Partial<Record<keyof SignedOrder, unknown>> | null;
    const { id, from, patched, repeatsInDoubt, reason, who = "", code } = read ?? {};
    if (typeof id !== "string" || typeof reason !== "string" || typeof who !== "string" || typeof code !== "string") return undefined;
    if ((from !== "checkpoint" && from !== "start") || typeof patched !== "boolean" || typeof repeatsInDoubt !== "boolean") return undefined;
    return { id, from, patched, repeatsInDoubt, reason: reason.slice(0, replayReasonCharactersMax), who: who.slice(0, whoCharactersMax), code };
  } catch {
    return undefined;
  }
}

/** The order that a message carries; undefined when it carries none, or one that is not the consumer's own for this event and payload. */
export function verifiedReplay(secret: string, delivery: Pick<Delivery, "header">, eventId: string, payloadHash: string): ReplayOrder | undefined {
  const signed = readReplayHeader(delivery);
  if (signed === undefined) return undefined;
  const { code, ...order } = signed;
  const expected = Buffer.from(codeOf(secret, order, eventId, payloadHash));
  const found = Buffer.from(code);
  return expected.length === found.length && timingSafeEqual(expected, found) ? order : undefined;
}
