/** `holdfast dlq replay`: says what it would do, and does it when asked to. */
import { counted } from "../core/counted.ts";
import { composeReplay } from "../compose/dead-letters.ts";
import { checkStoreIsShared } from "../compose/store.ts";
import { ConfigurationError } from "../core/errors.ts";
import { isParkedReason } from "../core/outcome.ts";
import { replayReasonCharactersMax } from "../core/replay-order.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { Letter, Letters } from "../recovery/letters.ts";
import { replayGroups, type ReplaySurroundings } from "../recovery/replay.ts";
import { replayTrouble } from "../recovery/replay-message.ts";
import { describeReplay as describe, handToWorkers, showReplays } from "./dlq-background.ts";
import { checkSelection, printJson, selected, withOwnLetters } from "./dlq-letters.ts";
import type { ReplayCommandOptions } from "./dlq-options.ts";
import { writeNote, writeText } from "./output.ts";
import { whoOf } from "./by-hand.ts";
import { readJsonArgument } from "./runs-change.ts";

/** False when a group was stopped. */
export async function replay(options: ReplayCommandOptions): Promise<boolean> {
  if (options.status === true && options.run === true)
    throw new ConfigurationError("--status: expected it without --run, which replays something, found both; nothing was sent: leave one of them out");
  if (options.status === true) return showReplays(options);
  checkSelection(options);
  if (options.inBackground === true && options.run !== true)
    throw new ConfigurationError("--in-background: expected --run beside it, found none; look at the dry run first, then give both");
  if (options.reason.length > replayReasonCharactersMax)
    throw new ConfigurationError(`--reason: expected at most ${replayReasonCharactersMax} characters, found ${options.reason.length}`);
  const patch = readJsonArgument("--patch", options.patch);
  return withOwnLetters(options, async (letters, loaded) => {
    checkStoreIsShared(loaded.config);
    const { groups, unreadable } = await choose(options, patch, letters);
    if (groups.size === 0 && options.json !== true) {
      writeText(`no such dead letters${unreadable === 0 ? "" : `, but ${leftText(unreadable)}`}\n`);
      return true;
    }
    const surroundings = await composeReplay(loaded.config, loaded.directory);
    await surroundings.store.start();
    try {
      if (options.run !== true) {
        await printPlan(options, groups, unreadable, surroundings);
        return true;
      }
      if (unreadable > 0) writeNote(leftText(unreadable));
      if (options.inBackground === true) return await handToWorkers(options, patch, [...groups.values()].flat(), loaded);
      return await run(options, patch, letters, [...groups.values()], surroundings);
    } finally {
      await surroundings.store.stop();
    }
  });
}

interface Chosen {
  readonly groups: ReadonlyMap<string, readonly Letter[]>;
  /** Letters without an event id that can be read. */
  readonly unreadable: number;
}

/** A patch must fit every letter that is meant: found in the middle, one that it does not fit would leave half of them replayed. */
async function choose(options: ReplayCommandOptions, patch: unknown, letters: Letters): Promise<Chosen> {
  const groups = new Map<string, Letter[]>();
  let unreadable = 0;
  let fitting = 0;
  let parked = 0;
  const unfit: string[] = [];
  for await (const { letter, delivery } of selected(letters, options)) {
    if (isParkedReason(letter.reason)) parked += 1;
    if (letter.eventId === "") {
      unreadable += 1;
      continue;
    }
    const trouble = patch === undefined ? undefined : replayTrouble({ readRoute: (one) => letters.readRoute(one), patch }, delivery);
    if (trouble === undefined) fitting += 1;
    else unfit.push(`'${letter.eventId}': ${trouble}`);
    const group = groups.get(letter.fingerprint);
    if (group === undefined) groups.set(letter.fingerprint, [letter]);
    else group.push(letter);
  }
  if (unfit.length > 0)
    throw new ConfigurationError(
      `--patch: expected letters that it fits, found ${unfit.length} of ${unfit.length + fitting} that it does not, the first ${unfit[0]}; nothing was sent: choose others with --group or --event`,
    );
  if (options.run === true && parked > 0 && options.reason.trim() === "")
    throw new ConfigurationError(
      `--reason: expected why ${counted(parked, "parked run is", "parked runs are")} retried, which their records keep, found nothing; nothing was sent`,
    );
  return { groups, unreadable };
}

function leftText(unreadable: number): string {
  const many = "letters without an event id that can be read are left where they are";
  return counted(unreadable, "letter without an event id that can be read is left where it is", many);
}

/** Ended by the first signal behind the letter that is at hand; what is left stays where it is. */
async function run(
  options: ReplayCommandOptions,
  patch: unknown,
  letters: Parameters<typeof replayGroups>[0],
  groups: readonly (readonly Letter[])[],
  surroundings: ReplaySurroundings,
): Promise<boolean> {
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  await surroundings.publisher.start();
  try {
    const reports = await replayGroups(letters, groups, surroundings, {
      from: options.from,
      repeatsInDoubt: options.repeatInDoubt === true,
      reason: options.reason,
      who: whoOf(options),
      patch,
      perSecond: options.perSecond,
      waitMs: options.wait * 1_000,
      failuresMax: options.failuresMax,
      signal: abort.signal,
      progress: (report) => writeNote(describe(report)),
    });
    if (options.json === true) printJson(reports);
    return reports.length === groups.length && reports.every(({ state }) => state === "done");
  } finally {
    process.removeListener("SIGINT", stop).removeListener("SIGTERM", stop);
    await surroundings.publisher.stop();
  }
}

interface Plan {
  readonly fingerprint: string;
  readonly letters: number;
  readonly events: number;
  readonly failure: string;
  /** States of the runs' records, of the first letters. */
  readonly runs: Readonly<Record<string, number>>;
}

const recordsMax = 1_000;

async function statesOf(store: RunStore, eventIds: readonly string[]): Promise<Readonly<Record<string, number>>> {
  const counts = new Map<string, number>();
  for (const eventId of eventIds.slice(0, recordsMax)) {
    const state = (await store.read(eventId))?.state ?? "no record";
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}

async function printPlan(
  options: ReplayCommandOptions,
  groups: ReadonlyMap<string, readonly Letter[]>,
  unreadable: number,
  { store, retryEntity }: ReplaySurroundings,
): Promise<void> {
  const plans: Plan[] = [];
  for (const [fingerprint, letters] of groups) {
    const eventIds = [...new Set(letters.map(({ eventId }) => eventId))];
    const failure = `${letters[0]?.class}: ${letters[0]?.code}`;
    plans.push({ fingerprint, letters: letters.length, events: eventIds.length, failure, runs: await statesOf(store, eventIds) });
  }
  if (options.json === true) return printJson({ to: retryEntity, from: options.from, groups: plans, unreadable });
  const lines = plans.map(({ fingerprint, letters, events, failure, runs }) => {
    const states = Object.entries(runs).map(([state, number]) => `${number} ${state}`);
    return `${fingerprint}: ${counted(letters, "letter")} of ${counted(events, "event")} (${failure}); runs: ${states.join(", ")}`;
  });
  const from = options.from === "start" ? "from the start, with new idempotency keys" : "behind their last step";
  if (unreadable > 0) lines.push(leftText(unreadable));
  writeText(`dry run: would be sent to ${retryEntity}, and go on ${from}; --run does it\n${lines.join("\n")}\n`);
}
