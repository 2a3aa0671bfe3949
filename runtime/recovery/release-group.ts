/**
 * Parked runs that are released together: somebody states of all of them whether their step happened. Each statement is put on record
 * just before the replay of its run is sent, in the stages of every replay, so that a statement that proves wrong stops at the first.
 */
import type { Clock } from "../core/clock.ts";
import { verdictOf } from "../core/compensation.ts";
import { lastDeath, type StatedOutcome } from "../core/history.ts";
import type { HashPayload } from "../core/payload-hash.ts";
import type { RunKind, RunView, StepRecord } from "../core/run.ts";
import type { RunRecords } from "../ports/run-records.ts";
import type { RunStore } from "../ports/run-store.ts";
import { type Letter, type Letters, scan } from "./letters.ts";
import { type GroupReport, replayGroups, type ReplayOptions, type ReplaySurroundings } from "./replay.ts";
import { skillOf } from "./runs-progress.ts";
import { stepsInDoubt } from "./runs-release.ts";
import { scanRuns } from "./runs-scan.ts";

/** Which parked runs are meant: those of any of the groups, or those of the skill that are parked for the step. */
export interface ParkedSelection {
  readonly groups: readonly string[];
  readonly skill: string | undefined;
  readonly step: string | undefined;
}

export interface ParkedRun {
  readonly view: RunView;
  readonly skill: string;
  /** The one of which nobody knows whether it happened. */
  readonly step: string;
  readonly fingerprint: string;
}

export interface ParkedScan {
  readonly clock: Clock;
  readonly records: RunRecords;
  readonly store: RunStore;
  /** By pipeline hash. */
  readonly kinds: ReadonlyMap<string, RunKind>;
  readonly signal: AbortSignal;
}

export async function findParked({ store, records, kinds, ...scanning }: ParkedScan, selection: ParkedSelection): Promise<readonly ParkedRun[]> {
  const found = new Map<string, ParkedRun>();
  for await (const page of scanRuns(records, { ...scanning, states: ["parked"] })) {
    for (const { eventId } of page) {
      const view = found.has(eventId) ? undefined : await store.read(eventId);
      const run = view && parkedRun(view, kinds.get(view.pipelineHash), selection);
      if (run !== undefined) found.set(eventId, run);
    }
  }
  return [...found.values()];
}

/** Undefined for a run that is not meant, or that nothing need be stated of. */
function parkedRun(view: RunView, kind: RunKind | undefined, { groups, skill: wanted, step: named }: ParkedSelection): ParkedRun | undefined {
  const inDoubt = verdictOf(view.steps) === undefined ? stepsInDoubt(view) : [];
  const step = named === undefined ? inDoubt[0] : inDoubt.find((one) => one === named);
  if (step === undefined) return undefined;
  const skill = skillOf(view, kind);
  const fingerprint = lastDeath(view.history)?.fingerprint ?? "";
  const isMeant = groups.length === 0 ? skill === wanted : groups.some((group) => group !== "" && fingerprint.startsWith(group));
  return isMeant ? { view, skill, step, fingerprint } : undefined;
}

/** The dead letters of these runs, by event: of each the last one that has the run's payload. */
export async function lettersOfParked(letters: Letters, hashPayload: HashPayload, runs: readonly ParkedRun[]): Promise<ReadonlyMap<string, Letter>> {
  const wanted = new Map(runs.map(({ view }) => [view.key.eventId, view.payloadHash]));
  const found = new Map<string, Letter>();
  for await (const { letter, delivery } of scan(letters)) {
    const payloadHash = wanted.get(letter.eventId);
    const route = payloadHash === undefined ? undefined : letters.readRoute(delivery);
    if (route?.ok === true && (await hashPayload(delivery.body, route)) === payloadHash) found.set(letter.eventId, letter);
  }
  return found;
}

export interface Statement {
  readonly outcome: StatedOutcome;
  /** What the runs find of their step. */
  readonly record: (step: string) => StepRecord;
}

/** Releases the runs that have a dead letter, group by group, each as far as it goes well. */
export function releaseParked(
  letters: Letters,
  runs: readonly ParkedRun[],
  own: ReadonlyMap<string, Letter>,
  { outcome, record }: Statement,
  { records, ...surroundings }: ReplaySurroundings & { readonly records: RunRecords },
  options: Omit<ReplayOptions, "from" | "patch" | "repeatsInDoubt" | "prepare">,
): Promise<readonly GroupReport[]> {
  const byEvent = new Map(runs.map((run) => [run.view.key.eventId, run]));
  const { reason, who } = options;
  const prepare = async ({ eventId }: Letter): Promise<string | undefined> => {
    const run = byEvent.get(eventId);
    if (run === undefined) return "it is not one of those that are meant";
    const { step, view } = run;
    const entry = { kind: "released", reason, step, outcome, who } as const;
    const answer = await records.state({ eventId, epoch: view.epoch, step: record(step), entry });
    return answer === "stated" ? undefined : `expected '${eventId}' to be parked as it was a moment ago, found that it has ${answer}`;
  };
  const groups = Map.groupBy(
    runs.flatMap(({ view }) => own.get(view.key.eventId) ?? []),
    ({ fingerprint }) => fingerprint,
  );
  return replayGroups(letters, [...groups.values()], surroundings, { ...options, from: "checkpoint", patch: undefined, repeatsInDoubt: false, prepare });
}
