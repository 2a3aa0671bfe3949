/**
 * Ends disagreements between records and messages, one at a time. Each is looked at once more as it is ended, under a claim or a lock, so that
 * what has moved meanwhile is left alone. It can be interrupted anywhere: what was not ended is found again.
 */
import type { Clock } from "../core/clock.ts";
import type { Delivery } from "../core/delivery.ts";
import { type Death, fingerprintOf } from "../core/death.ts";
import { messageOf } from "../core/errors.ts";
import type { HashPayload } from "../core/payload-hash.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { RunRecords } from "../ports/run-records.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import type { Letter, Letters } from "./letters.ts";
import type { Disagreement, Mend } from "./reconcile.ts";
import { lastDeath } from "../core/history.ts";
import { isParkedReason } from "../core/outcome.ts";
import { makeReplay } from "./replay-message.ts";
import { take } from "./take.ts";

export interface MendSurroundings {
  readonly clock: Clock;
  readonly letters: Letters;
  readonly store: RunStore;
  readonly records: RunRecords;
  readonly publisher: Publisher;
  /** Where replays are sent. */
  readonly retryEntity: string;
  readonly hashPayload: HashPayload;
  /** Names this command among those that claim. */
  readonly token: string;
  readonly signal: AbortSignal;
}

/** `moved`: it is no longer as it was found. */
type MendResult = "mended" | "moved";

/** Long enough for one write after the claim. */
const leaseMs = 10_000;

async function mend(surroundings: MendSurroundings, { eventId, what, mend: order }: Disagreement): Promise<MendResult> {
  switch (order.do) {
    case "complete":
      return complete(surroundings, eventId, what, order);
    case "give-up":
      return giveUp(surroundings, eventId, what, order);
    case "close":
      await surroundings.store.close([eventId], reconciled(what));
      return "mended";
    case "create":
      return create(surroundings, eventId, order);
    case "replay":
      return replay(surroundings, what, order.letter);
  }
}

/** What became of a disagreement; `found`: it was left as it is. */
export interface Ended {
  readonly disagreement: Disagreement;
  readonly result: "found" | MendResult | "failed";
  /** Why it failed. */
  readonly why: string;
}

export function asFound(disagreement: Disagreement): Ended {
  return { disagreement, result: "found", why: "" };
}

/** Ends them one after the other, until it is interrupted. One that cannot be mended does not keep the others from it. */
export async function mendEach(surroundings: MendSurroundings, disagreements: readonly Disagreement[]): Promise<readonly Ended[]> {
  const ended: Ended[] = [];
  for (const disagreement of disagreements) ended.push(surroundings.signal.aborted ? asFound(disagreement) : await mendOne(surroundings, disagreement));
  return ended;
}

async function mendOne(surroundings: MendSurroundings, disagreement: Disagreement): Promise<Ended> {
  try {
    return { disagreement, result: await mend(surroundings, disagreement), why: "" };
  } catch (error) {
    return { disagreement, result: "failed", why: messageOf(error, 300) };
  }
}

function reconciled(what: string): string {
  return `reconciled: ${what}`;
}

async function complete(
  { clock, store, signal }: MendSurroundings,
  eventId: string,
  what: string,
  order: Extract<Mend, { do: "complete" }>,
): Promise<MendResult> {
  if (order.isDone && (await store.read(eventId))?.state !== "done") return "moved";
  // Noted first: a letter that is gone was closed for a reason.
  if (order.notes) await store.close([eventId], reconciled(what));
  return takeOne(order.box, order.sequenceNumber, { clock, signal, handle: () => Promise.resolve(true) });
}

async function takeOne(box: DeadLetterBox, sequenceNumber: bigint, options: Parameters<typeof take>[2]): Promise<MendResult> {
  const { completed } = await take(box, new Set([sequenceNumber]), options);
  return completed === 1 ? "mended" : "moved";
}

/** The claim makes sure that nobody else has the run; it ends with the write, or with its lease. */
async function giveUp(
  { clock, store, token }: MendSurroundings,
  eventId: string,
  what: string,
  { reason, letter, view }: Extract<Mend, { do: "give-up" }>,
): Promise<MendResult> {
  const { payloadHash, pipelineHash, epoch: before, failures } = view;
  const [claim] = await store.claim([{ eventId, token, payloadHash, pipelineHash }], leaseMs);
  if (claim?.kind !== "acquired") return "moved";
  const { epoch } = claim;
  if (epoch !== before + 1) {
    await store.fail([{ eventId, epoch, state: "waiting", reason: "moved", failures: 0, losses: 0 }]);
    return "moved";
  }
  const death = deathFor(reason, what, letter, view, clock.wallMs(), failures);
  const [written] = await store.fail([{ eventId, epoch, state: "dead", reason, failures: 0, losses: 0, death }]);
  if (written !== "written") return "moved";
  // With a dead letter it can be replayed.
  if (letter === undefined) await store.close([eventId], reconciled(what));
  return "mended";
}

function deathFor(
  reason: string,
  what: string,
  letter: Letter | undefined,
  view: { readonly generation: number; readonly history: Parameters<typeof lastDeath>[0] },
  atMs: number,
  attempt: number,
): Death {
  const { skill = "", skillVersion = "", step = "", traceId = "" } = letter ?? lastDeath(view.history) ?? {};
  const kind = letter === undefined || letter.class === "deliveries" || letter.class === "foreign" ? "permanent" : letter.class;
  const code = letter?.code ?? reason;
  const fingerprint = letter?.fingerprint ?? fingerprintOf({ class: kind, code, message: what }, skill);
  return { atMs, reason, class: kind, code, fingerprint, step, skill, skillVersion, attempt, traceId, generation: view.generation };
}

async function create({ records }: MendSurroundings, eventId: string, { letter, payloadHash }: Extract<Mend, { do: "create" }>): Promise<MendResult> {
  const { atMs, reason, class: kind, code, fingerprint, step, skill, skillVersion, attempt, traceId, generation } = letter;
  if (kind === "deliveries" || kind === "foreign") return "moved";
  const death: Death = { atMs, reason, class: kind, code, fingerprint, step, skill, skillVersion, attempt, traceId, generation };
  const state = isParkedReason(reason) ? "parked" : "dead";
  const made = await records.create({ eventId, payloadHash, pipelineHash: "", state, reason, steps: [], history: [{ kind: "died", state, ...death }] });
  return made === "created" ? "mended" : "moved";
}

/** Sent first, completed after: what ends between the two is sent once more, as the same replay. */
async function replay(surroundings: MendSurroundings, what: string, letter: Letter): Promise<MendResult> {
  const { clock, letters, store, publisher, retryEntity, hashPayload, signal } = surroundings;
  const secret = await store.secret();
  const making = {
    secret,
    hashPayload,
    readRoute: (one: Delivery) => letters.readRoute(one),
    from: "checkpoint",
    repeatsInDoubt: false,
    reason: reconciled(what).slice(0, 200),
    patch: undefined,
  } as const;
  return takeOne(letter.box, letter.sequenceNumber, {
    clock,
    signal,
    async handle(delivery) {
      await publisher.send(retryEntity, [await makeReplay(making, delivery)]);
      return true;
    },
  });
}
