/**
 * Records what a run does, where runs are traced: its steps, its calls, the events that it emits. Whether that is told of is known for certain only
 * at the end, and of few runs it is: until then no more is kept than when each part began and ended, and of a run that has none, nothing.
 */
import type { RunAnswer } from "../../core/outcome.ts";
import type { StepKind, StepQuality } from "../../core/run.ts";
import { otherError, type RunTrace, type SamplingPolicy, type SpanAttributes, type SpanDraft } from "../../core/spans.ts";
import { joinTrace, readTraceparent, writeTraceparent } from "../../core/trace-context.ts";
import { isRemarkable, isTraceChosen } from "../../policy/trace-sampling.ts";
import { CallTrace } from "./call-trace.ts";
import { codeOf } from "./failure.ts";
import type { PreparedDependency } from "./prepared-skill.ts";
import type { RunHost } from "./run-host.ts";
import { deriveSpan, executionOf, spanOfExecution } from "./run-identity.ts";
import type { RunPart } from "./run-part.ts";
import type { ThreadOrder } from "./run-order.ts";

/** Spans of one execution; more are counted. */
const spansMax = 256;

/** Whose spans they are. */
export interface RecordedRun {
  readonly order: ThreadOrder;
  readonly traceId: string;
  readonly startedAtMs: number;
  readonly host: Pick<RunHost<never>, "nowMs" | "wallMs">;
}

/**
 * What is told of a run that has taken so long; undefined where nothing is. One that has recorded nothing is looked at here for the first time: every
 * run that is not told of comes by here.
 */
export function traceOf(
  policy: SamplingPolicy,
  run: RecordedRun,
  recorder: RunRecorder | undefined,
  answer: RunAnswer,
  durationMs: number,
): RunTrace | undefined {
  if (!(recorder?.isChosen ?? isTraceChosen(policy, run.traceId, run.order.traceparent))) {
    const { attempt } = run.order;
    const facts = { hasSucceeded: errorOf(answer) === undefined, attempt, durationMs, hasStumbled: recorder?.hasStumbled ?? false };
    if (!isRemarkable(policy, facts)) return undefined;
  }
  return (recorder ?? new RunRecorder(policy, run)).finish(answer);
}

export class RunRecorder {
  readonly isChosen: boolean;
  readonly #run: RecordedRun;
  readonly #parts: RunPart[] = [];
  #traceId: string | undefined;
  #dropped = 0;
  #hasStumbled = false;

  constructor(policy: SamplingPolicy, run: RecordedRun) {
    this.#run = run;
    this.isChosen = isTraceChosen(policy, run.traceId, run.order.traceparent);
  }

  get hasStumbled(): boolean {
    return this.#hasStumbled;
  }

  step(name: string, kind: StepKind, what = "step"): RunPart {
    const attributes = { "holdfast.step": name, "holdfast.step.kind": kind };
    return this.begin(`${what} ${name}`, 1, undefined, { name: `${what} ${name}`, kind: "internal" }, attributes);
  }

  /** Tells of a call's tries; `parent` is the step that it is part of. */
  call(dependency: PreparedDependency, request: unknown, idempotencyKey: string, parent: RunPart | undefined): CallTrace {
    return new CallTrace(this, dependency, { request, idempotencyKey, parent });
  }

  /** An event is emitted, under an id that is the same at every try; returns what its message says of its trace. */
  created(eventId: string, eventType: string, parent: RunPart | undefined): string {
    const attributes = {
      "holdfast.event.type": eventType,
      "messaging.system": "servicebus",
      "messaging.operation.type": "create",
      "messaging.operation.name": "create",
    };
    const part = this.begin(eventId, 0, parent, { name: `create ${eventType}`, kind: "producer" }, attributes);
    this.end(part);
    return this.traceparentOf(part);
  }

  /** For whoever is asked, or hears, by this part. */
  traceparentOf(part: RunPart): string {
    return writeTraceparent({ traceId: this.#joinedId(), spanId: this.#idOf(part) }, this.isChosen);
  }

  /** A step is over, answered so well. */
  answered(part: RunPart | undefined, quality: StepQuality): void {
    if (part === undefined) return;
    if (quality !== "full") part.attributes = { ...part.attributes, "holdfast.quality": quality };
    this.end(part);
  }

  failed(part: RunPart | undefined, thrown: unknown): void {
    if (part !== undefined) this.end(part, codeOf(thrown));
  }

  /** Something had to be repeated, or answered otherwise. */
  stumbled(): void {
    this.#hasStumbled = true;
  }

  begin(key: string, number: number, parent: RunPart | undefined, { name, kind }: Pick<RunPart, "name" | "kind">, attributes: SpanAttributes): RunPart {
    const startMs = this.#run.host.nowMs();
    const part: RunPart = { key, number, parent, name, kind, startMs, endMs: 0, attributes, error: undefined };
    if (this.#parts.length < spansMax) this.#parts.push(part);
    else this.#dropped += 1;
    return part;
  }

  end(part: RunPart, error?: string): void {
    part.endMs = this.#run.host.nowMs();
    part.error = error;
  }

  /** The run is over, and told of. */
  finish(answer: RunAnswer): RunTrace {
    const { startedAtMs, host } = this.#run;
    const endMs = host.nowMs();
    const error = errorOf(answer);
    const wallMs = host.wallMs() - endMs;
    const traceId = this.#joinedId();
    const spanId = this.#idOf(undefined);
    const spans = this.#parts.map((part): SpanDraft => {
      if (part.endMs === 0) this.end(part, error);
      const { name, kind, attributes } = part;
      const period = { startMs: part.startMs + wallMs, endMs: part.endMs + wallMs };
      return { spanId: this.#idOf(part), parentSpanId: this.#idOf(part.parent), name, kind, ...period, attributes, error: part.error };
    });
    const saidTraceId = this.#run.traceId === traceId ? undefined : this.#run.traceId;
    return { traceId, saidTraceId, spanId, startMs: startedAtMs + wallMs, endMs: endMs + wallMs, spans, spansDropped: this.#dropped, error };
  }

  #joinedId(): string {
    return (this.#traceId ??= joinTrace(this.#run.traceId, readTraceparent(this.#run.order.traceparent)).traceId);
  }

  /** Of a part, or of the span that stands for this execution: the same whenever it is asked for, and another one in each execution. */
  #idOf(part: RunPart | undefined): string {
    const execution = { ...this.#run.order, eventId: this.#run.order.route.eventId };
    return part === undefined ? spanOfExecution(execution) : deriveSpan(`${executionOf(execution)} ${part.key}`, part.number);
  }
}

/** Waits for the work of a span, and records how it ends. */
export async function recorded<Result>(recorder: RunRecorder | undefined, part: RunPart | undefined, work: Result): Promise<Awaited<Result>> {
  try {
    const result = await work;
    recorder?.answered(part, "full");
    return result;
  } catch (error) {
    recorder?.failed(part, error);
    throw error;
  }
}

/** A run that was stopped, or that another worker has, has not failed. */
function errorOf(answer: RunAnswer): string | undefined {
  switch (answer.kind) {
    case "failed":
    case "timed-out":
    case "compensating":
      return answer.failure.code;
    case "invalid":
      return answer.invalid.reason;
    case "outcome-unknown":
      return "OutcomeUnknown";
    case "pipeline-changed":
      return "PipelineChanged";
    case "compensated":
    case "thread-lost":
    case "not-started":
      return otherError;
    case "completed":
    case "interrupted":
    case "stale":
      return undefined;
  }
}
