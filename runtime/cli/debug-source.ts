/** Finds what `holdfast debug` goes through: a message, and what its run's record says. It looks, and changes nothing. */
import { readFileSync, statSync } from "node:fs";
import { composeQueues } from "../compose/dead-letters.ts";
import { composeRunStore } from "../compose/store.ts";
import { deadSessionHeader, type Death, deathOfHeaders } from "../core/death.ts";
import type { Delivery, OutgoingMessage } from "../core/delivery.ts";
import { ConfigurationError, HoldfastError, messageOf } from "../core/errors.ts";
import { lastDeath } from "../core/history.ts";
import type { RunView } from "../core/run.ts";
import { type SeenLetter, scan } from "../recovery/letters.ts";
import { messageFromJson } from "../recovery/runs-message.ts";
import { findMessages } from "../recovery/runs-messages.ts";
import { type CallAnswer, unpackAnswers } from "../skills/host/call-answers.ts";
import type { DebugOptions } from "./debug-options.ts";
import { type SourceLetters, withLetters } from "./dlq-letters.ts";
import { type LoadedSource, loadSource } from "./load-source.ts";

/** What is known of the failure that is on record. */
export interface RecordedFailure extends Pick<Death, "code" | "step" | "attempt"> {
  /** Undefined where no worker has noted one. */
  readonly fingerprint?: string;
  readonly class: string;
  readonly reason: string;
  readonly description: string;
}

export interface Found {
  readonly loaded: LoadedSource;
  /** In words. */
  readonly from: string;
  readonly message: OutgoingMessage;
  readonly sessionId: string | undefined;
  /** Undefined where there is none, or none was looked for. */
  readonly view: RunView | undefined;
  readonly answers: readonly CallAnswer[];
  /** Undefined where nothing says that it failed. */
  readonly failure: RecordedFailure | undefined;
}

/** Messages that are looked at in each queue. */
const peekMax = 10_000;
/** So much of a group's fingerprint names it. */
const groupCharactersMin = 4;

export async function findRecorded(what: string, options: DebugOptions): Promise<Found> {
  // A folder may have an event's name.
  if (statSync(what, { throwIfNoEntry: false })?.isDirectory() === false) return fromFile(what, options);
  const found = (await fromLetters(what, options)) ?? (await fromQueues(what, options));
  if (found !== undefined) return found;
  throw new HoldfastError(
    "HOLDFAST_UNKNOWN_RUN",
    `expected the event id, the sequence number or the group of a dead letter, an event that still lies in a queue, or a file, found nothing called '${what}'; records hold no payloads, so a run whose message is gone needs a file: its event as JSON, or a line of dlq export`,
  );
}

/** Nothing outside is asked: what the file does not hold is not on record. */
async function fromFile(file: string, options: DebugOptions): Promise<Found> {
  const loaded = await loadSource(options);
  const delivery = messageFromJson(chosen(file, parsed(file), options.event), file);
  return { loaded, from: file, ...partsOf(delivery), view: undefined, answers: [], failure: failureOf(delivery, undefined) };
}

/** One document, or one on each line. */
function parsed(file: string): readonly unknown[] {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigurationError(`expected a file that can be read, found: ${messageOf(error, 200)}`, { cause: error });
  }
  try {
    return [JSON.parse(text) as unknown];
  } catch (whole) {
    try {
      const lines = text.split("\n").filter((line) => line.trim() !== "");
      return lines.map((line) => JSON.parse(line) as unknown);
    } catch {
      throw new ConfigurationError(`expected ${file} to hold JSON, or a line of JSON for each dead letter, found: ${messageOf(whole, 200)}`);
    }
  }
}

function chosen(file: string, all: readonly unknown[], eventId: string | undefined): unknown {
  const idOf = (json: unknown): unknown => (json as { readonly eventId?: unknown } | null)?.eventId;
  const meant = eventId === undefined ? all : all.filter((json) => idOf(json) === eventId);
  const ids = all
    .slice(0, 10)
    .map((json) => String(idOf(json)))
    .join(", ");
  if (meant.length !== 1)
    throw new ConfigurationError(
      `--event: expected the one dead letter of ${file} that is meant, found ${eventId ?? "none"} where it holds ${ids || "nothing"}`,
    );
  return meant[0];
}

async function fromLetters(what: string, options: DebugOptions): Promise<Found | undefined> {
  return withLetters(options, async (sources) => {
    let best: (SeenLetter & { readonly source: SourceLetters; readonly rank: number }) | undefined;
    for (const source of sources) {
      for await (const seen of scan(source.letters)) {
        const rank = rankOf(seen, what);
        // Of an event that died more than once its last death counts; of a group, the first one is its example.
        if (rank > 0 && (best === undefined || rank > best.rank || (rank === best.rank && rank > 1))) best = { ...seen, source, rank };
      }
    }
    if (best === undefined) return undefined;
    const { letter, delivery, source } = best;
    const { loaded } = source;
    const view = await readRecord(loaded, letter.eventId);
    const from = `${letter.box.name}, sequence number ${letter.sequenceNumber}`;
    return { loaded, from, ...partsOf(delivery), ...onRecord(view), failure: failureOf(delivery, view) };
  });
}

/** How surely a letter is the one that is meant; 0 for another. */
function rankOf({ letter: { eventId, sequenceNumber, fingerprint } }: SeenLetter, what: string): number {
  if (eventId !== "" && eventId === what) return 3;
  if (String(sequenceNumber) === what) return 2;
  return what.length >= groupCharactersMin && fingerprint.startsWith(what) ? 1 : 0;
}

/** An event that is on its way, or waits for its next attempt. */
async function fromQueues(eventId: string, options: DebugOptions): Promise<Found | undefined> {
  return withLetters(options, async (sources) => {
    for (const { loaded, letters } of sources) {
      const queues = await composeQueues(loaded.config);
      try {
        for (const queue of queues) await queue.start();
        const [found] = (await findMessages(queues, { ...letters, boxes: [] }, eventId, peekMax)).messages;
        if (found === undefined) continue;
        const view = await readRecord(loaded, eventId);
        const { delivery } = found.seen;
        return { loaded, from: found.queue, ...partsOf(delivery), ...onRecord(view), failure: failureOf(delivery, view) };
      } finally {
        for (const queue of queues) await queue.stop();
      }
    }
    return undefined;
  });
}

/** What a worker has in its memory nobody else can read: its runs have no record then. */
async function readRecord({ config, directory }: LoadedSource, eventId: string): Promise<RunView | undefined> {
  if (eventId === "" || (config.store.kind === "sqlite" && config.store.path === ":memory:")) return undefined;
  const store = composeRunStore(config, directory);
  try {
    await store.start();
    return await store.read(eventId);
  } finally {
    await store.stop();
  }
}

function partsOf(delivery: Delivery): Pick<Found, "message" | "sessionId"> {
  const { messageId, contentType, subject, body } = delivery;
  const particulars = delivery.particulars();
  const diedIn = delivery.header(deadSessionHeader);
  const sessionId = particulars.sessionId ?? (typeof diedIn === "string" ? diedIn : undefined);
  return { message: { ...particulars, messageId, contentType, subject, body: Uint8Array.from(body), headers: delivery.headers() }, sessionId };
}

function onRecord(view: RunView | undefined): Pick<Found, "view" | "answers"> {
  const answers = view?.setbacks.findLast(({ kind }) => kind === "given-up")?.answers ?? {};
  return { view, answers: Object.entries(answers).flatMap(([dependency, text]) => unpackAnswers(dependency, Buffer.from(text, "base64"))) };
}

function failureOf(delivery: Delivery, view: RunView | undefined): RecordedFailure | undefined {
  const text = (name: string): string => {
    const value = delivery.header(name);
    return typeof value === "string" ? value : "";
  };
  const description = text("DeadLetterErrorDescription");
  const reason = text("DeadLetterReason");
  const setback = view?.setbacks.at(-1);
  const death = deathOfHeaders((name) => delivery.header(name)) ?? (view && lastDeath(view.history));
  if (death !== undefined) {
    const { class: kind, code, step, attempt, fingerprint } = death;
    return { fingerprint, class: kind, code, step, attempt, reason: death.reason, description: description || (setback?.description ?? "") };
  }
  if (reason !== "") return { class: "", code: reason, step: "", attempt: 0, reason, description };
  if (setback === undefined || setback.kind !== "failed") return undefined;
  return { class: "", code: setback.why, step: "", attempt: setback.attempt, reason: setback.why, description: setback.description };
}
