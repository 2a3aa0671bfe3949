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

/** The step that is being executed. */
export interface OpenStep {
  readonly name: string;
  readonly kind: StepKind;
  /** Until when the step may end, monotonic, and need not be on record before the run goes on. */
  readonly lateUntilMs: number;
  readonly idempotencyKey: string;
  readonly emitted: OutgoingMessage[];
  part: StepPart;
  /** Of what answers. */
  quality: StepQuality;
  /** Undefined when nothing is traced. */
  readonly span: RunPart | undefined;
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
