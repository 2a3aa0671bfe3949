/** Dead letters as they lie in their queues: who gave them up, why, and which failure it was. */
import { cleanText, type DeathClass, deathOfHeaders, fingerprintOf, happenedAtMs } from "../core/death.ts";
import type { Delivery } from "../core/delivery.ts";
import { readReplayHeader } from "../core/replay-order.ts";
import { redact } from "../core/redact.ts";
import type { RouteResult } from "../core/read-route.ts";
import type { DeadLetterBox, SeenMessage } from "../ports/dead-letters.ts";

/** `deliveries`: the broker's own maximum was reached; `foreign`: somebody else dead-lettered it. */
export type LetterClass = DeathClass | "deliveries" | "foreign";

export interface Letter {
  readonly box: DeadLetterBox;
  readonly sequenceNumber: bigint;
  readonly messageId: string;
  /** Empty when it cannot be read. */
  readonly eventId: string;
  readonly eventType: string;
  readonly reason: string;
  readonly description: string;
  readonly class: LetterClass;
  readonly code: string;
  readonly fingerprint: string;
  readonly skill: string;
  readonly skillVersion: string;
  readonly step: string;
  readonly attempt: number;
  readonly traceId: string;
  readonly generation: number;
  readonly enqueuedAtMs: number;
  /** When it was given up, as a worker noted it; else when it was enqueued. By the broker's clock. */
  readonly atMs: number;
  /** Surely not before that; see `Death`. */
  readonly latestMs: number;
  /** The replay that sent the message of this letter; undefined when none did. */
  readonly replayId: string | undefined;
}

/** Where letters are looked for, and how they are read. */
export interface Letters {
  readonly boxes: readonly DeadLetterBox[];
  /** Names of the entities whose dead letters are the consumer's own. */
  readonly sources: readonly string[];
  readRoute(delivery: Delivery): RouteResult;
}

const pageSize = 200;
const descriptionCharactersMax = 1_000;
const expired = "TTLExpiredException";
const overDelivered = "MaxDeliveryCountExceeded";

function textHeader(delivery: Delivery, name: string): string {
  const value = delivery.header(name);
  return typeof value === "string" ? value : "";
}

/** Texts are empty where they cannot be read. */
export function routeOf(letters: Pick<Letters, "readRoute">, delivery: Delivery): { readonly eventId: string; readonly eventType: string } {
  try {
    const answer = letters.readRoute(delivery);
    return answer.ok ? answer.route : { eventId: "", eventType: "" };
  } catch {
    return { eventId: "", eventType: "" };
  }
}

/** Of a letter that no worker has given up: why is known by its reason alone. */
function classOf(reason: string): LetterClass {
  if (reason === expired) return "expired";
  return reason === overDelivered ? "deliveries" : "foreign";
}

export function letterOf(letters: Letters, box: DeadLetterBox, delivery: Delivery): Letter {
  const { eventId, eventType } = routeOf(letters, delivery);
  const reason = textHeader(delivery, "DeadLetterReason");
  const description = redact(textHeader(delivery, "DeadLetterErrorDescription"), descriptionCharactersMax);
  const { sequenceNumber, messageId, enqueuedAtMs } = delivery;
  const place = { box, sequenceNumber, messageId, eventId, eventType, reason: cleanText(reason), description, enqueuedAtMs };
  const replayId = readReplayHeader(delivery)?.id;
  const death = deathOfHeaders((name) => delivery.header(name));
  if (death !== undefined) {
    const { class: kind, code, fingerprint, skill, skillVersion, step, attempt, traceId, generation } = death;
    const times = { atMs: happenedAtMs(death) || enqueuedAtMs, latestMs: death.atMs || enqueuedAtMs };
    return { ...place, class: kind, code, fingerprint, skill, skillVersion, step, attempt, traceId, generation, ...times, replayId };
  }
  const kind = classOf(reason);
  // A broker's texts differ in counts only; what expired is one kind for each type of event.
  const fingerprint = fingerprintOf({ class: kind, code: reason, message: kind === "foreign" ? description : "" }, eventType);
  const traceId = cleanText(textHeader(delivery, "traceId"));
  const unknown = { skill: "", skillVersion: "", step: "", attempt: 0, generation: 0 };
  return { ...place, ...unknown, class: kind, code: cleanText(reason), fingerprint, traceId, atMs: enqueuedAtMs, latestMs: enqueuedAtMs, replayId };
}

/** In a queue that several entities forward to, letters of others are left alone. */
function isOwn({ sources }: Letters, box: DeadLetterBox, { deadLetterSource }: SeenMessage): boolean {
  if (box.isOwn) return true;
  return deadLetterSource !== undefined && sources.some((source) => source.toLowerCase() === deadLetterSource.toLowerCase());
}

export interface SeenLetter {
  readonly letter: Letter;
  readonly delivery: Delivery;
}

/** All letters that lie there now, box by box, in their order; a page at a time. */
export async function* scan(letters: Letters): AsyncGenerator<SeenLetter> {
  for (const box of letters.boxes) yield* scanBox(letters, box, 0n);
}

/** Those of one box from a sequence number on. */
export async function* scanBox(letters: Letters, box: DeadLetterBox, from: bigint): AsyncGenerator<SeenLetter> {
  let next = from;
  for (;;) {
    const page = await box.peek(next, pageSize);
    for (const seen of page) {
      next = seen.delivery.sequenceNumber + 1n;
      if (isOwn(letters, box, seen)) yield { letter: letterOf(letters, box, seen.delivery), delivery: seen.delivery };
    }
    if (page.length === 0) return;
  }
}

/** Which letters are meant: those of any of the groups or events; all where neither is named. */
export interface Selection {
  readonly groups: readonly string[];
  readonly events: readonly string[];
}

export function isSelected(letter: Letter, { groups, events }: Selection): boolean {
  if (groups.length === 0 && events.length === 0) return true;
  return groups.some((group) => group !== "" && letter.fingerprint.startsWith(group)) || (letter.eventId !== "" && events.includes(letter.eventId));
}
