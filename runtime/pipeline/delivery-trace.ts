import type { MessageOfTrace } from "../core/lineage.ts";
import type { Span } from "../core/spans.ts";
import { type JoinedTrace, type SpanContext, type TraceParent, writeTraceparent } from "../core/trace-context.ts";
import type { SettleOrder } from "../ports/transport.ts";
import type { Source } from "./source.ts";

/** A delivery as lines of the log ask for its span. */
export interface TracedWork extends MessageOfTrace {
  readonly trace: DeliveryTrace | undefined;
  /** Empty until somebody asked for it. */
  spanId: string;
}

/** Messages that were received together. */
export interface ReceivedBatch {
  readonly source: Source;
  readonly messages: number;
  readonly startMs: number;
  /** What stands for one of them in its trace. */
  readonly spanOf: (work: TracedWork) => TraceParent;
  /** Of these, those that have not ended. */
  left: number;
  /** Undefined while none of them is told of. */
  context: SpanContext | undefined;
  readonly links: SpanContext[];
}

/** What is told of a delivery. Times are monotonic. */
export class DeliveryTrace {
  readonly joined: JoinedTrace;
  /** Of the span that stands for the delivery. */
  readonly spanId: string;
  readonly spans: Span[] = [];
  /** What the event calls its trace, where that is no trace id. */
  said: string | undefined;
  error: string | undefined;
  sendingSinceMs = 0;
  settling: { readonly verb: SettleOrder["verb"]; readonly sinceMs: number } | undefined;

  constructor(joined: JoinedTrace, spanId: string) {
    this.joined = joined;
    this.spanId = spanId;
  }

  /** For the message that carries the event on: whoever handles that goes on telling. */
  get traceparent(): string {
    return writeTraceparent(this, true);
  }

  get traceId(): string {
    return this.joined.traceId;
  }

  /** The span that made the message, where it is of the same trace. */
  get parentSpanId(): string | undefined {
    const { creation, traceId } = this.joined;
    return creation?.traceId === traceId ? creation.spanId : undefined;
  }
}
