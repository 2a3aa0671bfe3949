/**
 * What main thread and skill threads say to each other. Orders and reports are packed into one buffer each (orders.ts, reports.ts):
 * they are the messages that every run pays for. The rest is rare, and cloned as it is.
 */
import type { MessagePort } from "node:worker_threads";
import { Packr } from "msgpackr/pack";
import type { Config } from "../../core/config.ts";
import type { ContractsSettings } from "../../core/config/contracts.ts";
import type { GarbageExtent } from "../../core/memory.ts";
import type { DecodeLimits } from "../../core/read-route.ts";
import type { StepKind, StepRecord } from "../../core/run.ts";
import type { SamplingPolicy } from "../../core/spans.ts";
import type { QuestionAnswer, StepAcknowledgement } from "../../ports/executor.ts";
import type { SharedFlags } from "../../skills/host/flags.ts";
import type { GivenSettings } from "../../skills/host/settings.ts";
import type { SlowStart } from "../../skills/host/start-times.ts";

/** What a thread is started with. */
export interface ThreadSettings {
  readonly consumers: readonly string[];
  readonly agent: string | undefined;
  readonly limits: DecodeLimits;
  /** The number of the least level of lines that are kept, which changes; undefined where nobody hears them. */
  readonly logLevel: SharedArrayBuffer | undefined;
  readonly plugins: readonly {
    readonly name: string;
    readonly entry: string;
    /** Where its own code lies. */
    readonly folder: string;
    /** The skills this thread runs. */
    readonly skills: readonly string[];
    /** What it is told; undefined where it has no settings. Each thread that is started gets what it is at that moment. */
    readonly settings: GivenSettings | undefined;
  }[];
  readonly dependencies: { readonly numbered: readonly string[]; readonly config: Config["dependencies"] };
  /** A state for each dependency, by its number. */
  readonly circuits: SharedArrayBuffer;
  /** Feature flags, which change. */
  readonly flags: SharedFlags;
  /** The worker's retries; see `RetryLedger`. */
  readonly retries: SharedArrayBuffer;
  /** Which runs are told of as spans; undefined when nothing is traced. */
  readonly traces: SamplingPolicy | undefined;
  /** Where the contracts of events lie, as an absolute path; undefined where there are none. */
  readonly contracts: ContractsSettings | undefined;
  /** Whether it goes through runs of its own before it takes any. */
  readonly rehearses: boolean;
  /** Where threads count how long the code of each of these skills holds their loops. */
  readonly loopTime: { readonly sums: SharedArrayBuffer; readonly skills: readonly string[] };
}

/** A thread's first words: its plugins are imported, its skills are ready. */
export interface ThreadHello {
  readonly type: "holdfast.thread";
  readonly threadId: number;
  /** Carries reports one way and news of runs the other. */
  readonly port: MessagePort;
  /** What the main thread can see of the thread even while it blocks; see `progressPlaces`. */
  readonly progress: SharedArrayBuffer;
  /** What took long. */
  readonly slow: readonly SlowStart[];
}

/**
 * `begun` counts the runs begun, wrapping, and those that were taken back (see `Beginnings`); `isBeginning` is 1 while the last of them has not yet let go of the thread; `pulse` is when
 * its event loop last turned, in milliseconds of the clock that all threads share, wrapping.
 */
export const progressPlaces = { begun: 0, isBeginning: 1, pulse: 2 } as const;

/** How often a thread whose event loop turns says so. */
export const pulseEveryMs = 250;

/** What a thread says just before it ends by itself: what threw or called for its end, where, and for which run. */
export interface ThreadLastWords {
  readonly type: "last-words";
  readonly why: string;
}

/** What a thread says of its resources: which of them are open, and that it has done what it could to close them, as it was asked to. */
export interface ThreadResources {
  readonly type: "resources";
  readonly open: readonly string[];
  readonly areClosed?: boolean;
}

/** News of runs, by ticket or request. */
export type ThreadNews =
  | { readonly type: "acknowledge"; readonly requestIds: readonly number[]; readonly results: readonly StepAcknowledgement["result"][] }
  | { readonly type: "allow"; readonly requestIds: readonly number[]; readonly afterMs: readonly number[] }
  | ({ readonly type: "answer" } & Omit<QuestionAnswer, "runId">)
  | { readonly type: "extend"; readonly tickets: readonly number[]; readonly leaseUntilMs: number }
  | { readonly type: "interrupt"; readonly tickets: readonly number[]; readonly as: "interrupted" | "stale" }
  /** Memory runs short: what is not used is to be given back. */
  | { readonly type: "collect"; readonly extent: GarbageExtent }
  /** A secret among a plugin's settings was replaced. */
  | { readonly type: "settings"; readonly plugin: string; readonly given: GivenSettings }
  /** The thread is about to end: its resources are to be closed. */
  | { readonly type: "close" };

/** Packs the parts of orders and reports that few of them have. */
export const packr: Packr = new Packr({ useRecords: false, moreTypes: false, variableMapSize: true });

export const stepKinds: readonly StepKind[] = ["keyed", "queryable", "idempotent", "atMostOnce"];

export type PackedStep = readonly [name: string, kind: number, isCompleted: boolean, result: Uint8Array, checksum: number, codec: number, atMs: number];

export function packStep({ name, kind, state, result, checksum, codec, atMs }: StepRecord): PackedStep {
  return [name, stepKinds.indexOf(kind), state === "completed", result, checksum, codec, atMs];
}

export function unpackStep([name, kind, isCompleted, result, checksum, codec, atMs]: PackedStep): StepRecord {
  return { name, kind: stepKinds[kind] ?? "keyed", state: isCompleted ? "completed" : "intent", result, checksum, codec, atMs };
}
