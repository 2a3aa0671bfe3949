import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { enqueuedFirstHeader, postponedHeader } from "#runtime/core/copy.ts";
import { dependencyPolicy, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer, type ScriptedRun } from "../support/scripted-executor.ts";

const skills = [
  skillPolicy("healthy", { uses: [0] }),
  skillPolicy("hung", { uses: [1], timeoutMs: 600_000 }),
  skillPolicy("both", { uses: [0, 1] }),
  skillPolicy("free"),
];
const dependencies = [dependencyPolicy("api", { concurrentMax: 4, queueMax: 20 }), dependencyPolicy("abyss", { concurrentMax: 2, queueMax: 3 })];

/** What uses the abyss never ends; the rest takes 10 ms. */
const script = async (run: ScriptedRun): Promise<typeof completedAnswer> => {
  await run.takes(run.order.skill === "hung" || run.order.skill === "both" ? 1e9 : 10);
  return completedAnswer;
};

describe("lanes", () => {
  test("let no more runs use a dependency at once than its bulkhead has slots", async () => {
    const world = new World({ skills, dependencies });
    const { executor, worker } = await world.start();
    executor.script = script;
    for (let event = 0; event < 20; event += 1) world.send(world.message(`e${event}`, "healthy"));
    await world.clock.advance(5);
    assert.equal(executor.running.length, 4);
    assert.deepEqual(worker.view().gates[0], { dependency: "api", inUse: 4, concurrentMax: 4, waiting: 16, queueMax: 20, circuit: "closed" });
    await world.clock.advance(1_000);
    assert.ok(world.broker.stored.every((one) => one.state === "completed"));
  });

  test("start runs in the order of their arrival", async () => {
    const world = new World({ skills, dependencies });
    const { executor } = await world.start();
    executor.script = script;
    const events = Array.from({ length: 20 }, (_, index) => `e${index}`);
    for (const event of events) world.send(world.message(event, "healthy"));
    await world.clock.advance(1_000);
    assert.deepEqual(
      executor.posted.map((order) => order.route.eventId),
      events,
    );
  });

  test("of a hung dependency hold its slots and its lane, and no more: the rest of its messages come again later", async () => {
    const world = new World({ skills, dependencies });
    const { executor, worker, telemetry } = await world.start();
    executor.script = script;
    for (let event = 0; event < 5; event += 1) world.send(world.message(`h${event}`, "hung"));
    await world.clock.advance(50);
    for (let event = 5; event < 12; event += 1) world.send(world.message(`h${event}`, "hung"));
    await world.clock.advance(50);
    assert.deepEqual([executor.running.length, worker.view().inFlight], [2, 5]);
    assert.deepEqual(telemetry.outcomes, ["postponed", "postponed", "postponed", "postponed", "postponed", "postponed", "postponed"]);
    assert.equal(world.broker.stored.filter((one) => one.state === "scheduled").length, 7);
    assert.equal(await world.records.read("h11"), undefined, "expected no claim for what cannot be admitted");
  });

  test("that have only just filled keep nobody away for long, however often it was postponed", async () => {
    const world = new World({ skills, dependencies });
    const { executor, telemetry } = await world.start();
    executor.script = async (run) => {
      await run.takes(200);
      return completedAnswer;
    };
    for (let event = 0; event < 5; event += 1) world.send(world.message(`h${event}`, "hung"));
    await world.clock.advance(50);
    for (let event = 5; event < 12; event += 1) world.send(world.message(`h${event}`, "hung", {}, { [postponedHeader]: 6, [enqueuedFirstHeader]: 1 }));
    await world.clock.advance(5_000);
    assert.deepEqual([telemetry.outcomes.includes("postponed"), world.broker.open.length], [true, 0]);
  });

  test("of a hung dependency do not slow the others", async () => {
    const world = new World({ skills, dependencies });
    const { executor, telemetry } = await world.start();
    executor.script = script;
    for (let event = 0; event < 200; event += 1) {
      world.send(world.message(`x${event}`, event % 4 === 0 ? "hung" : event % 4 === 1 ? "both" : event % 4 === 2 ? "healthy" : "free"));
      await world.clock.advance(10);
    }
    await world.clock.advance(200);
    assert.equal(telemetry.outcomes.filter((outcome) => outcome === "completed").length, 100);
    assert.equal(executor.running.length, 2);
  });

  test("are left for the queue after the wait time, even when nothing ends meanwhile", async () => {
    const patient = dependencies.map((dependency) => ({ ...dependency, bulkhead: { ...dependency.bulkhead, waitMaxMs: 5_000 } }));
    const world = new World({ skills, dependencies: patient, broker: { lockMs: 60_000 } });
    const { executor, telemetry, worker } = await world.start();
    executor.script = script;
    for (let event = 0; event < 5; event += 1) world.send(world.message(`h${event}`, "hung"));
    await world.clock.advance(4_900);
    assert.deepEqual([worker.view().inFlight, telemetry.outcomes], [5, []]);
    await world.clock.advance(1_500);
    assert.deepEqual(telemetry.outcomes.slice(0, 3), ["released", "released", "released"]);
    const { setbacks } = await world.record("h4");
    assert.deepEqual([setbacks[0]?.kind, setbacks[0]?.waitedFor], ["returned", "the bulkhead of abyss"]);
    assert.ok((setbacks[0]?.waitedMs ?? 0) >= 5_000, `${setbacks[0]?.waitedMs}`);
  });

  test("are emptied when the circuit of their dependency opens", async () => {
    const world = new World({
      skills: [skillPolicy("healthy", { uses: [0] }), skillPolicy("free")],
      dependencies: [dependencyPolicy("api", { concurrentMax: 3, queueMax: 10 }, { failureThreshold: 3, resetTimeoutMs: 20_000 })],
    });
    const { executor, telemetry, circuits, worker } = await world.start();
    executor.script = async (run) => {
      await run.takes(10);
      run.called("api", "failed");
      return failedAnswer("EWRONG", {}, false);
    };
    for (let event = 0; event < 8; event += 1) world.send(world.message(`e${event}`, "healthy"));
    await world.clock.advance(500);
    assert.deepEqual([executor.posted.length, worker.view().inFlight, circuits], [3, 0, ["0:open"]]);
    assert.deepEqual(telemetry.outcomes.toSorted(), [...Array(3).fill("dead-lettered"), ...Array(5).fill("postponed")]);
  });

  test("go on when a probe has closed the circuit again", async () => {
    const world = new World({
      skills: [skillPolicy("healthy", { uses: [0] }), skillPolicy("free")],
      dependencies: [dependencyPolicy("api", { concurrentMax: 4, queueMax: 10 }, { failureThreshold: 2, resetTimeoutMs: 5_000 })],
    });
    const { executor, circuits } = await world.start();
    let isDown = true;
    executor.script = async (run) => {
      await run.takes(10);
      run.called("api", isDown ? "failed" : "succeeded");
      return isDown ? failedAnswer("EDOWN") : completedAnswer;
    };
    for (let event = 0; event < 8; event += 1) world.send(world.message(`e${event}`, "healthy"));
    await world.clock.advance(1_000);
    isDown = false;
    await world.clock.advance(200_000);
    assert.deepEqual(circuits, ["0:open", "0:half-open", "0:closed"]);
    for (let event = 0; event < 8; event += 1) assert.equal((await world.record(`e${event}`)).state, "done");
  });

  test("bound what is received, when every kind of work needs one, so that nothing is postponed", async () => {
    const world = new World({ skills: [skillPolicy("healthy", { uses: [0] })], dependencies: [dependencyPolicy("api", { concurrentMax: 4, queueMax: 6 })] });
    const { executor, telemetry, worker } = await world.start({ inFlightMax: 1_000 });
    let most = 0;
    executor.script = async (run) => {
      most = Math.max(most, worker.view().inFlight);
      await run.takes(10);
      return completedAnswer;
    };
    for (let event = 0; event < 300; event += 1) world.send(world.message(`e${event}`, "healthy"));
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 2_000);
    assert.deepEqual(new Set(telemetry.outcomes), new Set(["completed"]));
    // Those that are being settled have left their slots.
    assert.ok(most <= 4 + 6 + 4, `${most}`);
  });

  test("bound how far is read ahead for work that can run, when most messages cannot", async () => {
    const world = new World({ skills, dependencies });
    const { executor, telemetry } = await world.start({ inFlightMax: 1_000 });
    executor.script = script;
    for (let event = 0; event < 5_000; event += 1) world.send(world.message(`h${event}`, "hung"));
    world.send(world.message("hidden", "free"));
    await world.clock.advance(2_000);
    const early = telemetry.outcomes.filter((outcome) => outcome === "postponed").length;
    assert.ok(early > 300 && early < 700, `expected a bounded number of postponements, got ${early}`);
    await world.clock.until("the hidden one to be found", () => world.statesOf("hidden")[0] === "completed", 600_000, 1_000);
  });

  test("do not keep a circuit from being probed, when nothing else is received", async () => {
    const world = new World({
      skills: [skillPolicy("healthy", { uses: [0] })],
      dependencies: [dependencyPolicy("api", {}, { failureThreshold: 1, resetTimeoutMs: 5_000 })],
    });
    const { executor, circuits } = await world.start();
    let isDown = true;
    executor.script = (run) => {
      run.called("api", isDown ? "failed" : "succeeded");
      return isDown ? failedAnswer("EWRONG", {}, false) : completedAnswer;
    };
    world.send(world.message("first", "healthy"));
    await world.clock.advance(1_000);
    isDown = false;
    world.send(world.message("second", "healthy"));
    await world.clock.advance(3_000);
    assert.deepEqual(circuits, ["0:open"]);
    await world.clock.advance(30_000);
    assert.deepEqual(circuits, ["0:open", "0:half-open", "0:closed"]);
    assert.ok(world.statesOf("second").includes("completed"));
  });

  test("of a dependency that rejects what finds it full keep nobody waiting: runs begin without a slot, and fail as throttled ones do", async () => {
    const world = new World({
      skills: [skillPolicy("healthy", { uses: [0] })],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1, queueMax: 1, whenFull: "reject", waitMaxMs: 30_000 })],
    });
    const { executor, worker, telemetry } = await world.start();
    executor.script = async (run) => {
      if (run.order.rejectedBy.length > 0) return failedAnswer("BULKHEAD_FULL");
      await run.takes(5_000);
      return completedAnswer;
    };
    for (let event = 0; event < 6; event += 1) world.send(world.message(`e${event}`, "healthy"));
    await world.clock.advance(100);
    assert.deepEqual(
      executor.posted.map((order) => order.rejectedBy),
      [[], [0], [0], [0], [0]],
    );
    // Never in place: its dependency asks for less.
    assert.deepEqual(telemetry.outcomes, ["retried", "retried", "retried", "retried"]);
    const { bulkhead, circuit } = worker.policies.view().dependencies[0]!;
    assert.deepEqual([bulkhead.inUse, bulkhead.waiting, bulkhead.rejected, circuit.failures], [1, 1, 4, 0]);
    await world.clock.until("all to be completed", () => world.broker.stored.every((one) => one.state === "completed"), 1_200_000);
  });

  test("reject a run once it has waited as long as its bulkhead allows, also where that is short", async () => {
    const world = new World({
      skills: [skillPolicy("healthy", { uses: [0] })],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1, queueMax: 5, whenFull: "reject", waitMaxMs: 100 })],
    });
    const { executor } = await world.start();
    executor.script = async (run) => {
      if (run.order.rejectedBy.length > 0) return completedAnswer;
      await run.takes(5_000);
      return completedAnswer;
    };
    for (const event of ["holder", "waits"]) world.send(world.message(event, "healthy"));
    await world.clock.advance(50);
    assert.equal(executor.posted.length, 1);
    await world.clock.advance(250);
    assert.deepEqual(
      executor.posted.map(({ rejectedBy }) => rejectedBy),
      [[], [0]],
    );
    assert.ok(world.statesOf("waits").includes("completed"));
  });

  test("do not reject a run that is being compensated: it waits until it can be, and loses no try", async () => {
    const critical = skillPolicy("healthy", { uses: [0], critical: true });
    const world = new World({ skills: [critical], dependencies: [dependencyPolicy("api", { concurrentMax: 2, queueMax: 0, whenFull: "reject" })] });
    const { executor, telemetry, worker } = await world.start();
    executor.script = async (run) => {
      if (run.eventId === "holder") {
        await run.takes(10_000);
        return completedAnswer;
      }
      if (run.order.steps.some(({ state }) => state === "completed")) return { kind: "compensated", log: [] };
      await run.step("pay");
      worker.policies.changeBulkhead("api", { concurrentMax: 1 });
      return failedAnswer("NO", {}, false);
    };
    world.send(world.message("holder", "healthy"));
    await world.clock.advance(100);
    world.send(world.message("fails", "healthy"));
    await world.clock.until("both to end", () => telemetry.outcomes.includes("dead-lettered"), 300_000);
    assert.ok(telemetry.outcomes.includes("postponed"));
    assert.deepEqual(
      executor.posted.map((order) => [order.route.eventId, order.rejectedBy]),
      [
        ["holder", []],
        ["fails", []],
        ["fails", []],
      ],
    );
  });

  test("tell of a resumed run when it starts, not each time it is postponed", async () => {
    const world = new World({
      skills: [skillPolicy("healthy", { uses: [0] }), skillPolicy("free")],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1, queueMax: 0 })],
    });
    const { executor, telemetry } = await world.start();
    executor.script = async (run) => {
      await run.step("one", { takesMs: run.eventId === "first" ? 40_000 : 10 });
      return run.eventId === "second" && run.order.attempt <= 2 ? failedAnswer() : completedAnswer;
    };
    world.send(world.message("second", "healthy"));
    await world.clock.advance(5_000);
    world.send(world.message("first", "healthy"));
    await world.clock.advance(300_000);
    assert.ok(telemetry.types().includes("run.postponed"));
    assert.equal((await world.record("second")).state, "done");
    assert.equal(telemetry.events.filter((event) => event.type === "run.resumed").length, 1);
  });
});
