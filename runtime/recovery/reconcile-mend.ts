/**
 * Ends disagreements between records and messages, one at a time. Each is looked at once more as it is ended, by one write or under a lock, so that
 * what has moved meanwhile is left alone. It can be interrupted anywhere: what was not ended is found again.
 */
import type { Clock } from "../core/clock.ts";
import type { Delivery } from "../core/delivery.ts";
import { type Death, fingerprintOf } from "../core/death.ts";
import { messageOf } from "../core/errors.ts";
import type { RunView } from "../core/run.ts";
import type { HashPayload } from "../core/payload-hash.ts";
import type { Publisher } from "../ports/publisher.ts";
import type { RunRecords } from "../ports/run-records.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import type { Letter, Letters } from "./letters.ts";
import type { Disagreement, Mend } from "./reconcile.ts";
import { type ByHand, lastDeath } from "../core/history.ts";
import { isParkedReason } from "../core/outcome.ts";
import { replayReasonCharactersMax } from "../core/replay-order.ts";
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
  /** Who has it done. */
  readonly who: string;
  readonly signal: AbortSignal;
}

/** `moved`: it is no longer as it was found. */
type MendResult = "mended" | "moved";

async function mend(surroundings: MendSurroundings, { eventId, what, mend: order }: Disagreement): Promise<MendResult> {
  switch (order.do) {
    case "complete":
      return complete(surroundings, eventId, what, order);
    case "give-up":
      return giveUp(surroundings, eventId, what, order);
    case "close":
      await surroundings.store.close([eventId], reconciled(surroundings, what));
      return "mended";
    case "create":
      return create(surroundings, eventId, what, order);
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

function reconciled({ who }: Pick<MendSurroundings, "who">, what: string): ByHand {
  return { reason: `reconciled: ${what}`.slice(0, replayReasonCharactersMax), who };
}

async function complete(surroundings: MendSurroundings, eventId: string, what: string, order: Extract<Mend, { do: "complete" }>): Promise<MendResult> {
  const { clock, store, signal } = surroundings;
  if (order.isDone && (await store.read(eventId))?.state !== "done") return "moved";
  // Noted first: a letter that is gone was closed for a reason.
  if (order.notes) await store.close([eventId], reconciled(surroundings, what));
  return takeOne(order.box, order.sequenceNumber, { clock, signal, handle: () => Promise.resolve(true) });
}

async function takeOne(box: DeadLetterBox, sequenceNumber: bigint, options: Parameters<typeof take>[2]): Promise<MendResult> {
  const { completed } = await take(box, new Set([sequenceNumber]), options);
  return completed === 1 ? "mended" : "moved";
}

async function giveUp(
  surroundings: MendSurroundings,
  eventId: string,
  what: string,
  { reason, letter, view }: Extract<Mend, { do: "give-up" }>,
): Promise<MendResult> {
  const death = deathFor(reason, what, letter, view);
  // With a dead letter it can be replayed.
  const entry = { kind: letter === undefined ? "closed" : "reconciled", ...reconciled(surroundings, what) } as const;
  const answer = await surroundings.records.giveUp({ eventId, epoch: view.epoch, reason, death, entry });
  return answer === "given-up" ? "mended" : "moved";
}

function deathFor(
  reason: string,
  what: string,
  letter: Letter | undefined,
  { generation, history, failures }: Pick<RunView, "generation" | "history" | "failures">,
): Omit<Death, "atMs"> {
  const { skill = "", skillVersion = "", step = "", traceId = "" } = letter ?? lastDeath(history) ?? {};
  const kind = letter === undefined || letter.class === "deliveries" || letter.class === "foreign" ? "permanent" : letter.class;
  const code = letter?.code ?? reason;
  const fingerprint = letter?.fingerprint ?? fingerprintOf({ class: kind, code, message: what }, skill);
  return { reason, class: kind, code, fingerprint, step, skill, skillVersion, attempt: failures, traceId, generation };
}

async function create(
  surroundings: MendSurroundings,
  eventId: string,
  what: string,
  { letter, payloadHash }: Extract<Mend, { do: "create" }>,
): Promise<MendResult> {
  const { atMs, latestMs, reason, class: kind, code, fingerprint, step, skill, skillVersion, attempt, traceId, generation } = letter;
  if (kind === "deliveries" || kind === "foreign") return "moved";
  const death: Death = { atMs: latestMs, happenedAtMs: atMs, reason, class: kind, code, fingerprint, step, skill, skillVersion, attempt, traceId, generation };
  const state = isParkedReason(reason) ? "parked" : "dead";
  const entry = { kind: "reconciled", ...reconciled(surroundings, what) } as const;
  const history = [{ kind: "died", state, ...death } as const];
  const made = await surroundings.records.create({ eventId, payloadHash, pipelineHash: "", state, reason, steps: [], history, entry });
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
    ...reconciled(surroundings, what),
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
