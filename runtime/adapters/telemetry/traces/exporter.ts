/**
 * Exports spans by OTLP, with OpenTelemetry's own exporters: where to, with which headers, certificates and time-outs, these take from the environment. How
 * spans wait for that, batches.ts says.
 */
import { SpanKind as OtelKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import type { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes, detectResources, envDetector } from "@opentelemetry/resources";
import type { RuntimeEvent } from "../../../core/catalogue.ts";
import type { Clock } from "../../../core/clock.ts";
import { allowedAttributes, type Span, type SpanKind } from "../../../core/spans.ts";
import type { SpanContext } from "../../../core/trace-context.ts";
import type { Tracing } from "../../../ports/tracing.ts";
import { Batches } from "../otlp/batches.ts";
import type { ExportQueue, OtlpProtocol } from "../otlp/environment.ts";

/** As much as both have in common: each has private parts. */
type OtlpExporter = Pick<OTLPTraceExporter, "export" | "shutdown">;
type ReadableSpan = Parameters<OtlpExporter["export"]>[0][number];
type LostEvent = Extract<RuntimeEvent, { type: "traces.lost" }>;

export interface TraceExportOptions extends ExportQueue {
  readonly clock: Clock;
  readonly exporter: OtlpExporter;
  readonly resource: ReadableSpan["resource"];
  readonly version: string;
  /** Hears of spans that were not exported. */
  lost(event: LostEvent): void;
}

/** Only the one that is used is loaded. */
export async function openExporter(protocol: OtlpProtocol): Promise<OtlpExporter> {
  switch (protocol) {
    case "http/json":
      return new (await import("@opentelemetry/exporter-trace-otlp-http")).OTLPTraceExporter();
    case "http/protobuf":
      return new (await import("@opentelemetry/exporter-trace-otlp-proto")).OTLPTraceExporter();
  }
}

/** What the worker is; the environment's `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before that. */
export function resourceOf(worker: Readonly<Record<string, string>>): ReadableSpan["resource"] {
  return resourceFromAttributes(worker).merge(detectResources({ detectors: [envDetector] }));
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

export class TraceExport extends Batches<Span> implements Tracing {
  constructor(options: TraceExportOptions) {
    const { exporter, resource, version } = options;
    // One for all: spans are grouped by it.
    const scope = { name: "holdfast", version };
    super({
      ...options,
      send: (batch, done) =>
        exporter.export(
          batch.map((span) => readable(span, resource, scope)),
          done,
        ),
      shutdown: () => exporter.shutdown(),
      lost: (why, spans, error) => options.lost({ type: "traces.lost", why, spans, error }),
    });
  }
}

function readable(span: Span, resource: ReadableSpan["resource"], scope: ReadableSpan["instrumentationScope"]): ReadableSpan {
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
