import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { SessionsSettings } from "#runtime/core/config/sessions.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import { dependencyPolicy, type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer, type ScriptedRun } from "../support/scripted-executor.ts";

const settings: SessionsSettings = { concurrentMax: 2, idleMs: 1_000, turnMs: 10_000, onFailure: "block" };
const retry = { ...defaultRetryPolicy, attemptsMax: 3, immediateMax: 0, baseDelayMs: 2_000, delayFactor: 2, delayMaxMs: 60_000, jitter: "none" as const };
const skills = [skillPolicy("task", { retry, timeoutMs: 600_000 })];

function newWorld(options: ConstructorParameters<typeof World>[0] = {}): World {
  return new World({ skills, ...options, broker: { requiresSessions: true, ...options.broker } });
}

/** Fails as often as is said of an event, then passes. */
function failing(times: Readonly<Record<string, number>>, code = "EFAILED", retryable?: boolean): (process: Process) => void {
  const left = new Map(Object.entries(times));
  return ({ executor }) => {
    executor.script = (run) => {
      const failures = left.get(run.eventId) ?? 0;
      left.set(run.eventId, failures - 1);
      return failures > 0 ? failedAnswer(code, {}, retryable) : completedAnswer;
    };
  };
}

const posted = ({ executor }: Process): string[] => executor.posted.map(({ route }) => route.eventId);
const copies = (world: World): number => world.broker.stored.filter(({ message }) => message.scheduledAtMs !== undefined).length;

describe("the order of a session", () => {
  test("waits for a message that fails, with growing pauses and past its attempts, while other sessions go on", async () => {
    const world = newWorld();
    const process = await world.start({ sessions: { ...settings, concurrentMax: 1 } }, failing({ a0: 5 }));
    world.send(...world.inSession("a", "a0", "a1"));
    await world.clock.advance(500);
    world.send(...world.inSession("b", "b0", "b1"));
    await world.clock.advance(1_000);
    assert.deepEqual(posted(process), ["a0", "b0", "b1"], "expected a session that waits to have no place");
    // 2, 4, 8, 16 and 32 s.
    await world.clock.advance(60_000);
    assert.equal(posted(process).filter((event) => event === "a0").length, 5);
    await world.clock.advance(4_000);
    assert.deepEqual(posted(process).slice(-2), ["a0", "a1"]);
    assert.deepEqual([copies(world), (await world.record("a0")).failures], [0, 5]);
    assert.ok(world.broker.stored.every(({ state, failedDeliveries }) => state === "completed" && failedDeliveries === 0));
  });

  test("waits also for what its skill says can never pass: a new version may let it", async () => {
    const world = newWorld();
    const process = await world.start({ sessions: settings }, failing({ a0: 2 }, "REFUSED", false));
    world.send(...world.inSession("a", "a0", "a1"));
    await world.clock.advance(10_000);
    assert.deepEqual(posted(process), ["a0", "a0", "a0", "a1"]);
    assert.deepEqual(world.broker.deadLettered, []);
  });

  test("goes on behind a message that was given up, whose dead letter names the session", async () => {
    const world = newWorld();
    const process = await world.start({ sessions: { ...settings, onFailure: "skip" } }, failing({ a0: 9, a2: 1 }));
    world.send(...world.inSession("a", "a0", "a1", "a2", "a3"));
    await world.clock.advance(30_000);
    assert.deepEqual(posted(process), ["a0", "a0", "a0", "a1", "a2", "a2", "a3"]);
    const [dead, ...others] = world.broker.deadLettered;
    assert.deepEqual([dead?.message.headers["eventId"], dead?.reason, dead?.properties["holdfast-dead-session"], others], ["a0", "RetriesExhausted", "a", []]);
    assert.match(String(dead?.properties["DeadLetterErrorDescription"]), /\(session 'a'\)$/);
    assert.equal(copies(world), 0);
  });

  test("keeps count of attempts and pause when another worker takes the session over", async () => {
    const world = newWorld();
    const first = await world.start({ sessions: settings }, failing({ a0: 9 }));
    world.send(...world.inSession("a", "a0", "a1"));
    // Tried at 0, 2 and 6 s; the fourth time is due at 14 s.
    await world.clock.advance(7_000);
    const second = await world.start({ sessions: settings });
    await world.clock.finish("the first to stop", first.worker.stop(1_000));
    await world.clock.advance(5_000);
    assert.deepEqual(posted(second), []);
    await world.clock.advance(3_000);
    assert.deepEqual(
      [posted(first), posted(second)],
      [
        ["a0", "a0", "a0"],
        ["a0", "a1"],
      ],
    );
    assert.equal(second.executor.posted[0]?.attempt, 4);
    assert.ok(world.broker.stored.every(({ failedDeliveries }) => failedDeliveries === 0));
  });

  test("is kept by no more locks than places and some: of many that wait the longest are let go, and wait on", async () => {
    const world = newWorld();
    const sessions = Array.from({ length: 90 }, (_, index) => `s${index}`);
    const process = await world.start({ sessions: settings }, failing(Object.fromEntries(sessions.map((id) => [`${id}-0`, 4]))));
    for (const id of sessions) world.send(...world.inSession(id, `${id}-0`, `${id}-1`));
    await world.clock.advance(5_000);
    assert.ok((world.broker.sessions?.held.size ?? 0) <= 64 + 3, `found ${world.broker.sessions?.held.size} sessions held`);
    await world.clock.until("all to pass", () => world.broker.open.length === 0, 300_000);
    for (const id of sessions) {
      const events = posted(process).filter((event) => event.startsWith(`${id}-`));
      assert.deepEqual(events, [...Array.from({ length: 5 }, () => `${id}-0`), `${id}-1`]);
    }
    assert.ok(world.broker.stored.every(({ failedDeliveries }) => failedDeliveries === 0));
  });

  test("waits in place for a full lane and an open circuit", async () => {
    const world = newWorld({
      skills: [skillPolicy("task", { retry, uses: [0] }), skillPolicy("free")],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1, queueMax: 0 })],
    });
    const process = await world.start({ sessions: settings });
    process.executor.script = async (run: ScriptedRun) => {
      await run.takes(run.order.skill === "task" ? 3_000 : 10);
      return completedAnswer;
    };
    const free = (eventId: string, sessionId: string): ReturnType<World["message"]> => ({ ...world.message(eventId, "free"), sessionId });
    world.send(...world.inSession("a", "a0"), ...world.inSession("b", "b0"), free("a1", "a"), free("b1", "b"), free("c0", "c"));
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("c0"), ["completed"], "expected what waits for the lane to have no place");
    await world.clock.advance(20_000);
    assert.deepEqual([world.broker.open.length, copies(world)], [0, 0]);
    for (const session of ["a", "b"])
      assert.deepEqual(
        posted(process).filter((event) => event.startsWith(session)),
        [`${session}0`, `${session}1`],
      );
  });

  test("survives a lost session: its run stops before its next effect, and the next holder goes on from there", async () => {
    const world = newWorld({ broker: { lockMs: 4_000 } });
    const first = await world.start({ sessions: settings });
    const effects: string[] = [];
    const prepare = (process: Process): void => {
      process.executor.effect = (run, step) => effects.push(`${run.eventId} ${step}`);
      process.executor.script = async (run) => {
        await run.step("one");
        await run.takes(process === first ? 2_000 : 0);
        await run.step("two");
        return completedAnswer;
      };
    };
    prepare(first);
    world.send(...world.inSession("a", "a0", "a1"));
    await world.clock.advance(500);
    const second = await world.start({ sessions: settings });
    prepare(second);
    world.broker.sessions?.held.get("a")?.lose("expired");
    await world.clock.advance(20_000);
    assert.deepEqual(effects, ["a0 one", "a0 two", "a1 one", "a1 two"]);
    assert.deepEqual([world.statesOf("a0"), world.statesOf("a1")], [["completed"], ["completed"]]);
    assert.ok(first.telemetry.types().includes("lock.lost"));
  });

  test("lets no effect begin once the session is lost, not inside of a step or outside of any either", async () => {
    const world = newWorld();
    const process = await world.start({ sessions: settings });
    const effects: string[] = [];
    process.executor.effect = ({ order }, effect) => effects.push(`${order.epoch} ${effect}`);
    process.executor.script = async (run) => {
      run.acts("first");
      await run.takes(1_000);
      run.acts("second");
      return completedAnswer;
    };
    world.send(...world.inSession("a", "a0"));
    await world.clock.advance(500);
    world.broker.sessions?.held.get("a")?.lose("expired");
    await world.clock.advance(5_000);
    assert.deepEqual(effects, ["1 first", "2 first", "2 second"]);
  });

  test("gets a message again of which it is not sure that it is settled, before it begins the next", async () => {
    const world = newWorld();
    const process = await world.start({ sessions: settings });
    process.brokerFaults.set("settle-lost", 1);
    process.called = (call) => {
      if (call === "complete") world.clock.after(world.broker.latencyMs + 1, () => process.brokerFaults.off());
    };
    world.send(...world.inSession("a", "a0", "a1"));
    await world.clock.advance(2_000);
    assert.deepEqual(
      [process.telemetry.outcomes, posted(process)],
      [
        ["completed", "duplicate", "completed"],
        ["a0", "a1"],
      ],
    );
  });

  test("survives settlements that are lost", async () => {
    const world = newWorld();
    const process = await world.start({ sessions: settings });
    process.brokerFaults.set("settle-lost", 0.5);
    const events = Array.from({ length: 30 }, (_, index) => `a${index}`);
    world.send(...world.inSession("a", ...events));
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 600_000);
    assert.deepEqual(posted(process), events);
  });
});
