import type { HistoryEntry } from "../../core/history.ts";
import type { Revival } from "../../ports/run-store.ts";

type Entry = Extract<HistoryEntry, { kind: "revived" }>;

/** What is kept of a revival, without what the store alone knows. */
export function entryOf(revival: Revival): Omit<Entry, "atMs" | "generation"> {
  if (revival.by === "resend") return { kind: "revived", by: "resend", from: "checkpoint", patched: false, repeatsInDoubt: false, reason: "" };
  const { from, patched, repeatsInDoubt, reason, who, id } = revival;
  return { kind: "revived", by: "replay", from, patched, repeatsInDoubt, reason, ...(who === "" ? {} : { who }), replayId: id };
}
