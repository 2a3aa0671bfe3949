/** Ending runs that were called off, under the write lock of the caller's transaction. */
import { encodeVerdict, type Verdict } from "../../core/compensation.ts";
import { cancelledLateMs, cancelledReason, encodeEntry } from "../../core/history.ts";
import type { Cancellation } from "../../ports/run-records.ts";
import type { RunRow, Statements } from "./statements.ts";

/** Ends the run, or leaves it to who claims it next to be compensated. */
export function endCancelled(statements: Statements, id: number, nowMs: number, expiresAtMs: number): "waiting" | "dead" {
  const cancel = statements.takeCancel(id);
  const hasSteps = statements.stepsOf(id).length > 0;
  if (cancel?.verdict !== undefined && cancel.verdict !== null && hasSteps) {
    statements.putStep(id, encodeVerdict(JSON.parse(cancel.verdict) as Verdict), nowMs);
    statements.setState(id, "waiting", cancelledReason, expiresAtMs);
    return "waiting";
  }
  statements.setState(id, "dead", cancelledReason, expiresAtMs);
  if (cancel !== undefined) statements.note(id, cancel.death);
  return "dead";
}

/** The run is one that has not ended. */
export function cancelRun(
  statements: Statements,
  row: RunRow,
  { reason, who, death, verdict }: Omit<Cancellation, "eventId">,
  nowMs: number,
  expiresAtMs: number,
): "ended" | "asked" {
  statements.putCancel(
    row.id,
    encodeEntry({ kind: "died", state: "dead", ...death, atMs: nowMs + cancelledLateMs }),
    verdict === undefined ? null : new TextDecoder().decode(verdict.result),
  );
  statements.note(row.id, encodeEntry({ kind: "cancelled", atMs: nowMs, reason, who }));
  if (row.state === "waiting" || row.leaseUntilMs <= nowMs) {
    endCancelled(statements, row.id, nowMs, expiresAtMs);
    return "ended";
  }
  statements.setState(row.id, "cancelling", null, expiresAtMs);
  return "asked";
}
