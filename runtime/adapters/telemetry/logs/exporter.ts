/** Exports the lines of the log by OTLP, as they are written: what is kept out of a line is kept out here. */
import { TraceFlags } from "@opentelemetry/api";
import type { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import type { RuntimeEvent } from "../../../core/catalogue.ts";
import type { Clock } from "../../../core/clock.ts";
import { Batches } from "../otlp/batches.ts";
import type { ExportQueue, OtlpProtocol } from "../otlp/environment.ts";

/** As much as both have in common: each has private parts. */
type OtlpExporter = Pick<OTLPLogExporter, "export" | "shutdown">;
type LogRecord = Parameters<OtlpExporter["export"]>[0][number];
type LostEvent = Extract<RuntimeEvent, { type: "logs.lost" }>;

export interface LogExportOptions extends ExportQueue {
  readonly clock: Clock;
  readonly exporter: OtlpExporter;
  readonly resource: LogRecord["resource"];
  readonly version: string;
  /** Hears of lines that were not exported. */
  lost(event: LostEvent): void;
}

/** Only the one that is used is loaded. */
export async function openLogExporter(protocol: OtlpProtocol): Promise<OtlpExporter> {
  switch (protocol) {
    case "http/json":
      return new (await import("@opentelemetry/exporter-logs-otlp-http")).OTLPLogExporter();
    case "http/protobuf":
      return new (await import("@opentelemetry/exporter-logs-otlp-proto")).OTLPLogExporter();
  }
}

/** The numbers that OpenTelemetry has for the levels. */
const severities: ReadonlyMap<unknown, number> = new Map([
  ["trace", 1],
  ["debug", 5],
  ["info", 9],
  ["warn", 13],
  ["error", 17],
  ["fatal", 21],
]);

export class LogExport extends Batches<string> {
  constructor(options: LogExportOptions) {
    const { exporter, resource, version } = options;
    const scope = { name: "holdfast", version };
    super({
      ...options,
      send: (batch, done) =>
        exporter.export(
          batch.map((line) => recordOf(line, resource, scope)),
          done,
        ),
      shutdown: () => exporter.shutdown(),
      lost: (why, lines, error) => options.lost({ type: "logs.lost", why, lines, error }),
    });
  }

  /** But for the lines that tell of losses: while nobody takes them, each would be the next loss. */
  override take(lines: readonly string[]): void {
    super.take(lines.filter((line) => !line.includes('"type":"logs.lost"')));
  }
}

function recordOf(line: string, resource: LogRecord["resource"], scope: LogRecord["instrumentationScope"]): LogRecord {
  // Worker, host and process are the resource's.
  const {
    time,
    level,
    msg,
    trace_id,
    span_id,
    trace_flags,
    worker: _worker,
    host: _host,
    pid: _pid,
    ...rest
  } = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const atMs = Date.parse(String(time));
  const hrTime: [number, number] = [Math.floor(atMs / 1_000), (atMs % 1_000) * 1_000_000];
  const { type } = rest;
  const severity: object = { severityNumber: severities.get(level) ?? 0 };
  const flags = trace_flags === "01" ? TraceFlags.SAMPLED : TraceFlags.NONE;
  const isOfSpan = typeof trace_id === "string" && typeof span_id === "string";
  return {
    hrTime,
    hrTimeObserved: hrTime,
    ...(isOfSpan ? { spanContext: { traceId: trace_id, spanId: span_id, traceFlags: flags } } : {}),
    severityText: String(level).toUpperCase(),
    ...(severity as Pick<LogRecord, "severityNumber">),
    body: String(msg),
    ...(typeof type === "string" ? { eventName: type } : {}),
    resource,
    instrumentationScope: scope,
    attributes: { ...rest, ...(isOfSpan || trace_id === undefined ? {} : { trace_id }) } as LogRecord["attributes"],
    droppedAttributesCount: 0,
  };
}
