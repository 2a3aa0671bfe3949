import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { createPayloadHash } from "#runtime/core/payload-hash.ts";
import { defaultDecodeLimits } from "#runtime/core/read-route.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, type ScriptedRun } from "../support/scripted-executor.ts";

const skills = ["quick", "slow", "idle", "another", "third"].map((name) => skillPolicy(name));
const intake = { start: 4, floor: 1, ceiling: 10_000, waitMaxMs: 500 };

const script = async (run: ScriptedRun): Promise<typeof completedAnswer> => {
  await run.takes(run.order.skill === "slow" ? 2_000 : 1);
  return completedAnswer;
};

describe("what a worker takes of several skills", () => {
  test("is what the one that messages come for can begin, however many others wait for theirs", async () => {
    const world = new World({ skills, broker: { latencyMs: 20 } });
    const { executor } = await world.start({ intake, inFlightMax: 10_000 });
    executor.script = script;
    for (let event = 0; event < 4_000; event += 1) world.send(world.message(`e${event}`, "quick"));
    await world.clock.advance(2_000);
    assert.equal(world.broker.stored.filter((one) => one.state === "completed").length, 4_000);
  });

  test("is not postponed where slow work is mixed in by chance", async () => {
    const world = new World({ skills, broker: { latencyMs: 20 } });
    const { executor, telemetry } = await world.start({ intake, inFlightMax: 10_000 });
    executor.script = script;
    for (let event = 0; event < 2_000; event += 1) world.send(world.message(`e${event}`, event % 20 === 0 ? "slow" : "quick"));
    await world.clock.advance(60_000);
    assert.equal(world.broker.stored.filter((one) => one.state === "completed").length, 2_000);
    assert.deepEqual(telemetry.outcomes.filter((outcome) => outcome === "postponed").length, 0);
  });
});

describe("a worker whose store is far away", () => {
  test("has as many calls on their way to it as it takes at once", async () => {
    const world = new World({ skills: [skillPolicy("task")], broker: { latencyMs: 40 }, storeLatencyMs: 40 });
    let inFlight = 0;
    let most = 0;
    const measured = (store: RunStore): RunStore => {
      const claim = store.claim.bind(store);
      return Object.assign(store, {
        callsAtOnce: 6,
        claim(...args: Parameters<RunStore["claim"]>) {
          inFlight += 1;
          most = Math.max(most, inFlight);
          return claim(...args).finally(() => (inFlight -= 1));
        },
      });
    };
    const { executor } = await world.start({ intake, inFlightMax: 10_000, measured });
    executor.script = script;
    for (let event = 0; event < 20_000; event += 1) world.send(world.message(`e${event}`, "task"));
    await world.clock.advance(1_500);
    assert.ok(most > 2 && most <= 6, `${most} at once`);
  });
});

describe("messages of a skill of which a worker holds what it can begin soon", () => {
  test("come back one after the other, and not all of them again and again", async () => {
    const world = new World({ skills, broker: { latencyMs: 2 } });
    const { executor, telemetry } = await world.start({ intake, inFlightMax: 10_000 });
    executor.script = script;
    for (let event = 0; event < 8_000; event += 1) world.send(world.message(`e${event}`, event % 4 === 0 ? "slow" : "quick"));
    await world.clock.advance(30_000);
    const postponed = telemetry.outcomes.filter((outcome) => outcome === "postponed").length;
    const completed = telemetry.outcomes.filter((outcome) => outcome === "completed").length;
    // A hundred slots and two seconds each: fifty of the slow ones a second, as long as there are any.
    assert.ok(completed >= 6_000 + 0.8 * 50 * 28, `${completed} completed`);
    // Two copies of each of the slow ones, and half of them once more.
    assert.ok(postponed <= 5_000, `${postponed} postponed`);
  });

  test("are read no further than to their skill, and go out together", async () => {
    let hashed = 0;
    const hashPayload = createPayloadHash(defaultDecodeLimits);
    const world = new World({ skills, broker: { latencyMs: 2 } });
    const { executor, telemetry, connection } = await world.start({
      intake,
      inFlightMax: 10_000,
      hashPayload: (...parts) => {
        hashed += 1;
        return hashPayload(...parts);
      },
    });
    executor.script = script;
    let calls = 0;
    const send = connection.send.bind(connection);
    connection.send = (entity, messages) => {
      calls += 1;
      return send(entity, messages);
    };
    for (let event = 0; event < 8_000; event += 1) world.send(world.message(`e${event}`, event % 4 === 0 ? "slow" : "quick"));
    await world.clock.advance(1_500);
    const postponed = telemetry.outcomes.filter((outcome) => outcome === "postponed").length;
    assert.ok(postponed >= 1_000, `${postponed} postponed`);
    assert.ok(hashed <= executor.posted.length + 200, `${hashed} payloads read for ${executor.posted.length} runs`);
    assert.ok(calls <= postponed / 80, `${calls} calls for ${postponed} copies`);
  });

  test("come back soon once the others are gone, however slow their runs were beside them", async () => {
    const world = new World({ skills: [skillPolicy("quick"), skillPolicy("slow", { concurrentMax: 5 })], broker: { latencyMs: 2 } });
    const { executor, telemetry } = await world.start({ intake, inFlightMax: 10_000 });
    const ended = (): number => telemetry.outcomes.filter((outcome) => outcome === "completed").length;
    // As where all of them share too few cores.
    executor.script = async (run) => {
      await run.takes(run.order.skill === "quick" || ended() > 6_000 ? 1 : 2_000);
      return completedAnswer;
    };
    for (let event = 0; event < 8_000; event += 1) world.send(world.message(`e${event}`, event % 4 === 0 ? "slow" : "quick"));
    await world.clock.advance(20_000);
    assert.equal(ended(), 8_000);
  });
});

describe("how many runs of a skill are under way", () => {
  test("does not count those that only wait for their checkpoints", async () => {
    const world = new World({ skills: [skillPolicy("task")], broker: { latencyMs: 10 }, storeLatencyMs: 10 });
    const { executor } = await world.start({ intake, inFlightMax: 10_000 });
    executor.script = async (run) => {
      for (const name of ["one", "two", "three"]) await run.step(name, { kind: "idempotent", takesMs: 1 });
      return completedAnswer;
    };
    for (let event = 0; event < 6_000; event += 1) world.send(`e${event}`);
    await world.clock.advance(1_500);
    // A hundred at once that take more than 60 ms each would be 1 600 a second.
    const completed = world.broker.stored.filter((one) => one.state === "completed").length;
    assert.ok(completed >= 3_000, `${completed} completed`);
  });

  test("is bounded, and no more is held for those that wait for it than can begin soon", async () => {
    const world = new World({ skills: [skillPolicy("task", { concurrentMax: 5 })] });
    const { executor, worker } = await world.start({ intake, inFlightMax: 10_000 });
    executor.script = async (run) => {
      await run.takes(2_000);
      return completedAnswer;
    };
    for (let event = 0; event < 1_000; event += 1) world.send(`e${event}`);
    await world.clock.advance(1_900);
    const [view] = worker.view().intake;
    assert.equal(view?.running, 5);
    assert.ok(view.held <= 16, `${view.held} held`);
  });

  test("is held only as far as it begins within a third of a lock, however long a wait is allowed", async () => {
    const heldWith = async (lockMs: number): Promise<number> => {
      const world = new World({ skills: [skillPolicy("task", { concurrentMax: 1 })], broker: { lockMs } });
      const { executor, worker } = await world.start({ intake: { ...intake, start: 15, waitMaxMs: 1_600 }, inFlightMax: 10_000 });
      executor.script = async (run) => {
        await run.takes(100);
        return completedAnswer;
      };
      for (let event = 0; event < 200; event += 1) world.send(`e${event}`);
      await world.clock.advance(10_000);
      return worker.view().intake[0]?.held ?? 0;
    };
    // Those that end within half of the time, or a little more.
    assert.deepEqual([await heldWith(30_000), await heldWith(3_000)], [9, 5]);
  });
});
