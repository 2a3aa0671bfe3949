import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { dependencyPolicy, type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

describe("a worker with several sources", () => {
  test("runs the same event of two sources twice, each with a record of its own and effects of its own", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    const { executor } = await world.start();
    world.send("a", "a");
    world.sendTo("letters", "a");
    await world.clock.advance(1_000);
    assert.deepEqual(executor.posted.map(({ route, source }) => `${route.eventId} ${source}`).toSorted(), ["a 0", "a 1"]);
    assert.equal((await world.record("a")).state, "done");
    assert.equal((await world.further.get("letters")?.records.read("a"))?.state, "done");
    assert.deepEqual(world.statesOf("a"), ["completed", "completed"]);
    assert.equal(world.further.get("letters")?.broker.stored[0]?.state, "completed");
  });

  test("counts a dependency that two sources use once", async () => {
    const skills = [skillPolicy("task", { uses: [0] })];
    const world = new World({ furtherQueues: ["letters"], skills, dependencies: [dependencyPolicy("mailer", { concurrentMax: 1 })] });
    const { executor } = await world.start();
    let running = 0;
    let most = 0;
    executor.script = async (run) => {
      running += 1;
      most = Math.max(most, running);
      await run.takes(100);
      running -= 1;
      return completedAnswer;
    };
    world.send("a", "b");
    world.sendTo("letters", "c", "d");
    await world.clock.advance(2_000);
    assert.deepEqual([executor.posted.length, most], [4, 1]);
  });

  test("sends the copy of a message to the source that it came from, and looks for its run there", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    const { executor } = await world.start();
    let tries = 0;
    executor.script = () => ((tries += 1) <= 2 ? failedAnswer() : completedAnswer);
    world.sendTo("letters", "a");
    await world.clock.advance(60_000);
    const letters = world.further.get("letters");
    assert.deepEqual(
      letters?.broker.stored.map(({ state }) => state),
      ["completed", "completed"],
    );
    assert.equal((await letters?.records.read("a"))?.state, "done");
    assert.equal(world.broker.stored.length, 0);
    assert.equal(await world.records.read("a"), undefined);
  });

  test("renews the locks of each source where they are, and by the length that they have there", async () => {
    const world = new World({ furtherQueues: ["letters"], broker: { lockMs: 10_000 } });
    const { executor, telemetry } = await world.start();
    executor.script = async (run) => {
      await run.takes(19_000);
      return completedAnswer;
    };
    world.send("a");
    world.sendTo("letters", "a");
    await world.clock.advance(25_000);
    assert.equal(executor.posted.length, 2);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
    assert.ok(!telemetry.types().includes("lock.lost"));
  });

  test("holds no more of all sources together than it may, and leaves none without a place", async () => {
    const world = new World({ furtherQueues: ["letters", "parcels"] });
    const { executor, worker } = await world.start({ inFlightMax: 5 });
    executor.script = async (run) => {
      await run.takes(1_000);
      return completedAnswer;
    };
    const many = (prefix: string): string[] => Array.from({ length: 20 }, (_, index) => `${prefix}${index}`);
    world.send(...many("w"));
    world.sendTo("letters", ...many("l"));
    world.sendTo("parcels", ...many("p"));
    await world.clock.advance(500);
    assert.equal(worker.view().inFlight, 5);
    assert.deepEqual(new Set(executor.posted.map(({ source }) => source)), new Set([0, 1, 2]));
    await world.clock.advance(30_000);
    assert.equal(executor.posted.length, 60);
  });

  test("hands back what it holds of every source when it stops", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    const { executor, worker } = await world.start();
    executor.script = async (run) => {
      await run.takes(100_000);
      return completedAnswer;
    };
    world.send("a");
    world.sendTo("letters", "b");
    await world.clock.advance(500);
    await world.clock.finish("the worker to stop", worker.stop(2_000));
    assert.equal(world.broker.stored[0]?.state, "active");
    assert.equal(world.further.get("letters")?.broker.stored[0]?.state, "active");
  });
});

/** What an executor with one thread that computes would do with what it is given: one run after the other. */
function oneAtATime(process: Process, tookMs: (source: number) => number): { readonly times: number[] } {
  const { executor } = process;
  const times = [0, 0, 0];
  let queued: Promise<void> = Promise.resolve();
  let unbegun = 0;
  Object.defineProperty(executor, "unbegunShared", { get: () => unbegun });
  executor.script = async (run) => {
    const { source } = run.order;
    unbegun += 1;
    const mine = queued.then(async () => {
      unbegun -= 1;
      run.begun();
      await run.takes(tookMs(source));
      times[source]! += tookMs(source);
    });
    queued = mine;
    await mine;
    return completedAnswer;
  };
  return { times };
}

describe("busy threads", () => {
  const many = (prefix: string): string[] => Array.from({ length: 3_000 }, (_, index) => `${prefix}${index}`);
  const intake = { start: 20, floor: 5, ceiling: 50, waitMaxMs: 500 };

  test("are shared by the weights of the sources, in the time that runs take", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    const process = await world.start({ intake, inFlightMax: 100, source: { weight: 3 } });
    const { times } = oneAtATime(process, (source) => (source === 0 ? 20 : 5));
    world.send(...many("w"));
    world.sendTo("letters", ...many("l"));
    await world.clock.advance(30_000);
    const share = times[0]! / (times[0]! + times[1]!);
    assert.ok(Math.abs(share - 0.75) < 0.05, `expected three quarters of the time for the first source, got ${times.join(", ")} ms`);
  });

  test("go to a higher priority first, with a tenth for the lower", async () => {
    const world = new World({ furtherQueues: ["letters"] });
    const process = await world.start({ intake, inFlightMax: 100, sources: { letters: { priority: 5 } } });
    const { times } = oneAtATime(process, () => 10);
    world.send(...many("w"));
    world.sendTo("letters", ...many("l"));
    await world.clock.advance(20_000);
    const share = times[1]! / (times[0]! + times[1]!);
    assert.ok(Math.abs(share - 0.9) < 0.04, `expected nine tenths of the time for the higher priority, got ${times.join(", ")} ms`);
  });

  test("hand back what waits for its turn when the worker stops, with the slots that it had", async () => {
    const world = new World({
      furtherQueues: ["letters"],
      skills: [skillPolicy("task", { uses: [0] })],
      dependencies: [dependencyPolicy("mailer", { concurrentMax: 50 })],
    });
    const process = await world.start({ intake, inFlightMax: 100 });
    oneAtATime(process, () => 200);
    world.send(...many("w").slice(0, 30));
    world.sendTo("letters", ...many("l").slice(0, 30));
    await world.clock.advance(1_000);
    await world.clock.finish("the worker to stop", process.worker.stop(3_000));
    assert.deepEqual(
      process.worker.view().gates.map(({ inUse, waiting }) => [inUse, waiting]),
      [[0, 0]],
    );
    assert.ok(world.broker.stored.every(({ state }) => state === "completed" || state === "active"));
  });
});

describe("the skills of a source", () => {
  test("are all that may come from it; others are dead-lettered as unrouted", async () => {
    const world = new World({ furtherQueues: ["letters"], skills: [skillPolicy("task"), skillPolicy("other")] });
    const all = {
      policies: [skillPolicy("task")],
      handled: new Map(),
      find: (type: string) => (type === "task" ? skillPolicy("task") : ("unrouted" as const)),
    };
    await world.start({ sources: { letters: { skills: all } } });
    world.send(world.message("a", "other"));
    world.broker.accept("letters", [world.message("b", "other"), world.message("c")]);
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
    assert.deepEqual(
      world.further.get("letters")?.broker.stored.map(({ state, reason }) => [state, reason]),
      [
        ["dead-lettered", "Unrouted"],
        ["completed", undefined],
      ],
    );
  });
});
