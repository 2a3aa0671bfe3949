import type { OutgoingMessage } from "../../core/delivery.ts";
import type { StepKind } from "../../core/run.ts";

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
  readonly idempotencyKey: string;
  readonly emitted: OutgoingMessage[];
  part: StepPart;
}

export function stepPart(callKey: string, emitKey: string): StepPart {
  return { callKey, emitKey, calls: new Map(), emitted: 0 };
}
