/** Records what a run does as spans, where that is wanted: its steps, its calls, the events that it emits. Told is what the sampling policy says. */
import type { RunAnswer } from "../../core/outcome.ts";
import type { StepKind, StepQuality } from "../../core/run.ts";
import { otherError, type RunTrace, type SamplingPolicy, type SpanAttributes, type SpanDraft } from "../../core/spans.ts";
import { joinTrace, readTraceparent, writeTraceparent } from "../../core/trace-context.ts";
import { isChosen, isTold } from "../../policy/trace-sampling.ts";
import { CallTrace } from "./call-trace.ts";
import { codeOf } from "./failure.ts";
import type { PreparedDependency } from "./prepared-skill.ts";
import type { RunHost } from "./run-host.ts";
import { deriveSpan } from "./run-identity.ts";
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

export class RunRecorder {
  readonly traceId: string;
  readonly isChosen: boolean;
  readonly #policy: SamplingPolicy;
  readonly #run: RecordedRun;
  readonly #spans: SpanDraft[] = [];
  #spanId: string | undefined;
  #dropped = 0;
  #hasStumbled = false;

  constructor(policy: SamplingPolicy, run: RecordedRun) {
    const { traceId, creation } = joinTrace(run.traceId, readTraceparent(run.order.traceparent));
    this.#policy = policy;
    this.#run = run;
    this.traceId = traceId;
    this.isChosen = isChosen(policy, traceId, creation?.traceId === traceId ? creation.isSampled : undefined);
  }

  /** Of the span that stands for this execution. */
  get spanId(): string {
    if (this.#spanId === undefined) {
      const { source, route, generation, epoch, attempt, runId } = this.#run.order;
      this.#spanId = deriveSpan(`${source} ${route.eventId} ${generation}.${epoch}.${runId}`, attempt);
    }
    return this.#spanId;
  }

  step(name: string, kind: StepKind, what = "step"): SpanDraft {
    const attributes = { "holdfast.step": name, "holdfast.step.kind": kind };
    return this.begin(deriveSpan(`${this.spanId} ${what} ${name}`, 1), undefined, { name: `${what} ${name}`, kind: "internal" }, attributes);
  }

  /** Tells of a call's tries; `parent` is the step that it is part of. */
  call(dependency: PreparedDependency, request: unknown, idempotencyKey: string, parent: SpanDraft | undefined): CallTrace {
    return new CallTrace(this, dependency, { request, idempotencyKey, parentSpanId: parent?.spanId });
  }

  /** An event is emitted, under an id that is the same at every try; returns what its message says of its trace. */
  created(eventId: string, eventType: string, parent: SpanDraft | undefined): string {
    const spanId = deriveSpan(`${this.spanId} ${eventId}`, 0);
    const attributes = {
      "holdfast.event.type": eventType,
      "messaging.system": "servicebus",
      "messaging.operation.type": "create",
      "messaging.operation.name": "create",
    };
    this.end(this.begin(spanId, parent?.spanId, { name: `create ${eventType}`, kind: "producer" }, attributes));
    return writeTraceparent({ traceId: this.traceId, spanId }, this.isChosen);
  }

  /** A step is over, answered so well. */
  answered(span: SpanDraft | undefined, quality: StepQuality): void {
    if (span === undefined) return;
    if (quality !== "full") span.attributes = { ...span.attributes, "holdfast.quality": quality };
    this.end(span);
  }

  failed(span: SpanDraft | undefined, thrown: unknown): void {
    if (span !== undefined) this.end(span, codeOf(thrown));
  }

  /** Something had to be repeated, or answered otherwise. */
  stumbled(): void {
    this.#hasStumbled = true;
  }

  begin(spanId: string, parentSpanId: string | undefined, { name, kind }: Pick<SpanDraft, "name" | "kind">, attributes: SpanAttributes): SpanDraft {
    const startMs = this.#run.host.nowMs();
    const span: SpanDraft = { spanId, parentSpanId: parentSpanId ?? this.spanId, name, kind, startMs, endMs: 0, attributes, error: undefined };
    if (this.#spans.length < spansMax) this.#spans.push(span);
    else this.#dropped += 1;
    return span;
  }

  end(span: SpanDraft, error?: string): void {
    span.endMs = this.#run.host.nowMs();
    span.error = error;
  }

  /** The run is over; undefined where it is not told of. */
  finish(answer: RunAnswer): RunTrace | undefined {
    const { order, startedAtMs, host } = this.#run;
    const endMs = host.nowMs();
    const durationMs = endMs - startedAtMs;
    const facts = { isChosen: this.isChosen, hasSucceeded: errorOf(answer) === undefined, attempt: order.attempt, durationMs, hasStumbled: this.#hasStumbled };
    if (!isTold(this.#policy, facts)) return undefined;
    const error = errorOf(answer);
    const wallMs = host.wallMs() - endMs;
    for (const span of this.#spans) {
      if (span.endMs === 0) this.end(span, error);
      span.startMs += wallMs;
      span.endMs += wallMs;
    }
    const { traceId, spanId } = this;
    const saidTraceId = this.#run.traceId === traceId ? undefined : this.#run.traceId;
    return { traceId, saidTraceId, spanId, startMs: startedAtMs + wallMs, endMs: endMs + wallMs, spans: this.#spans, spansDropped: this.#dropped, error };
  }
}

/** Waits for the work of a span, and records how it ends. */
export async function recorded<Result>(recorder: RunRecorder | undefined, span: SpanDraft | undefined, work: Result): Promise<Awaited<Result>> {
  try {
    const result = await work;
    recorder?.answered(span, "full");
    return result;
  } catch (error) {
    recorder?.failed(span, error);
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
