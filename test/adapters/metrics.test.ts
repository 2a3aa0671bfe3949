// What a worker does is in its metrics when they are scraped: as Prometheus reads them, and with as few series as labels have values.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Metrics } from "#runtime/adapters/telemetry/metrics/metrics.ts";
import { Backlog, type Depth } from "#runtime/admin/backlog.ts";
import { samplesOf } from "#runtime/admin/samples.ts";
import { durationBucketsSeconds, metricNames, otherValue, valuesMax } from "#runtime/core/metric-catalogue.ts";
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";
import { valueOf, valuesOf } from "../support/exposition.ts";
import { dependencyPolicy, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

const run = { eventId: "e1", attempt: 1, waitedMs: 0 };

function deadLettered(reason: string): RuntimeEvent {
  const of = { eventId: "e", messageId: "m", skill: "a", attempt: 1, description: "", class: "permanent", code: reason, step: "", fingerprint: "f" } as const;
  return { type: "run.dead-lettered", reason, ...of };
}

async function worked(): Promise<{ readonly text: string; readonly scrape: () => Promise<string> }> {
  const metrics = new Metrics();
  const world = new World({
    skills: [skillPolicy("calls", { uses: [0] }), skillPolicy("plain")],
    dependencies: [dependencyPolicy("api", { concurrentMax: 4, queueMax: 10 })],
  });
  const { executor, worker } = await world.start({ meter: metrics, furtherTelemetry: metrics, measured: (store, clock) => metrics.measured(store, clock) });
  executor.script = async (one) => {
    await one.takes(40);
    one.called("api", one.order.attempt === 1 ? "failed" : "succeeded");
    return one.order.attempt === 1 && one.order.skill === "calls" ? failedAnswer("EDOWN") : completedAnswer;
  };
  world.send(world.message("one", "calls"), world.message("two", "plain"), world.message("three", "nobodys"), world.message("two", "plain"));
  await world.clock.until("all to have ended", () => world.broker.open.length === 0, 5_000);
  const depth = { active: 7, scheduled: 2, deadLettered: 1 };
  const backlog = new Backlog({ sources: ["queue"], read: () => Promise.resolve(depth), monotonicMs: () => world.clock.monotonicMs() });
  backlog.depths();
  await nextTurn();
  const scrape = (): Promise<string> => metrics.text(samplesOf(worker.view(), worker.policies.view(), { threads: 1, nowMs: world.clock.wallMs(), backlog }));
  return { text: await scrape(), scrape };
}

test("messages are counted by skill and outcome, executions by how long they took, calls by how they went", async () => {
  const { text } = await worked();
  assert.equal(valueOf(text, "holdfast_messages_total", { skill: "calls", outcome: "completed" }), 1);
  assert.equal(valueOf(text, "holdfast_messages_total", { skill: "plain", outcome: "duplicate" }), 1);
  assert.equal(valueOf(text, "holdfast_messages_total", { skill: "", outcome: "dead-lettered" }), 1);
  assert.equal(valueOf(text, "holdfast_dead_letters_total", { skill: "", reason: "UnknownEventType" }), 1);
  assert.equal(valueOf(text, "holdfast_refused_messages_total", { reason: "UnknownEventType" }), 1);
  assert.equal(valueOf(text, "holdfast_retries_total", { skill: "calls" }), 1);
  assert.equal(valueOf(text, "holdfast_completed_after_retry_total", { skill: "calls" }), 1);
  assert.equal(valueOf(text, "holdfast_processing_seconds_count", { skill: "calls" }), 2);
  assert.equal(valueOf(text, "holdfast_critical_time_seconds_count", { skill: "plain" }), 1);
  assert.equal(valueOf(text, "holdfast_dependency_calls_total", { dependency: "api", result: "failed" }), 2);
  assert.equal(valueOf(text, "holdfast_store_entries_total", { call: "finish" }), 2);
  assert.ok((valueOf(text, "holdfast_store_call_seconds_count", { call: "claim" }) ?? 0) > 0);
  assert.equal(valueOf(text, "holdfast_bulkhead_slots", { dependency: "api" }), 4);
  assert.equal(valueOf(text, "holdfast_circuit_state", { dependency: "api", state: "closed" }), 1);
  assert.equal(valueOf(text, "holdfast_circuit_state", { dependency: "api", state: "open" }), 0);
  assert.equal(valueOf(text, "holdfast_ready", {}), 1);
  assert.equal(valueOf(text, "holdfast_queue_messages", { source: "queue", state: "active" }), 7);
});

test("each metric of the catalogue is exposed, and scraping twice counts nothing twice", async () => {
  const { text, scrape } = await worked();
  for (const name of metricNames) assert.ok(text.includes(`# TYPE ${name} `), `expected ${name}`);
  const again = await scrape();
  assert.equal(valueOf(again, "holdfast_messages_total", { skill: "calls", outcome: "completed" }), 1);
  assert.equal(valuesOf(again, "holdfast_circuit_state").length, valuesOf(text, "holdfast_circuit_state").length);
});

test("what can happen is there as 0 before it has: else a reader from time to time would not see the first of it", async () => {
  const metrics = new Metrics();
  metrics.expect({ skills: ["a"], dependencies: ["api"] });
  const before = await metrics.text([]);
  const states = ["closed", "open", "half-open", "isolated"].map((state) => valueOf(before, "holdfast_circuit_changes_total", { dependency: "api", state }));
  assert.deepEqual(states, [0, 0, 0, 0]);
  assert.equal(valueOf(before, "holdfast_messages_total", { skill: "a", outcome: "dead-lettered" }), 0);
  assert.equal(valueOf(before, "holdfast_dependency_calls_total", { dependency: "api", result: "failed" }), 0);
  for (const name of metricNames) {
    if (
      !/^holdfast_(run_failures|refused_messages|retries|postponements|revived|runs_resumed|compensations|fallbacks|locks_lost|runtime_events)_total$/.test(
        name,
      )
    )
      continue;
    assert.ok(valuesOf(before, name).length > 0, `expected values of ${name}`);
  }
  assert.ok(!/ [1-9]/.test(before.replace(/^(#|holdfast_(process|event_loop)).*$/gm, "")), "expected nothing to be counted");
  // No more series than there were: what happens is one of what was expected.
  metrics.emit({ type: "lock.lost", eventId: "e", where: "renew" });
  metrics.emit({ type: "run.retrying", eventId: "e", skill: "a", attempt: 1, delayMs: 1, code: "c", description: "" });
  metrics.settled("completed", "a", 5, run);
  const after = await metrics.text([]);
  assert.equal(valueOf(after, "holdfast_locks_lost_total", { where: "renew" }), 1);
  assert.equal(after.split("\n").length, before.split("\n").length);
});

test("durations lie in buckets from 1 ms to 10 min, the last of which is all of them", async () => {
  const metrics = new Metrics();
  for (const latencyMs of [0.5, 1, 1.5, 700, 599_000, 601_000]) metrics.settled("completed", "a", latencyMs, run);
  const text = await metrics.text([]);
  const upTo = (le: string): number | undefined => valueOf(text, "holdfast_critical_time_seconds_bucket", { skill: "a", le });
  assert.deepEqual(["0.001", "0.0025", "1", "600", "+Inf"].map(upTo), [2, 3, 4, 5, 6]);
  assert.equal(valueOf(text, "holdfast_critical_time_seconds_count", { skill: "a" }), 6);
  assert.equal(valueOf(text, "holdfast_critical_time_seconds_sum", { skill: "a" }), 1_200.703);
  assert.equal(valuesOf(text, "holdfast_critical_time_seconds_bucket").length, durationBucketsSeconds.length + 1);
});

test("reasons that a skill makes up are cut off: what is beyond is counted as other", async () => {
  const metrics = new Metrics();
  for (let number = 0; number < valuesMax + 50; number += 1) metrics.emit(deadLettered(`Reason${number}`));
  const text = await metrics.text([]);
  assert.equal(valuesOf(text, "holdfast_dead_letters_total").length, valuesMax + 1);
  assert.equal(valueOf(text, "holdfast_dead_letters_total", { skill: "a", reason: otherValue }), 50);
});

test("no event's id is anywhere in the metrics", async () => {
  const metrics = new Metrics();
  const eventId = "order-4711-placed";
  metrics.settled("completed", "a", 5, { ...run, eventId });
  metrics.emit({ ...deadLettered("Refused"), eventId } as RuntimeEvent);
  metrics.emit({ type: "run.retrying", eventId, skill: "a", attempt: 1, delayMs: 1, code: eventId, description: eventId });
  assert.ok(!(await metrics.text([])).includes(eventId));
});

const promtool = spawnSync("promtool", ["--version"]);
if (promtool.status === 0) {
  test("promtool finds nothing to criticise", async () => {
    const { text } = await worked();
    const checked = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
    assert.equal(checked.status, 0, checked.stderr);
  });
}

test("the broker is asked for its backlog every 15 s at most, and what it has not said for a minute is not told any more", async () => {
  let nowMs = 0;
  let asked = 0;
  let answers = true;
  const read = (): Promise<Depth> => {
    asked += 1;
    return answers ? Promise.resolve({ active: asked, scheduled: 0, deadLettered: 0 }) : Promise.reject(new Error("no right"));
  };
  const backlog = new Backlog({ sources: ["queue"], read, monotonicMs: () => nowMs });
  const look = async (atMs: number): Promise<unknown> => {
    nowMs = atMs;
    backlog.depths();
    await nextTurn();
    return backlog.depths().map(([source, { active }]) => [source, active, asked]);
  };
  assert.deepEqual(await look(0), [["queue", 1, 1]]);
  assert.deepEqual(await look(14_000), [["queue", 1, 1]]);
  assert.deepEqual(await look(15_000), [["queue", 2, 2]]);
  answers = false;
  await look(30_000);
  assert.deepEqual(backlog.depths(), []);
});

test("tokens of models are counted by direction, with what they cost; of what tells none there is no series", async () => {
  const metrics = new Metrics();
  const spent = { inputTokens: 12, outputTokens: 34, cost: 0.25 };
  metrics.executed("a", 1, [
    { dependency: "model", result: "succeeded", spent },
    { dependency: "api", result: "succeeded" },
  ]);
  metrics.executed("a", 1, [{ dependency: "model", result: "failed", spent }]);
  const text = await metrics.text([]);
  assert.deepEqual(
    ["input", "output"].map((kind) => valueOf(text, "holdfast_model_tokens_total", { dependency: "model", kind })),
    [24, 68],
  );
  assert.equal(valueOf(text, "holdfast_model_cost_total", { dependency: "model" }), 0.5);
  assert.equal(valueOf(text, "holdfast_model_tokens_total", { dependency: "api", kind: "input" }), undefined);
});
