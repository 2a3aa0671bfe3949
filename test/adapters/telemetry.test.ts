import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type Logger, pino } from "pino";
import { EventLog } from "#runtime/adapters/telemetry/log.ts";
import { prettyLine } from "#runtime/adapters/telemetry/pretty.ts";
import { Recurrences } from "#runtime/adapters/telemetry/recurrences.ts";
import { Summaries } from "#runtime/adapters/telemetry/summary.ts";
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";

class Hand {
  nowMs = 0;
  monotonicMs(): number {
    return this.nowMs;
  }
}

interface Written {
  readonly type: string;
  readonly repeated?: number;
}

function logOf(level = "info"): { readonly logger: Logger; readonly lines: () => Written[] } {
  let text = "";
  const logger = pino({ level, base: null }, { write: (line: string) => void (text += line) });
  return {
    logger,
    lines: () =>
      text
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => JSON.parse(line) as Written),
  };
}

const run = { eventId: "e1", attempt: 1, waitedMs: 0 };

test("the same trouble is written at once, then at growing intervals, and again after a quiet time", () => {
  const clock = new Hand();
  const recurrences = new Recurrences(clock);
  const said: number[] = [];
  for (clock.nowMs = 0; clock.nowMs <= 8 * 3_600_000; clock.nowMs += 10_000) if (recurrences.occurs("a") !== undefined) said.push(clock.nowMs / 60_000);
  assert.deepEqual(said, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363, 423]);
  assert.equal(recurrences.occurs("b"), 0);
  clock.nowMs += 2 * 3_600_000;
  assert.equal(recurrences.occurs("a"), 0);
});

test("a refusal that differs in its tracking id alone is the same refusal; another one is not", () => {
  const clock = new Hand();
  const { logger, lines } = logOf();
  const log = new EventLog(logger, clock);
  const refusal = (id: string, code = "amqp:not-found"): RuntimeEvent => ({
    type: "transport.disturbed",
    source: "orders",
    error: `expected to receive from q, found ${code}: gone. TrackingId:${id}; create it`,
  });
  for (const id of ["0f3a-1", "77bb-2", "91c0-3"]) log.emit(refusal(id));
  log.emit(refusal("0f3a-1", "com.microsoft:entity-disabled"));
  log.emit({ type: "transport.disturbed", source: "orders", error: "expected a connection to h, found connect ECONNREFUSED 10.0.0.1:5671; check" });
  log.emit({ type: "transport.disturbed", source: "orders", error: "expected a connection to h, found connect ECONNREFUSED 10.0.0.2:5671; check" });
  log.emit({ type: "send.failed", entity: "a", messages: 3, error: "expected to send to a, found amqp:not-found: gone; create it" });
  log.emit({ type: "send.failed", entity: "b", messages: 9, error: "expected to send to b, found amqp:not-found: gone; create it" });
  log.emit({ type: "send.failed", entity: "a", messages: 1, error: "expected to send to a, found amqp:not-found: gone; create it" });
  assert.deepEqual(
    lines().map(({ type }) => type),
    ["transport.disturbed", "transport.disturbed", "transport.disturbed", "send.failed", "send.failed"],
  );
  clock.nowMs = 60_000;
  log.emit(refusal("ffff-9"));
  assert.equal(lines().at(-1)?.repeated, 2);
});

test("a run that completes is a line at debug, and none at info", () => {
  for (const [level, count] of [
    ["debug", 1],
    ["info", 0],
  ] as const) {
    const { logger, lines } = logOf(level);
    new EventLog(logger, new Hand()).settled("completed", "greeter", 12, run);
    assert.equal(lines().length, count);
    if (count === 1)
      assert.partialDeepStrictEqual(lines()[0], { type: "run.completed", eventId: "e1", skill: "greeter", attempt: 1, latencyMs: 12, msg: "run.completed" });
  }
});

test("a summary counts what happened since the last one, and there is none when nothing did", () => {
  const summaries = new Summaries();
  assert.equal(summaries.take(), undefined);
  for (let latencyMs = 1; latencyMs <= 100; latencyMs += 1) summaries.settled("completed", "a", latencyMs);
  for (const outcome of ["duplicate", "retried", "postponed", "released", "dropped", "dead-lettered"] as const) summaries.settled(outcome, "a", 5);
  const death = { class: "poison", code: "InvalidEnvelope", step: "", fingerprint: "f" } as const;
  summaries.emit({ type: "run.dead-lettered", eventId: "e", messageId: "m", skill: "", attempt: 0, reason: "InvalidEnvelope", description: "", ...death });
  assert.deepEqual(summaries.take(), {
    completed: 100,
    duplicates: 1,
    retried: 1,
    postponed: 1,
    returned: 2,
    deadLettered: { InvalidEnvelope: 1 },
    latencyMs: { p50: 50, p99: 99 },
  });
  assert.equal(summaries.take(), undefined);
  summaries.settled("retried", "a", 5);
  assert.deepEqual(summaries.take(), { completed: 0, duplicates: 0, retried: 1, postponed: 0, returned: 0, deadLettered: {}, latencyMs: undefined });
});

test("a line for eyes has time, level and message, then the fields that differ from line to line; nothing in it moves the cursor", () => {
  const json = JSON.stringify({
    level: "warn",
    time: "2026-01-02T03:04:05.678Z",
    worker: "w",
    host: "h",
    pid: 1,
    type: "run.retrying",
    eventId: "e-1",
    attempt: 2,
    description: "no \u001b[2J way\nout",
    fields: { a: 1 },
    msg: "run.retrying",
  });
  const time = new Date("2026-01-02T03:04:05.678Z").toTimeString().slice(0, 8);
  assert.equal(prettyLine(json, false), `${time}.678 WARN  run.retrying eventId=e-1 attempt=2 description="no \\u001b[2J way\\nout" fields={"a":1}\n`);
  assert.ok(prettyLine(json, true).includes("\u001b[33mWARN \u001b[0m run.retrying"));
  assert.equal(prettyLine("not JSON\n", false), "not JSON\n");
});
