// Lines of skills on their way to the log.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { traceIdOf } from "#runtime/core/trace-context.ts";
import { leastLevel, LogBuffer } from "#runtime/skills/host/run-log.ts";

const line = { level: "debug", skill: "s", eventId: "e", traceId: "trace-1", attempt: 1, message: "said", fields: undefined } as const;
const ids = { runId: 1, skill: "s", eventId: "e", traceId: "trace-1", attempt: 1, source: 0, generation: 0, epoch: 1, traceparent: undefined };

test("the level of lines can be changed while they are written", () => {
  const least = new Int32Array(1);
  const buffer = new LogBuffer(least);
  const kept = ["info", "debug", "trace", "error", "silent"].map((level) => {
    least[0] = leastLevel(level);
    return [buffer.add(line), buffer.add({ ...line, level: "error" })];
  });
  assert.deepEqual(kept, [
    [false, true],
    [true, true],
    [true, true],
    [false, true],
    [false, false],
  ]);
  assert.equal(new LogBuffer(undefined).add({ ...line, level: "error" }), false);
});

test("a line has the trace of its run, and its span where runs are traced", () => {
  const least = new Int32Array(1);
  const plain = new LogBuffer(least);
  const traced = new LogBuffer(least, { ratio: 0, slowMs: 1_000, followParent: true });
  for (const buffer of [plain, traced]) buffer.add(line, ids);
  plain.add(line);
  assert.deepEqual(
    plain.take().map(({ span }) => span),
    [{ traceId: traceIdOf("trace-1") }, undefined],
  );
  const [{ span } = {}] = traced.take();
  assert.match(span?.spanId ?? "", /^[0-9a-f]{16}$/);
  assert.deepEqual([span?.traceId, span?.isSampled], [traceIdOf("trace-1"), false]);
});
