/**
 * Exports spans by OTLP, with OpenTelemetry's own exporters: where to, with which headers, certificates and time-outs, these take from the environment. Spans
 * wait in a queue that is bounded; what is over, or cannot be delivered after the exporter's own retries, is dropped, counted and reported.
 */
import { SpanKind as OtelKind, SpanStatusCode, TraceFlags } from "@opentelemetry/api";
import type { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes, detectResources, envDetector } from "@opentelemetry/resources";
import type { RuntimeEvent } from "../../../core/catalogue.ts";
import type { Clock, Timer } from "../../../core/clock.ts";
import { messageOf } from "../../../core/errors.ts";
import { allowedAttributes, type Span, type SpanKind } from "../../../core/spans.ts";
import type { SpanContext } from "../../../core/trace-context.ts";
import type { Reporter } from "../../../ports/telemetry.ts";
import type { Tracing } from "../../../ports/tracing.ts";
import { settledWithin } from "../../support/waiting.ts";
import { Losses } from "../losses.ts";
import type { ExportQueue, OtlpProtocol } from "./environment.ts";

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

/** How long a stop waits for the collector. */
const stopMaxMs = 2_000;

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

export class TraceExport implements Tracing, Reporter {
  readonly #options: TraceExportOptions;
  readonly #losses: Losses<LostEvent["why"]>;
  /** One for all: spans are grouped by it. */
  readonly #scope: ReadableSpan["instrumentationScope"];
  #waiting: Span[] = [];
  #timer: Timer | undefined;
  #exporting: Promise<void> | undefined;
  #isStopped = false;

  constructor(options: TraceExportOptions) {
    this.#options = options;
    this.#scope = { name: "holdfast", version: options.version };
    this.#losses = new Losses(options.clock, (why, spans, error) => options.lost({ type: "traces.lost", why, spans, error }));
  }

  start(): void {
    // It takes spans from the beginning.
  }

  take(spans: readonly Span[]): void {
    const { queueMax, batchMax, delayMs, clock } = this.#options;
    const room = this.#isStopped ? 0 : Math.max(0, queueMax - this.#waiting.length);
    if (room < spans.length) this.#losses.add(this.#isStopped ? "stop" : "buffer", spans.length - room, "");
    this.#waiting.push(...spans.slice(0, room));
    if (this.#waiting.length === 0 || this.#exporting !== undefined) return;
    if (this.#waiting.length >= batchMax) this.#begin();
    else
      this.#timer ??= clock.after(delayMs, () => {
        this.#timer = undefined;
        if (this.#exporting === undefined) this.#begin();
      });
  }

  /** Exports what waits, each once. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    // A collector that does not answer must not take the time of what is stopped after it.
    await settledWithin(this.#options.clock, stopMaxMs, this.#exportRest());
    this.giveUp();
    await this.#options.exporter.shutdown();
  }

  async #exportRest(): Promise<void> {
    await this.#exporting;
    if (this.#waiting.length > 0) await this.#exportAll();
  }

  giveUp(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    if (this.#waiting.length > 0) this.#losses.add("stop", this.#waiting.length, "");
    this.#waiting = [];
    this.#losses.stop();
  }

  #begin(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#exporting = this.#exportAll().finally(() => {
      this.#exporting = undefined;
    });
  }

  async #exportAll(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#isStopped) await this.#exportBatch(this.#waiting.splice(0, this.#options.batchMax));
  }

  #exportBatch(batch: readonly Span[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const failed = (error: unknown): void => {
      this.#losses.add("refused", batch.length, messageOf(error, 200));
      resolve();
    };
    try {
      const spans = batch.map((span) => this.#readable(span));
      this.#options.exporter.export(spans, ({ error }) => (error === undefined ? resolve() : failed(error)));
    } catch (error) {
      failed(error);
    }
    return promise;
  }

  #readable(span: Span): ReadableSpan {
    const { resource } = this.#options;
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
      instrumentationScope: this.#scope,
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  }
}
