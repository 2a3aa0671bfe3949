/** `holdfast runs resume | release | cancel | fork | delete`: what they have in common. */
import { readFileSync } from "node:fs";
import { composeLetters, composeQueues, composeReplay } from "../compose/dead-letters.ts";
import type { Config } from "../core/config.ts";
import type { Delivery } from "../core/delivery.ts";
import { ConfigurationError, HoldfastError, messageOf } from "../core/errors.ts";
import type { ByHand } from "../core/history.ts";
import { isKnownPayload } from "../core/payload-hash.ts";
import type { RunView } from "../core/run.ts";
import type { Letter, Letters } from "../recovery/letters.ts";
import type { ReplaySurroundings } from "../recovery/replay.ts";
import { type Findings, findMessages } from "../recovery/runs-messages.ts";
import { messageFromJson } from "../recovery/runs-message.ts";
import { byHandOf } from "./by-hand.ts";
import { printJson } from "./dlq-letters.ts";
import { writeText } from "./output.ts";
import type { ChangeOptions } from "./runs-options.ts";
import { chooseByEvent, type OpenRecords, withRecords } from "./runs-records.ts";
import type { Plain } from "./runs-view.ts";

/** Messages that are looked at in each queue. */
const peekMax = 100_000;

/** What is said of next steps, to whoever asks: he has commands, or the API. */
export interface Ways {
  /** To give the message of a run that has none. */
  readonly bringMessage: string;
  /** To see what becomes of an event. */
  readonly see: (eventId: string) => string;
  /** To be rid of a dead letter. */
  readonly closeLetter: string;
}

const byCommand: Ways = {
  bringMessage: "name a file that holds it with --message: the event as JSON, or a line of dlq export",
  see: () => "'holdfast runs explain' shows what becomes of it",
  closeLetter: "a dead letter is closed by dlq purge",
};

export interface Change extends Omit<OpenRecords, "loaded"> {
  readonly loaded: { readonly config: Config };
  readonly letters: Letters;
  readonly surroundings: ReplaySurroundings;
  readonly ways: Ways;
  find(eventId: string): Promise<Findings>;
  /** Undefined where there is no record of it. */
  view(eventId: string): Promise<RunView | undefined>;
}

/** What each of them says in the end: whether it was done, or would be, and how. */
export interface Told extends Plain {
  readonly eventId: string;
  readonly did: string;
}

/** Opens what a change of the event's run needs for `work`, and tells what it did. */
export async function change(eventId: string, options: ChangeOptions, work: (change: Change, by: ByHand) => Promise<Told>): Promise<void> {
  const byHand = byHandOf(options);
  await withChange(await chooseByEvent(options, eventId, "or-message"), async (open) => {
    const told = await work(open, byHand);
    if (options.json === true) printJson({ ...told, dryRun: options.dryRun === true });
    else writeText(`${told.eventId}: ${options.dryRun === true ? "dry run: would have " : ""}${told.did}\n`);
  });
}

/** Opens records, queues and publisher for `work`. */
export async function withChange<T>(options: ChangeOptions, work: (change: Change) => Promise<T>): Promise<T> {
  return withRecords(options, async (open) => {
    const { config, directory } = open.loaded;
    const [queues, letters, composed] = await Promise.all([
      composeQueues(config),
      composeLetters(config, options.forwardedTo),
      composeReplay(config, directory),
    ]);
    // The store of these records is open already.
    const surroundings = { ...composed, store: open.store };
    try {
      for (const box of letters.boxes) await box.start();
      await surroundings.publisher.start();
      return await work({
        ...open,
        letters,
        surroundings,
        ways: byCommand,
        find: (eventId) => findMessages(queues, letters, eventId, peekMax),
        view: (eventId) => open.store.read(eventId),
      });
    } finally {
      await surroundings.publisher.stop();
      for (const box of [...queues, ...letters.boxes]) await box.stop();
    }
  });
}

/** What cannot be done is said with what was found. */
export function cannot(what: string): HoldfastError {
  return new HoldfastError("HOLDFAST_RUN_STATE", what);
}

export function readMessage(file: string): Delivery {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file.replace(/^@/, ""), "utf8")) as unknown;
  } catch (error) {
    throw new ConfigurationError(`--message: expected a file that holds JSON, found: ${messageOf(error, 200)}`);
  }
  return messageFromJson(json);
}

/** JSON, or what a file holds that is named with `@`; undefined where nothing is given. */
export function readJsonArgument(option: string, text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text.startsWith("@") ? readFileSync(text.slice(1), "utf8") : text) as unknown;
  } catch (error) {
    throw new ConfigurationError(`${option}: expected JSON, or @FILE that holds JSON: ${messageOf(error, 200)}`);
  }
}

/** The hash that the record of this message has; throws for one that cannot be read, or is of another event. */
export async function hashOf({ letters, surroundings }: Change, delivery: Delivery, eventId: string): Promise<string> {
  const route = letters.readRoute(delivery);
  if (!route.ok) throw new ConfigurationError(`expected a message that can be read, found ${route.invalid.reason}: ${route.invalid.description}`);
  if (route.route.eventId !== eventId) throw new ConfigurationError(`expected a message of event '${eventId}', found one of '${route.route.eventId}'`);
  return surroundings.hashPayload(delivery.body, route);
}

/** The dead letter that is the run's: with its payload. */
export async function ownLetter(
  change: Change,
  found: Findings,
  payloadHash: string,
): Promise<{ readonly letter: Letter; readonly delivery: Delivery } | undefined> {
  for (const letter of found.letters.toReversed()) {
    const [seen] = await letter.box.peek(letter.sequenceNumber, 1);
    if (seen === undefined || seen.delivery.sequenceNumber !== letter.sequenceNumber) continue;
    if (isKnownPayload(await hashOf(change, seen.delivery, letter.eventId), payloadHash)) return { letter, delivery: seen.delivery };
  }
  return undefined;
}
