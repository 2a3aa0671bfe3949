/** What OpenTelemetry's exporter of spans as protobuf does, but for how spans become bytes; see span-protobuf.ts. */
import { OTLPExporterBase } from "@opentelemetry/otlp-exporter-base";
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from "@opentelemetry/otlp-exporter-base/node-http";
import type { Span } from "../../../core/spans.ts";
import type { SpanExporter, SpanOrigin } from "./span-exporter.ts";
import { SpanProtobuf } from "./span-protobuf.ts";

/** As that exporter is called by the specification. */
const componentType = "otlp_http_span_exporter";

export function openProtobufExporter(origin: SpanOrigin): SpanExporter {
  const protobuf = new SpanProtobuf(origin);
  const serializer = { serializeRequest: (spans: readonly Span[]) => protobuf.request(spans), deserializeResponse: () => ({}) };
  const counts = { name: "span", countItems: (spans: readonly Span[]) => spans.length } as const;
  const options = convertLegacyHttpOptions({}, "TRACES", "v1/traces", { "Content-Type": "application/x-protobuf" });
  return new OTLPExporterBase<readonly Span[]>(createOtlpHttpExportDelegate(options, serializer, componentType, counts, undefined));
}
