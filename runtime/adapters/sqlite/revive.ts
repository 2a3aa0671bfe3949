/** Bringing back a run that was given up, under the write lock of the caller's transaction. */
import { encodeEntry, knowsReplay, lastDeath } from "../../core/history.ts";
import type { ReviveRequest, ReviveResult } from "../../ports/run-store.ts";
import { entryOf } from "../support/revival.ts";
import type { RunRow, Statements } from "./statements.ts";

/** Whether what is known of the run lets this bring it back. */
function isDue(statements: Statements, row: RunRow, { revival, epoch }: ReviveRequest): boolean {
  const isGivenUp = row.state === "dead" || row.state === "parked";
  const history = statements.historyOf(row.id);
  if (revival.by === "resend") {
    const death = lastDeath(history);
    return isGivenUp && death !== undefined && revival.enqueuedAtMs > death.atMs;
  }
  const isHeld = row.state === "running" && epoch > 0 && row.epoch === epoch;
  if (!isGivenUp && !isHeld) return false;
  return (row.payloadHash === revival.payloadHash || revival.patched) && !knowsReplay(history, revival.id);
}

export function reviveRun(statements: Statements, row: RunRow, request: ReviveRequest, nowMs: number, expiresAtMs: number): ReviveResult {
  if (!isDue(statements, row, request)) return "refused";
  const { revival } = request;
  const entry = entryOf(revival);
  const generation = row.generation + 1;
  if (entry.from === "start") statements.forgetSteps(row.id, "all");
  else if (entry.repeatsInDoubt) statements.forgetSteps(row.id, "intents");
  statements.reviveRun({
    state: row.state === "running" ? "running" : "waiting",
    generation,
    restarts: entry.from === "start" ? row.restarts + 1 : row.restarts,
    payloadHash: revival.by === "replay" ? revival.payloadHash : row.payloadHash,
    expiresAtMs,
    id: row.id,
  });
  statements.note(row.id, encodeEntry({ ...entry, atMs: nowMs, generation }));
  return "revived";
}
