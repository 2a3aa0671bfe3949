/** What a record says of its run. */
import { isKnownPayload } from "../../core/payload-hash.ts";
import type { RunStanding } from "../../core/run.ts";
import type { ClaimRequest } from "../../ports/run-store.ts";
import type { RunRow } from "./statements.ts";

/** How a claim stands to a record that exists. */
type Standing = "reused" | "owner" | "held" | "free" | "done" | "dead";

export function standingOf(row: RunRow, request: ClaimRequest, nowMs: number): Standing {
  // Of a run that is done, the beginning of the hash may be all that is kept.
  if (row.state === "done" ? !isKnownPayload(request.payloadHash, row.payloadHash) : row.payloadHash !== request.payloadHash) return "reused";
  switch (row.state) {
    case "running":
    case "cancelling":
      if (row.leaseUntilMs <= nowMs) return "free";
      return row.token === request.token ? "owner" : "held";
    case "waiting":
      return "free";
    case "done":
      return "done";
    case "dead":
    case "parked":
      return "dead";
  }
}

/** What a record says of how its run stands. */
export function standing(row: Omit<RunRow, "outbox">, nowMs: number, retentionMs: number): RunStanding {
  const { epoch, failures, losses, generation, restarts, pipelineHash, payloadHash, token, leaseUntilMs, expiresAtMs } = row;
  const isCancelling = row.state === "cancelling";
  const state = row.state === "cancelling" ? "running" : row.state;
  return {
    state,
    isCancelling,
    epoch,
    failures,
    losses,
    generation,
    restarts,
    pipelineHash,
    payloadHash,
    reason: row.reason ?? undefined,
    claim: state === "running" ? { token, leftMs: leaseUntilMs - nowMs } : undefined,
    writtenAgoMs: Math.max(0, retentionMs - (expiresAtMs - nowMs)),
  };
}
