/** OpenTelemetry's own exporter of spans as JSON, which takes them as the objects that its SDK makes. */
import { SpanKind as OtelKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { allowedAttributes, type Span, type SpanKind } from "../../../core/spans.ts";
import type { SpanContext } from "../../../core/trace-context.ts";
import type { SpanExporter, SpanOrigin } from "./span-exporter.ts";

type ReadableSpan = Parameters<OTLPTraceExporter["export"]>[0][number];

export function openJsonExporter(origin: SpanOrigin): SpanExporter {
  const exporter = new OTLPTraceExporter();
  return {
    export: (spans, done) =>
      exporter.export(
        spans.map((span) => readable(span, origin)),
        done,
      ),
    shutdown: () => exporter.shutdown(),
  };
}

const kinds: Readonly<Record<SpanKind, OtelKind>> = {
  internal: OtelKind.INTERNAL,
  client: OtelKind.CLIENT,
  producer: OtelKind.PRODUCER,
  consumer: OtelKind.CONSUMER,
};

function timeOf(wallMs: number): [seconds: number, nanoseconds: number] {
  const microseconds = Math.round(wallMs * 1_000);
  return [Math.floor(microseconds / 1_000_000), (microseconds % 1_000_000) * 1_000];
}

function contextOf({ traceId, spanId }: SpanContext): ReturnType<ReadableSpan["spanContext"]> {
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED };
}

/** A span as OpenTelemetry's SDK has it. */
export function readable(span: Span, { resource, scope }: SpanOrigin): ReadableSpan {
  const { traceId, parentSpanId, error } = span;
  const context = contextOf(span);
  const attributes = Object.fromEntries(allowedAttributes(span)) as ReadableSpan["attributes"];
  // By number: two versions of the interface, where both are installed, have enums that are not the same type.
  const numbered: object = { kind: kinds[span.kind], status: { code: error === undefined ? SpanStatusCode.UNSET : SpanStatusCode.ERROR } };
  return {
    ...(numbered as Pick<ReadableSpan, "kind" | "status">),
    name: span.name,
    spanContext: () => context,
    ...(parentSpanId === undefined ? {} : { parentSpanContext: contextOf({ traceId, spanId: parentSpanId }) }),
    startTime: timeOf(span.startMs),
    endTime: timeOf(span.endMs),
    duration: timeOf(span.endMs - span.startMs),
    attributes,
    links: span.links.map((link) => ({ context: contextOf(link) })),
    events: [],
    ended: true,
    resource,
    instrumentationScope: scope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}
