/** The messages of events as they lie in the queues of a consumer, and its dead letters: looked at, not locked. */
import { enqueuedFirstMs, postponementsOf, waitsForHeader } from "../core/copy.ts";
import type { Delivery } from "../core/delivery.ts";
import type { DeadLetterBox, SeenMessage } from "../ports/dead-letters.ts";
import { type Letter, type Letters, routeOf, scanBox } from "./letters.ts";

export interface FoundMessage {
  readonly queue: string;
  readonly box: DeadLetterBox;
  readonly seen: SeenMessage;
  readonly eventId: string;
  readonly eventType: string;
  /** Messages that stand before it and can be delivered; undefined where that is not told. */
  readonly before: number | undefined;
  /** When the first of its chain of copies was enqueued, by the broker's clock. */
  readonly firstMs: number;
  readonly postponements: number;
  /** What a copy waits for until it is due; empty for none. */
  readonly waitsFor: string;
}

export interface Findings {
  readonly messages: readonly FoundMessage[];
  readonly letters: readonly Letter[];
  /** Queues that hold more messages than were looked at. */
  readonly cutShort: readonly string[];
}

const pageSize = 200;
/** Messages of one event that are held in one place: of more, the rest is not told. */
const heldMax = 100;

/** Looks through one queue from a sequence number on; tells each message, and answers where it has stopped. */
export async function lookThrough(
  box: DeadLetterBox,
  from: bigint,
  max: number,
  tell: (seen: SeenMessage, before: number) => void | Promise<void>,
): Promise<{ readonly next: bigint; readonly isWhole: boolean }> {
  let next = from;
  let looked = 0;
  let before = 0;
  while (looked < max) {
    const page = await box.peek(next, Math.min(pageSize, max - looked));
    if (page.length === 0) return { next, isWhole: true };
    for (const seen of page) {
      await tell(seen, before);
      if (seen.state === "active") before += 1;
      next = seen.delivery.sequenceNumber + 1n;
    }
    looked += page.length;
  }
  return { next, isWhole: (await box.peek(next, 1)).length === 0 };
}

export function foundIn(letters: Pick<Letters, "readRoute">, box: DeadLetterBox, seen: SeenMessage, before: number): FoundMessage {
  const { delivery } = seen;
  const { eventId, eventType } = routeOf(letters, delivery);
  const waitsFor = delivery.header(waitsForHeader);
  return {
    queue: box.name,
    box,
    seen,
    eventId,
    eventType,
    before,
    firstMs: enqueuedFirstMs(delivery),
    postponements: postponementsOf(delivery),
    waitsFor: typeof waitsFor === "string" ? waitsFor : "",
  };
}

/** Does not tell how many messages of others wait before it. */
export function withoutOthers(found: Findings): Findings {
  return { ...found, messages: found.messages.map((message) => ({ ...message, before: undefined })) };
}

/** Everything of one event that can be seen, in at most `max` messages of each queue. `isShown` is asked of each message of it. */
export async function findMessages(
  queues: readonly DeadLetterBox[],
  letters: Letters,
  eventId: string,
  max: number,
  isShown: (delivery: Delivery) => boolean | Promise<boolean> = () => true,
): Promise<Findings> {
  const messages: FoundMessage[] = [];
  const cutShort: string[] = [];
  for (const box of queues) {
    let held = 0;
    const { isWhole } = await lookThrough(box, 0n, max, async (seen, before) => {
      const found = foundIn(letters, box, seen, before);
      if (found.eventId !== eventId || !(await isShown(seen.delivery))) return;
      held += 1;
      if (held <= heldMax) messages.push(found);
    });
    if (!isWhole || held > heldMax) cutShort.push(box.name);
  }
  const own: Letter[] = [];
  for (const box of letters.boxes) {
    let looked = 0;
    for await (const { letter, delivery } of scanBox(letters, box, 0n)) {
      if (looked === max) {
        cutShort.push(box.name);
        break;
      }
      looked += 1;
      if (letter.eventId === eventId && (await isShown(delivery))) own.push(letter);
    }
  }
  return { messages, letters: own, cutShort };
}
