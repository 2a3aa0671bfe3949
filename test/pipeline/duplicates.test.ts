import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { enqueuedFirstHeader, postponedHeader } from "#runtime/core/copy.ts";
import { followersMax } from "#runtime/pipeline/process-batch.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { eventually } from "../support/eventually.ts";
import { dependencyPolicy, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

const slowly = async (run: { takes(ms: number): Promise<void> }): Promise<typeof completedAnswer> => {
  await run.takes(1_000);
  return completedAnswer;
};

/** Comes again sooner than the broker answers. */
const hastily = skillPolicy("task", { retry: { ...defaultRetryPolicy, baseDelayMs: 1, delayFactor: 1, delayMaxMs: 1 } });

/** A whole envelope as the body, beside the headers that route it. */
function enveloped(world: World, eventId: string, changes: Readonly<Record<string, unknown>>, contentEncoding?: "gzip"): ReturnType<World["message"]> {
  const body = { eventId, eventType: "task", version: "1.0", traceId: "t", timestamp: "2024-05-01T12:00:00Z", payload: { amount: 1 }, ...changes };
  const message = world.message(eventId, "task", body, contentEncoding === undefined ? {} : { contentEncoding });
  return contentEncoding === undefined ? message : { ...message, body: gzipSync(message.body) };
}

/** Compressed bodies are decompressed by the real system, in its own time. */
async function settleAll(world: World): Promise<void> {
  await eventually("every message to be settled", async () => {
    await world.clock.advance(10);
    return world.broker.stored.every((one) => one.state === "completed" || one.state === "dead-lettered");
  });
}

describe("a second message of an event", () => {
  for (const contentEncoding of [undefined, "gzip"] as const) {
    test(`is a duplicate when it has a fresh timestamp and trace (${contentEncoding ?? "plain"})`, async () => {
      const world = new World();
      const { executor } = await world.start();
      world.send(enveloped(world, "a", {}, contentEncoding));
      await settleAll(world);
      world.send(enveloped(world, "a", { timestamp: "2024-05-01T13:00:00Z", traceId: "u" }, contentEncoding));
      await settleAll(world);
      assert.deepEqual(world.statesOf("a"), ["completed", "completed"]);
      assert.equal(executor.posted.length, 1);
    });

    test(`is reuse when it has another payload (${contentEncoding ?? "plain"})`, async () => {
      const world = new World();
      const { executor } = await world.start();
      world.send(enveloped(world, "a", {}, contentEncoding));
      await settleAll(world);
      world.send(enveloped(world, "a", { payload: { amount: 2 } }, contentEncoding));
      await settleAll(world);
      assert.deepEqual(world.statesOf("a"), ["completed", "dead-lettered: EventIdReuse"]);
      assert.equal(executor.posted.length, 1);
    });
  }

  test("does not run when both arrive together", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    world.send("a", "a", "a");
    await world.clock.advance(1_000);
    assert.equal(executor.posted.length, 1);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed", "completed"]);
    assert.deepEqual(telemetry.outcomes, ["completed", "duplicate", "duplicate"]);
  });

  test("does not run after the first is done", async () => {
    const world = new World();
    const { executor, calls } = await world.start();
    world.send("a");
    await world.clock.advance(1_000);
    calls.length = 0;
    world.send("a");
    await world.clock.advance(1_000);
    assert.equal(executor.posted.length, 1);
    assert.deepEqual(calls, ["claim 1", "complete"]);
  });

  test("waits here for the first, and asks the store nothing", async () => {
    const world = new World();
    const { executor, calls } = await world.start();
    executor.script = slowly;
    world.send("a");
    await world.clock.advance(500);
    world.send("a");
    await world.clock.advance(200);
    assert.deepEqual(calls, ["claim 1", "post 1"]);
    await world.clock.advance(1_000);
    assert.deepEqual(calls, ["claim 1", "post 1", "finish 1", "complete", "complete"]);
  });

  test("comes again after the first when that is to be retried, and does not run", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = (run) => (run.order.attempt <= 2 ? failedAnswer() : completedAnswer);
    world.send("a", "a");
    await world.clock.advance(100_000);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed", "completed", "completed"]);
    assert.equal(executor.posted.length, 3);
  });

  test("runs as soon as the first is completed when it is the copy that carries the first one on, and does not go round again", async () => {
    const world = new World();
    const { executor, connection } = await world.start();
    executor.script = (run) => (run.order.attempt === 1 ? failedAnswer("EBUSY", { retryAfterMs: 1 }) : completedAnswer);
    const send = connection.send.bind(connection);
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    connection.send = async (entity, messages) => {
      // The broker delivers the copy before it answers that it has taken it.
      await send(
        entity,
        messages.map((message) => Object.assign(message, { scheduledAtMs: 0 })),
      );
      await answered;
    };
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["locked", "locked"]);
    connection.send = send;
    answer();
    await world.clock.advance(100_000);
    assert.equal((await world.record("a")).state, "done");
    assert.equal(executor.posted.length, 2);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed"]);
  });

  test("goes through the queue once for each retry, however slowly the broker answers", async () => {
    const world = new World({ broker: { latencyMs: 200 }, skills: [hastily] });
    const { executor, telemetry } = await world.start();
    executor.script = (run) => (run.order.attempt <= 2 ? failedAnswer("EBUSY", { retryAfterMs: 1 }) : completedAnswer);
    world.send("a");
    await world.clock.until("it to be done", () => telemetry.outcomes.includes("completed"));
    assert.deepEqual(telemetry.outcomes, ["retried", "retried", "completed"]);
    assert.equal(world.statesOf("a").length, 3);
  });

  test("comes after the copy when it is a further message of the event", async () => {
    const world = new World({ broker: { latencyMs: 200 }, skills: [hastily] });
    const { executor, telemetry } = await world.start();
    executor.script = (run) => (run.order.attempt === 1 ? failedAnswer("EBUSY", { retryAfterMs: 1 }) : completedAnswer);
    world.send("a", "a");
    await world.clock.until("both to be done", () => world.broker.open.length === 0);
    await world.clock.advance(1_000);
    assert.equal(executor.posted.length, 2);
    assert.deepEqual(telemetry.outcomes.toSorted(), ["completed", "duplicate", "postponed", "retried"]);
  });

  test("comes right after the copy, however often it was postponed itself", async () => {
    const world = new World({ broker: { latencyMs: 200 }, skills: [hastily] });
    const { executor } = await world.start();
    executor.script = (run) => (run.order.attempt === 1 ? failedAnswer("EBUSY", { retryAfterMs: 1 }) : completedAnswer);
    world.send("a", world.message("a", "task", {}, { [postponedHeader]: 6, [enqueuedFirstHeader]: 1 }));
    await world.clock.advance(4_000);
    assert.deepEqual([executor.posted.length, world.broker.open.length], [2, 0]);
  });

  test("comes again later when too many wait already", async () => {
    const world = new World();
    const { executor, telemetry, worker } = await world.start();
    executor.script = slowly;
    world.send(...Array<string>(followersMax + 6).fill("a"));
    await world.clock.advance(500);
    assert.deepEqual([worker.view().inFlight, telemetry.outcomes], [followersMax + 1, Array(5).fill("postponed")]);
    await world.clock.advance(10_000);
    assert.deepEqual([new Set(world.statesOf("a")), executor.posted.length], [new Set(["completed"]), 1]);
  });

  test("takes no room from other events while it waits", async () => {
    const world = new World({ skills: [skillPolicy("task", { uses: [0] })], dependencies: [dependencyPolicy("api", { concurrentMax: 3, queueMax: 0 })] });
    const { executor, telemetry } = await world.start();
    executor.script = async (run) => {
      await run.takes(run.eventId === "slow" ? 10_000 : 10);
      return completedAnswer;
    };
    world.send("slow", "slow", "slow", "slow", "slow");
    for (let event = 0; event < 50; event += 1) world.send(`e${event}`);
    await world.clock.advance(2_000);
    assert.equal(telemetry.outcomes.filter((outcome) => outcome === "completed").length, 50);
  });

  test("is dead-lettered with the first, and does not run", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = () => failedAnswer("EWRONG", {}, false);
    world.send("a", "a", "a");
    await world.clock.advance(1_000);
    assert.equal(executor.posted.length, 1);
    assert.deepEqual(world.statesOf("a"), ["dead-lettered: EWRONG", "dead-lettered: EWRONG", "dead-lettered: EWRONG"]);
  });

  test("runs when the first was dropped", async () => {
    const world = new World();
    const { executor, worker } = await world.start();
    // What of the event counts as held, and as under way, while each of the two runs.
    const counted: (readonly [held: number, running: number])[] = [];
    executor.script = (run) => {
      counted.push(...worker.view().intake.map(({ held, running }) => [held, running] as const));
      return run.order.epoch === 1 ? { kind: "stale" } : completedAnswer;
    };
    world.send("a", "a");
    await world.clock.advance(1_000);
    assert.equal(executor.posted.length, 2);
    assert.deepEqual(counted, [
      [1, 1],
      [1, 1],
    ]);
    assert.deepEqual(world.statesOf("a"), ["locked", "completed"]);
    await world.clock.advance(60_000);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed"]);
    assert.equal(executor.posted.length, 2);
  });

  test("leaves when its own lock is lost, without disturbing the first", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    executor.script = async (run) => {
      await run.takes(19_000);
      return completedAnswer;
    };
    world.send("a", "a");
    await world.clock.advance(1_000);
    const second = world.broker.stored[1];
    assert.ok(second !== undefined);
    world.broker.loseLock(second);
    await world.clock.advance(30_000);
    assert.deepEqual(telemetry.outcomes, ["dropped", "completed", "duplicate"]);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed"]);
    assert.equal(executor.posted.length, 1);
  });

  test("of another payload does not get the event's own copy dead-lettered, although it came first", async () => {
    const world = new World();
    const { executor, store } = await world.start();
    executor.script = (run) => (run.order.attempt === 1 ? failedAnswer("EBUSY", { retryAfterMs: 1 }) : completedAnswer);
    const own = world.message("a", "task", { amount: 1 });
    world.send(own);
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["completed", "scheduled"]);
    const claim = store.hold("claim");
    world.send(world.message("a", "task", { amount: 2 }));
    await world.clock.advance(100_000);
    claim.release();
    await world.clock.advance(100_000);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed", "dead-lettered: EventIdReuse"]);
    assert.equal((await world.record("a")).state, "done");
  });

  test("is dead-lettered as EventIdReuse when its payload differs, whether the first is under way or done", async () => {
    const world = new World();
    const { executor } = await world.start();
    executor.script = slowly;
    world.send(world.message("a", "task", { amount: 1 }), world.message("a", "task", { amount: 2 }));
    await world.clock.advance(3_000);
    world.send(world.message("a", "task", { amount: 3 }));
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["completed", "dead-lettered: EventIdReuse", "dead-lettered: EventIdReuse"]);
    assert.equal(executor.posted.length, 1);
  });

  test("comes again after the lease of an owner elsewhere, as a copy, when that is long", async () => {
    const world = new World({ broker: { lockMs: 30_000 } });
    const first = await world.start({ inFlightMax: 1 });
    first.executor.script = async (run) => {
      await run.takes(10_000);
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(100);
    const second = await world.start();
    world.send("a");
    await world.clock.advance(5_000);
    assert.deepEqual(second.calls, ["claim 1", "schedule on work", "complete"]);
    assert.deepEqual(world.statesOf("a"), ["locked", "completed", "scheduled"]);
    await world.clock.advance(60_000);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed", "completed"]);
    assert.equal(first.executor.posted.length + second.executor.posted.length, 1);
    assert.deepEqual(
      world.broker.stored.map((one) => one.failedDeliveries),
      [0, 0, 0],
      "expected no delivery to be burnt",
    );
  });

  test("waits here for the lease of an owner elsewhere when that is short, and takes the run over", async () => {
    const world = new World({ broker: { lockMs: 2_000 } });
    const first = await world.start({ inFlightMax: 1 });
    first.executor.script = slowly;
    world.send("a");
    await world.clock.advance(500);
    first.kill();
    const second = await world.start();
    world.send("a");
    await world.clock.advance(100);
    assert.deepEqual(second.calls, ["claim 1"]);
    await world.clock.advance(5_000);
    assert.deepEqual([first.executor.posted.length, second.executor.posted.length], [1, 1]);
    assert.equal(second.executor.posted[0]?.epoch, 2);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed"]);
  });
});
