/**
 * Whose events lie in queues and dead letters, and whose a record is. Records do not say: one is a tenant's where a message of its that can be
 * seen has the same event and the same payload. So of what has completed, and has no message left, no tenant is shown anything.
 */
import type { Delivery } from "../core/delivery.ts";
import { type HashPayload, isKnownPayload } from "../core/payload-hash.ts";
import { readScope } from "../core/read-scope.ts";
import { isOf, type Tenants } from "../core/tenants.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import { type Letters, scan } from "./letters.ts";
import { lookThrough } from "./runs-messages.ts";

/** Empty for one that does not say, or cannot be read. */
export function tenantOf(letters: Pick<Letters, "readRoute">, delivery: Delivery): string {
  const answer = routed(letters, delivery);
  return answer?.ok === true ? (readScope({ delivery, ...answer }, "tenantId") ?? "") : "";
}

/** Hashes of the payloads of messages that are somebody's, by event. */
export type OwnPayloads = ReadonlyMap<string, ReadonlySet<string>>;

/** Looks at up to `max` messages of each queue, and at all dead letters; `eventId`: at those of one event alone. */
export async function ownPayloads(
  { queues, letters, hashPayload }: { readonly queues: readonly DeadLetterBox[]; readonly letters: Letters; readonly hashPayload: HashPayload },
  tenants: Tenants,
  max: number,
  eventId?: string,
): Promise<OwnPayloads> {
  const own = new Map<string, Set<string>>();
  const found: Delivery[] = [];
  const look = (delivery: Delivery): void => {
    if (isOf(tenants, tenantOf(letters, delivery))) found.push(delivery);
  };
  for (const box of queues) await lookThrough(box, 0n, max, ({ delivery }) => look(delivery));
  for await (const { letter, delivery } of scan(letters)) if (eventId === undefined || letter.eventId === eventId) look(delivery);
  for (const delivery of found) {
    const answer = routed(letters, delivery);
    if (answer?.ok !== true || (eventId !== undefined && answer.route.eventId !== eventId)) continue;
    const hashes = own.get(answer.route.eventId) ?? new Set();
    own.set(answer.route.eventId, hashes.add(await hashPayload(delivery.body, answer)));
  }
  return own;
}

/** Whether the record of an event is of one of these messages, and not of another's that has the same id. */
export function isOwn(own: OwnPayloads, eventId: string, payloadHash: string): boolean {
  return [...(own.get(eventId) ?? [])].some((hash) => isKnownPayload(hash, payloadHash));
}

function routed(letters: Pick<Letters, "readRoute">, delivery: Delivery): ReturnType<Letters["readRoute"]> | undefined {
  try {
    return letters.readRoute(delivery);
  } catch {
    return undefined;
  }
}
