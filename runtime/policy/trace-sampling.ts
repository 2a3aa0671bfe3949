/**
 * Which runs are told as spans. Some are chosen by their trace, which is known before they begin, so that all workers choose the same; and what
 * went wrong, was repeated or took long is told whether it was chosen or not, once that is known.
 */

import type { SamplingPolicy } from "../core/spans.ts";
import { hexDigitAt, isOfTrace, isSampled, isTraceId, readTraceparent } from "../core/trace-context.ts";

/** Of a trace id's 32 digits the last ones are random in every generator that follows W3C; 13 of them fit a double. */
const randomDigits = 13;
const randomValues = 16 ** randomDigits;

/** Whether the trace of an event is chosen, by what the event calls its trace and what its message says; as `joinTrace` joins them. */
export function isTraceChosen(policy: SamplingPolicy, said: string, traceparent: string | undefined): boolean {
  if (traceparent === undefined) return isChosen(policy.ratio, said);
  const isItsOwn = isTraceId(said);
  if (policy.followParent && (!isItsOwn || isOfTrace(traceparent, said))) return isSampled(traceparent);
  return isChosen(policy.ratio, isItsOwn ? said : (readTraceparent(traceparent)?.traceId ?? said));
}

function isChosen(ratio: number, traceId: string): boolean {
  // A number of 52 bits fits a double, but 0 to 1 has its ends: nothing is below 0, and everything below 1.
  return partOf(traceId) >= 1 - ratio;
}

/** A number from 0 to 1, without 1, that is the same for the same trace everywhere. */
function partOf(traceId: string): number {
  // Digits at the end of another id are those of a counter or of a clock, and lie close together.
  if (!isTraceId(traceId)) return spread(traceId);
  let number = 0;
  for (let place = traceId.length - randomDigits; place < traceId.length; place += 1) number = number * 16 + hexDigitAt(traceId, place);
  return number / randomValues;
}

/** Of an id that is no trace id, FNV-1a over its characters: a digest would cost more than all else that is done for a run that is not told. */
function spread(text: string): number {
  let hash = 0x811c_9dc5;
  for (let place = 0; place < text.length; place += 1) hash = Math.imul(hash ^ text.charCodeAt(place), 0x0100_0193);
  // Its low bits are the better ones, and the last characters reach the high ones late.
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b_3c6d);
  hash ^= hash >>> 12;
  return (hash >>> 0) / 2 ** 32;
}

/** How an execution went. */
export interface ExecutionFacts {
  readonly hasSucceeded: boolean;
  /** 1 for the first of its run. */
  readonly attempt: number;
  readonly durationMs: number;
  /** A call was repeated, or a fallback answered. */
  readonly hasStumbled: boolean;
}

/** Whether it is told of though its trace is not chosen. */
export function isRemarkable({ slowMs }: SamplingPolicy, { hasSucceeded, attempt, durationMs, hasStumbled }: ExecutionFacts): boolean {
  return !hasSucceeded || attempt > 1 || hasStumbled || durationMs >= slowMs;
}
