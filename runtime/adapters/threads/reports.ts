/**
 * What a thread's runs have to say, in one buffer: doubles, and behind them results with steps, and what few runs have, as msgpack.
 *
 *   time that the task took to begin its runs; 0 between tasks · number of plain results · bytes of results with steps
 *   · (ticket · duration · of that, waited for records) … · results with steps (stepped-results.ts) · rest
 *
 * A plain result is one of a run that completed, emitted nothing and called nothing.
 */
import type { OutgoingMessage } from "../../core/delivery.ts";
import type { Usage } from "../../core/limits.ts";
import type { CallReport, FellBack, RunAnswer } from "../../core/outcome.ts";
import type { StepRecord } from "../../core/run.ts";
import type { RunQuestion } from "../../ports/executor.ts";
import type { RunTrace } from "../../core/spans.ts";
import type { SkillLogLine } from "../../skills/host/run-log.ts";
import { forEachStepped } from "./stepped-results.ts";
import { type PackedStep, packStep, packr, unpackStep } from "./wire.ts";

export interface ReportedResult {
  readonly ticket: number;
  readonly durationMs: number;
  readonly recordingMs: number;
  readonly answer: RunAnswer;
  readonly calls: readonly CallReport[];
}

export interface ReportedStep {
  readonly ticket: number;
  readonly requestId: number;
  readonly step: StepRecord;
  readonly fellBack: FellBack | undefined;
}

type PackedReportedStep = readonly [ticket: number, requestId: number, step: PackedStep, fellBack?: FellBack];

/** A run needs more of a dependency that is limited. */
export interface ReportedNeed extends Usage {
  readonly ticket: number;
  readonly requestId: number;
  readonly dependency: number;
  readonly waitMaxMs: number;
}

/** What a run is reported as. */
export interface ReportedTrace {
  readonly ticket: number;
  readonly trace: RunTrace;
}

/** A run asks for what its thread does not have. */
export interface ReportedQuestion extends Omit<RunQuestion, "runId"> {
  readonly ticket: number;
}

/** What a report holds beside the results of runs that completed and have nothing more to say than their steps. */
export interface Report {
  readonly results: readonly ReportedResult[];
  readonly steps: readonly ReportedStep[];
  readonly needs: readonly ReportedNeed[];
  readonly questions: readonly ReportedQuestion[];
  readonly logs: readonly SkillLogLine[];
  /** Of results of this report, plain ones too. */
  readonly traces: readonly ReportedTrace[];
}

const nothingEmitted: readonly OutgoingMessage[] = [];
/** The answer and the calls of a plain result. */
const plainAnswer: RunAnswer = { kind: "completed", outbox: nothingEmitted };
const plainCalls: readonly CallReport[] = [];
const nothingElse: Report = { results: [], steps: [], needs: [], questions: [], logs: [], traces: [] };

/** Whether a result says no more than its ticket and its times. */
export function isPlain(answer: RunAnswer, calls: readonly CallReport[]): boolean {
  return answer.kind === "completed" && answer.outbox.length === 0 && answer.sessionState === undefined && answer.steps === undefined && calls.length === 0;
}

const doubleBytes = Float64Array.BYTES_PER_ELEMENT;
const headDoubles = 3;
const resultDoubles = 3;

/** Plain results until they are sent. */
export class PlainResults {
  #doubles = new Float64Array(headDoubles + resultDoubles * 64);
  #count = 0;

  add(ticket: number, durationMs: number, recordingMs: number): void {
    const next = headDoubles + resultDoubles * this.#count;
    if (next + resultDoubles > this.#doubles.length) {
      const larger = new Float64Array(this.#doubles.length * 2);
      larger.set(this.#doubles);
      this.#doubles = larger;
    }
    this.#doubles[next] = ticket;
    this.#doubles[next + 1] = durationMs;
    this.#doubles[next + 2] = recordingMs;
    this.#count += 1;
  }

  /** Takes them all into a report, with results that have steps, and the rest. */
  report(workMs: number, stepped: Uint8Array, rest: Report): Uint8Array<ArrayBuffer> {
    const doubles = this.#doubles.subarray(0, headDoubles + resultDoubles * this.#count);
    doubles[0] = workMs;
    doubles[1] = this.#count;
    doubles[2] = stepped.byteLength;
    this.#count = 0;
    const packed = packRest(rest);
    const restAt = doubles.byteLength + stepped.byteLength;
    const bytes = new Uint8Array(restAt + (packed?.byteLength ?? 0));
    bytes.set(new Uint8Array(doubles.buffer, 0, doubles.byteLength));
    bytes.set(stepped, doubles.byteLength);
    if (packed !== undefined) bytes.set(packed, restAt);
    return bytes;
  }
}

function packRest({ results, steps, needs, questions, logs, traces }: Report): Uint8Array | undefined {
  if (results.length + steps.length + needs.length + questions.length + logs.length + traces.length === 0) return undefined;
  const packedSteps = steps.map(({ ticket, requestId, step, fellBack }): PackedReportedStep =>
    fellBack === undefined ? [ticket, requestId, packStep(step)] : [ticket, requestId, packStep(step), fellBack],
  );
  return packr.pack([results.map(packResult), packedSteps, needs, questions, logs, traces]);
}

type PackedAnswer = RunAnswer | (Omit<Extract<RunAnswer, { kind: "completed" }>, "steps"> & { readonly steps: readonly PackedStep[] });
type PackedResult = Omit<ReportedResult, "answer"> & { readonly answer: PackedAnswer };

function packResult(result: ReportedResult): PackedResult {
  const { answer } = result;
  if (answer.kind !== "completed" || answer.steps === undefined) return result;
  return { ...result, answer: { ...answer, steps: answer.steps.map(packStep) } };
}

function unpackResult(result: PackedResult): ReportedResult {
  const { answer } = result;
  if (answer.kind !== "completed" || answer.steps === undefined) return result as ReportedResult;
  return { ...result, answer: { ...answer, steps: (answer.steps as readonly PackedStep[]).map(unpackStep) } };
}

type PackedRest = readonly [
  results: readonly PackedResult[],
  steps: readonly PackedReportedStep[],
  needs: readonly ReportedNeed[],
  questions: readonly ReportedQuestion[],
  logs: readonly SkillLogLine[],
  traces: readonly ReportedTrace[],
];

/** A report as it came. */
export interface OpenReport {
  readonly workMs: number;
  /** `resultDoubles` of each plain result: its ticket, its duration, and what it waited of that for records. */
  readonly plain: Float64Array;
  /** For `forEachStepped`. */
  readonly stepped: Uint8Array;
  readonly rest: Report;
}

export function openReport({ buffer, byteOffset, byteLength }: Uint8Array): OpenReport {
  const [workMs = 0, count = 0, steppedBytes = 0] = new Float64Array(buffer, byteOffset, headDoubles);
  const plain = new Float64Array(buffer, byteOffset + headDoubles * doubleBytes, count * resultDoubles);
  const steppedAt = (headDoubles + count * resultDoubles) * doubleBytes;
  const restAt = steppedAt + steppedBytes;
  const stepped = new Uint8Array(buffer, byteOffset + steppedAt, steppedBytes);
  return { workMs, plain, stepped, rest: restAt === byteLength ? nothingElse : unpackRest(new Uint8Array(buffer, byteOffset + restAt, byteLength - restAt)) };
}

type VisitResult = (ticket: number, durationMs: number, recordingMs: number, answer: RunAnswer, calls: readonly CallReport[]) => void;

/** Of whichever form. */
export function forEachResult({ plain, stepped, rest }: OpenReport, visit: VisitResult): void {
  for (let at = 0; at < plain.length; at += resultDoubles) visit(plain[at]!, plain[at + 1]!, plain[at + 2]!, plainAnswer, plainCalls);
  forEachStepped(stepped, (ticket, durationMs, recordingMs, answer) => visit(ticket, durationMs, recordingMs, answer, plainCalls));
  for (const { ticket, durationMs, recordingMs, answer, calls } of rest.results) visit(ticket, durationMs, recordingMs, answer, calls);
}

function unpackRest(bytes: Uint8Array): Report {
  const [results, steps, needs, questions, logs, traces] = packr.unpack(bytes) as PackedRest;
  return {
    results: results.map(unpackResult),
    steps: steps.map(([ticket, requestId, step, fellBack]) => ({ ticket, requestId, step: unpackStep(step), fellBack })),
    needs,
    questions,
    logs,
    traces,
  };
}
