/** The message that brings a dead letter's event back. */
import { livingHeaders, originHeader, triesHeaders } from "../core/copy.ts";
import type { Delivery, OutgoingMessage } from "../core/delivery.ts";
import { ConfigurationError } from "../core/errors.ts";
import { unguessableId } from "../core/message-ids.ts";
import type { HashPayload } from "../core/payload-hash.ts";
import type { Routed, RouteResult } from "../core/read-route.ts";
import { replayHeader, type ReplayOrder, signReplay } from "../core/replay-order.ts";
import { patchPayload } from "./patch-payload.ts";

/** What every replay of one command has in common. */
export interface ReplayWishes extends Pick<ReplayOrder, "from" | "repeatsInDoubt" | "reason" | "who"> {
  /** A JSON merge patch for the payload; undefined to leave it as it is. */
  readonly patch: unknown;
}

export interface ReplayMaking extends ReplayWishes {
  readonly secret: string;
  readonly hashPayload: HashPayload;
  readRoute(delivery: Delivery): RouteResult;
}

/** What the worker counted on the way to the death does not count for the next life. */
const ofEarlierTries: ReadonlySet<string> = new Set([...triesHeaders, replayHeader]);

/** Stands for this very letter: made once more, it is the same replay. */
export function replayIdOf(secret: string, letter: Pick<Delivery, "messageId" | "sequenceNumber" | "enqueuedAtMs" | "header">): string {
  return unguessableId(secret, originOf(letter), "replay", letter.messageId, letter.sequenceNumber, letter.enqueuedAtMs);
}

function originOf(letter: Pick<Delivery, "messageId" | "header">): string {
  const earlier = letter.header(originHeader);
  return typeof earlier === "string" ? earlier : letter.messageId;
}

/** A letter with another body. */
function withBody(delivery: Delivery, body: Uint8Array): Delivery {
  return {
    messageId: delivery.messageId,
    sequenceNumber: delivery.sequenceNumber,
    attempt: delivery.attempt,
    lockedUntilMs: delivery.lockedUntilMs,
    enqueuedAtMs: delivery.enqueuedAtMs,
    contentType: delivery.contentType,
    correlationId: delivery.correlationId,
    subject: delivery.subject,
    body,
    bodySection: delivery.bodySection,
    header: (name) => delivery.header(name),
    headers: () => delivery.headers(),
    timeToLiveMs: delivery.timeToLiveMs,
    particulars: () => delivery.particulars(),
  };
}

type Reading = Pick<ReplayMaking, "readRoute" | "patch">;

function routed({ readRoute }: Reading, delivery: Delivery): Routed {
  const answer = readRoute(delivery);
  if (answer.ok) return answer;
  throw new ConfigurationError(`expected a message that can be read, found ${answer.invalid.reason}: ${answer.invalid.description}`);
}

interface Edited {
  readonly before: Routed;
  readonly delivery: Delivery;
  readonly route: Routed;
}

/** The letter with its payload patched, where there is a patch. Throws `ConfigurationError` for one that does not fit it. */
function edited(reading: Reading, letter: Delivery): Edited {
  const before = routed(reading, letter);
  if (reading.patch === undefined) return { before, delivery: letter, route: before };
  const delivery = withBody(letter, patchPayload(letter, before, reading.patch));
  return { before, delivery, route: routed(reading, delivery) };
}

/** Why no replay can be made of a letter; undefined where one can. */
export function replayTrouble(reading: Reading, letter: Delivery): string | undefined {
  try {
    edited(reading, letter);
    return undefined;
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message;
    throw error;
  }
}

/** The replay of a letter, for the queue that retries go to. It lives as long as that queue lets it: its event's time was over once before. */
export async function makeReplay(making: ReplayMaking, letter: Delivery): Promise<OutgoingMessage> {
  const { secret, from, repeatsInDoubt, reason, who } = making;
  const { before, delivery, route } = edited(making, letter);
  const hashBefore = await making.hashPayload(letter.body, before);
  const payloadHash = await making.hashPayload(delivery.body, route);
  const id = replayIdOf(secret, letter);
  const order: ReplayOrder = { id, from, patched: payloadHash !== hashBefore, repeatsInDoubt, reason, who };
  const headers = livingHeaders(letter);
  for (const name of ofEarlierTries) delete headers[name];
  headers[originHeader] = originOf(letter);
  headers[replayHeader] = signReplay(secret, order, route.route.eventId, payloadHash);
  return { ...letter.particulars(), messageId: id, body: delivery.body, contentType: letter.contentType, subject: letter.subject, headers };
}
