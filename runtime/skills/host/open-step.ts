import type { OutgoingMessage } from "../../core/delivery.ts";
import { messageOf } from "../../core/errors.ts";
import type { StepKind, StepQuality, StepRecord } from "../../core/run.ts";
import { PermanentError } from "../author/errors.ts";
import type { RunPart } from "./run-part.ts";
import { encodeStep, stepResultBytesMax } from "./step-codec.ts";

/**
 * What a step numbers its calls and events by. The query and the effect of a step have one each: what the effect does is then
 * named the same at every try, whether or not a query went before it.
 */
export interface StepPart {
  /** Calls go out under it. */
  readonly callKey: string;
  /** Names its events. */
  readonly emitKey: string;
  /** Calls so far, by dependency. */
  readonly calls: Map<string, number>;
  emitted: number;
}

/** Derives what a step, or its compensation, is named by. */
export interface StepKeys {
  stepKey(name: string, what: "step" | "compensate"): string;
}

/** The step that is being executed. */
export class OpenStep {
  readonly name: string;
  readonly kind: StepKind;
  /** Until when the step may end, monotonic, and need not be on record before the run goes on. */
  readonly lateUntilMs: number;
  /** Undefined when nothing is traced. */
  readonly span: RunPart | undefined;
  readonly emitted: OutgoingMessage[] = [];
  /** Of what answers. */
  quality: StepQuality = "full";
  /** It is on record that it was about to begin. */
  hasIntent = false;
  readonly #keys: StepKeys;
  readonly #what: "step" | "compensate";
  #idempotencyKey: string | undefined = undefined;
  #part: StepPart | undefined = undefined;

  constructor(keys: StepKeys, name: string, kind: StepKind, what: "step" | "compensate", span: RunPart | undefined, lateUntilMs: number) {
    this.#keys = keys;
    this.#what = what;
    this.name = name;
    this.kind = kind;
    this.span = span;
    this.lateUntilMs = lateUntilMs;
  }

  /** Derived when it is first asked for: that costs more than the rest of a small step, and a step that calls nothing may not need it. */
  get idempotencyKey(): string {
    return (this.#idempotencyKey ??= this.#keys.stepKey(this.name, this.#what));
  }

  get part(): StepPart {
    return (this.#part ??= stepPart(this.idempotencyKey, this.name));
  }

  set part(part: StepPart) {
    this.#part = part;
  }
}

export function stepPart(callKey: string, emitKey: string): StepPart {
  return { callKey, emitKey, calls: new Map(), emitted: 0 };
}

/** A query must see how things are now: its calls have keys that are new at every try, so that no dependency repeats an old answer. */
export function queryPart({ name, idempotencyKey }: OpenStep, { epoch, attempt }: { readonly epoch: number; readonly attempt: number }): StepPart {
  return stepPart(`${idempotencyKey}-query-${epoch}.${attempt}`, `${name}?`);
}

/** The record of a step that is done. Throws when its result cannot be kept: its effect has happened all the same. */
export function recordOf({ name, kind, emitted, quality }: OpenStep, result: unknown): StepRecord {
  let record: StepRecord;
  try {
    record = encodeStep(name, kind, { result, emitted, quality });
  } catch (cause) {
    throw new PermanentError(`step '${name}': expected a result of plain data, got one that cannot be kept: ${messageOf(cause)}`, {
      code: "STEP_RESULT",
      definite: false,
      cause,
    });
  }
  if (record.result.byteLength > stepResultBytesMax) {
    const message = `step '${name}': expected a result of at most ${stepResultBytesMax} bytes, got ${record.result.byteLength}`;
    throw new PermanentError(message, { code: "STEP_RESULT", definite: false });
  }
  return record;
}
