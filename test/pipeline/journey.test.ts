import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { outputEntity, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

const emitted: OutgoingMessage = { messageId: "a:0", body: new Uint8Array(1), headers: { eventType: "done" } };

describe("the journey", () => {
  test("takes its steps in this order when a run succeeds", async () => {
    const world = new World();
    const { executor, calls } = await world.start();
    executor.script = async (run) => {
      await run.step("charge", { kind: "atMostOnce" });
      await run.step("mail");
      return { kind: "completed", outbox: [emitted] };
    };
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(calls, [
      "claim 1",
      "post 1",
      "checkpoint charge intent",
      "checkpoint charge completed",
      "checkpoint mail completed",
      "finish 1",
      `send to ${outputEntity}`,
      "clear outbox 1",
      "complete",
    ]);
  });

  test("takes its steps in this order when a run is retried in place and then through the queue", async () => {
    const world = new World();
    const { executor, calls } = await world.start();
    executor.script = () => failedAnswer();
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(calls, ["claim 1", "post 1", "post 1", "fail as waiting", "schedule on work", "complete"]);
  });

  test("takes its steps in this order when a run is given up", async () => {
    const world = new World();
    const { executor, calls } = await world.start();
    executor.script = () => failedAnswer("EWRONG", {}, false);
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(calls, ["claim 1", "post 1", "fail as dead", "dead-letter"]);
  });

  test("claims, posts and finishes a batch in one call each", async () => {
    const world = new World();
    const { calls } = await world.start();
    world.send("a", "b", "c", "d");
    await world.clock.advance(1_000);
    assert.deepEqual(calls, ["claim 4", "post 4", "finish 4", "complete", "complete", "complete", "complete"]);
  });

  test("gives a thread what it needs to execute the run", async () => {
    const world = new World();
    const { executor } = await world.start();
    world.send(world.message("a", "task", { amount: 3 }));
    await world.clock.advance(1_000);
    const [order] = executor.posted;
    assert.ok(order !== undefined);
    const { body, leaseMs, ...rest } = order;
    assert.equal(Buffer.from(body).toString(), '{"amount":3}');
    assert.ok(leaseMs > 29_000 && leaseMs <= 30_000, `${leaseMs}`);
    assert.deepEqual(rest, {
      runId: 1,
      skill: "task",
      route: { eventId: "a", eventType: "task", version: "1.0", form: "canonical", codec: "json" },
      contentEncoding: undefined,
      headers: undefined,
      enqueuedAtMs: world.broker.stored[0]?.enqueuedAtMs,
      epoch: 1,
      attempt: 1,
      generation: 0,
      source: 0,
      timeoutMs: 20_000,
      steps: [],
      apart: false,
      pipelineChanged: false,
      inDoubt: false,
      rejectedBy: [],
      allowances: undefined,
      sessionId: undefined,
      traceparent: undefined,
    });
  });

  test("publishes what a run emitted, before it completes the message", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = () => ({ kind: "completed", outbox: [emitted] });
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(world.broker.published, [{ entity: outputEntity, message: { ...emitted, messageId: await world.idPublished(emitted.messageId) } }]);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
    assert.equal((await world.record("a")).outbox.length, 0);
  });

  test("lets one run's failure be its own", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    executor.script = (run) => (run.eventId === "bad" ? failedAnswer("EWRONG", {}, false) : completedAnswer);
    world.send("a", "bad", "c");
    await world.clock.advance(1_000);
    assert.deepEqual(
      ["a", "bad", "c"].map((event) => world.statesOf(event)),
      [["completed"], ["dead-lettered: EWRONG"], ["completed"]],
    );
    assert.deepEqual(telemetry.outcomes.toSorted(), ["completed", "completed", "dead-lettered"]);
  });
});
