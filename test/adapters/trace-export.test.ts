import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { exportQueueOf, exportsLogs, exportsTraces, protocolOf, samplerOf } from "#runtime/adapters/telemetry/otlp/environment.ts";
import { LogExport, type LogExportOptions } from "#runtime/adapters/telemetry/logs/exporter.ts";
import { resourceOf, TraceExport } from "#runtime/adapters/telemetry/traces/exporter.ts";
import type { SpanExporter } from "#runtime/adapters/telemetry/traces/span-exporter.ts";
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";
import type { Span } from "#runtime/core/spans.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";

const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };

test("traces are exported where the standard variables say so, and nowhere by default", () => {
  assert.equal(exportsTraces({}), false);
  assert.equal(exportsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: "" }), false);
  assert.equal(exportsTraces(endpoint), true);
  assert.equal(exportsTraces({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://c/v1/traces" }), true);
  assert.equal(exportsTraces({ OTEL_TRACES_EXPORTER: "otlp" }), true);
  assert.equal(exportsTraces({ ...endpoint, OTEL_TRACES_EXPORTER: "none" }), false);
  assert.equal(exportsTraces({ ...endpoint, OTEL_SDK_DISABLED: "true" }), false);
  assert.throws(() => exportsTraces({ OTEL_TRACES_EXPORTER: "zipkin" }), /OTEL_TRACES_EXPORTER: expected otlp or none, got 'zipkin'/);
});

test("the log is exported where it is named, not where a place for traces is", () => {
  assert.deepEqual([exportsLogs({}), exportsLogs(endpoint), exportsLogs({ ...endpoint, OTEL_LOGS_EXPORTER: "otlp" })], [false, false, true]);
  assert.equal(exportsLogs({ OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: "http://c/v1/logs" }), true);
  assert.equal(exportsLogs({ OTEL_LOGS_EXPORTER: "otlp", OTEL_SDK_DISABLED: "true" }), false);
  assert.equal(protocolOf({ OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: "http/json" }, "LOGS"), "http/json");
  assert.throws(() => exportsLogs({ OTEL_LOGS_EXPORTER: "console" }), /OTEL_LOGS_EXPORTER: expected otlp or none, got 'console'/);
});

test("protocol, queue and sampler are those of the standard variables", () => {
  assert.equal(protocolOf({}, "TRACES"), "http/protobuf");
  assert.equal(protocolOf({ OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" }, "TRACES"), "http/json");
  assert.throws(() => protocolOf({ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" }, "TRACES"), /expected http\/protobuf or http\/json, got 'grpc'/);
  assert.deepEqual(exportQueueOf({ OTEL_BSP_MAX_QUEUE_SIZE: "100", OTEL_BSP_SCHEDULE_DELAY: "10" }, "TRACES"), { queueMax: 100, batchMax: 100, delayMs: 10 });
  assert.throws(() => exportQueueOf({ OTEL_BSP_MAX_QUEUE_SIZE: "-1" }, "TRACES"), /OTEL_BSP_MAX_QUEUE_SIZE: expected a whole number above 0, got '-1'/);
  assert.deepEqual(samplerOf({}), {});
  assert.deepEqual(samplerOf({ OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.25" }), { ratio: 0.25, followParent: true });
  assert.deepEqual(samplerOf({ OTEL_TRACES_SAMPLER: "traceidratio" }), { ratio: 1, followParent: false });
  assert.deepEqual(samplerOf({ OTEL_TRACES_SAMPLER: "always_on", OTEL_TRACES_SAMPLER_ARG: "0.25" }), { ratio: 1, followParent: false });
  assert.throws(() => samplerOf({ OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "2" }), /expected a number from 0 to 1, got '2'/);
});

function spans(count: number): Span[] {
  const of = { traceId: "a".repeat(32), parentSpanId: undefined, name: "run", kind: "internal", links: [], attributes: {}, error: undefined } as const;
  return Array.from({ length: count }, (_, index) => ({
    ...of,
    spanId: index.toString(16).padStart(16, "0"),
    startMs: 1_700_000_000_000.25,
    endMs: 1_700_000_000_001.5,
  }));
}

type Exported = Parameters<SpanExporter["export"]>;

function exportTo(failsWith?: string): {
  readonly export: TraceExport;
  readonly clock: ManualClock;
  readonly batches: Exported[0][];
  readonly lost: RuntimeEvent[];
} {
  const clock = new ManualClock();
  const batches: Exported[0][] = [];
  const lost: RuntimeEvent[] = [];
  const exporter = {
    export(batch: Exported[0], done: Exported[1]): void {
      batches.push(batch);
      done(failsWith === undefined ? {} : { error: new Error(failsWith) });
    },
    shutdown: async (): Promise<void> => undefined,
  };
  const queue = { queueMax: 8, batchMax: 4, delayMs: 100 };
  return {
    export: new TraceExport({ ...queue, clock: runtimeClock(clock), exporter, lost: (event) => lost.push(event) }),
    clock,
    batches,
    lost,
  };
}

test("spans go out together after a while, at once where a batch is full, and with the end of the worker", async () => {
  const { export: traces, clock, batches, lost } = exportTo();
  traces.take(spans(1));
  assert.equal(batches.length, 0);
  clock.advance(100);
  assert.deepEqual(
    batches.map((batch) => batch.length),
    [1],
  );
  await new Promise(setImmediate);
  traces.take(spans(5));
  await new Promise(setImmediate);
  assert.deepEqual(
    batches.map((batch) => batch.length),
    [1, 4, 1],
  );
  traces.take(spans(2));
  await traces.stop();
  assert.deepEqual([batches.map((batch) => batch.length), lost], [[1, 4, 1, 2], []]);
});

test("what the queue has no room for, and what nobody takes, is counted and reported", async () => {
  const { export: traces, clock, lost } = exportTo("the collector said 400");
  traces.take(spans(20));
  await new Promise(setImmediate);
  clock.advance(5_000);
  assert.deepEqual(lost, [
    { type: "traces.lost", why: "buffer", spans: 12, error: "" },
    { type: "traces.lost", why: "refused", spans: 8, error: "the collector said 400" },
  ]);
  await traces.stop();
  traces.take(spans(1));
  assert.equal(lost.length, 2);
});

type ExportedLines = Parameters<LogExportOptions["exporter"]["export"]>;

function exportLinesTo(exporter: LogExportOptions["exporter"]): { readonly export: LogExport; readonly clock: ManualClock; readonly lost: RuntimeEvent[] } {
  const clock = new ManualClock();
  const lost: RuntimeEvent[] = [];
  const queue = { queueMax: 8, batchMax: 4, delayMs: 100 };
  const resource = resourceOf({ "service.name": "holdfast" });
  return { export: new LogExport({ ...queue, clock: runtimeClock(clock), exporter, resource, version: "1", lost: (event) => lost.push(event) }), clock, lost };
}

const lineOf = (type: string): string => JSON.stringify({ level: "warn", time: "2026-03-01T12:00:00.000Z", type, msg: type });

test("a line that tells of lost lines is no line that can be lost: what nobody takes is told of once", async () => {
  const batches: ExportedLines[0][] = [];
  const refuses = {
    export(batch: ExportedLines[0], done: ExportedLines[1]): void {
      batches.push(batch);
      const result: object = { code: 1, error: new Error("nobody listens") };
      done(result as Parameters<typeof done>[0]);
    },
    shutdown: async (): Promise<void> => undefined,
  };
  const { export: lines, clock, lost } = exportLinesTo(refuses);
  lines.take([lineOf("worker.started")]);
  await turn();
  clock.advance(6_000);
  await turn();
  clock.advance(6_000);
  assert.deepEqual(lost, [{ type: "logs.lost", why: "refused", lines: 1, error: "nobody listens" }]);
  lines.take([lineOf("logs.lost")]);
  clock.advance(20_000);
  await turn();
  assert.deepEqual([batches.length, lost.length], [1, 1]);
});

test("a collector that takes a batch and never answers, nor lets its connection end, holds a stop no longer than two seconds", async () => {
  const hangs = { export: (): void => undefined, shutdown: () => new Promise<void>(() => undefined) };
  const { export: lines, clock, lost } = exportLinesTo(hangs);
  lines.take([lineOf("one"), lineOf("two"), lineOf("three"), lineOf("four"), lineOf("five")]);
  let isOver = false;
  const stopped = lines.stop().then(() => (isOver = true));
  clock.advance(1_900);
  await turn();
  assert.equal(isOver, false);
  clock.advance(200);
  await stopped;
  assert.deepEqual(lost, [{ type: "logs.lost", why: "stop", lines: 1, error: "" }]);
});
