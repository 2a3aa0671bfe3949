/**
 * Which runs are told as spans. Some are chosen before they begin, by their trace, so that all workers choose the same; and what went
 * wrong, was repeated or took long is told whether it was chosen or not, once that is known.
 */

import type { SamplingPolicy } from "../core/spans.ts";

/** Of a trace id's 32 digits the last ones are random in every generator that follows W3C; 13 of them fit a double. */
const randomDigits = 13;
const randomValues = 16 ** randomDigits;

/** `parent`: what the message says, where it is of the same trace. */
export function isChosen({ ratio, followParent }: SamplingPolicy, traceId: string, parent: boolean | undefined): boolean {
  if (followParent && parent !== undefined) return parent;
  return Number.parseInt(traceId.slice(-randomDigits), 16) / randomValues >= 1 - ratio;
}

/** How an execution went. */
export interface ExecutionFacts {
  readonly isChosen: boolean;
  readonly hasSucceeded: boolean;
  /** 1 for the first of its run. */
  readonly attempt: number;
  readonly durationMs: number;
  /** A call was repeated, or a fallback answered. */
  readonly hasStumbled: boolean;
}

export function isTold({ slowMs }: SamplingPolicy, { isChosen, hasSucceeded, attempt, durationMs, hasStumbled }: ExecutionFacts): boolean {
  return isChosen || !hasSucceeded || attempt > 1 || hasStumbled || durationMs >= slowMs;
}
