import type { Compensation } from "./compensation.ts";
import type { DeathCause, DeathClass } from "./death.ts";
import type { OutgoingMessage } from "./delivery.ts";
import type { Invalid } from "./event-envelope.ts";
import { type FailureClass, failureClassOf } from "./failure-class.ts";
import type { Usage } from "./limits.ts";
import type { StepQuality, StepRecord } from "./run.ts";

/** A failure as a plain record: an Error's class and fields do not survive the way across a thread. */
export interface FailureRecord {
  /** Stable code, such as `ECONNREFUSED`, `HTTP_503`, `RUN_TIMEOUT`; at most 64 characters. */
  readonly code: string;
  /** At most 1 000 characters, causes included, secrets redacted. */
  readonly message: string;
  /** The dependency that failed, if one did. */
  readonly dependency?: string;
  /** The step that failed, if one did. */
  readonly step?: string;
  /** Where the plugin's own code threw: `file:line:column`, the file relative to the plugin's folder. */
  readonly at?: string;
  /** The dependency asked for a pause of this long. */
  readonly retryAfterMs?: number;
}

/** A failure in one line, for a log or a dead-letter description: what happened, and where. */
export function failureText({ message, step, at }: Pick<DeathCause, "message" | "step" | "at">, skill: string | undefined): string {
  const places = [skill === undefined ? undefined : `skill '${skill}'`, step === undefined ? undefined : `step '${step}'`, at].filter(
    (place) => place !== undefined,
  );
  return places.length === 0 ? message : `${message} (${places.join(", ")})`;
}

/** Why a run ends for good because of a failure. */
export function causeOf(kind: DeathClass, { code, message, step, at }: FailureRecord): DeathCause {
  return { class: kind, code, message, ...(step === undefined ? {} : { step }), ...(at === undefined ? {} : { at }) };
}

/** What a thread says of one run. `thread-lost` and `not-started` are said by the executor on behalf of a thread that died or never came. */
export type RunAnswer =
  /** `sessionState`: what it leaves its session, null for none; undefined when it leaves that as it was. `steps`: those that are to be recorded with its end. */
  | {
      readonly kind: "completed";
      readonly outbox: readonly OutgoingMessage[];
      readonly sessionState?: Uint8Array | null | undefined;
      readonly steps?: readonly StepRecord[] | undefined;
    }
  | { readonly kind: "invalid"; readonly invalid: Invalid }
  /** The skill threw, or a call failed. `retryable` as the error said; undefined when it did not say. */
  | { readonly kind: "failed"; readonly failure: FailureRecord; readonly retryable: boolean | undefined }
  /** `blockedThread`: it did not let go of its thread, which was ended for it. */
  | { readonly kind: "timed-out"; readonly failure: FailureRecord; readonly blockedThread?: true }
  /** An `atMostOnce` effect may have happened, or a checkpoint cannot be read. */
  | { readonly kind: "outcome-unknown"; readonly step: string; readonly why: string }
  /** The recorded steps do not fit the skill as it is now. */
  | { readonly kind: "pipeline-changed"; readonly why: string }
  /** The run was taken over, or its lease ended before the next effect: it must stop without a trace. */
  | { readonly kind: "stale" }
  /** The runtime asked it to stop at the next step boundary, and it did. */
  | { readonly kind: "interrupted" }
  /** A compensation failed and may succeed later; `tries` counts its tries that failed, 0 when none was made. */
  | { readonly kind: "compensating"; readonly failure: FailureRecord; readonly tries: number }
  /** Nothing is left to compensate: what became of each step that was. */
  | { readonly kind: "compensated"; readonly log: readonly (readonly [step: string, Compensation])[] }
  /** Its thread ended while it ran, or may have run. */
  | { readonly kind: "thread-lost"; readonly why: string; readonly part: LossPart; readonly outOfMemory?: true }
  /** No thread began it, and none will: nothing of it happened. */
  | { readonly kind: "not-started"; readonly why: string };

/**
 * What a run has to do with the end of its thread. `sole`: nothing else ran there, so it ended the thread. `suspect`: one of
 * several that ran there. `bystander`: the thread was ended for another run's sake.
 */
export type LossPart = "sole" | "suspect" | "bystander";

/** Says of a step that its effect failed, and what answered instead. */
export interface FellBack {
  /** Name of the fallback. */
  readonly fallback: string;
  readonly quality: StepQuality;
  /** Code of the failure that it answered for. */
  readonly code: string;
}

/** How the calls of one run to one dependency went. */
export interface CallReport {
  readonly dependency: string;
  /** For its circuit: the worst one counts; `unused` when they say nothing of the dependency. */
  readonly result: CallResult | "unused";
  /** Of a try on average, of those that were answered, or that time-outs have ended; said where there was one. */
  readonly latencyMs?: number;
  /** Said where the dependency is limited. */
  readonly usage?: Usage;
  /** Said where the dependency is a generative model whose answers tell it. */
  readonly spent?: ModelUse;
  /** Of an execution that failed: what its calls were answered, as far as no step's record holds it; see `skills/host/call-answers.ts`. */
  readonly answers?: Uint8Array;
}

/** What calls of a generative model took: tokens, and their price where the dependency says what they cost; in whatever currency it says that. */
export interface ModelUse {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly cost: number;
}

/** `slow`: longer than its circuit allows, however it ended, where it did not fail. */
export type CallResult = "succeeded" | "slow" | "failed";

/** The one word on how a run ended, made by `classify`; `decide` turns it into a settlement. */
export type Outcome =
  | {
      readonly kind: "succeeded";
      readonly outbox: readonly OutgoingMessage[];
      readonly sessionState?: Uint8Array | null | undefined;
      readonly steps?: readonly StepRecord[] | undefined;
    }
  | { readonly kind: "invalid"; readonly invalid: Invalid }
  /** It is tried again; `class` says what kind of trouble it was. */
  | { readonly kind: "transient"; readonly class: FailureClass; readonly failure: FailureRecord }
  | { readonly kind: "permanent"; readonly class: FailureClass; readonly failure: FailureRecord }
  | { readonly kind: "parked"; readonly reason: "OutcomeUnknown" | "PipelineChanged"; readonly why: string; readonly step?: string }
  | { readonly kind: "compensating"; readonly failure: FailureRecord; readonly tries: number }
  | { readonly kind: "compensated"; readonly log: ReadonlyMap<string, Compensation> }
  | { readonly kind: "stale" }
  | { readonly kind: "interrupted" }
  | { readonly kind: "lost"; readonly why: string; readonly part: LossPart; readonly outOfMemory?: true }
  | { readonly kind: "not-started"; readonly why: string };

export type ParkedReason = Extract<Outcome, { kind: "parked" }>["reason"];

/** What a run is parked as, and its message dead-lettered as. */
const parkedReasons: readonly string[] = ["OutcomeUnknown", "PipelineChanged"] satisfies readonly ParkedReason[];

export function isParkedReason(reason: string): reason is ParkedReason {
  return parkedReasons.includes(reason);
}

/** Which code the loss of a run has: that of its own doing, where it is certain. */
export function lossCode({ part, outOfMemory }: Pick<Extract<Outcome, { kind: "lost" }>, "part" | "outOfMemory">): "OUT_OF_MEMORY" | "THREAD_LOST" {
  if (outOfMemory === true && part === "sole") return "OUT_OF_MEMORY";
  return "THREAD_LOST";
}

/** What failed, of an outcome that is a failure; undefined for any other. */
export function failureOf(outcome: Extract<Outcome, { kind: "parked" }>): DeathCause;
export function failureOf(outcome: Outcome): DeathCause | undefined;
export function failureOf(outcome: Outcome): DeathCause | undefined {
  switch (outcome.kind) {
    case "invalid":
      return { class: "poison", code: outcome.invalid.reason, message: outcome.invalid.description };
    case "transient":
    case "permanent":
      return causeOf(outcome.class, outcome.failure);
    case "compensating":
      return causeOf(failureClassOf(outcome.failure.code, undefined), outcome.failure);
    case "parked":
      return {
        class: outcome.reason === "OutcomeUnknown" ? "outcome-unknown" : "permanent",
        code: outcome.reason,
        message: outcome.why,
        ...(outcome.step === undefined ? {} : { step: outcome.step }),
      };
    case "lost":
      return { class: "crash", code: lossCode(outcome), message: outcome.why };
    case "succeeded":
    case "compensated":
    case "stale":
    case "interrupted":
    case "not-started":
      return undefined;
  }
}
