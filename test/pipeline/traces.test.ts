// What the pipeline reports of deliveries as spans, around what threads say of their runs.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { RunTrace, Span } from "#runtime/core/spans.ts";
import type { Tracing } from "#runtime/ports/tracing.ts";
import { failedAnswer, completedAnswer } from "../support/scripted-executor.ts";
import { World } from "../support/pipeline-world.ts";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const spanId = "00f067aa0ba902b7";
const traceparent = `00-${traceId}-${spanId}-01`;

function collector(): Tracing & { readonly spans: Span[] } {
  const spans: Span[] = [];
  return { spans, take: (more) => void spans.push(...more) };
}

const told = (spans: readonly Span[]): string[] => spans.map(({ name, error }) => (error === undefined ? name : `${name} ${error}`));

test("a message that goes well and that no thread speaks of costs no span, and its order says what it says of its trace", async () => {
  const world = new World();
  const tracing = collector();
  const { executor, telemetry } = await world.start({ tracing });
  world.send(world.message("a", "task", {}, { traceparent }), world.message("b", "task", {}, { "Diagnostic-Id": traceparent }), world.message("c"));
  await world.clock.until("the messages to end", () => telemetry.outcomes.length === 3);
  assert.deepEqual(
    executor.posted.map((order) => order.traceparent),
    [traceparent, traceparent, undefined],
  );
  assert.deepEqual(tracing.spans, []);
});

test("where nothing is traced no order says anything of a trace", async () => {
  const world = new World();
  const { executor, telemetry } = await world.start();
  world.send(world.message("a", "task", {}, { traceparent }));
  await world.clock.until("the message to end", () => telemetry.outcomes.length === 1);
  assert.equal(executor.posted[0]?.traceparent, undefined);
});

test("a message that is refused is reported with its reason, in the trace that it names, though no thread has seen it", async () => {
  const world = new World();
  const tracing = collector();
  const { telemetry } = await world.start({ tracing });
  world.send(world.message("a", "unknown", {}, { traceparent, traceId }));
  await world.clock.until("the message and its batch to end", () => telemetry.outcomes.length === 1 && tracing.spans.length === 3);
  assert.deepEqual(told(tracing.spans), ["process work UnknownEventType", "dead_letter work", "receive work"]);
  const [process, settled, batch] = tracing.spans;
  assert.deepEqual(
    [process?.traceId, process?.parentSpanId, settled?.parentSpanId, batch?.links.map((link) => link.spanId)],
    [traceId, spanId, process?.spanId, [spanId]],
  );
});

test("the copy of a retry carries the trace of the try that failed; that of a message that was only put off its own", async () => {
  const world = new World();
  const tracing = collector();
  const { executor, telemetry } = await world.start({ tracing });
  executor.script = (run) => (run.order.attempt < 3 ? failedAnswer("ENOTFOUND") : completedAnswer);
  world.send(world.message("a", "task", {}, { traceparent, traceId }));
  await world.clock.until("the retry to end", () => telemetry.outcomes.includes("completed"));
  const [first] = tracing.spans.filter(({ name }) => name.startsWith("process"));
  assert.equal(executor.posted.at(-1)?.traceparent, `00-${traceId}-${first?.spanId ?? ""}-01`);
});

test("what a thread says of a run stands below its delivery, and a retry in place beside it", async () => {
  const world = new World();
  const tracing = collector();
  const { executor, telemetry } = await world.start({ tracing });
  const part = {
    spanId: "2".repeat(16),
    parentSpanId: "1".repeat(16),
    name: "step a",
    kind: "internal",
    startMs: 1,
    endMs: 2,
    attributes: {},
    error: undefined,
  } as const;
  const trace: RunTrace = { traceId, saidTraceId: undefined, spanId: "1".repeat(16), startMs: 1, endMs: 2, spans: [part], spansDropped: 0, error: undefined };
  executor.traced = () => trace;
  world.send(world.message("a", "task", {}, { traceparent, traceId }));
  await world.clock.until("the message to end", () => telemetry.outcomes.length === 1);
  assert.deepEqual(told(tracing.spans), ["process work", "run task", "step a", "complete work", "receive work"]);
  const [process, run, step] = tracing.spans;
  assert.deepEqual([run?.parentSpanId, step?.parentSpanId, process?.attributes["holdfast.outcome"]], [process?.spanId, run?.spanId, "completed"]);
});
