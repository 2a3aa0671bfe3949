import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { dependencyPolicy, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, type Script } from "../support/scripted-executor.ts";

const patient = skillPolicy("task", { timeoutMs: 600_000 });
const takes =
  (durationMs: number): Script =>
  async (run) => {
    await run.takes(durationMs);
    return completedAnswer;
  };

describe("locks and leases", () => {
  test("are kept for as long as a run takes, and burn no delivery", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 5_000 } });
    const { executor } = await world.start();
    executor.script = takes(60_000);
    world.send("a");
    await world.clock.advance(61_000);
    assert.deepEqual([world.statesOf("a"), executor.posted.length], [["completed"], 1]);
    assert.equal(world.broker.stored[0]?.failedDeliveries, 0);
  });

  test("are kept while a run waits in a lane, where it waits for half a lock at most", async () => {
    const world = new World({
      skills: [skillPolicy("task", { uses: [0] })],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1 })],
      broker: { lockMs: 4_000 },
    });
    const { executor, telemetry } = await world.start();
    executor.script = takes(15_000);
    world.send("first", "second");
    await world.clock.advance(31_000);
    assert.deepEqual(
      executor.posted.map((order) => [order.route.eventId, order.epoch]),
      [
        ["first", 1],
        ["second", 2],
      ],
    );
    assert.deepEqual(telemetry.outcomes, ["released", "completed", "completed"]);
    assert.ok((executor.posted[1]?.leaseMs ?? 0) > 1_500, "expected a lease that has time left");
    assert.deepEqual(
      world.broker.stored.map((one) => [one.state, one.failedDeliveries]),
      [
        ["completed", 0],
        ["completed", 0],
      ],
    );
  });

  test("keep another worker from the run for as long as it takes", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 5_000 } });
    const first = await world.start({ inFlightMax: 1 });
    first.executor.script = takes(40_000);
    world.send("a");
    await world.clock.advance(100);
    const second = await world.start();
    world.send("a");
    await world.clock.advance(120_000);
    assert.deepEqual([first.executor.posted.length, second.executor.posted.length], [1, 0]);
    assert.deepEqual(new Set(world.statesOf("a")), new Set(["completed"]));
  });

  test("lengthen a run's time in its thread as they are renewed", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 5_000 } });
    const { executor } = await world.start();
    executor.script = async (run) => {
      for (let step = 0; step < 10; step += 1) await run.step(`step ${step}`, { takesMs: 2_000 });
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(22_000);
    assert.deepEqual([world.statesOf("a"), executor.posted.length], [["completed"], 1]);
  });

  test("stop a run whose lease someone else has taken", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 5_000 } });
    const { executor, calls, telemetry } = await world.start();
    executor.script = async (run) => {
      await run.takes(8_000);
      run.check();
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(100);
    await world.records.fail([{ eventId: "a", epoch: 1, state: "waiting", reason: "", failures: 1, losses: 0 }]);
    await world.records.claim([{ eventId: "a", token: "someone else", payloadHash: "vyGp6PvFo4RvsFtPoIWeCReyIC8=", pipelineHash: "task-1" }], 1_000);
    await world.clock.advance(9_000);
    assert.ok(calls.includes("interrupt 1 as stale"), calls.join());
    assert.deepEqual(telemetry.outcomes, ["dropped"]);
  });

  test("renew only what is due, together", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 10_000 } });
    const { executor, connection, calls } = await world.start();
    const renewals: number[] = [];
    const renew = connection.renew.bind(connection);
    connection.renew = (deliveries) => {
      renewals.push(deliveries.length);
      return renew(deliveries);
    };
    executor.script = takes(16_000);
    world.send("a", "b");
    await world.clock.advance(3_000);
    world.send("c");
    await world.clock.advance(30_000);
    assert.deepEqual(renewals, [2, 1, 2, 1, 2, 1]);
    assert.deepEqual(
      calls.filter((call) => call.startsWith("extend")),
      ["extend 2", "extend 1", "extend 2", "extend 1", "extend 2", "extend 1"],
    );
  });

  test("keep short locks also when long ones came first", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 300_000 } });
    const { executor } = await world.start();
    executor.script = takes(30_000);
    world.send("a");
    await world.clock.advance(100);
    Object.assign(world.broker, { lockMs: 3_000 });
    world.send("b");
    await world.clock.advance(40_000);
    assert.deepEqual(
      world.broker.stored.map((one) => [one.state, one.failedDeliveries]),
      [
        ["completed", 0],
        ["completed", 0],
      ],
    );
  });

  test("survive a broker that does not answer for a while", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 10_000 } });
    const { executor, brokerFaults } = await world.start();
    executor.script = takes(30_000);
    brokerFaults.set("renew-unknown", 0.8);
    world.send("a");
    await world.clock.advance(31_000);
    assert.deepEqual([world.statesOf("a"), executor.posted.length], [["completed"], 1]);
  });
});

describe("a lost lock", () => {
  test("stops the run at its next step, which goes on from there when the message comes again", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 5_000 } });
    const { executor, telemetry } = await world.start();
    const effects: string[] = [];
    executor.effect = (run, step) => effects.push(`${step} under ${run.order.epoch}`);
    executor.script = async (run) => {
      await run.step("one", { takesMs: 4_000 });
      await run.step("two");
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(1_000);
    const [stored] = world.broker.stored;
    assert.ok(stored !== undefined);
    world.broker.loseLock(stored);
    await world.clock.advance(20_000);
    assert.deepEqual(effects, ["one under 1", "two under 2"]);
    assert.deepEqual(
      telemetry.events.filter((event) => event.type === "lock.lost"),
      [{ type: "lock.lost", eventId: "a", where: "renew" }],
    );
    assert.deepEqual(world.statesOf("a"), ["completed"]);
  });

  test("of a run that finishes all the same is success: the redelivery is absorbed", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 5_000 } });
    const { executor, telemetry } = await world.start();
    executor.script = takes(4_000);
    world.send("a");
    await world.clock.advance(1_000);
    const [stored] = world.broker.stored;
    assert.ok(stored !== undefined);
    world.broker.loseLock(stored);
    await world.clock.advance(20_000);
    assert.deepEqual([executor.posted.length, telemetry.outcomes, world.statesOf("a")], [1, ["completed", "duplicate"], ["completed"]]);
  });

  test("of a run that waits in a lane keeps it from starting", async () => {
    const world = new World({
      skills: [skillPolicy("task", { uses: [0] })],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1 })],
      broker: { lockMs: 4_000 },
    });
    const { executor, telemetry } = await world.start();
    executor.script = takes(2_600);
    world.send("first", "second");
    await world.clock.advance(1_000);
    const stored = world.broker.stored[1];
    assert.ok(stored !== undefined);
    world.broker.loseLock(stored);
    await world.clock.advance(60_000);
    // The second claim was postponed: a lane whose runs waited too long holds fewer.
    assert.deepEqual(
      executor.posted.map((order) => [order.route.eventId, order.epoch]),
      [
        ["first", 1],
        ["second", 3],
      ],
    );
    assert.deepEqual(telemetry.outcomes.toSorted(), ["completed", "completed", "postponed", "released"]);
    assert.deepEqual(
      world.broker.stored.map((one) => [one.state, one.failedDeliveries]),
      [
        ["completed", 0],
        ["completed", 1],
        ["completed", 0],
      ],
    );
  });

  test("is noticed even when the broker never answers the renewal", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 5_000 } });
    const { executor, connection, telemetry } = await world.start();
    connection.renew = () => new Promise(() => undefined);
    executor.script = async (run) => {
      await run.step("one", { takesMs: 8_000 });
      await run.step("two");
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(9_000);
    assert.deepEqual([telemetry.types().includes("lock.lost"), telemetry.outcomes[0]], [true, "dropped"]);
  });
});

describe("a worker that was stopped and goes on", () => {
  test("does not begin an effect past its lease, and cannot write over the new owner's steps", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 5_000 } });
    const effects: string[] = [];
    const script: Script = async (run) => {
      await run.step("one", { takesMs: 1_000 });
      await run.step("two", { takesMs: 1_000 });
      return completedAnswer;
    };
    const prepare = (name: string) => (process: Awaited<ReturnType<World["start"]>>) => {
      process.executor.script = script;
      process.executor.effect = (run, step) => effects.push(`${step} by ${name} under ${run.order.epoch}`);
    };
    // Room for one message: the frozen worker is sent nothing else.
    const first = await world.start({ inFlightMax: 1 }, prepare("first"));
    world.send("a");
    await world.clock.advance(500);
    first.clock.freeze(20_000);
    await world.start({}, prepare("second"));
    await world.clock.advance(60_000);
    assert.deepEqual(effects, ["one by first under 1", "one by second under 2", "two by second under 2"]);
    assert.ok(
      first.telemetry.outcomes.every((outcome) => outcome === "dropped"),
      first.telemetry.outcomes.join(),
    );
    assert.ok(!first.calls.includes("complete"));
    assert.deepEqual(world.statesOf("a"), ["completed"]);
    assert.equal(first.telemetry.types().includes("loop.changed"), true);
  });

  test("drops a run whose done mark is refused, and does not settle it", async () => {
    const world = new World({ skills: [patient], broker: { lockMs: 5_000 } });
    const first = await world.start({ inFlightMax: 1 });
    first.executor.script = takes(1_000);
    world.send("a");
    await world.clock.advance(500);
    first.clock.freeze(20_000);
    const second = await world.start();
    await world.clock.advance(60_000);
    assert.deepEqual([first.calls.includes("finish 1"), first.calls.includes("complete")], [true, false]);
    assert.deepEqual([first.telemetry.types().includes("run.stale"), second.telemetry.outcomes], [true, ["completed"]]);
  });
});
