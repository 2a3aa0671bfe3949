import { messageOf } from "../../core/errors.ts";
import { redactValue } from "../../core/redact.ts";
import type { SamplingPolicy } from "../../core/spans.ts";
import { joinTrace, readTraceparent, type TraceParent, traceIdOf } from "../../core/trace-context.ts";
import { isTraceChosen } from "../../policy/trace-sampling.ts";
import type { LogLevel, SkillLog } from "../author/context.ts";
import type { RunIds } from "./run-context.ts";
import { spanOfExecution } from "./run-identity.ts";

/** A line that a skill logged, on its way to the worker's log. */
export interface SkillLogLine {
  readonly level: LogLevel;
  readonly skill: string;
  readonly eventId: string;
  readonly traceId: string;
  readonly attempt: number;
  /** What stands for the run in its trace; of a run that is not traced, the trace alone. Added to a line that is kept. */
  readonly span?: LineSpan | undefined;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>> | undefined;
}

/** The ids of a span as a line has them. */
export type LineSpan = Pick<TraceParent, "traceId"> & Partial<TraceParent>;

function spanOfRun(ids: RunIds, traces: SamplingPolicy | undefined): LineSpan {
  const { traceId, traceparent } = ids;
  if (traces === undefined) return { traceId: traceIdOf(traceId) };
  const joined = joinTrace(traceId, readTraceparent(traceparent));
  return { traceId: joined.traceId, spanId: spanOfExecution(ids), isSampled: isTraceChosen(traces, traceId, traceparent) };
}

/** What a skill logs with, given who takes its lines. */
export function skillLog(take: (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> | undefined) => void): SkillLog {
  const write =
    (level: LogLevel) =>
    (message: string, fields?: Readonly<Record<string, unknown>>): void =>
      take(level, message, fields);
  return { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
}

/** Lines that are kept until the next tick takes them away; more are counted and dropped. */
const linesMax = 1_000;
const messageMax = 1_000;
const levels: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/** The number of the least level that is written, for threads to read: of a level that skills do not have, the next one above. */
export function leastLevel(level: string): number {
  if (level === "trace") return 0;
  const least = levels.findIndex((one) => one === level);
  return least < 0 ? levels.length : least;
}

/** Gathers lines until they are taken. */
export class LogBuffer {
  readonly #least: Int32Array | undefined;
  readonly #traces: SamplingPolicy | undefined;
  #lines: SkillLogLine[] = [];
  #dropped = 0;

  /** Lines below the level whose number lies in `least` are not kept, which may change; undefined keeps none. */
  constructor(least: Int32Array | undefined, traces?: SamplingPolicy) {
    this.#least = least;
    this.#traces = traces;
  }

  /** Whether it kept the line; `ids` are those of its run. */
  add(line: SkillLogLine, ids?: RunIds): boolean {
    if (this.#least === undefined || levels.indexOf(line.level) < Atomics.load(this.#least, 0)) return false;
    if (this.#lines.length >= linesMax) {
      this.#dropped += 1;
      return false;
    }
    const message = messageOf(line.message, messageMax);
    const span = ids === undefined ? undefined : spanOfRun(ids, this.#traces);
    this.#lines.push({ ...line, span, message, fields: line.fields === undefined ? undefined : (redactValue(line.fields) as Record<string, unknown>) });
    return true;
  }

  /** The lines since it was last asked, the last of them telling how many were dropped. */
  take(): readonly SkillLogLine[] {
    const lines = this.#lines;
    const last = lines.at(-1);
    if (this.#dropped > 0 && last !== undefined) lines.push({ ...last, level: "warn", message: `${this.#dropped} more lines were dropped`, fields: undefined });
    this.#lines = [];
    this.#dropped = 0;
    return lines;
  }
}
