import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { enqueuedFirstHeader, originHeader, postponedHeader, retriesInPlaceHeader, waitsForHeader } from "#runtime/core/copy.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { dependencyPolicy, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

describe("a failing run", () => {
  test("is retried in place under the same claim, with the steps it has, as a run of its own", async () => {
    const world = new World();
    const { executor } = await world.start();
    const effects: string[] = [];
    executor.effect = (run, step) => effects.push(`${step} in ${run.order.attempt}`);
    executor.script = async (run) => {
      await run.step("one");
      await run.step("two", run.order.attempt === 1 ? { fails: failedAnswer() } : {});
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(effects, ["one in 1", "two in 1", "two in 2"]);
    assert.deepEqual(
      executor.posted.map(({ runId, epoch, attempt, steps }) => [runId, epoch, attempt, steps.map((step) => step.name)]),
      [
        [1, 1, 1, []],
        [2, 1, 2, ["one"]],
      ],
    );
    assert.deepEqual(world.statesOf("a"), ["completed"]);
  });

  test("is retried in place with each step once, as it was last recorded", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = async (run) => {
      await run.step("pay", { kind: "atMostOnce" });
      return run.order.attempt === 1 ? failedAnswer() : completedAnswer;
    };
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(
      executor.posted[1]?.steps.map((step) => [step.name, step.state]),
      [["pay", "completed"]],
    );
    assert.deepEqual(world.statesOf("a"), ["completed"]);
  });

  test("is told when its recorded steps are of another shape of the skill, and not when there are none", async () => {
    const world = new World();
    await world.records.start();
    const claim = { token: "t", payloadHash: "vyGp6PvFo4RvsFtPoIWeCReyIC8=", pipelineHash: "an older shape" };
    for (const eventId of ["with-steps", "without"]) await world.records.claim([{ ...claim, eventId }], 1_000);
    await world.records.checkpoint([
      { eventId: "with-steps", epoch: 1, step: { name: "one", kind: "keyed", state: "completed", result: new Uint8Array(0), checksum: 0, codec: 1, atMs: 0 } },
    ]);
    await world.clock.advance(2_000);
    const { executor } = await world.start();
    world.send("with-steps", "without");
    await world.clock.advance(1_000);
    assert.deepEqual(
      executor.posted.map((order) => [order.route.eventId, order.pipelineChanged]),
      [
        ["with-steps", true],
        ["without", false],
      ],
    );
  });

  test("comes again through the queue as a scheduled copy of the same event, 30 to 60 s later", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = () => failedAnswer();
    world.send("a");
    await world.clock.advance(1_000);
    const [original, copy] = world.broker.stored;
    assert.ok(original !== undefined && copy !== undefined);
    assert.deepEqual(world.statesOf("a"), ["completed", "scheduled"]);
    const delayMs = copy.enqueuedAtMs - original.enqueuedAtMs;
    assert.ok(delayMs >= 30_000 && delayMs <= 61_000, `${delayMs}`);
    assert.deepEqual(copy.message.headers, {
      ...original.message.headers,
      [waitsForHeader]: "EFAILED",
      [originHeader]: original.message.messageId,
      [enqueuedFirstHeader]: original.enqueuedAtMs,
      [retriesInPlaceHeader]: 1,
    });
    assert.deepEqual(copy.message.body, original.message.body);
    assert.notEqual(copy.message.messageId, original.message.messageId);
    assert.equal((await world.record("a")).state, "waiting");
  });

  test("keeps its steps over the retry through the queue", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    const effects: string[] = [];
    executor.effect = (run, step) => effects.push(`${step} in ${run.order.attempt}`);
    executor.script = async (run) => {
      await run.step("one");
      await run.step("two", run.order.attempt < 3 ? { fails: failedAnswer() } : {});
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(70_000);
    assert.deepEqual(effects, ["one in 1", "two in 1", "two in 2", "two in 3"]);
    assert.deepEqual(
      telemetry.events.filter((event) => event.type === "run.resumed"),
      [{ type: "run.resumed", eventId: "a", skill: "task", attempt: 3, stepsDone: 1, epoch: 2 }],
    );
  });

  test("is executed attemptsMax times, then dead-lettered, the record first", async () => {
    const world = new World();
    const { executor, calls } = await world.start();
    executor.script = () => failedAnswer();
    world.send("a");
    await world.clock.advance(1_000_000);
    assert.deepEqual(
      executor.posted.map((order) => order.attempt),
      [1, 2, 3, 4],
    );
    assert.deepEqual(calls.slice(-2), ["fail as dead", "dead-letter"]);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed", "dead-lettered: RetriesExhausted"]);
    assert.equal((await world.record("a")).state, "dead");
  });

  test("has one number for each execution: its skill sees the one that the log tells", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    executor.script = () => failedAnswer();
    world.send("a");
    await world.clock.advance(1_000_000);
    const told = telemetry.events.flatMap((event) =>
      event.type === "run.retrying" || event.type === "run.dead-lettered" ? [[event.type, event.attempt]] : [],
    );
    assert.deepEqual(told, [
      ["run.retrying", 1],
      ["run.retrying", 2],
      ["run.retrying", 3],
      ["run.dead-lettered", 4],
    ]);
    assert.deepEqual(
      executor.posted.map((order) => order.attempt),
      [1, 2, 3, 4],
    );
  });

  test("does not count executions that a forged header claims", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = () => failedAnswer();
    world.send(world.message("a", "task", {}, { [retriesInPlaceHeader]: 19, [postponedHeader]: 1e12 }));
    await world.clock.advance(1_000_000);
    assert.equal(executor.posted.length, 4);
  });

  test("is parked when its outcome is unknown", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = () => ({ kind: "outcome-unknown", step: "charge", why: "no reply" });
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["dead-lettered: OutcomeUnknown"]);
    const { state, reason } = await world.record("a");
    assert.deepEqual([state, reason], ["parked", "OutcomeUnknown"]);
  });

  test("whose thread died is tried again, and others are untouched", async () => {
    const world = new World({ skills: [skillPolicy("task", { retry: { ...defaultRetryPolicy, immediateDelayMs: 10 } })] });
    const { executor, telemetry } = await world.start();
    executor.script = async (run) => {
      if (run.eventId === "killer" && executor.posted.length < 3) executor.answer(run, { kind: "thread-lost", why: "out of memory", part: "suspect" });
      await run.takes(5);
      return completedAnswer;
    };
    world.send("a", "killer");
    await world.clock.advance(1_000);
    assert.deepEqual(
      executor.posted.map((order) => order.route.eventId),
      ["a", "killer", "killer"],
    );
    assert.deepEqual(telemetry.outcomes, ["completed", "completed"]);
  });

  test("that no thread began comes again without an attempt counted, and is never given up for it", async () => {
    const world = new World({ skills: [skillPolicy("task", { retry: { ...defaultRetryPolicy, attemptsMax: 1 } })] });
    const { executor, telemetry } = await world.start();
    executor.script = () => (executor.posted.length <= 5 ? { kind: "not-started", why: "no thread" } : completedAnswer);
    world.send("a");
    await world.clock.advance(200_000);
    assert.deepEqual(
      executor.posted.map(({ attempt }) => attempt),
      [1, 1, 1, 1, 1, 1],
    );
    assert.deepEqual(telemetry.outcomes, ["postponed", "postponed", "postponed", "postponed", "postponed", "completed"]);
  });

  test("that a circuit refuses stays away for no longer than it has been here, however often it was postponed for want of room", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = () => (executor.posted.length === 1 ? failedAnswer("CIRCUIT_OPEN") : completedAnswer);
    world.send(world.message("a", "task", {}, { [postponedHeader]: 6 }));
    await world.clock.advance(4_000);
    assert.equal(world.broker.open.length, 0);
  });

  test("that answers twice is heard once", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    executor.script = async (run) => {
      await run.takes(30_000);
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(100_000);
    // The time-out came first, in both executions here; the third one goes through the queue.
    assert.equal(executor.posted.length, 3);
    assert.deepEqual(telemetry.outcomes, ["retried"]);
  });

  test("counts as tried when it is postponed while it waits for its retry in place", async () => {
    const world = new World({
      skills: [skillPolicy("task", { uses: [0] })],
      dependencies: [dependencyPolicy("api", {}, { failureThreshold: 1, resetTimeoutMs: 5_000 })],
    });
    const { executor, telemetry } = await world.start();
    executor.script = (run) => {
      run.called("api", "failed");
      return failedAnswer();
    };
    world.send("a");
    await world.clock.advance(3_000);
    assert.deepEqual(telemetry.outcomes, ["postponed"]);
    assert.deepEqual([(await world.record("a")).failures, executor.posted.length], [1, 1]);
    await world.clock.advance(2_000_000);
    assert.equal(executor.posted.length, 4);
    assert.deepEqual(world.statesOf("a").slice(-1), ["dead-lettered: RetriesExhausted"]);
  });

  test("waits through the queue for as long as a dependency asks", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = (run) => (run.order.attempt === 1 ? failedAnswer("HTTP_429", { retryAfterMs: 200_000 }) : completedAnswer);
    world.send("a");
    await world.clock.advance(199_000);
    assert.equal(executor.posted.length, 1);
    await world.clock.advance(3_000);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed"]);
  });

  test("is not retried in place while a step of it is on its way to the store", async () => {
    const world = new World({ skills: [skillPolicy("task", { timeoutMs: 100 })] });
    const { executor, store, calls } = await world.start();
    const effects: string[] = [];
    executor.effect = (_, step) => effects.push(step);
    executor.script = async (run) => {
      await run.step("one");
      return completedAnswer;
    };
    const checkpoint = store.hold("checkpoint");
    world.send("a");
    await world.clock.advance(1_000);
    checkpoint.release();
    await world.clock.advance(100_000);
    assert.deepEqual(calls, [
      "claim 1",
      "post 1",
      "checkpoint one completed",
      "fail as waiting",
      "schedule on work",
      "complete",
      "claim 1",
      "post 1",
      "finish 1",
      "complete",
    ]);
    assert.deepEqual(effects, ["one"]);
  });

  test("cannot write a step once its execution was answered", async () => {
    const world = new World({ skills: [skillPolicy("task", { timeoutMs: 100, retry: { ...defaultRetryPolicy, immediateDelayMs: 10 } })] });
    const { executor, calls } = await world.start();
    executor.script = async (run) => {
      await run.step("one", { takesMs: run.order.attempt === 1 ? 150 : 0 });
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(1_000);
    // The late step of the first execution is refused while the second one is under way.
    assert.deepEqual(calls, ["claim 1", "post 1", "post 1", "checkpoint one completed", "finish 1", "complete"]);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
  });
});

test("a run that is given up leaves what its calls were answered, up to 16 KiB of all dependencies, and one that is retried nothing", async () => {
  const world = new World();
  const { executor } = await world.start();
  executor.script = (run) => {
    for (const [dependency, bytes] of Object.entries({ bank: 8_000, stock: 8_000, mailer: 8_000, ledger: 100 }))
      run.calls.push({ dependency, result: "succeeded", answers: new Uint8Array(bytes) });
    return failedAnswer("EFAILED", {}, run.order.route.eventId === "retried");
  };
  world.send("given-up", "retried");
  await world.clock.advance(1_000);
  const kept = async (eventId: string): Promise<unknown> =>
    (await world.record(eventId)).setbacks.map(({ kind, answers = {} }) => [kind, Object.keys(answers)]);
  assert.deepEqual(await kept("given-up"), [["given-up", ["bank", "stock", "ledger"]]]);
  assert.deepEqual(await kept("retried"), [["failed", []]]);
});
