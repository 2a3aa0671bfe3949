/** `holdfast runs resume | fork`. */
import { randomUUID } from "node:crypto";
import { entityFor } from "../compose/broker.ts";
import type { Delivery } from "../core/delivery.ts";
import { isEventId } from "../core/event-envelope.ts";
import { ConfigurationError } from "../core/errors.ts";
import { counted } from "../core/counted.ts";
import type { ByHand } from "../core/history.ts";
import { unguessableId } from "../core/message-ids.ts";
import { decodeOutbox } from "../core/outbox.ts";
import { isKnownPayload } from "../core/payload-hash.ts";
import type { RunView } from "../core/run.ts";
import type { Letter } from "../recovery/letters.ts";
import { replayGroups } from "../recovery/replay.ts";
import { makeReplay } from "../recovery/replay-message.ts";
import { forkedMessage, stepsUpTo, undoneOf } from "../recovery/runs-fork.ts";
import { progressOf } from "../recovery/runs-progress.ts";
import { standingOf } from "../recovery/runs-standing.ts";
import { cannot, change, type Change, hashOf, ownLetter, readJsonArgument, readMessage, type Told } from "./runs-change.ts";
import type { ForkOptions, ResumeOptions } from "./runs-options.ts";
import { readRun, unknownEvent } from "./runs-records.ts";
import { stepInDoubt } from "./runs-view.ts";

/** How a run that nothing carries on is to go on. */
export interface WayOn {
  /** What is done for it. */
  readonly did: string;
  go(): Promise<Told>;
}

export async function resume(eventId: string, options: ResumeOptions): Promise<void> {
  await change(eventId, options, (open, byHand) => resumeRun(open, eventId, byHand, options));
}

export async function resumeRun(open: Change, eventId: string, byHand: ByHand, options: ResumeWishes & Pick<ResumeOptions, "dryRun">): Promise<Told> {
  const view = await open.view(eventId);
  if (view === undefined) throw await unknownEvent(open, eventId);
  if (view.state === "done") return publishOutbox(open, view, byHand, options);
  const way = await wayOn(open, view, byHand, options);
  return options.dryRun === true ? { eventId, did: way.did } : way.go();
}

/** What a resumed run is given to go on with. */
type ResumeWishes = Pick<ResumeOptions, "message" | "repeatInDoubt" | "wait">;

/** Changes nothing yet. */
export async function wayOn(open: Change, view: RunView, byHand: ByHand, options: ResumeWishes): Promise<WayOn> {
  const { eventId } = view.key;
  const found = await open.find(eventId);
  const own = await ownLetter(open, found, view.payloadHash);
  const isGivenUp = view.state === "dead" || view.state === "parked";
  if (!isGivenUp && own === undefined && (found.messages.length > 0 || (view.claim !== undefined && view.claim.leftMs > 0))) {
    const { now } = standingOf({ view, progress: progressOf(view, undefined), found, nowMs: Date.now() });
    throw cannot(`expected a run that nothing carries on, found that '${eventId}' is on its way: ${now}`);
  }
  if (own !== undefined) return wayOfLetter(open, view, own.letter, byHand, options);
  if (options.message !== undefined) return wayOfMessage(open, view, readMessage(options.message), byHand, options);
  const [message] = found.messages;
  if (message !== undefined)
    throw cannot(
      `expected a dead letter of '${eventId}', found a message of it in ${message.queue}, which may be its replay: ${open.ways.see(eventId)}; try it again when it has gone`,
    );
  throw cannot(
    `expected a dead letter of '${eventId}', found none, and its record does not hold its payload: the message is needed; ${open.ways.bringMessage}`,
  );
}

async function publishOutbox(
  { loaded, surroundings, store, records }: Change,
  { key: { eventId }, outbox }: RunView,
  byHand: ByHand,
  { dryRun }: Pick<ResumeOptions, "dryRun">,
): Promise<Told> {
  if (outbox.length === 0) throw cannot(`expected a run that has not ended, or not published its events, found that '${eventId}' is done`);
  const events = decodeOutbox(outbox);
  const did = `published the ${counted(events.length, "event")} that it has emitted: its run is done`;
  if (dryRun === true) return { eventId, did };
  for (const event of events) await surroundings.publisher.send(event.entity ?? entityFor(loaded.config, String(event.headers["eventType"])), [event]);
  await records.note(eventId, { kind: "published", ...byHand });
  await store.clearOutbox([eventId]);
  return { eventId, did };
}

function wayOfLetter(open: Change, view: RunView, letter: Letter, byHand: ByHand, options: ResumeWishes): WayOn {
  const did = `been replayed behind its last step, with its dead letter from ${letter.box.name}`;
  return { did, go: () => replayLetter(open, view.key.eventId, letter, did, byHand, options) };
}

async function replayLetter(open: Change, eventId: string, letter: Letter, did: string, byHand: ByHand, options: ResumeWishes): Promise<Told> {
  const { letters, surroundings, signal } = open;
  const [report] = await replayGroups(letters, [[letter]], surroundings, {
    from: "checkpoint",
    repeatsInDoubt: options.repeatInDoubt === true,
    ...byHand,
    patch: undefined,
    perSecond: 50,
    waitMs: options.wait * 1_000,
    failuresMax: 0,
    signal,
    progress: () => undefined,
  });
  if (report?.state === "done") return { eventId, did: `${did}, and is done`, state: report.state };
  if (report?.state === "undecided" && options.wait === 0) return { eventId, did: `${did}; its end was not waited for`, state: report.state };
  const wanted = options.wait === 0 ? "be on its way" : `be done within --wait ${options.wait} s of its replay`;
  throw cannot(`expected '${eventId}' to ${wanted}, found: ${report?.state ?? "interrupted"} ${report?.why ?? ""}`.trim());
}

async function wayOfMessage(open: Change, view: RunView, message: Delivery, byHand: ByHand, options: ResumeWishes): Promise<WayOn> {
  const { eventId } = view.key;
  if (!isKnownPayload(await hashOf(open, message, eventId), view.payloadHash))
    throw cannot(`expected the payload that '${eventId}' was claimed with, found another one; fork it with a patch instead`);
  const did = `been sent to ${open.surroundings.retryEntity} from --message, as a replay behind its last step`;
  return { did, go: () => sendMessage(open, view, message, did, byHand, options) };
}

async function sendMessage(open: Change, view: RunView, message: Delivery, did: string, byHand: ByHand, options: ResumeWishes): Promise<Told> {
  const { letters, surroundings } = open;
  const making = {
    secret: await open.store.secret(),
    hashPayload: surroundings.hashPayload,
    readRoute: (one: Delivery) => letters.readRoute(one),
    from: "checkpoint",
    repeatsInDoubt: options.repeatInDoubt === true,
    ...byHand,
    patch: undefined,
  } as const;
  // Another order each time that the event was given up.
  const replayed = await makeReplay(making, { ...message, messageId: `${message.messageId}~${view.epoch}.${view.generation}` });
  await surroundings.publisher.send(surroundings.retryEntity, [replayed]);
  return { eventId: view.key.eventId, did };
}

export async function fork(eventId: string, options: ForkOptions): Promise<void> {
  const as: string = options.as ?? `${eventId.slice(0, 100)}-fork-${randomUUID().slice(0, 8)}`;
  if (!isEventId(as)) throw new ConfigurationError(`--as: expected an event id of at most 128 characters, got '${String(as)}'`);
  const patch = readJsonArgument("--patch", options.patch);
  await change(eventId, options, async (open, byHand) => {
    const { letters, surroundings, store, records } = open;
    const view = await readRun(open, eventId);
    const steps = stepsUpTo(view.steps, options.step);
    const doubtful = stepInDoubt(view.steps);
    if (doubtful !== undefined && options.repeatInDoubt !== true)
      throw cannot(
        `expected to know of each step of '${eventId}' whether it was done, found that '${doubtful}' may have been, and the fork would do it again; look in the dependency, then give --repeat-in-doubt if it was not`,
      );
    const undone = undoneOf(view, steps);
    if (undone !== undefined)
      throw cannot(
        `expected steps whose effects stand, found that step '${undone}' of '${eventId}' was compensated, or is to be; fork it at a step before that one, or send the event under a new id`,
      );
    const parent = await messageOfRun(open, view, options.message);
    const routed = letters.readRoute(parent);
    if (!routed.ok) throw new ConfigurationError(`expected a message that can be read, found ${routed.invalid.reason}: ${routed.invalid.description}`);
    const message = forkedMessage(parent, routed, as, patch);
    const payloadHash = await hashOf(open, message, as);
    const patched = !isKnownPayload(payloadHash, view.payloadHash);
    const did = `been forked as ${as}, behind its step ${options.step} (${counted(steps.length, "step is", "steps are")} taken over)${patched ? ", with another payload" : ""}`;
    if (options.dryRun === true) return { eventId, did, fork: as };
    const made = await records.create({
      eventId: as,
      payloadHash,
      pipelineHash: view.pipelineHash,
      state: "waiting",
      reason: "forked",
      steps,
      history: [],
      entry: { kind: "forked-from", ...byHand, eventId, step: options.step, patched },
    });
    if (made === "exists" && !isUnsentFork(await store.read(as), eventId, payloadHash))
      throw cannot(`expected an event id that is not in use, found a record of '${as}'; name another with --as`);
    const { body, contentType } = message;
    const messageId = unguessableId(await store.secret(), as, "fork", eventId);
    await surroundings.publisher.send(surroundings.retryEntity, [{ messageId, body, contentType, headers: message.headers() }]);
    await records.note(eventId, { kind: "forked-to", eventId: as, ...byHand });
    return { eventId, did, fork: as };
  });
}

/** A command like this one ended between making the record and sending the message. */
function isUnsentFork(view: RunView | undefined, parent: string, payloadHash: string): boolean {
  const [first] = view?.history ?? [];
  return view?.epoch === 0 && view.state === "waiting" && view.payloadHash === payloadHash && first?.kind === "forked-from" && first.eventId === parent;
}

async function messageOfRun(open: Change, view: RunView, file: string | undefined): Promise<Delivery> {
  const { eventId } = view.key;
  if (file !== undefined) return readMessage(file);
  const found = await open.find(eventId);
  const own = await ownLetter(open, found, view.payloadHash);
  const message = own?.delivery ?? found.messages[0]?.seen.delivery;
  if (message === undefined)
    throw cannot(`expected a message of '${eventId}' in the queue or among the dead letters, found none: it is needed; ${open.ways.bringMessage}`);
  return message;
}
