/** `holdfast runs cancel | delete`. */
import { encodeVerdict, isOwnRecord, verdictOf } from "../core/compensation.ts";
import { counted } from "../core/counted.ts";
import { type Death, fingerprintOf } from "../core/death.ts";
import { type ByHand, cancelledReason, lastDeath } from "../core/history.ts";
import type { RunKind, RunView } from "../core/run.ts";
import { skillOf } from "../recovery/runs-progress.ts";
import { cannot, change, type Change, hashOf, type Told, type Ways } from "./runs-change.ts";
import type { ChangeOptions, DeleteOptions } from "./runs-options.ts";
import { stepInDoubt } from "./runs-view.ts";
import { readRun, unknownEvent } from "./runs-records.ts";

function deathOf(view: RunView | undefined, kind: RunKind | undefined, description: string): Omit<Death, "atMs"> {
  const skill = view === undefined ? "" : skillOf(view, kind);
  const attempt = view === undefined ? 0 : view.failures + view.losses;
  return {
    reason: cancelledReason,
    class: "cancelled",
    code: cancelledReason,
    fingerprint: fingerprintOf({ class: "cancelled", code: cancelledReason, message: description }, skill),
    step: "",
    skill,
    skillVersion: kind?.skillVersion ?? "",
    attempt,
    traceId: (view && lastDeath(view.history)?.traceId) ?? "",
    generation: view?.generation ?? 0,
  };
}

export async function cancel(eventId: string, options: ChangeOptions): Promise<void> {
  await change(eventId, options, (open, byHand) => cancelRun(open, eventId, byHand, options.dryRun === true));
}

export async function cancelRun(open: Change, eventId: string, byHand: ByHand, isDryRun: boolean): Promise<Told> {
  const view = await open.view(eventId);
  if (view === undefined) return cancelUnclaimed(open, eventId, byHand, isDryRun);
  const kind = open.kinds.get(view.pipelineHash);
  checkCancellable(view, kind, open.ways);
  const isCompensated = kind?.critical === true && view.steps.length > 0;
  const description = `cancelled: ${byHand.reason}`;
  const { failures, losses } = view;
  const verdict = kind?.critical === true ? encodeVerdict({ reason: cancelledReason, description, failures, losses }) : undefined;
  const then = isCompensated ? "its steps are compensated, then its message is dead-lettered" : `its message is dead-lettered as ${cancelledReason}`;
  const isHeld = view.claim !== undefined && view.claim.leftMs > 0;
  const asked = `been told to stop at its next step boundary; ${then}`;
  const doubtful = stepInDoubt(view.steps);
  const doubt = doubtful === undefined ? "" : `; its step ${doubtful} may have happened: look in the dependency whether it has`;
  const ended = `been cancelled; when its message comes, ${then}${doubt}`;
  if (isDryRun) return { eventId, did: isHeld ? asked : ended, result: "dry run" };
  const result = await open.records.cancel({ eventId, ...byHand, death: deathOf(view, kind, description), verdict });
  switch (result) {
    case "asked":
      return { eventId, did: asked, result };
    case "ended":
      return { eventId, did: ended, result };
    case "done":
    case "given-up":
    case "unknown":
      throw cannot(`expected a run that is on its way, found that '${eventId}' is ${result} by now; nothing was changed`);
  }
}

function checkCancellable({ key: { eventId }, state, reason, steps }: RunView, kind: RunKind | undefined, { closeLetter }: Ways): void {
  if (state === "done" || state === "dead" || state === "parked")
    throw cannot(`expected a run that is on its way, found that '${eventId}' is ${state}${reason === undefined ? "" : ` (${reason})`}; ${closeLetter}`);
  if (verdictOf(steps) !== undefined)
    throw cannot(`expected a run that can be called off, found that '${eventId}' has failed for good and is being compensated`);
  if (kind === undefined && steps.some((step) => !isOwnRecord(step)))
    throw cannot(
      `expected to know the skill of '${eventId}', and whether it is critical, found a version of it that no worker has named in this store; start a worker of that version first`,
    );
}

/** Nobody has claimed it: its record is made, as that of a run that was given up, before its message comes. */
async function cancelUnclaimed(open: Change, eventId: string, byHand: ByHand, isDryRun: boolean): Promise<Told> {
  const { messages } = await open.find(eventId);
  const [message] = messages;
  if (message === undefined) throw await unknownEvent(open, eventId);
  const did = `been cancelled before its first claim; when its message in ${message.queue} comes, it is dead-lettered as ${cancelledReason}`;
  if (isDryRun) return { eventId, did, result: "dry run" };
  // None of its messages that are there now may bring it back, whatever the clock here says.
  const atMs = Math.max(Date.now(), ...messages.map(({ firstMs }) => firstMs));
  const death = { ...deathOf(undefined, undefined, `cancelled: ${byHand.reason}`), atMs };
  const made = await open.records.create({
    eventId,
    payloadHash: await hashOf(open, message.seen.delivery, eventId),
    pipelineHash: "",
    state: "dead",
    reason: cancelledReason,
    steps: [],
    history: [{ kind: "died", state: "dead", ...death }],
    entry: { kind: "cancelled", ...byHand },
  });
  if (made === "exists") throw cannot(`expected '${eventId}' not to be claimed yet, found that it was claimed just now; cancel it again`);
  return { eventId, did, result: "ended" };
}

export async function remove(eventId: string, options: DeleteOptions): Promise<void> {
  await change(eventId, options, async (open, { who, reason }) => {
    const view = await readRun(open, eventId);
    const { messages, letters, cutShort } = await open.find(eventId);
    if (view.state === "running" || view.state === "waiting")
      throw cannot(`expected a run that has ended, found that '${eventId}' is ${view.state}; cancel it, or let holdfast reconcile end it, first`);
    const [message] = messages;
    if (message !== undefined) throw cannot(`expected no message of '${eventId}', found one in ${message.queue}: without its record it would run again`);
    if (cutShort.length > 0)
      throw cannot(
        `expected to look through all queues for a message of '${eventId}', found too many messages in ${cutShort.join(" and ")}; try it again when they are fewer`,
      );
    const left = letters.length === 0 ? "" : `; its dead letter stays, and would run from the start when it is replayed`;
    const did = `had its record deleted (${view.state}, ${counted(view.steps.length, "step")}; by ${who}: ${reason})${left}`;
    if (options.dryRun === true) return { eventId, did, reason, who };
    if (options.yes !== true)
      throw cannot(
        `expected --yes: the record of '${eventId}' cannot be brought back, and the event would run again if it was sent again; nothing was changed`,
      );
    const result = await open.records.remove(eventId);
    if (result !== "removed") throw cannot(`expected a run that has ended, found that '${eventId}' is ${result} by now; nothing was changed`);
    return { eventId, did, reason, who };
  });
}
