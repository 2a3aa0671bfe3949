/** What the commands on runs have in common: opening the records, and finding one by its event's id. */
import { composeLetters, composeQueues } from "../compose/dead-letters.ts";
import { composeRunRecords, composeRunStore } from "../compose/store.ts";
import type { Config } from "../core/config.ts";
import { HoldfastError } from "../core/errors.ts";
import { didYouMean } from "../core/near-name.ts";
import type { RunKind, RunView } from "../core/run.ts";
import type { RunRecords } from "../ports/run-records.ts";
import type { RunStore } from "../ports/run-store.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { findMessages } from "../recovery/runs-messages.ts";
import { allStates, scanRuns } from "../recovery/runs-scan.ts";
import { loadSource, type LoadedSource, loadSources, type SourceChoice, theOne } from "./load-source.ts";

export interface OpenRecords {
  readonly loaded: LoadedSource;
  readonly store: RunStore;
  readonly records: RunRecords;
  /** By pipeline hash. */
  readonly kinds: ReadonlyMap<string, RunKind>;
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
}

/** Opens the records of the source for `work`, and closes them after it. */
export async function withRecords<T>(options: SourceChoice, work: (open: OpenRecords) => Promise<T>): Promise<T> {
  return withRecordsOf(await loadSource(options), work);
}

/** The choice with the one source of several that `has` what is meant, in words `what`; as it was where only one source is meant. */
export async function chooseSource<Choice extends SourceChoice>(choice: Choice, what: string, has: (open: OpenRecords) => Promise<boolean>): Promise<Choice> {
  const sources = await loadSources(choice);
  if (sources.length === 1) return choice;
  const { name: source } = await theOne(
    sources,
    (one) => withRecordsOf(one, has),
    ({ name }) => name,
    what,
  );
  return { ...choice, source };
}

/** For a command on the run of one event: the source that has its record. `orMessage`: where none has, one that has a message of it will do. */
export async function chooseByEvent<Choice extends SourceChoice & { readonly forwardedTo?: string }>(
  choice: Choice,
  eventId: string,
  orMessage?: "or-message",
): Promise<Choice> {
  let isKnown = false;
  const chosen = await chooseSource(choice, `there is a run of '${eventId}'`, async ({ store }) => {
    const has = (await store.read(eventId)) !== undefined;
    isKnown ||= has;
    return has;
  });
  if (isKnown || orMessage === undefined) return chosen;
  return chooseSource(choice, `there are messages of '${eventId}'`, ({ loaded: { config } }) => hasMessage(config, choice.forwardedTo, eventId));
}

/** Messages that are looked at in each queue. */
const peekMax = 10_000;

async function hasMessage(config: Config, forwardedTo: string | undefined, eventId: string): Promise<boolean> {
  const [queues, letters] = await Promise.all([composeQueues(config), composeLetters(config, forwardedTo)]);
  const boxes = [...queues, ...letters.boxes];
  try {
    for (const box of boxes) await box.start();
    const found = await findMessages(queues, letters, eventId, peekMax);
    return found.messages.length + found.letters.length > 0;
  } finally {
    for (const box of boxes) await box.stop();
  }
}

export async function withRecordsOf<T>(loaded: LoadedSource, work: (open: OpenRecords) => Promise<T>): Promise<T> {
  const { config, directory } = loaded;
  const records = composeRunRecords(config, directory);
  const store = composeRunStore(config, directory);
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    await store.start();
    await records.start();
    return await work({ loaded, store, records, kinds: await kindsOf(records), signal: abort.signal });
  } finally {
    process.removeListener("SIGINT", stop).removeListener("SIGTERM", stop);
    await records.stop();
    await store.stop();
  }
}

/** By pipeline hash. */
export async function kindsOf(records: Pick<RunRecords, "kinds">): Promise<ReadonlyMap<string, RunKind>> {
  return new Map((await records.kinds()).map((kind) => [kind.pipelineHash, kind]));
}

/** Pages that are looked through for what was probably meant. */
const pagesMax = 20;

/** Says that there is no record, and which event was probably meant. */
export async function unknownEvent({ records, signal }: Pick<OpenRecords, "records" | "signal">, eventId: string): Promise<HoldfastError> {
  let hint = "";
  let pages = 0;
  for await (const runs of scanRuns(records, { clock: systemClock, states: allStates, signal })) {
    hint = didYouMean(
      eventId,
      runs.map((run) => run.eventId),
    );
    pages += 1;
    if (hint !== "" || pages === pagesMax) break;
  }
  return new HoldfastError(
    "HOLDFAST_UNKNOWN_RUN",
    `expected a record of event '${eventId}', found none: it was never claimed here, or its record is past its retention${hint}`,
  );
}

export async function readRun(open: Pick<OpenRecords, "store" | "records" | "signal">, eventId: string): Promise<RunView> {
  const view = await open.store.read(eventId);
  if (view === undefined) throw await unknownEvent(open, eventId);
  return view;
}
