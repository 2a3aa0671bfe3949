import type { Death } from "../core/death.ts";
import type { ByHand, HistoryEntry } from "../core/history.ts";
import type { RunKind, RunState, RunSummary, StepRecord } from "../core/run.ts";

export interface ScanPage {
  readonly runs: readonly RunSummary[];
  /** Where the next page begins; undefined at the end. */
  readonly next: string | undefined;
}

type WithoutTime<Entry> = Entry extends unknown ? Omit<Entry, "atMs"> : never;
export type HistoryNote = WithoutTime<HistoryEntry>;

export interface Cancellation extends ByHand {
  readonly eventId: string;
  /** What its end is to say; when, the store says: `cancelledLateMs` later than now. */
  readonly death: Omit<Death, "atMs">;
  /** The record of its failure for good, where its steps are to be compensated; see `core/compensation.ts`. */
  readonly verdict: StepRecord | undefined;
}

/** A run that nobody has is given up by hand. */
export interface GivingUp {
  readonly eventId: string;
  /** Of the run as it was seen. */
  readonly epoch: number;
  /** At most 200 characters. */
  readonly reason: string;
  /** As in a cancellation. */
  readonly death: Omit<Death, "atMs">;
  /** Who does it, and why; stands behind the death, with the store's time. */
  readonly entry: Extract<HistoryNote, { readonly kind: "reconciled" | "closed" }>;
}

/** What somebody states of a step of a parked run, of which nobody knew whether it had happened. */
export interface StatedStep {
  readonly eventId: string;
  /** Of the run as they have seen it. */
  readonly epoch: number;
  /** What the run finds when it goes on: the step with its result, or that its effect did not happen. */
  readonly step: StepRecord;
  readonly entry: Extract<HistoryNote, { readonly kind: "released" }>;
}

/** A record that is made by hand, of a run that no worker has. */
export interface RunCreation {
  readonly eventId: string;
  /** The first claim must come with it. */
  readonly payloadHash: string;
  /** As in a claim; of meaning where there are steps. */
  readonly pipelineHash: string;
  readonly state: "waiting" | "dead" | "parked";
  /** At most 200 characters. */
  readonly reason: string;
  /** In their order, with the times that they have. */
  readonly steps: readonly StepRecord[];
  readonly history: readonly HistoryEntry[];
  /** Who makes it, and why; stands behind the history, with the store's time. */
  readonly entry?: HistoryNote | undefined;
}

/**
 * The run records of one consumer, as people look at them: beside the workers, and never on their way. What it asks of the store
 * is bounded for each call, and nothing of it costs a worker anything. Every method rejects with `StoreUnavailableError` when the
 * store does not answer.
 */
export interface RunRecords {
  start(): Promise<void>;
  /** Idempotent. */
  stop(): Promise<void>;
  /**
   * A part of the records, in no order: those in one of these states. What is there from the first page to the last is met at least
   * once; what is written meanwhile may be missed, or met twice.
   */
  scan(cursor: string | undefined, states: readonly RunState[]): Promise<ScanPage>;
  /** Notes what pipeline hashes stand for. Kinds that nobody names any more outlive their records. */
  name(kinds: readonly RunKind[]): Promise<void>;
  kinds(): Promise<readonly RunKind[]>;
  /**
   * Calls a run off. `ended`: no worker had it, and its record says that it is given up, or that it is to be compensated; `asked`: its
   * worker hears of it with its next write; `given-up` and `done` ones stay as they are.
   */
  cancel(cancellation: Cancellation): Promise<"ended" | "asked" | "given-up" | "done" | "unknown">;
  /** Gives a run up that is still as it was seen, and that nobody has; one that has `moved` stays as it is. */
  giveUp(givingUp: GivingUp): Promise<"given-up" | "moved" | "unknown">;
  /** Puts a step on the record of a run that is still parked as it was seen, and notes who states it and why; a run that has `moved` stays as it is. */
  state(stated: StatedStep): Promise<"stated" | "moved" | "unknown">;
  /** Forgets a run that is done or given up; others are `live` and stay. */
  remove(eventId: string): Promise<"removed" | "live" | "unknown">;
  /** Adds to the history of a run, with the store's time; an unknown run is left alone. */
  note(eventId: string, entry: HistoryNote): Promise<void>;
  /** Makes a record where there is none; one that `exists` stays as it is. */
  create(creation: RunCreation): Promise<"created" | "exists">;
}

/** Longer than records that name a kind, by so much, it is kept after a worker has last started with it. */
export const kindsOutliveMs: number = 90 * 86_400_000;
