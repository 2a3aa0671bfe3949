/**
 * A replay that the pool carries out as a job, by one worker at a time: the same stages as by hand, a slice of time after the other.
 * What a slice leaves lies in the dead-letter queues still, so the next one, of whichever worker, finds it there; a group that has
 * come through its first stages does not begin with one letter again, and one that was stopped is left alone.
 */
import type { JobHandler, JobResult } from "../ports/recovery-queue.ts";
import { type Letter, type Letters, isSelected, scan, type Selection } from "./letters.ts";
import { canariesTotal, type GroupReport, type GroupState, replayGroups, type ReplayOptions, type ReplaySurroundings } from "./replay.ts";

export const replayKind = "replay";

/** Of a group, over all slices. */
export interface GroupProgress extends Omit<GroupReport, "letters"> {
  /** Letters that slices have found. */
  readonly letters: number;
}

export interface BackgroundReplay extends Pick<ReplayOptions, "from" | "repeatsInDoubt" | "reason" | "perSecond" | "waitMs" | "failuresMax"> {
  /** Who ordered it; left out by what was ordered before it was kept. */
  readonly who?: string | undefined;
  /** Whose letters; undefined for the first source of the worker. */
  readonly consumer?: string | undefined;
  readonly selection: Selection;
  readonly forwardedTo?: string | undefined;
  /** JSON of the payload's merge patch; undefined for none. */
  readonly patch?: string | undefined;
  /** By the boxes' names, the last letter that there was when it was ordered: later ones are not meant. */
  readonly until: Readonly<Record<string, string>>;
  /** What it has come to so far. */
  readonly groups: readonly GroupProgress[];
}

export interface BackgroundReplayOptions {
  readonly surroundings: ReplaySurroundings;
  /** Opened here, and closed at the end of a slice. */
  readonly letters: (forwardedTo: string | undefined) => Promise<Letters>;
}

const sliceMs = 15_000;
/** Letters that another worker, which died, had locked come back when their locks end. */
const lockedPauseMs = 15_000;
/** A group that ended so is left as it is. */
const stopped: ReadonlySet<GroupState> = new Set<GroupState>(["same-failure", "other-failure", "undecided"]);

function isEnded({ state }: GroupProgress): boolean {
  return state === "done" || stopped.has(state);
}

/** Nothing of the group lies there any more: what its last slice had left to do is done. */
function ended(group: GroupProgress): GroupProgress {
  return isEnded(group) ? group : { ...group, state: "done" };
}

function merged(before: GroupProgress | undefined, { fingerprint, state, letters, replayed, completed, failed, why }: GroupReport): GroupProgress {
  return {
    fingerprint,
    state,
    letters: Math.max(before?.letters ?? 0, (before?.replayed ?? 0) + letters),
    replayed: replayed + (before?.replayed ?? 0),
    completed: completed + (before?.completed ?? 0),
    failed: failed + (before?.failed ?? 0),
    why: why || (before?.why ?? ""),
  };
}

interface Found {
  readonly groups: readonly (readonly Letter[])[];
  /** Replays that have come back since, by group: their slice was over before they failed. */
  readonly returned: ReadonlyMap<string, number>;
}

async function look(letters: Letters, { selection, groups, until }: BackgroundReplay): Promise<Found> {
  const isStopped = new Set(groups.filter(({ state }) => stopped.has(state)).map(({ fingerprint }) => fingerprint));
  const limits = new Map(Object.entries(until));
  const found = new Map<string, Letter[]>();
  const returned = new Map<string, number>();
  for await (const { letter } of scan(letters)) {
    const { fingerprint } = letter;
    if (letter.eventId === "" || isStopped.has(fingerprint) || !isSelected(letter, selection)) continue;
    if (letter.sequenceNumber > BigInt(limits.get(letter.box.name) ?? 0)) {
      if (letter.replayId !== undefined) returned.set(fingerprint, (returned.get(fingerprint) ?? 0) + 1);
      continue;
    }
    const group = found.get(fingerprint);
    if (group === undefined) found.set(fingerprint, [letter]);
    else group.push(letter);
  }
  return { groups: [...found.values()], returned };
}

/** A group of which more has come back than may. */
function stoppedReport(group: readonly Letter[], failed: number): GroupReport {
  const [first] = group;
  return { fingerprint: first?.fingerprint ?? "", state: "same-failure", letters: group.length, replayed: 0, completed: 0, failed, why: first?.code ?? "" };
}

export function backgroundReplayOf({ surroundings, letters: openLetters }: BackgroundReplayOptions): JobHandler {
  const { clock } = surroundings;
  return async ({ data: given }, stopping): Promise<JobResult> => {
    // Written by `holdfast dlq replay`, and by this.
    const data = given as BackgroundReplay;
    const letters = await openLetters(data.forwardedTo);
    let isOver = false;
    const slice = clock.after(sliceMs, () => (isOver = true));
    try {
      for (const box of letters.boxes) await box.start();
      const { groups: found, returned } = await look(letters, data);
      const hasReturned = ([first]: readonly Letter[]): boolean => (returned.get(first?.fingerprint ?? "") ?? 0) > data.failuresMax;
      const groups = found.filter((group) => !hasReturned(group));
      const halted = found.filter(hasReturned).map((group) => stoppedReport(group, returned.get(group[0]?.fingerprint ?? "") ?? 0));
      const isProven = (fingerprint: string): boolean => (data.groups.find((group) => group.fingerprint === fingerprint)?.completed ?? 0) >= canariesTotal;
      const { from, repeatsInDoubt, reason, who = "", perSecond, waitMs, failuresMax } = data;
      const patch: unknown = data.patch === undefined ? undefined : JSON.parse(data.patch);
      const wishes = { from, repeatsInDoubt, reason, who, perSecond, waitMs, failuresMax, patch };
      const options: ReplayOptions = { ...wishes, isProven, signal: stopping, isOver: () => isOver, progress: () => undefined };
      const reports = await replayGroups(letters, groups, surroundings, options);
      const progress = new Map(data.groups.map((group) => [group.fingerprint, group]));
      for (const report of [...reports, ...halted]) progress.set(report.fingerprint, merged(progress.get(report.fingerprint), report));
      const next: BackgroundReplay = { ...data, groups: [...progress.values()] };
      const isLocked = reports.some(({ state, replayed }) => state === "incomplete" && replayed === 0);
      // It is done when a slice finds nothing more, and the data say what it came to.
      if (found.length > 0) return { kind: "again", afterMs: isLocked ? lockedPauseMs : 0, data: next };
      return data.groups.every(isEnded) ? { kind: "done" } : { kind: "again", afterMs: 0, data: { ...data, groups: data.groups.map(ended) } };
    } finally {
      slice.cancel();
      for (const box of letters.boxes) await box.stop();
    }
  };
}
