import type { HistoryEntry } from "./history.ts";
import type { Setback } from "./setback.ts";

/**
 * A run is one execution of a skill for one event. Its record, one a consumer and eventId, carries de-duplication, lease,
 * checkpoints and outbox together, so that they can never disagree.
 */
export interface RunKey {
  /** The entity that was read: a queue, or `topic/subscription`. */
  readonly consumer: string;
  readonly eventId: string;
}

/**
 * How often a step's effect may happen.
 * - `keyed`: the dependency de-duplicates on the idempotency key we pass. The default.
 * - `queryable`: the step's `query` looks whether the effect happened before it is tried again.
 * - `idempotent`: harmless twice.
 * - `atMostOnce`: a durable intent is written first; in doubt the run is parked as `OutcomeUnknown`, never retried.
 */
export type StepKind = "keyed" | "queryable" | "idempotent" | "atMostOnce";

/**
 * How good a step's result is. `full`: what its author wanted. `degraded`: less of it. `template`: the same for everyone. `cached`: true
 * at an earlier time. Anything but `full` comes from a fallback.
 */
export type StepQuality = "full" | "degraded" | "template" | "cached";

/** A step as the run's record holds it. */
export interface StepRecord {
  /** Unique within the run. */
  readonly name: string;
  readonly kind: StepKind;
  /** `intent`: its effect may have begun; `completed`: its result is stored and it is never run again. */
  readonly state: "intent" | "completed";
  /** Encoded result; empty for an intent. */
  readonly result: Uint8Array;
  /** CRC-32 of `result`. */
  readonly checksum: number;
  /** Version of the result's encoding. */
  readonly codec: number;
  /** When it was written, in the store's wall clock; 0 before it is written. */
  readonly atMs: number;
}

/** Where a run stands. `waiting`: failed or released, may be claimed; `parked`: needs a person; `dead`: dead-lettered. */
export type RunState = "running" | "waiting" | "done" | "dead" | "parked";

/** How a run stands, by its record. */
export interface RunStanding {
  readonly state: RunState;
  readonly epoch: number;
  /** Claims whose execution ended in a failure; starts at 0. Postponements and releases do not count. */
  readonly failures: number;
  /** Executions that ended with their worker or thread; starts at 0. Counted apart: they say nothing against the skill yet. */
  readonly losses: number;
  /** How often it was brought back after it was given up; starts at 0. */
  readonly generation: number;
  /** How often of these it started over, without its steps; starts at 0. */
  readonly restarts: number;
  readonly pipelineHash: string;
  readonly payloadHash: string;
  /** Why it is `waiting`, `dead` or `parked`. */
  readonly reason: string | undefined;
  /** Who owns it, and for how long yet by the store's clock: 0 or less when the lease is over. Undefined unless it is `running`. */
  readonly claim: { readonly token: string; readonly leftMs: number } | undefined;
  /** It has been called off, and its worker stops it at the next step boundary. */
  readonly isCancelling: boolean;
  /** How long ago its record was last written, by the store's clock; right where all workers keep records equally long. */
  readonly writtenAgoMs: number;
}

/** What a list shows of a run. */
export interface RunSummary extends RunStanding {
  readonly eventId: string;
  /** Steps on record, those of its compensation included. */
  readonly steps: number;
  /** Of what it has emitted and is not yet known to be published. */
  readonly outboxBytes: number;
}

/** What a pipeline hash stands for. */
export interface RunKind {
  readonly pipelineHash: string;
  readonly skill: string;
  readonly skillVersion: string;
  readonly eventType: string;
  /** Names of a chain's steps; empty for a skill that has them in its code. */
  readonly steps: readonly string[];
  /** A run of it that fails for good is compensated. */
  readonly critical: boolean;
}

/** What anyone may read of a run, as soon as it exists. */
export interface RunView extends RunStanding {
  readonly key: RunKey;
  readonly steps: readonly StepRecord[];
  /** Encoded outbox that is not yet known to be published; empty when there is none. */
  readonly outbox: Uint8Array;
  /** Deaths and what brought it back, the oldest first. */
  readonly history: readonly HistoryEntry[];
  /** Its last claims that ended without success, the oldest first. */
  readonly setbacks: readonly Setback[];
}
