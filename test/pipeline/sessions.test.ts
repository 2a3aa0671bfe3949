import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { SessionsSettings } from "#runtime/core/config/sessions.ts";
import { ConfigurationError } from "#runtime/core/errors.ts";
import { skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, type Script } from "../support/scripted-executor.ts";

const settings: SessionsSettings = { concurrentMax: 2, idleMs: 1_000, turnMs: 10_000, onFailure: "block" };
const skills = [skillPolicy("task", { timeoutMs: 600_000 })];
const takes =
  (durationMs: number): Script =>
  async (run) => {
    await run.takes(durationMs);
    return completedAnswer;
  };

function newWorld(lockMs = 30_000): World {
  return new World({ skills, broker: { requiresSessions: true, lockMs } });
}

const eventsOf = (session: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${session}${index}`);

describe("sessions", () => {
  test("are worked one message at a time in the order of the queue, as many at once as there are places", async () => {
    const world = newWorld();
    const { executor } = await world.start({ sessions: settings });
    let mostAtOnce = 0;
    executor.script = async (run) => {
      mostAtOnce = Math.max(mostAtOnce, executor.running.length);
      assert.equal(executor.running.filter(({ eventId }) => eventId[0] === run.eventId[0]).length, 1);
      await run.takes(20);
      return completedAnswer;
    };
    for (let index = 0; index < 5; index += 1) for (const session of ["a", "b", "c", "d"]) world.send(...world.inSession(session, `${session}${index}`));
    await world.clock.advance(10_000);
    assert.equal(mostAtOnce, 2);
    for (const session of ["a", "b", "c", "d"]) {
      const posted = executor.posted.map((order) => order.route.eventId).filter((eventId) => eventId.startsWith(session));
      assert.deepEqual(posted, eventsOf(session, 5));
    }
    assert.ok(world.broker.stored.every(({ state, failedDeliveries }) => state === "completed" && failedDeliveries === 0));
  });

  test("are let go when nothing comes for a while, and sooner when another waits for the place", async () => {
    const world = newWorld();
    await world.start({ sessions: { ...settings, concurrentMax: 1 } });
    const held = (): readonly string[] => [...(world.broker.sessions?.held.keys() ?? [])];
    world.send(...world.inSession("a", "a0"));
    await world.clock.advance(900);
    assert.deepEqual([held(), world.statesOf("a0")], [["a"], ["completed"]]);
    await world.clock.advance(300);
    assert.deepEqual(held(), []);
    world.send(...world.inSession("a", "a1"));
    await world.clock.advance(200);
    world.send(...world.inSession("b", "b0"));
    await world.clock.advance(100);
    assert.deepEqual([held(), world.statesOf("b0")], [["b"], ["completed"]]);
  });

  test("give way after their turn when others wait, and go on when nobody does", async () => {
    const world = newWorld();
    const { executor } = await world.start({ sessions: { ...settings, concurrentMax: 1, turnMs: 2_000 } });
    executor.script = takes(100);
    world.send(...world.inSession("a", ...eventsOf("a", 100)));
    await world.clock.advance(5_000);
    assert.equal(world.broker.sessions?.accepted, 1);
    world.send(...world.inSession("b", ...eventsOf("b", 5)), ...world.inSession("c", ...eventsOf("c", 5)));
    await world.clock.advance(2_000);
    assert.ok([...eventsOf("b", 5), ...eventsOf("c", 5)].every((event) => world.statesOf(event)[0] === "completed"));
    await world.clock.until("the rest", () => world.broker.open.length === 0, 20_000);
    assert.deepEqual(
      executor.posted.map((order) => order.route.eventId).filter((eventId) => eventId.startsWith("a")),
      eventsOf("a", 100),
    );
  });

  test("end in their turn beside one that is endless: short ones take no more than twice the time that they take alone", async () => {
    const elapsed = async (isBesideEndless: boolean): Promise<number> => {
      const world = newWorld();
      const { executor } = await world.start({ sessions: { ...settings, turnMs: 1_000 } });
      executor.script = takes(20);
      if (isBesideEndless) world.send(...world.inSession("endless", ...eventsOf("z", 2_000)));
      await world.clock.advance(500);
      const short = Array.from({ length: 50 }, (_, session) => eventsOf(`s${session}-`, 4));
      short.forEach((events, session) => world.send(...world.inSession(`s${session}`, ...events)));
      const startMs = world.clock.monotonicMs();
      const isOver = (): boolean => world.broker.stored.every(({ message, state }) => message.sessionId === "endless" || state === "completed");
      await world.clock.until("the short sessions to end", isOver, 120_000, 10);
      return world.clock.monotonicMs() - startMs;
    };
    const [alone, beside] = [await elapsed(false), await elapsed(true)];
    assert.ok(beside <= 2 * alone, `expected at most twice ${alone} ms, found ${beside} ms`);
  });

  test("are kept locked through a long run and a long wait for the next message, at no cost of a delivery", async () => {
    const world = newWorld(4_000);
    const { executor } = await world.start({ sessions: { ...settings, idleMs: 60_000 } });
    executor.script = takes(30_000);
    world.send(...world.inSession("a", "a0"));
    await world.clock.advance(70_000);
    world.send(...world.inSession("a", "a1"));
    await world.clock.advance(31_000);
    assert.deepEqual([world.statesOf("a0"), world.statesOf("a1"), world.broker.sessions?.accepted], [["completed"], ["completed"], 1]);
    assert.ok(world.broker.stored.every(({ failedDeliveries }) => failedDeliveries === 0));
  });

  test("go to another worker when theirs stops, with the message that had not ended first", async () => {
    const world = newWorld();
    const first = await world.start({ sessions: settings });
    first.executor.script = async (run) => {
      await run.step("one");
      await run.takes(5_000);
      await run.step("two");
      return completedAnswer;
    };
    world.send(...world.inSession("a", "a0", "a1"));
    await world.clock.advance(1_000);
    const second = await world.start({ sessions: settings });
    await world.clock.finish("the first to stop", first.worker.stop(2_000));
    await world.clock.advance(10_000);
    assert.deepEqual(
      second.executor.posted.map(({ route, steps }) => [route.eventId, steps.length]),
      [
        ["a0", 1],
        ["a1", 0],
      ],
    );
    assert.ok(world.broker.stored.every(({ state, failedDeliveries }) => state === "completed" && failedDeliveries === 0));
  });

  test("are not taken while the store is down, and are worked when it is back", async () => {
    const world = newWorld();
    const { store, telemetry } = await world.start({ sessions: settings });
    store.isDown = true;
    world.send(...world.inSession("a", "a0", "a1"));
    await world.clock.advance(5_000);
    world.send(...world.inSession("b", "b0"));
    await world.clock.advance(5_000);
    assert.deepEqual(telemetry.outcomes, []);
    store.isDown = false;
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 30_000);
    assert.deepEqual(telemetry.outcomes, ["completed", "completed", "completed"]);
  });

  test("end the start when the entity has none, and where it requires some and none are configured", async () => {
    const plain = new World({ skills });
    await assert.rejects(plain.start({ sessions: settings }), (error) => {
      assert.ok(error instanceof ConfigurationError);
      assert.match(error.message, /^expected work to require sessions, as 'sessions' is configured for it, found that it has none; /);
      return true;
    });
    await assert.rejects(
      newWorld().start(),
      /^ConfigurationError: expected sessions to be configured for work, which requires them, found no key 'sessions'; /,
    );
  });
});
