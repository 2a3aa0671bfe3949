import { strict as assert } from "node:assert";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { test } from "node:test";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import * as fc from "fast-check";
import { originOf } from "#runtime/adapters/telemetry/traces/exporter.ts";
import { readable } from "#runtime/adapters/telemetry/traces/json-exporter.ts";
import { openProtobufExporter } from "#runtime/adapters/telemetry/traces/protobuf-exporter.ts";
import { SpanProtobuf } from "#runtime/adapters/telemetry/traces/span-protobuf.ts";
import type { Span } from "#runtime/core/spans.ts";

const origin = originOf({ "service.name": "holdfast", "service.instance.id": "host:1:ä" }, "1.2.3");

function idOf(digits: number): fc.Arbitrary<string> {
  return fc.string({ unit: fc.constantFrom(...Array.from("0123456789abcdef")), minLength: digits, maxLength: digits });
}

const context = fc.record({ traceId: idOf(32), spanId: idOf(16) });
const timeMs = fc.double({ min: 0, max: 4_000_000_000_000, noNaN: true });
const attributes = fc.record(
  {
    "messaging.message.id": fc.oneof(fc.constant("evt-1"), fc.string({ maxLength: 300 })),
    "holdfast.skill": fc.string({ unit: fc.constantFrom("a", "b", "c", "-", "."), maxLength: 200 }),
    "messaging.batch.message_count": fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double()),
    "gen_ai.request.temperature": fc.double({ noNaN: true }),
    "gen_ai.response.finish_reasons": fc.array(fc.constantFrom("stop", "tool_calls"), { maxLength: 4 }),
    "holdfast.trace_id": fc.constant(undefined),
  },
  { requiredKeys: [] },
);
const spans: fc.Arbitrary<readonly Span[]> = fc.array(
  fc
    .record({
      context,
      parentSpanId: fc.option(idOf(16), { nil: undefined }),
      name: fc.oneof(fc.constantFrom("process turn-1", "step naïve ✓"), fc.string({ maxLength: 200 })),
      kind: fc.constantFrom("internal", "client", "producer", "consumer"),
      startMs: timeMs,
      endMs: timeMs,
      attributes,
      links: fc.array(context, { maxLength: 3 }),
      error: fc.constantFrom(undefined, "TIMEOUT", "what a response said"),
    })
    .map(({ context: own, ...rest }) => ({ ...own, ...rest })),
  { minLength: 1, maxLength: 6 },
);

/** The worker's own exporter, OpenTelemetry's, and what both have sent. */
test("a batch of spans is the same request, byte by byte, as OpenTelemetry's own exporter sends of it", async (t) => {
  const requests: { readonly path: string | undefined; readonly type: string | undefined; readonly key: unknown; readonly body: Buffer }[] = [];
  const server = createServer((request, response) => {
    void buffer(request).then((body) => {
      requests.push({ path: request.url, type: request.headers["content-type"], key: request.headers["x-api-key"], body });
      response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.closeAllConnections());
  t.after(() => server.close());
  process.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  process.env["OTEL_EXPORTER_OTLP_HEADERS"] = "x-api-key=secret";
  const own = openProtobufExporter(origin);
  const theirs = new OTLPTraceExporter();
  delete process.env["OTEL_EXPORTER_OTLP_ENDPOINT"];
  delete process.env["OTEL_EXPORTER_OTLP_HEADERS"];
  const property = fc.asyncProperty(spans, async (batch) => {
    const errors = [await new Promise((done) => own.export(batch, ({ error }) => done(error)))];
    const readables = batch.map((span) => readable(span, origin));
    errors.push(await new Promise((done) => theirs.export(readables, ({ error }) => done(error))));
    const [ours, other] = requests.splice(0);
    assert.deepEqual([errors, ours], [[undefined, undefined], other]);
    assert.deepEqual([ours?.path, ours?.type, ours?.key], ["/v1/traces", "application/x-protobuf", "secret"]);
  });
  await fc.assert(property, { numRuns: 200 });
  await Promise.all([own.shutdown(), theirs.shutdown()]);
});

test("a code of a failure that stands among the attributes is told once, as what ended the span", () => {
  const bytes = Buffer.from(new SpanProtobuf(origin).request([{ ...failed, attributes: { "error.type": "ECONNRESET" }, error: "TIMEOUT" }])).toString("latin1");
  assert.deepEqual([bytes.split("error.type").length, bytes.includes("TIMEOUT"), bytes.includes("ECONNRESET")], [2, true, false]);
});

const failed: Omit<Span, "attributes" | "error"> = {
  traceId: "a".repeat(32),
  spanId: "b".repeat(16),
  parentSpanId: undefined,
  name: "call",
  kind: "client",
  startMs: 1_700_000_000_000.25,
  endMs: 1_700_000_000_001.5,
  links: [],
};
