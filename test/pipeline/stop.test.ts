import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { TransportError } from "#runtime/core/errors.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { dependencyPolicy, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

const budgetMs = 20_000;
const patient = skillPolicy("task", { timeoutMs: 600_000 });

describe("stopping", () => {
  test("lets what executes finish, and ends as soon as nothing is held", async () => {
    const world = new World();
    const { executor, worker, telemetry } = await world.start();
    executor.script = async (run) => {
      await run.takes(3_000);
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(100);
    const startedMs = world.clock.monotonicMs();
    await world.clock.finish("stop", worker.stop(budgetMs));
    assert.ok(world.clock.monotonicMs() - startedMs < 3_500);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
    assert.deepEqual(telemetry.events.at(-1), { type: "worker.stopped", returned: 0 });
  });

  test("hands back at once what has not begun, takes nothing more, and counts no attempt for it", async () => {
    const world = new World({
      skills: [skillPolicy("task", { uses: [0] }), skillPolicy("free")],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1 })],
    });
    const { executor, worker } = await world.start();
    executor.script = async (run) => {
      if (run.order.skill === "free") return failedAnswer();
      await run.takes(5_000);
      return completedAnswer;
    };
    world.send("executes", "waits", world.message("pauses", "free"));
    await world.clock.advance(100);
    const stopped = worker.stop(budgetMs);
    world.send("late");
    await world.clock.advance(1_000);
    assert.deepEqual(
      ["executes", "waits", "pauses", "late"].map((event) => world.statesOf(event)),
      [["locked"], ["active"], ["active"], ["active"]],
    );
    assert.equal((await world.record("waits")).failures, 0);
    await world.clock.finish("stop", stopped);
    assert.deepEqual(world.statesOf("executes"), ["completed"]);
    assert.equal(executor.posted.length, 2);
  });

  test("asks what takes too long to stop at its next step, keeps its steps, and hands it back", async () => {
    const world = new World({ skills: [patient] });
    const { executor, worker, telemetry } = await world.start();
    const effects: string[] = [];
    executor.effect = (_, step) => effects.push(step);
    executor.script = async (run) => {
      for (let step = 0; step < 100; step += 1) await run.step(`${step}`, { takesMs: 1_000 });
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(100);
    const startedMs = world.clock.monotonicMs();
    await world.clock.finish("stop", worker.stop(budgetMs));
    const tookMs = world.clock.monotonicMs() - startedMs;
    assert.ok(tookMs >= budgetMs * 0.7 && tookMs < budgetMs * 0.8, `${tookMs}`);
    assert.deepEqual(world.statesOf("a"), ["active"]);
    const { state, steps, failures } = await world.record("a");
    assert.deepEqual([state, steps.length, failures], ["waiting", effects.length, 0]);
    assert.deepEqual(telemetry.events.at(-1), { type: "worker.stopped", returned: 1 });
  });

  test("ends the threads of what never reaches a step, and hands it back, within its budget", async () => {
    const world = new World({ skills: [patient] });
    const { executor, worker, telemetry } = await world.start();
    executor.script = async (run) => {
      await run.takes(1e9);
      return completedAnswer;
    };
    world.send("a", "a", "b");
    await world.clock.advance(100);
    const startedMs = world.clock.monotonicMs();
    await world.clock.finish("stop", worker.stop(budgetMs));
    assert.ok(world.clock.monotonicMs() - startedMs <= budgetMs);
    assert.deepEqual(
      world.broker.stored.map((one) => one.state),
      ["active", "active", "active"],
    );
    assert.deepEqual(telemetry.events.at(-1), { type: "worker.stopped", returned: 3 });
  });

  test("hands back what waits for a store that is down, within its budget", async () => {
    const world = new World({ skills: [patient] });
    const { executor, worker, store } = await world.start();
    executor.script = async (run) => {
      await run.takes(500);
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(100);
    store.isDown = true;
    world.send("b");
    await world.clock.advance(1_000);
    const startedMs = world.clock.monotonicMs();
    await world.clock.finish("stop", worker.stop(budgetMs));
    assert.ok(world.clock.monotonicMs() - startedMs <= budgetMs);
    assert.deepEqual(
      world.broker.stored.map((one) => one.state),
      ["active", "active"],
    );
  });

  test("keeps its budget when nothing outside answers any more, and asks nothing for ever", async () => {
    const world = new World({ skills: [patient] });
    const { worker, connection, store, executor } = await world.start();
    executor.script = async (run) => {
      await run.takes(1e9);
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(100);
    const never = (): Promise<never> => new Promise(() => undefined);
    Object.assign(store, { fail: never, stop: never });
    Object.assign(connection, { settle: never, stop: never, renew: never });
    Object.assign(executor, { stop: never });
    for (const receiver of connection.receivers) receiver.stop = never;
    const startedMs = world.clock.monotonicMs();
    await world.clock.finish("stop", worker.stop(budgetMs));
    assert.ok(world.clock.monotonicMs() - startedMs <= budgetMs + 100);
  });

  test("counts no delivery of what goes back, begun or not, however often a worker stops", async () => {
    const world = new World({
      skills: [skillPolicy("task", { uses: [0], timeoutMs: 600_000 })],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1 })],
    });
    world.send("a", "b", "c", "d");
    for (let stops = 0; stops < 10; stops += 1) {
      const { worker, executor } = await world.start();
      executor.script = async (run) => {
        await run.takes(1e9);
        return completedAnswer;
      };
      await world.clock.advance(1_000);
      assert.equal(executor.posted.length, 1);
      await world.clock.finish("stop", worker.stop(1_000));
    }
    assert.deepEqual(
      world.broker.stored.map((one) => [one.state, one.failedDeliveries]),
      [0, 0, 0, 0].map((count) => ["active", count]),
    );
  });

  test("hands nothing back before nothing more is on its way here, so that it does not come here again", async () => {
    const world = new World({ skills: [skillPolicy("task", { uses: [0] })], dependencies: [dependencyPolicy("api", { concurrentMax: 1 })] });
    const { worker, connection, executor, calls } = await world.start();
    executor.script = async (run) => {
      await run.takes(2_000);
      return completedAnswer;
    };
    world.send("executes", "waits");
    await world.clock.advance(100);
    const drained = Promise.withResolvers<void>();
    const receiver = connection.receivers[0]!;
    const close = receiver.stop.bind(receiver);
    receiver.stop = () => close().then(() => drained.promise);
    const stopped = worker.stop(budgetMs);
    await world.clock.advance(1_000);
    assert.equal(calls.includes("release"), false);
    drained.resolve();
    await world.clock.advance(100);
    assert.equal(calls.filter((call) => call === "release").length, 1);
    await world.clock.finish("stop", stopped);
    assert.deepEqual(
      ["executes", "waits"].map((event) => world.statesOf(event)),
      [["completed"], ["active"]],
    );
  });

  test("takes only what can begin soon, and lets it begin while runs may finish, where giving back counts as a delivery", async () => {
    const world = new World({ skills: [skillPolicy("task", { uses: [0] })], dependencies: [dependencyPolicy("api", { concurrentMax: 2, queueMax: 100 })] });
    const { worker, executor } = await world.start({}, ({ connection }) => {
      connection.releaseIsFree = false;
    });
    executor.script = async (run) => {
      await run.takes(3_000);
      return completedAnswer;
    };
    world.send(...Array.from({ length: 50 }, (_, event) => `e${event}`));
    await world.clock.advance(1_000);
    const states = (): string[] => world.broker.stored.map((one) => one.state);
    assert.equal(states().filter((state) => state === "locked").length, 4);
    await world.clock.finish("stop", worker.stop(budgetMs));
    assert.deepEqual([states().filter((state) => state === "completed").length, states().filter((state) => state === "active").length], [4, 46]);
    assert.ok(world.broker.stored.every((one) => one.failedDeliveries === 0));
  });

  test("hands back what could not begin in time where that counts as a delivery, within its budget", async () => {
    const world = new World({
      skills: [patient].map((skill) => ({ ...skill, uses: [0] })),
      dependencies: [dependencyPolicy("api", { concurrentMax: 1, queueMax: 100 })],
    });
    const { worker, executor } = await world.start({}, ({ connection }) => {
      connection.releaseIsFree = false;
    });
    executor.script = async (run) => {
      await run.takes(1e9);
      return completedAnswer;
    };
    world.send("executes", "waits", "never-taken");
    await world.clock.advance(100);
    const startedMs = world.clock.monotonicMs();
    await world.clock.finish("stop", worker.stop(budgetMs));
    assert.ok(world.clock.monotonicMs() - startedMs <= budgetMs);
    assert.deepEqual(
      world.broker.stored.map((one) => [one.state, one.failedDeliveries]),
      [
        ["active", 1],
        ["active", 1],
        ["active", 0],
      ],
    );
  });

  test("closes every part though one cannot be closed, and says what went wrong", async () => {
    const world = new World();
    const { worker, connection, store, telemetry } = await world.start();
    const bug = new Error("bug");
    const stopped: string[] = [];
    connection.stop = () => Promise.reject(bug);
    store.stop = async () => void stopped.push("store");
    await world.clock.finish("stop", assert.rejects(worker.stop(budgetMs), bug));
    assert.deepEqual([stopped, telemetry.types().at(-1)], [["store"], "worker.stopped"]);
  });

  test("joins a stop that is under way", async () => {
    const world = new World();
    const { worker, telemetry } = await world.start();
    await world.clock.finish("both", Promise.all([worker.stop(budgetMs), worker.stop(budgetMs)]));
    assert.deepEqual(telemetry.types(), ["worker.started", "worker.stopping", "worker.stopped"]);
  });

  test("hands back what arrives while the receiver closes", async () => {
    const world = new World();
    const { worker, executor } = await world.start();
    world.send("a");
    await world.clock.settle();
    await world.clock.finish("stop", worker.stop(budgetMs));
    assert.deepEqual([world.statesOf("a"), executor.posted.length], [["active"], 0]);
  });

  test("hands back what waits for the broker to take a copy, instead of waiting as long as the broker asks", async () => {
    const world = new World({ skills: [skillPolicy("task", { retry: { ...defaultRetryPolicy, immediateMax: 0 } })] });
    const { worker, executor, connection } = await world.start();
    executor.script = () => failedAnswer();
    connection.send = async () => {
      throw new TransportError("expected to be served, the broker is busy", { retryAfterMs: 60_000 });
    };
    world.send("a");
    await world.clock.advance(1_000);
    await world.clock.finish("stop", worker.stop(2_000));
    assert.deepEqual(world.statesOf("a"), ["active"]);
  });
});

describe("starting", () => {
  test("closes what it opened when a part cannot start", async () => {
    const world = new World();
    const process = world.process();
    process.store.isDown = true;
    const stopped: string[] = [];
    process.store.stop = async () => void stopped.push("store");
    await assert.rejects(process.worker.start(), { code: "HOLDFAST_STORE_UNAVAILABLE" });
    assert.deepEqual(stopped, ["store"]);
  });

  test("ends quietly when a stop comes first", async () => {
    const world = new World();
    const process = world.process();
    const { promise, resolve } = Promise.withResolvers<void>();
    process.store.start = () => promise;
    const started = process.worker.start();
    const stopped = process.worker.stop(1_000);
    resolve();
    await world.clock.finish("both", Promise.all([started, stopped]));
    assert.deepEqual([process.connection.receivers.length, process.telemetry.types()], [0, ["worker.stopping", "worker.stopped"]]);
  });

  test("starts threads while the store does not answer yet, and nothing further when they cannot start", async () => {
    const world = new World();
    const process = world.process();
    const happened: string[] = [];
    const answered = Promise.withResolvers<void>();
    process.store.start = () => (happened.push("store asked"), answered.promise);
    process.store.stop = async () => void happened.push("store stopped");
    process.connection.start = async () => void happened.push("connection");
    process.executor.start = () => (happened.push("threads asked"), Promise.reject(new Error("expected threads to start, one could not")));
    process.executor.stop = async () => void happened.push("threads stopped");
    await assert.rejects(process.worker.start(), /one could not/);
    answered.resolve();
    await world.clock.settle();
    assert.deepEqual(happened, ["threads asked", "store asked", "store stopped", "threads stopped"]);
  });

  // The publisher and the source share a connection.
  const begun = { store: ["executor", "store"], connection: ["executor", "store", "connection"], executor: ["executor", "store", "connection", "connection"] };
  for (const part of ["store", "connection", "executor"] as const) {
    test(`ends quietly, and starts nothing further, when a stop keeps the ${part} from starting`, async () => {
      const world = new World();
      const process = world.process();
      const started: string[] = [];
      for (const name of ["store", "connection", "executor"] as const) {
        const { promise, reject } = Promise.withResolvers<void>();
        process[name].start = () => (started.push(name), name === part ? promise : Promise.resolve());
        process.store.secret = async () => "secret";
        if (name === part) process[name].stop = async () => reject(new Error("expected it to start, it was stopped"));
      }
      const running = process.worker.start();
      await world.clock.settle();
      await world.clock.finish("both", Promise.all([running, process.worker.stop(1_000)]));
      assert.deepEqual(started, begun[part]);
      assert.deepEqual(process.telemetry.types(), ["worker.stopping", "worker.stopped"]);
    });
  }
});
