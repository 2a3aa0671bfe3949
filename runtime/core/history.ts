/** What a run's record keeps of its deaths and of what brought it back, the oldest first. */
import { type Death, happenedAtMs } from "./death.ts";
import { wellFormedJson } from "./well-formed-json.ts";

/** Where a run that is brought back goes on: behind its last step, or as if nothing of it had happened. */
export type ResumeFrom = "checkpoint" | "start";

/** Why something was done by hand, and who did it. */
export interface ByHand {
  /** Of 200 characters at most. */
  readonly reason: string;
  /** Of 100 characters at most. */
  readonly who: string;
}

export const whoCharactersMax = 100;

/** As it is kept: entries from before it was kept, and of what nobody did by hand, do not say who. */
type KeptByHand = Pick<ByHand, "reason"> & { readonly who?: string | undefined };

export type HistoryEntry =
  | ({ readonly kind: "died"; readonly state: "dead" | "parked" } & Death)
  | (KeptByHand & {
      readonly kind: "revived";
      readonly by: "resend" | "replay";
      /** By the store's clock. */
      readonly atMs: number;
      /** How often it was brought back, this time included. */
      readonly generation: number;
      readonly from: ResumeFrom;
      /** With another payload than it had. */
      readonly patched: boolean;
      /** Steps whose outcome was unknown were to be tried once more. */
      readonly repeatsInDoubt: boolean;
      readonly replayId?: string | undefined;
    })
  /** Its dead letter was deleted. */
  | (KeptByHand & { readonly kind: "closed"; readonly atMs: number })
  /** It was called off. */
  | (KeptByHand & { readonly kind: "cancelled"; readonly atMs: number })
  /** It was made of another run, whose steps up to this one it has. */
  | (KeptByHand & { readonly kind: "forked-from"; readonly atMs: number; readonly eventId: string; readonly step: string; readonly patched: boolean })
  | (KeptByHand & { readonly kind: "forked-to"; readonly atMs: number; readonly eventId: string })
  /** It was made to agree with its messages, and given up. */
  | (KeptByHand & { readonly kind: "reconciled"; readonly atMs: number })
  /** The events that it had emitted were published. */
  | (KeptByHand & { readonly kind: "published"; readonly atMs: number })
  /** Somebody has stated whether a step happened of which nobody knew. */
  | (ByHand & { readonly kind: "released"; readonly atMs: number; readonly step: string; readonly outcome: StatedOutcome });

export type StatedOutcome = "done" | "not-done";

/** What a run is given up as that somebody called off. */
export const cancelledReason = "Cancelled";

/**
 * Its death is on record this much later than it was called off, by the store's clock, which may differ from the broker's: no message that
 * was there by then may bring it back. The clock of whoever calls it off is not asked.
 */
export const cancelledLateMs = 2_000;

/** Entries that a record keeps; the oldest go first. */
export const historyMax = 20;

const entryCharactersMax = 4_096;
/** Of each text in an entry that is too long as it is, but for ids: then it fits, however its characters are written in JSON. */
const shortCharactersMax = 48;
const idCharactersMax = 128;

/** One that is too long says less: a run ends all the same. */
export function encodeEntry(entry: HistoryEntry): string {
  const text = wellFormedJson(entry);
  return text.length <= entryCharactersMax ? text : wellFormedJson(entry, (name) => (name.endsWith("Id") ? idCharactersMax : shortCharactersMax));
}

/** What cannot be read is left out: a record is worth more than a note on it. */
export function decodeHistory(texts: readonly string[]): readonly HistoryEntry[] {
  return texts.flatMap((text) => {
    try {
      const entry = JSON.parse(text) as HistoryEntry;
      return [entry];
    } catch {
      return [];
    }
  });
}

/** When what an entry tells of happened. */
export function happenedMs(entry: HistoryEntry): number {
  return entry.kind === "died" ? happenedAtMs(entry) : entry.atMs;
}

/** The last death; undefined when there is none on record. */
export function lastDeath(history: readonly HistoryEntry[]): Extract<HistoryEntry, { kind: "died" }> | undefined {
  return history.findLast((entry) => entry.kind === "died");
}

/** Whether a replay has brought the run back before, or the run that it brought has died: it does so once. */
export function knowsReplay(history: readonly HistoryEntry[], replayId: string): boolean {
  return history.some((entry) => (entry.kind === "died" || entry.kind === "revived") && entry.replayId === replayId);
}
