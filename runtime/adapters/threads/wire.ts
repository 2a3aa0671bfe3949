/**
 * What main thread and skill threads say to each other. Orders and reports are packed into one buffer each, as lists without
 * names: they are the messages that every run pays for. The rest is rare, and cloned as it is.
 */
import type { MessagePort } from "node:worker_threads";
import { Packr } from "msgpackr";
import type { HeaderValue, OutgoingMessage } from "../../core/delivery.ts";
import type { BodyCodec, WireForm } from "../../core/event-envelope.ts";
import type { Allowance, Usage } from "../../core/limits.ts";
import type { CallReport, FellBack, RunAnswer } from "../../core/outcome.ts";
import type { Config } from "../../core/config.ts";
import type { DecodeLimits } from "../../core/read-route.ts";
import type { StepKind, StepRecord } from "../../core/run.ts";
import type { RunOrder, StepAcknowledgement } from "../../ports/executor.ts";
import type { LogLevel } from "../../skills/author/context.ts";
import type { SkillLogLine } from "../../skills/host/run-log.ts";
import type { ThreadOrder } from "../../skills/host/run-order.ts";
import type { SlowStart } from "../../skills/host/start-times.ts";

/** What a thread is started with. */
export interface ThreadSettings {
  readonly consumers: readonly string[];
  readonly agent: string | undefined;
  readonly limits: DecodeLimits;
  readonly logLevel: LogLevel | undefined;
  readonly plugins: readonly {
    readonly name: string;
    readonly entry: string;
    /** Where its own code lies. */
    readonly folder: string;
    /** The skills this thread runs. */
    readonly skills: readonly string[];
  }[];
  readonly dependencies: { readonly numbered: readonly string[]; readonly config: Config["dependencies"] };
  /** A state for each dependency, by its number. */
  readonly circuits: SharedArrayBuffer;
  /** The worker's retries; see `RetryLedger`. */
  readonly retries: SharedArrayBuffer;
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
 * `begun` counts the runs begun, wrapping; `isBeginning` is 1 while the last of them has not yet let go of the thread; `pulse` is when
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

/** News of runs, by ticket or request. */
export type ThreadNews =
  | { readonly type: "acknowledge"; readonly requestIds: readonly number[]; readonly results: readonly StepAcknowledgement["result"][] }
  | { readonly type: "allow"; readonly requestIds: readonly number[]; readonly afterMs: readonly number[] }
  | { readonly type: "state"; readonly requestIds: readonly number[]; readonly states: readonly (Uint8Array | null | undefined)[] }
  | { readonly type: "extend"; readonly tickets: readonly number[]; readonly leaseUntilMs: number }
  | { readonly type: "interrupt"; readonly tickets: readonly number[]; readonly as: "interrupted" | "stale" }
  /** Memory runs short: what is not used is to be given back. */
  | { readonly type: "collect" };

/** An order on its way to a thread. The ticket stands for the run: a run that is posted again gets another. */
export interface TicketedOrder {
  readonly ticket: number;
  readonly order: RunOrder;
  readonly body: Uint8Array;
  readonly leaseUntilMs: number;
}

const packr = new Packr({ useRecords: false, moreTypes: false, variableMapSize: true });

const forms: readonly WireForm[] = ["canonical", "snake", "cloudevents-structured", "cloudevents-binary", "event-grid", "hooked"];
const codecs: readonly BodyCodec[] = ["json", "msgpack", "bytes"];
const kinds: readonly StepKind[] = ["keyed", "queryable", "idempotent", "atMostOnce"];

type PackedStep = readonly [name: string, kind: number, isCompleted: boolean, result: Uint8Array, checksum: number, codec: number, atMs: number];
type PackedOrder = readonly [
  ticket: number,
  eventId: string,
  eventType: string,
  version: string,
  form: number,
  codec: number,
  epoch: number,
  attempt: number,
  generation: number,
  source: number,
  leaseUntilMs: number,
  timeoutMs: number,
  enqueuedAtMs: number,
  body: Uint8Array,
  rest:
    | null
    | readonly [
        contentEncoding: string | null,
        headers: Readonly<Record<string, HeaderValue>> | null,
        steps: readonly PackedStep[],
        pipelineChanged: boolean,
        inDoubt: boolean,
        rejectedBy: readonly number[],
        allowances: readonly Allowance[] | null,
        sessionId: string | null,
      ],
];

function packStep({ name, kind, state, result, checksum, codec, atMs }: StepRecord): PackedStep {
  return [name, kinds.indexOf(kind), state === "completed", result, checksum, codec, atMs];
}

function unpackStep([name, kind, isCompleted, result, checksum, codec, atMs]: PackedStep): StepRecord {
  return { name, kind: kinds[kind] ?? "keyed", state: isCompleted ? "completed" : "intent", result, checksum, codec, atMs };
}

/** A copy in memory of its own, so that it can change hands without the packer's buffer. */
function own(packed: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(packed);
}

function packOrder({ ticket, order, body, leaseUntilMs }: TicketedOrder): PackedOrder {
  const { route, contentEncoding, headers, steps, pipelineChanged, inDoubt, rejectedBy, allowances, sessionId } = order;
  const isUsual = contentEncoding === undefined && headers === undefined && allowances === undefined && sessionId === undefined && rejectedBy.length === 0;
  const isPlain = isUsual && steps.length === 0 && !pipelineChanged && !inDoubt;
  return [
    ticket,
    route.eventId,
    route.eventType,
    route.version,
    forms.indexOf(route.form),
    codecs.indexOf(route.codec),
    order.epoch,
    order.attempt,
    order.generation,
    order.source,
    leaseUntilMs,
    order.timeoutMs,
    order.enqueuedAtMs,
    body,
    isPlain
      ? null
      : [contentEncoding ?? null, headers ?? null, steps.map(packStep), pipelineChanged, inDoubt, rejectedBy, allowances ?? null, sessionId ?? null],
  ];
}

/** One task: runs of one skill. */
export function packOrders(skill: string, orders: readonly TicketedOrder[]): Uint8Array<ArrayBuffer> {
  return own(packr.pack([skill, orders.map(packOrder)]));
}

/** Reads what `packOrders` wrote. Bodies share its memory. */
export function unpackOrders(bytes: Uint8Array): ThreadOrder[] {
  const [skill, orders] = packr.unpack(bytes) as [string, readonly PackedOrder[]];
  return orders.map(
    ([ticket, eventId, eventType, version, form, codec, epoch, attempt, generation, source, leaseUntilMs, timeoutMs, enqueuedAtMs, body, rest]) => ({
      runId: ticket,
      skill,
      route: { eventId, eventType, version, form: forms[form] ?? "canonical", codec: codecs[codec] ?? "json" },
      body,
      contentEncoding: rest?.[0] ?? undefined,
      headers: rest?.[1] ?? undefined,
      enqueuedAtMs,
      epoch,
      attempt,
      generation,
      source,
      leaseUntilMs,
      timeoutMs,
      steps: rest?.[2].map(unpackStep) ?? [],
      pipelineChanged: rest?.[3] ?? false,
      inDoubt: rest?.[4] ?? false,
      rejectedBy: rest?.[5] ?? [],
      allowances: rest?.[6] ?? undefined,
      sessionId: rest?.[7] ?? undefined,
    }),
  );
}

/** An answer: only its ticket and time when a run completed, emitted nothing and called nothing. */
type PackedResult =
  | readonly [ticket: number, durationMs: number]
  | readonly [ticket: number, durationMs: number, answer: RunAnswer, calls: readonly CallReport[]];

export interface ReportedResult {
  readonly ticket: number;
  readonly durationMs: number;
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

/** A run asks for the state of its session. */
export interface ReportedQuestion {
  readonly ticket: number;
  readonly requestId: number;
}

export interface Report {
  readonly results: readonly ReportedResult[];
  readonly steps: readonly ReportedStep[];
  readonly needs: readonly ReportedNeed[];
  readonly questions: readonly ReportedQuestion[];
  readonly logs: readonly SkillLogLine[];
  /** Time that the task took to begin its runs; 0 in a report between tasks. */
  readonly workMs: number;
}

const nothingEmitted: readonly OutgoingMessage[] = [];
const completed: RunAnswer = { kind: "completed", outbox: nothingEmitted };
const noCalls: readonly CallReport[] = [];
const noNeeds: readonly ReportedNeed[] = [];
const noQuestions: readonly ReportedQuestion[] = [];

type PackedReport = readonly [
  results: readonly PackedResult[],
  steps: readonly PackedReportedStep[],
  logs: readonly SkillLogLine[],
  workMs: number,
  needs?: readonly ReportedNeed[],
  questions?: readonly ReportedQuestion[],
];

function packResult({ ticket, durationMs, answer, calls }: ReportedResult): PackedResult {
  const isPlain = answer.kind === "completed" && answer.outbox.length === 0 && answer.sessionState === undefined && calls.length === 0;
  return isPlain ? [ticket, durationMs] : [ticket, durationMs, answer, calls];
}

export function packReport({ results, steps, needs, questions, logs, workMs }: Report): Uint8Array<ArrayBuffer> {
  const packedSteps = steps.map(({ ticket, requestId, step, fellBack }): PackedReportedStep =>
    fellBack === undefined ? [ticket, requestId, packStep(step)] : [ticket, requestId, packStep(step), fellBack],
  );
  const report: unknown[] = [results.map(packResult), packedSteps, logs, workMs];
  if (needs.length > 0 || questions.length > 0) report.push(needs);
  if (questions.length > 0) report.push(questions);
  return own(packr.pack(report));
}

/** Reads what `packReport` wrote. */
export function unpackReport(bytes: Uint8Array): Report {
  const [results, steps, logs, workMs, needs = noNeeds, questions = noQuestions] = packr.unpack(bytes) as PackedReport;
  return {
    results: results.map(([ticket, durationMs, answer = completed, calls = noCalls]) => ({ ticket, durationMs, answer, calls })),
    steps: steps.map(([ticket, requestId, step, fellBack]) => ({ ticket, requestId, step: unpackStep(step), fellBack })),
    needs,
    questions,
    logs,
    workMs,
  };
}
