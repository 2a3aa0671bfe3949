/**
 * Exports spans by OTLP, by OpenTelemetry's own exporters: where to, with which headers, certificates and time-outs, these take from the environment. How
 * spans wait for that, batches.ts says.
 */
import { resourceFromAttributes, detectResources, envDetector } from "@opentelemetry/resources";
import type { RuntimeEvent } from "../../../core/catalogue.ts";
import type { Clock } from "../../../core/clock.ts";
import type { Span } from "../../../core/spans.ts";
import type { Tracing } from "../../../ports/tracing.ts";
import { Batches } from "../otlp/batches.ts";
import type { ExportQueue, OtlpProtocol } from "../otlp/environment.ts";
import type { Resource, SpanExporter, SpanOrigin } from "./span-exporter.ts";

type LostEvent = Extract<RuntimeEvent, { type: "traces.lost" }>;

export interface TraceExportOptions extends ExportQueue {
  readonly clock: Clock;
  readonly exporter: SpanExporter;
  /** Hears of spans that were not exported. */
  lost(event: LostEvent): void;
}

/** Only the one that is used is loaded. */
export async function loadExporter(protocol: OtlpProtocol): Promise<(origin: SpanOrigin) => SpanExporter> {
  switch (protocol) {
    case "http/json":
      return (await import("./json-exporter.ts")).openJsonExporter;
    case "http/protobuf":
      return (await import("./protobuf-exporter.ts")).openProtobufExporter;
  }
}

/** What the worker is; the environment's `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before that. */
export function resourceOf(worker: Readonly<Record<string, string>>): Resource {
  return resourceFromAttributes(worker).merge(detectResources({ detectors: [envDetector] }));
}

export function originOf(worker: Readonly<Record<string, string>>, version: string): SpanOrigin {
  return { resource: resourceOf(worker), scope: { name: "holdfast", version } };
}

export class TraceExport extends Batches<Span> implements Tracing {
  constructor(options: TraceExportOptions) {
    const { exporter } = options;
    super({
      ...options,
      send: (batch, done) => exporter.export(batch, done),
      shutdown: () => exporter.shutdown(),
      lost: (why, spans, error) => options.lost({ type: "traces.lost", why, spans, error }),
    });
  }
}
