/**
 * Whose events lie in queues and dead letters, and whose a record is. Records do not say: one is a tenant's where a message of its that can be
 * seen has the same event and the same payload, and none of anybody else's has. So of what has completed, and has no message left, no tenant
 * is shown anything.
 */
import type { Delivery } from "../core/delivery.ts";
import { type HashPayload, isKnownPayload } from "../core/payload-hash.ts";
import { readScope } from "../core/read-scope.ts";
import { isOf, type Tenants } from "../core/tenants.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import { type Letters, scanBox } from "./letters.ts";
import { type Findings, findMessages, lookThrough, withoutOthers } from "./runs-messages.ts";

/** Empty for one that does not say, or cannot be read. */
export function tenantOf(letters: Pick<Letters, "readRoute">, delivery: Delivery): string {
  const answer = routed(letters, delivery);
  return answer?.ok === true ? (readScope({ delivery, ...answer }, "tenantId") ?? "") : "";
}

export interface Looked {
  readonly queues: readonly DeadLetterBox[];
  readonly letters: Letters;
  readonly hashPayload: HashPayload;
}

/** Hashes of payloads by event, of these tenants' messages and of all others; the messages themselves are let go of. */
export class OwnPayloads {
  readonly #looked: Looked;
  readonly #tenants: Tenants;
  readonly #own = new Map<string, Set<string>>();
  readonly #others = new Map<string, Set<string>>();

  constructor(looked: Looked, tenants: Tenants) {
    this.#looked = looked;
    this.#tenants = tenants;
  }

  /** Whether it is of these tenants. */
  async add(delivery: Delivery): Promise<boolean> {
    const answer = routed(this.#looked.letters, delivery);
    if (answer?.ok !== true) return false;
    const isOwn = isOf(this.#tenants, readScope({ delivery, ...answer }, "tenantId") ?? "");
    const hashes = isOwn ? this.#own : this.#others;
    const { eventId } = answer.route;
    const known = hashes.get(eventId) ?? new Set();
    hashes.set(eventId, known.add(await this.#looked.hashPayload(delivery.body, answer)));
    return isOwn;
  }

  events(): Iterable<string> {
    return this.#own.keys();
  }

  /** Whether the record of an event is of one of these messages, and of nobody's else that has the same id. */
  has(eventId: string, payloadHash: string): boolean {
    const isAmong = (hashes: ReadonlyMap<string, ReadonlySet<string>>): boolean =>
      [...(hashes.get(eventId) ?? [])].some((hash) => isKnownPayload(hash, payloadHash));
    return isAmong(this.#own) && !isAmong(this.#others);
  }
}

/** Looks at up to `max` messages of each queue, and as many of each place of dead letters. */
export async function ownPayloads(looked: Looked, tenants: Tenants, max: number): Promise<OwnPayloads> {
  const { queues, letters } = looked;
  const own = new OwnPayloads(looked, tenants);
  const add = async (delivery: Delivery): Promise<void> => {
    await own.add(delivery);
  };
  for (const box of queues) await lookThrough(box, 0n, max, ({ delivery }) => add(delivery));
  for (const box of letters.boxes) {
    let seen = 0;
    for await (const { delivery } of scanBox(letters, box, 0n)) {
      await add(delivery);
      seen += 1;
      if (seen === max) break;
    }
  }
  return own;
}

/** What is these tenants' of one event, by a single look. */
export async function findOwn(
  looked: Looked,
  tenants: Tenants,
  eventId: string,
  max: number,
): Promise<{ readonly own: OwnPayloads; readonly found: Findings }> {
  const own = new OwnPayloads(looked, tenants);
  const found = await findMessages(looked.queues, looked.letters, eventId, max, (delivery) => own.add(delivery));
  return { own, found: withoutOthers(found) };
}

function routed(letters: Pick<Letters, "readRoute">, delivery: Delivery): ReturnType<Letters["readRoute"]> | undefined {
  try {
    return letters.readRoute(delivery);
  } catch {
    return undefined;
  }
}
