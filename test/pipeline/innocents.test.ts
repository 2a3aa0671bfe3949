// A message that did nothing wrong never pays for one that did.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { dependencyPolicy, type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer, type Script } from "../support/scripted-executor.ts";

const innocents = Array.from({ length: 30 }, (_, number) => `innocent-${number}`);

/** Starts workers one after another, each after the one before was killed, until none is killed for `quietMs`. */
async function restarted(world: World, scriptOf: (process: Process) => Script, quietMs: number, killsMax: number, releaseIsFree: boolean): Promise<number> {
  for (let kills = 0; kills <= killsMax; kills += 1) {
    const life = { isOver: false };
    const process = await world.start({}, (prepared) => {
      const script = scriptOf({
        ...prepared,
        kill: () => {
          life.isOver = true;
          prepared.kill();
        },
      });
      prepared.executor.script = script;
      prepared.connection.releaseIsFree = releaseIsFree;
    });
    for (let waitedMs = 0; !life.isOver && waitedMs < quietMs; waitedMs += 100) await world.clock.advance(100);
    if (!life.isOver) {
      process.kill();
      return kills;
    }
    // The orchestrator takes its time.
    await world.clock.advance(3_000);
  }
  throw new Error(`expected at most ${killsMax} kills, saw more`);
}

describe("a run that ends with its worker", () => {
  test("is not held to have failed: a 503 after three kills is its first failure", async () => {
    const world = new World({ broker: { lockMs: 5_000, deliveriesMax: 50 }, calmAt: 256 });
    world.send("a");
    const answers: string[] = [];
    for (let kill = 0; kill < 3; kill += 1) {
      const process = await world.start();
      process.executor.script = async (run) => {
        await run.takes(60_000);
        return completedAnswer;
      };
      await world.clock.advance(8_000);
      assert.equal(process.executor.running.length, 1);
      process.kill();
    }
    const last = await world.start();
    last.executor.script = (run) => {
      answers.push(`attempt ${run.order.attempt}`);
      return answers.length <= 2 ? failedAnswer("HTTP_503") : completedAnswer;
    };
    await world.clock.advance(200_000);
    assert.deepEqual(answers, ["attempt 4", "attempt 5", "attempt 6"]);
    assert.deepEqual(world.statesOf("a"), ["completed", "completed"]);
    const { failures, losses } = await world.record("a");
    assert.deepEqual([failures, losses], [1, 3]);
  });

  for (const releaseIsFree of [true, false])
    test(`ends as CrashLoop once it ended its worker too often, and costs the others three deliveries at most, where a release is ${releaseIsFree ? "free" : "not free"}`, async () => {
      const world = new World({
        skills: [skillPolicy("task"), skillPolicy("slow", { uses: [0] })],
        dependencies: [dependencyPolicy("api", { concurrentMax: 1, queueMax: 100, waitMaxMs: 5_000 })],
        broker: { lockMs: 10_000, deliveriesMax: 10 },
        calmAt: 256,
      });
      world.send(
        ...innocents.slice(0, 15).map((event) => world.message(event, "slow")),
        "guilty",
        ...innocents.slice(15).map((event) => world.message(event, "slow")),
      );
      const kills = await restarted(
        world,
        (process) => async (run) => {
          if (run.eventId === "guilty") process.kill();
          await run.takes(500);
          return completedAnswer;
        },
        90_000,
        defaultRetryPolicy.lossesMax,
        releaseIsFree,
      );
      assert.equal(kills, defaultRetryPolicy.lossesMax);
      assert.equal(world.statesOf("guilty").at(-1), "dead-lettered: CrashLoop");
      for (const event of innocents) assert.equal(world.statesOf(event).at(-1), "completed", event);
      const paid = world.broker.stored.filter((one) => one.message.headers["eventId"] !== "guilty").map((one) => one.failedDeliveries);
      assert.ok(Math.max(...paid) <= 3, `deliveries that innocents paid for: ${paid.join(" ")}`);
      for (const event of innocents) assert.ok((await world.record(event)).losses <= 3, event);
    });

  test("that takes long does not keep its worker from others, however often its workers were killed", async () => {
    const world = new World({
      skills: [skillPolicy("task"), skillPolicy("long", { timeoutMs: 700_000 })],
      broker: { lockMs: 5_000, deliveriesMax: 10 },
      calmAt: 256,
    });
    const script: Script = async (run) => {
      await run.takes(run.order.skill === "long" ? 600_000 : 10);
      return completedAnswer;
    };
    world.send(world.message("long", "long"));
    for (let kill = 0; kill < 4; kill += 1) {
      const process = await world.start({}, ({ executor }) => (executor.script = script));
      await world.clock.advance(8_000);
      assert.equal(process.executor.running.length, 1);
      process.kill();
    }
    world.send(...innocents);
    const last = await world.start({}, ({ executor }) => (executor.script = script));
    await world.clock.advance(40_000);
    for (const event of innocents) assert.deepEqual(world.statesOf(event), ["completed"], event);
    assert.equal(last.executor.running.length, 1);
    last.kill();
  });

  test("is one that had a worker: a store that goes down, and what it handed back meanwhile, counts for nothing", async () => {
    const world = new World({
      skills: [skillPolicy("task", { uses: [0] })],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1, queueMax: 50, waitMaxMs: 5_000 })],
      broker: { lockMs: 5_000 },
      calmAt: 256,
    });
    const { executor, store } = await world.start({ storeHoldMaxMs: 2_000 });
    executor.script = async (run) => {
      await run.takes(300);
      return completedAnswer;
    };
    world.send(...innocents);
    for (let outage = 0; outage < 3; outage += 1) {
      await world.clock.advance(1_500);
      store.isDown = true;
      await world.clock.advance(20_000);
      store.isDown = false;
    }
    await world.clock.advance(60_000);
    for (const event of innocents) {
      assert.equal(world.statesOf(event).at(-1), "completed", event);
      assert.equal((await world.record(event)).losses, 0, event);
    }
  });

  test("of a killed worker starts a second later at the latest, with hundreds of others, when it did nothing wrong", async () => {
    const world = new World({ skills: [skillPolicy("task", { concurrentMax: 300 })], broker: { lockMs: 5_000, deliveriesMax: 10 }, calmAt: 256 });
    const events = Array.from({ length: 300 }, (_, number) => `event-${number}`);
    const first = await world.start({ inFlightMax: 500 });
    first.executor.script = async (run) => {
      await run.takes(60_000);
      return completedAnswer;
    };
    world.send(...events);
    await world.clock.advance(2_000);
    assert.equal(first.executor.running.length, 300);
    first.kill();
    const second = await world.start({ inFlightMax: 500 });
    second.executor.script = async (run) => {
      await run.takes(60_000);
      return completedAnswer;
    };
    // The locks run out, then the window doubles with every second that nothing happens in.
    await world.clock.advance(5_000 + 15_000);
    assert.equal(second.executor.running.length, 300);
  });
});

describe("a run that ends with its thread", () => {
  test("is tried apart from the others, which are not held to have failed; it alone ends as CrashLoop, with the last words", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    const apart = new Set<string>();
    executor.script = async (run) => {
      if (run.order.apart) apart.add(run.eventId);
      if (run.eventId === "guilty") {
        if (run.order.apart) return { kind: "thread-lost", why: "it exited with code 7", part: "sole" };
        await run.takes(10);
        executor.loseThread("it exited with code 7");
      }
      await run.takes(50);
      return completedAnswer;
    };
    world.send(...innocents.slice(0, 20), "guilty");
    await world.clock.advance(20_000);
    assert.deepEqual(apart, new Set([...innocents.slice(0, 20), "guilty"]));
    for (const event of innocents.slice(0, 20)) {
      assert.deepEqual(world.statesOf(event), ["completed"]);
      const { failures, losses } = await world.record(event);
      assert.deepEqual([failures, losses], [0, 0]);
    }
    assert.deepEqual(world.statesOf("guilty"), ["dead-lettered: CrashLoop"]);
    const end = telemetry.events.find((event) => event.type === "run.dead-lettered");
    assert.match(end?.description ?? "", /5 executions ended .* it exited with code 7/);
    assert.equal((await world.record("guilty")).losses, defaultRetryPolicy.lossesMax);
    // The loss that nobody can be blamed for is told as such; the others have numbers that rise by one.
    const numbersOf = (eventId: string, ...types: readonly string[]): number[] =>
      telemetry.events.flatMap((event) => (types.includes(event.type) && "attempt" in event && event.eventId === eventId ? [event.attempt] : []));
    assert.deepEqual(numbersOf("guilty", "run.restarting"), [1]);
    assert.deepEqual(numbersOf("guilty", "run.retrying", "run.dead-lettered"), [1, 2, 3, 4, 5]);
    assert.deepEqual(numbersOf(innocents[0] ?? "", "run.failed", "run.retrying"), []);
    assert.deepEqual(numbersOf(innocents[0] ?? "", "run.restarting"), [1]);
  });

  test("by another's fault goes on here, and nobody is apart, when the thread was ended for a run that blocked it", async () => {
    const world = new World();
    const { executor, telemetry } = await world.start();
    executor.script = () => (executor.posted.length === 1 ? { kind: "thread-lost", why: "it did not answer", part: "bystander" } : completedAnswer);
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(
      executor.posted.map(({ apart, attempt }) => [apart, attempt]),
      [
        [false, 1],
        [false, 1],
      ],
    );
    assert.deepEqual(telemetry.outcomes, ["completed"]);
  });
});

describe("a lane before a stuck dependency", () => {
  test("gives its messages back unburnt, so that a second worker has the hundred within 10 s", async () => {
    const world = new World({
      skills: [skillPolicy("task", { uses: [0], timeoutMs: 600_000 })],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1, queueMax: 200, waitMaxMs: 5_000 })],
      broker: { lockMs: 30_000, deliveriesMax: 10 },
    });
    const first = await world.start({ inFlightMax: 1_000 });
    first.executor.script = async (run) => {
      await run.takes(500_000);
      return completedAnswer;
    };
    const events = Array.from({ length: 100 }, (_, number) => `event-${number}`);
    world.send("stuck", ...events);
    await world.clock.advance(1_000);
    assert.equal(first.worker.view().inFlight, 101);
    const second = await world.start({ inFlightMax: 1_000 });
    second.executor.script = async (run) => {
      await run.takes(10);
      return completedAnswer;
    };
    await world.clock.advance(9_000);
    for (const event of events) assert.deepEqual(world.statesOf(event), ["completed"], event);
    assert.deepEqual(new Set(world.broker.stored.map((one) => one.failedDeliveries)), new Set([0]));
    assert.equal(first.worker.view().inFlight, 1);
  });
});
