/** What the commands on runs have in common: opening the records, and finding one by its event's id. */
import { composeRunRecords, composeRunStore } from "../compose/store.ts";
import { HoldfastError } from "../core/errors.ts";
import { didYouMean } from "../core/near-name.ts";
import type { RunKind, RunView } from "../core/run.ts";
import type { RunRecords } from "../ports/run-records.ts";
import type { RunStore } from "../ports/run-store.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { allStates, scanRuns } from "../recovery/runs-scan.ts";
import { loadSource, type LoadedSource, type SourceChoice } from "./load-source.ts";

export interface OpenRecords {
  readonly loaded: LoadedSource;
  readonly store: RunStore;
  readonly records: RunRecords;
  /** By pipeline hash. */
  readonly kinds: ReadonlyMap<string, RunKind>;
  /** Aborted by the first SIGINT or SIGTERM. */
  readonly signal: AbortSignal;
}

/** Opens the records of the configured consumer for `work`, and closes them after it. */
export async function withRecords<T>(options: SourceChoice, work: (open: OpenRecords) => Promise<T>): Promise<T> {
  const loaded = await loadSource(options);
  const { config, directory } = loaded;
  const records = composeRunRecords(config, directory);
  const store = composeRunStore(config, directory);
  const abort = new AbortController();
  const stop = (): void => abort.abort();
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    await store.start();
    await records.start();
    const kinds = new Map((await records.kinds()).map((kind) => [kind.pipelineHash, kind]));
    return await work({ loaded, store, records, kinds, signal: abort.signal });
  } finally {
    process.removeListener("SIGINT", stop).removeListener("SIGTERM", stop);
    await records.stop();
    await store.stop();
  }
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
