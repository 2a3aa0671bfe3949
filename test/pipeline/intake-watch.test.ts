// What a worker holds at most, what bounds it, and how its sessions stand, as anyone may see it.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { IntakeBound } from "#runtime/core/catalogue.ts";
import { dependencyPolicy, type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

const intake = { start: 4, floor: 1, ceiling: 10_000, waitMaxMs: 500 };

function told({ telemetry }: Process) {
  return telemetry.events.filter((event) => event.type === "worker.intake");
}

/** A worker with a hundred messages, whose runs take so long. */
async function withBacklog(world: World, runMs: number, overrides: Parameters<World["start"]>[0] = {}): Promise<Process> {
  const process = await world.start({ intake, inFlightMax: 10_000, ...overrides }, ({ executor }) => {
    executor.script = async (run) => {
      await run.takes(runMs);
      return completedAnswer;
    };
  });
  for (let event = 0; event < 100; event += 1) world.send(world.message(`e${event}`, "task", { text: "x".repeat(1_000) }));
  return process;
}

describe("a window that has come to be larger or smaller by half", () => {
  test("is told, with what bounds it and what is held of its source, and again when it has changed as much once more", async () => {
    const world = new World({ skills: [skillPolicy("task"), skillPolicy("other")] });
    const process = await withBacklog(world, 20_000);
    await world.clock.advance(10_000);
    const events = told(process);
    const [first, ...others] = events;
    assert.ok(first !== undefined && first.window >= 6);
    const { type: _type, window: _window, held, ...event } = first;
    assert.deepEqual(event, {
      source: "work",
      skill: "task",
      windowBefore: 4,
      boundBy: "rate",
      heldOfSource: held,
      concurrentMax: 100,
      running: held,
      waiting: 0,
      stillMs: event.stillMs,
      behind: "",
      loopUse: 0,
    });
    for (const [index, { window, windowBefore }] of others.entries()) {
      assert.equal(windowBefore, events[index]?.window);
      assert.ok(Math.abs(window - windowBefore) >= windowBefore / 2, `${windowBefore}, then ${window}`);
    }
    assert.equal(process.worker.view().intake[0]?.window, events.at(-1)?.window);
  });
});

describe("what keeps a worker from taking more", () => {
  /** What is seen while its runs go on. */
  async function seen(world: World, overrides: Parameters<World["start"]>[0] = {}): Promise<IntakeBound | undefined> {
    const { worker } = await withBacklog(world, 20_000, overrides);
    await world.clock.advance(1_000);
    return worker.view().intake[0]?.boundBy;
  }

  test("is the rate where nothing else is", async () => assert.equal(await seen(new World()), "rate"));

  test("is the skill's own limit", async () => assert.equal(await seen(new World({ skills: [skillPolicy("task", { concurrentMax: 3 })] })), "limit"));

  test("is a bulkhead", async () => {
    const world = new World({ skills: [skillPolicy("task", { uses: [0] })], dependencies: [dependencyPolicy("post", { concurrentMax: 3, queueMax: 50 })] });
    assert.equal(await seen(world), "bulkhead");
  });

  test("is memory", async () => {
    assert.equal(await seen(new World(), { heldBytesMax: 10_000 }), "memory");
    assert.equal(await seen(new World(), { memory: () => ({ usedBytes: 99, limitBytes: 100 }) }), "memory");
  });

  test("is the ceiling", async () => assert.equal(await seen(new World(), { inFlightMax: 20 }), "ceiling"));

  test("is the order of sessions, of which each has one message here", async () => {
    const world = new World({ broker: { requiresSessions: true } });
    const sessions = { concurrentMax: 2, idleMs: 600_000, turnMs: 60_000, onFailure: "block" } as const;
    const { executor, worker } = await world.start({ sessions, intake, inFlightMax: 10_000 });
    executor.script = async (run) => {
      await run.takes(10_000);
      return completedAnswer;
    };
    world.send(...world.inSession("a", "a1", "a2"), ...world.inSession("b", "b1"), ...world.inSession("c", "c1"));
    await world.clock.advance(1_000);
    const { intake: places, sources } = worker.view();
    assert.deepEqual([places[0]?.boundBy, places[0]?.held], ["order", 2]);
    assert.deepEqual(sources[0]?.sessions, { accepted: 2, idle: 0, waiting: 0, resting: 0 });
    await world.clock.advance(70_000);
    assert.deepEqual([worker.view().sources[0]?.sessions?.idle, worker.view().intake[0]?.held], [2, 0]);
  });
});

describe("what hangs", () => {
  test("is told once, with what waits for it and where it is, and again only after something has ended", async () => {
    const dependencies = [dependencyPolicy("post", { concurrentMax: 8 }), dependencyPolicy("archive")];
    const world = new World({ skills: [skillPolicy("task", { concurrentMax: 3, uses: [0], timeoutMs: 100_000 })], dependencies });
    const { telemetry, worker, executor } = await world.start({ intake: { ...intake, start: 5, ceiling: 5 }, inFlightMax: 10_000 });
    const still = () => told({ telemetry } as Process).filter(({ stillMs }) => stillMs >= 10_000);
    executor.script = async (run) => {
      await run.takes(run.eventId === "quick" ? 10 : 40_000);
      return completedAnswer;
    };
    world.send("quick");
    await world.clock.advance(5_000);
    world.send("a", "b", "c", "d", "e");
    await world.clock.advance(9_000);
    assert.deepEqual([still(), worker.view().intake[0]?.isStill], [[], false]);
    await world.clock.advance(25_000);
    const [first, ...others] = still();
    assert.deepEqual(others, []);
    assert.deepEqual([first?.running, first?.waiting, first?.behind, first?.boundBy], [3, 2, "post", "limit"]);
    const { isStill, waiting, behind } = worker.view().intake[0]!;
    assert.deepEqual([isStill, waiting, behind], [true, 2, ["post"]]);
    // The first three end, and the others begin.
    await world.clock.advance(10_000);
    assert.equal(worker.view().intake[0]?.isStill, false);
  });
});
