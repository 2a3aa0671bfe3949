// What the run store's contract, its model and its adapters' tests share.
import { randomUUID } from "node:crypto";
import type { Death } from "#runtime/core/death.ts";
import type { StepRecord } from "#runtime/core/run.ts";
import type { ClaimRequest, RunStore } from "#runtime/ports/run-store.ts";

/** A fresh, empty set of records for one test. */
export interface RunStoreHarness {
  /** Starts one more store on the same records, as another worker would. The harness stops it. */
  open(overrides?: { readonly consumer?: string; readonly retentionMs?: number }): Promise<RunStore>;
  /** Lets at least `ms` pass on the store's clock. */
  advance(ms: number): Promise<void>;
  /** Stops every store it opened and forgets the records. */
  stop(): Promise<void>;
}

export function claimOf(eventId: string, overrides: Partial<ClaimRequest> = {}): ClaimRequest {
  return { eventId, token: randomUUID(), payloadHash: "payload-1", pipelineHash: "pipeline-1", ...overrides };
}

export function stepOf(name: string, overrides: Partial<StepRecord> = {}): StepRecord {
  return { name, kind: "keyed", state: "completed", result: Uint8Array.of(0, 255, 128, 13, 10, 0), checksum: 4_294_967_295, codec: 1, atMs: 0, ...overrides };
}

export function deathOf(overrides: Partial<Death> = {}): Death {
  return {
    atMs: 1_700_000_000_000,
    reason: "REFUSED",
    class: "permanent",
    code: "REFUSED",
    fingerprint: "0123456789abcdef",
    step: "one",
    skill: "task",
    skillVersion: "1.0.0",
    attempt: 3,
    traceId: "trace",
    generation: 0,
    ...overrides,
  };
}

/** Without the time of writing and in plain bytes, to be compared. */
export function plainSteps(steps: readonly StepRecord[]): readonly unknown[] {
  return steps.map(({ atMs: _, result, ...rest }) => ({ ...rest, result: [...result] }));
}
