/**
 * Finds run records and messages that disagree. What moves is not looked at: records and messages must have been left alone for a
 * while. Messages are looked for in the queues, in the dead letters, and once more at the end of the queues, for a replay moves a
 * message from the dead letters there; so one that is in none of them is gone.
 */
import { counted } from "../core/counted.ts";
import type { Clock } from "../core/clock.ts";
import { isOwnRecord, verdictOf } from "../core/compensation.ts";
import { type HashPayload, isKnownPayload } from "../core/payload-hash.ts";
import type { RunState, RunSummary, RunView } from "../core/run.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import type { RunRecords } from "../ports/run-records.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { Delivery } from "../core/delivery.ts";
import { readReplayHeader } from "../core/replay-order.ts";
import { type Letter, type Letters, scanBox } from "./letters.ts";
import { type FoundMessage, foundIn, lookThrough } from "./runs-messages.ts";
import { replayIdOf } from "./replay-message.ts";
import { progressOf } from "./runs-progress.ts";
import { scanRuns } from "./runs-scan.ts";

export type DisagreementKind =
  /** The run is done, and a message of it lies in the queue or among the dead letters. */
  | "done-message"
  | "done-dead-letter"
  /** A replay of a dead letter lies in the queue, and the letter, too: whoever replayed it ended between the two. */
  | "replayed-dead-letter"
  /** The run has not ended, and no message of it is left that could carry it on. */
  | "unfinished-without-message"
  /** The run has not ended, and its message is a dead letter. */
  | "unfinished-dead-letter"
  /** The same of a run whose compensation has begun. */
  | "compensation-without-message"
  | "compensation-dead-letter"
  /** The run was given up, and nothing of it is left that could be replayed; nobody has closed it. */
  | "given-up-without-dead-letter"
  | "parked-without-dead-letter"
  /** A worker has given the run up, and its record is gone. */
  | "dead-letter-without-record";

/** How a disagreement is ended. */
export type Mend =
  /** The message is completed where it lies; where its run must be `done` for that, it is looked at once more. */
  | {
      readonly do: "complete";
      readonly box: DeadLetterBox;
      readonly sequenceNumber: bigint;
      readonly isDone: boolean;
      readonly notes: boolean;
    }
  /** The run is given up on record, for this reason. */
  | { readonly do: "give-up"; readonly reason: string; readonly letter: Letter | undefined; readonly view: RunView }
  /** That nothing is left is noted in the record's history. */
  | { readonly do: "close" }
  /** The record is made again, as that of a run that was given up. */
  | { readonly do: "create"; readonly letter: Letter; readonly payloadHash: string }
  /** The dead letter is replayed, behind the last step. */
  | { readonly do: "replay"; readonly letter: Letter };

export interface Disagreement {
  readonly kind: DisagreementKind;
  readonly eventId: string;
  /** What was found. */
  readonly what: string;
  readonly mend: Mend;
}

export interface ReconcileOptions {
  readonly clock: Clock;
  readonly queues: readonly DeadLetterBox[];
  readonly letters: Letters;
  readonly records: RunRecords;
  readonly store: RunStore;
  readonly hashPayload: HashPayload;
  /** Records and messages that were written later are left alone; longer than a lock. */
  readonly quietMs: number;
  /** Messages that are looked at in each queue, and each dead-letter queue. */
  readonly peekMax: number;
  readonly signal: AbortSignal;
  /** Whether the recovery queue looks after a run under compensation; left out where there is no such queue. */
  isLookedAfter?(eventId: string, generation: number): Promise<boolean>;
}

export interface Reconciliation {
  readonly disagreements: readonly Disagreement[];
  readonly records: number;
  readonly messages: number;
  readonly letters: number;
  /** Queues that hold more than was looked at: then no message is known to be missing. */
  readonly cutShort: readonly string[];
}

interface SeenLetter {
  readonly letter: Letter;
  readonly delivery: Delivery;
}

/** What was seen of messages, by event. */
class Seen {
  readonly messages = new Map<string, FoundMessage[]>();
  readonly letters = new Map<string, SeenLetter[]>();
  messageCount = 0;
  letterCount = 0;
  readonly cutShort = new Set<string>();
}

async function lookAtMessages({ queues, letters, peekMax }: ReconcileOptions): Promise<Seen> {
  const seen = new Seen();
  const add = (found: FoundMessage): void => {
    seen.messageCount += 1;
    if (found.eventId === "") return;
    const known = seen.messages.get(found.eventId);
    if (known === undefined) seen.messages.set(found.eventId, [found]);
    else known.push(found);
  };
  const ends = new Map<DeadLetterBox, bigint>();
  for (const box of queues) {
    const { next, isWhole } = await lookThrough(box, 0n, peekMax, (message, before) => add(foundIn(letters, box, message, before)));
    ends.set(box, next);
    if (!isWhole) seen.cutShort.add(box.name);
  }
  for (const box of letters.boxes) {
    let looked = 0;
    for await (const { letter, delivery } of scanBox(letters, box, 0n)) {
      if (looked >= peekMax) {
        seen.cutShort.add(box.name);
        break;
      }
      looked += 1;
      seen.letterCount += 1;
      if (letter.eventId === "") continue;
      seen.letters.set(letter.eventId, [...(seen.letters.get(letter.eventId) ?? []), { letter, delivery }]);
    }
  }
  for (const [box, next] of ends) {
    if (seen.cutShort.has(box.name)) continue;
    const { isWhole } = await lookThrough(box, next, peekMax, (message, before) => add(foundIn(letters, box, message, before)));
    if (!isWhole) seen.cutShort.add(box.name);
  }
  return seen;
}

/** States of runs that must have a message, or a dead letter. */
const unfinishedOrGivenUp: readonly RunState[] = ["running", "waiting", "dead", "parked"];

export async function findDisagreements(options: ReconcileOptions): Promise<Reconciliation> {
  const seen = await lookAtMessages(options);
  const disagreements = new Map<string, Disagreement>();
  const tell = (found: Disagreement | undefined): void => {
    if (found !== undefined) disagreements.set(`${found.kind} ${found.eventId} ${"sequenceNumber" in found.mend ? found.mend.sequenceNumber : ""}`, found);
  };
  for (const [eventId, messages] of seen.messages) {
    if (options.signal.aborted) break;
    for (const found of await doneMessages(options, eventId, messages)) tell(found);
  }
  const secret = seen.letters.size === 0 ? "" : await options.store.secret();
  for (const [eventId, letters] of seen.letters) {
    if (options.signal.aborted) break;
    for (const found of replayedLetters(secret, eventId, letters, seen.messages.get(eventId) ?? [])) tell(found);
    for (const found of await lettersAgainstRecord(options, eventId, letters)) tell(found);
  }
  let records = 0;
  for await (const runs of scanRuns(options.records, { ...options, states: unfinishedOrGivenUp })) {
    records += runs.length;
    for (const run of runs) tell(await recordAgainstMessages(options, seen, run));
  }
  return { disagreements: [...disagreements.values()], records, messages: seen.messageCount, letters: seen.letterCount, cutShort: [...seen.cutShort] };
}

/** Done, with nothing left to publish, and not just now. */
function isLongDone(view: RunView | undefined, quietMs: number): view is RunView {
  return view?.state === "done" && view.outbox.length === 0 && view.writtenAgoMs >= quietMs;
}

/** The payload that the record is of; an event id that was used for another one makes a dead letter of its own. */
async function isOf({ hashPayload, letters }: ReconcileOptions, delivery: Delivery, payloadHash: string): Promise<boolean> {
  const found = await hashOf({ hashPayload, letters }, delivery);
  return found !== undefined && isKnownPayload(found, payloadHash);
}

async function hashOf({ hashPayload, letters }: Pick<ReconcileOptions, "hashPayload" | "letters">, delivery: Delivery): Promise<string | undefined> {
  const route = letters.readRoute(delivery);
  return route.ok ? await hashPayload(delivery.body, route) : undefined;
}

/** A worker completes what it is handed; what nobody has handed to one for so long is completed here. */
async function doneMessages(options: ReconcileOptions, eventId: string, messages: readonly FoundMessage[]): Promise<readonly Disagreement[]> {
  const { clock, quietMs, store } = options;
  const old = messages.filter(({ seen }) => seen.state === "active" && clock.wallMs() - seen.delivery.enqueuedAtMs >= quietMs);
  if (old.length === 0) return [];
  const view = await store.read(eventId);
  if (!isLongDone(view, quietMs)) return [];
  const found: Disagreement[] = [];
  for (const { box, seen } of old) {
    if (!(await isOf(options, seen.delivery, view.payloadHash))) continue;
    const { sequenceNumber } = seen.delivery;
    const what = `its run is done, and its message still lies in ${box.name}`;
    found.push({ kind: "done-message", eventId, what, mend: { do: "complete", box, sequenceNumber, isDone: true, notes: false } });
  }
  return found;
}

/** The id of a replay can be made for one letter alone, and by nobody without the consumer's secret. */
function replayedLetters(secret: string, eventId: string, letters: readonly SeenLetter[], messages: readonly FoundMessage[]): readonly Disagreement[] {
  const replays = new Map(messages.flatMap(({ queue, seen: { delivery } }) => [readReplayHeader(delivery)?.id, delivery.messageId].map((id) => [id, queue])));
  return letters.flatMap(({ letter, delivery }) => {
    const queue = replays.get(replayIdOf(secret, delivery));
    if (queue === undefined) return [];
    const { box, sequenceNumber, reason } = letter;
    const what = `a dead letter of it lies in ${box.name}, as ${reason}, and its replay in ${queue}`;
    return [{ kind: "replayed-dead-letter", eventId, what, mend: { do: "complete", box, sequenceNumber, isDone: false, notes: false } }];
  });
}

async function lettersAgainstRecord(options: ReconcileOptions, eventId: string, letters: readonly SeenLetter[]): Promise<readonly Disagreement[]> {
  const view = await options.store.read(eventId);
  if (view === undefined) return lettersWithoutRecord(options, eventId, letters);
  if (!isLongDone(view, options.quietMs)) return [];
  const found: Disagreement[] = [];
  for (const { letter, delivery } of letters) {
    if (!(await isOf(options, delivery, view.payloadHash))) continue;
    const { box, sequenceNumber, reason } = letter;
    const what = `its run is done, and a dead letter of it lies in ${box.name}, as ${reason}`;
    found.push({ kind: "done-dead-letter", eventId, what, mend: { do: "complete", box, sequenceNumber, isDone: true, notes: true } });
  }
  return found;
}

/** What a worker has executed had a record; what it has refused before that had none, nor what others have dead-lettered. */
async function lettersWithoutRecord(options: ReconcileOptions, eventId: string, letters: readonly SeenLetter[]): Promise<readonly Disagreement[]> {
  const executed = letters.findLast(({ letter }) => letter.attempt > 0 && letter.class !== "deliveries" && letter.class !== "foreign");
  if (executed === undefined || options.clock.wallMs() - executed.letter.atMs < options.quietMs) return [];
  const payloadHash = await hashOf(options, executed.delivery);
  if (payloadHash === undefined) return [];
  const { letter } = executed;
  const what = `it was given up as ${letter.reason} in attempt ${letter.attempt}, and its record is gone: a duplicate of it would run again`;
  return [{ kind: "dead-letter-without-record", eventId, what, mend: { do: "create", letter, payloadHash } }];
}

async function recordAgainstMessages(options: ReconcileOptions, seen: Seen, run: RunSummary): Promise<Disagreement | undefined> {
  const { eventId, state } = run;
  if (run.writtenAgoMs < options.quietMs || (run.claim !== undefined && run.claim.leftMs > 0)) return undefined;
  if (seen.messages.has(eventId) || seen.cutShort.size > 0) return undefined;
  const letters = seen.letters.get(eventId) ?? [];
  // What has come or gone since it was listed is no disagreement.
  const view = await options.store.read(eventId);
  if (view === undefined || view.epoch !== run.epoch || view.state !== state || view.writtenAgoMs < options.quietMs) return undefined;
  for (const { letter, delivery } of letters) {
    if (await isOf(options, delivery, view.payloadHash)) return state === "dead" || state === "parked" ? undefined : unfinished(options, view, letter);
  }
  if (state !== "dead" && state !== "parked") return unfinished(options, view, undefined);
  if (view.history.at(-1)?.kind === "closed") return undefined;
  const kind = state === "parked" ? "parked-without-dead-letter" : "given-up-without-dead-letter";
  return {
    kind,
    eventId,
    what: `it was ${state === "parked" ? "parked" : "given up"} as ${view.reason ?? ""}, and no message of it is left`,
    mend: { do: "close" },
  };
}

/** What a run is given up as that has lost its message. */
export const messageLostReason = "MessageLost";

/** Whether nobody looks after a run whose compensation has begun; undefined of others. */
async function isLeftBehind({ isLookedAfter }: Pick<ReconcileOptions, "isLookedAfter">, { key, generation, steps }: RunView): Promise<boolean | undefined> {
  if (verdictOf(steps) === undefined) return undefined;
  return (await isLookedAfter?.(key.eventId, generation)) !== true;
}

/** Whether any run under compensation was left behind: by the records alone, which costs less than to look at all messages. */
export async function hasLeftBehind(options: ReconcileOptions): Promise<boolean> {
  for await (const runs of scanRuns(options.records, { ...options, states: ["running", "waiting"] })) {
    for (const run of runs) {
      if (run.steps === 0 || run.writtenAgoMs < options.quietMs || (run.claim !== undefined && run.claim.leftMs > 0)) continue;
      const view = await options.store.read(run.eventId);
      if (view !== undefined && (await isLeftBehind(options, view)) === true) return true;
    }
  }
  return false;
}

async function unfinished(options: ReconcileOptions, view: RunView, letter: Letter | undefined): Promise<Disagreement | undefined> {
  if ((await isLeftBehind(options, view)) === false) return undefined;

  const { eventId } = view.key;
  const { verdict, compensations, steps } = progressOf(view, undefined);
  const how = view.state === "running" ? "its worker ended without returning it" : `it waits since '${view.reason ?? ""}'`;
  const where = letter === undefined ? "no message of it is left" : `its message lies in ${letter.box.name}, as ${letter.reason}`;
  if (verdict === undefined) {
    const mend: Mend = { do: "give-up", reason: letter?.reason ?? messageLostReason, letter, view };
    return { kind: letter === undefined ? "unfinished-without-message" : "unfinished-dead-letter", eventId, what: `${how}, and ${where}`, mend };
  }
  const ended = [...compensations.values()].filter(({ state }) => state !== "trying").length;
  const what = `${ended} of ${counted(steps.filter((step) => !isOwnRecord(step)).length, "step")} compensated, ${how}, and ${where}`;
  if (letter !== undefined) return { kind: "compensation-dead-letter", eventId, what, mend: { do: "replay", letter } };
  return { kind: "compensation-without-message", eventId, what, mend: { do: "give-up", reason: "CompensationFailed", letter, view } };
}
