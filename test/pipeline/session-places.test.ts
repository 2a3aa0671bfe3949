// What a session keeps of its worker, and for how long: a place, its lock, memory, timers.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { SessionsSettings } from "#runtime/core/config/sessions.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { TransportError } from "#runtime/core/errors.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import { type Process, skillPolicy, type WorkerOverrides, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

const settings: SessionsSettings = { concurrentMax: 2, idleMs: 1_000, turnMs: 10_000, onFailure: "block" };
const retry = { ...defaultRetryPolicy, immediateMax: 0, jitter: "none" as const };
const skills = [skillPolicy("task", { retry, timeoutMs: 600_000 })];
const mb = 1024 * 1024;
const ofAnySize: WorkerOverrides = { readRoute: (delivery) => readRoute(delivery, { ...defaultDecodeLimits, bodyBytesMax: 100 * mb }) };

function newWorld(options: ConstructorParameters<typeof World>[0] = {}): World {
  return new World({ skills, ...options, broker: { requiresSessions: true, ...options.broker } });
}

function sized(world: World, eventId: string, bytes: number): OutgoingMessage {
  return world.message(eventId, "task", { text: "x".repeat(bytes) });
}

const sessionsOf = ({ worker }: Process): unknown => worker.view().sources[0]?.sessions;

/** What the worker waits for: how long each timer that is pending was set for. */
function pendingOf({ clock }: Process): () => number[] {
  const pending = new Map<object, number>();
  const after = clock.after.bind(clock);
  clock.after = (delayMs, action) => {
    const key = {};
    pending.set(key, delayMs);
    const timer = after(delayMs, () => {
      pending.delete(key);
      action();
    });
    return {
      cancel: () => {
        pending.delete(key);
        timer.cancel();
      },
    };
  };
  return () => [...pending.values()];
}

/** The time of a run is the test's own executor's timer. */
const timeoutMs = skills[0]?.timeoutMs;

describe("a session that waits for its next try", () => {
  test("leaves no timer behind when its worker stops", async () => {
    const world = newWorld();
    let pending = (): number[] => [];
    const { worker, executor } = await world.start({ sessions: settings }, (process) => {
      pending = pendingOf(process);
    });
    executor.script = () => failedAnswer();
    world.send(...world.inSession("a", "a0"));
    await world.clock.advance(5_000);
    await world.clock.finish("the worker to stop", worker.stop(5_000));
    assert.deepEqual(
      pending().filter((delayMs) => delayMs !== timeoutMs),
      [],
    );
  });

  test("leaves neither timer nor message behind when it is let go for others, and does not keep the rest from working", async () => {
    const world = newWorld();
    let pending = (): number[] => [];
    const process = await world.start({ sessions: settings }, (started) => {
      pending = pendingOf(started);
    });
    process.executor.script = (run) => (run.eventId.startsWith("b") ? failedAnswer() : completedAnswer);
    for (let index = 0; index < 100; index += 1) world.send(...world.inSession(`b${index}`, `b${index}`));
    for (let second = 0; second < 60; second += 1) {
      world.send(...world.inSession(`good${second % 3}`, `good${second}`));
      await world.clock.advance(1_000);
    }
    const resting = pending().filter((delayMs) => delayMs > 2_000 && delayMs !== timeoutMs).length;
    assert.ok(resting <= 66, `expected no more than 64 sessions to wait, found ${resting} timers`);
    const good = world.broker.stored.filter(({ message, state }) => message.sessionId?.startsWith("good") && state === "completed").length;
    assert.ok(good >= 50, `expected what does not fail to pass within some seconds, found ${good} of 60`);
  });

  test("does not keep what passes from its turn, though hundreds of others wait", async () => {
    const world = newWorld();
    const { executor } = await world.start({ sessions: settings, inFlightMax: 10_000 });
    const tried = new Set<string>();
    executor.script = (run) => {
      tried.add(run.eventId);
      return run.eventId.startsWith("b") ? failedAnswer() : completedAnswer;
    };
    for (let index = 0; index < 300; index += 1) world.send(...world.inSession(`b${index}`, `b${index}`));
    world.send(...world.inSession("good", "good"));
    await world.clock.until("all to be tried", () => tried.size === 301, 60_000);
    await world.clock.advance(15_000);
    // Whoever was let go last is the last to be accepted again.
    const waits: number[] = [];
    for (let index = 0; index < 3; index += 1) {
      await world.clock.until("its session to be free", () => world.broker.sessions?.held.has("good") !== true, 30_000);
      const sentMs = world.clock.monotonicMs();
      world.send(...world.inSession("good", `good${index}`));
      await world.clock.until("it to pass", () => world.statesOf(`good${index}`)[0] === "completed", 30_000);
      waits.push(world.clock.monotonicMs() - sentMs);
    }
    assert.ok(Math.max(...waits) < 3_000, `expected each to pass within 3 s, took ${waits.join(", ")} ms`);
  });

  test("holds up no other source by its bytes, nor a message that is larger than all of them", async () => {
    const world = newWorld({ furtherQueues: ["plain"] });
    const { executor, worker } = await world.start({ sessions: settings, heldBytesMax: 4 * mb, ...ofAnySize });
    executor.script = (run) => (run.eventId.startsWith("large") ? failedAnswer() : completedAnswer);
    for (let index = 0; index < 12; index += 1) world.send({ ...sized(world, `large${index}`, mb / 4), sessionId: `s${index}` });
    await world.clock.advance(5_000);
    assert.ok(worker.view().heldBytes >= mb && worker.view().heldBytes <= 3 * mb, `held ${worker.view().heldBytes}`);
    world.sendTo("plain", "plain");
    world.broker.accept("plain", [sized(world, "giant", 5 * mb)]);
    await world.clock.advance(5_000);
    assert.deepEqual(
      world.further.get("plain")?.broker.stored.map(({ state }) => state),
      ["completed", "completed"],
    );
    executor.script = () => completedAnswer;
    await world.clock.until("all to pass", () => world.broker.open.length === 0, 120_000);
    assert.equal(worker.view().heldBytes, 0);
  });

  test("counts what it sends once, however often that is tried", async () => {
    const world = newWorld();
    const down = async (): Promise<void> => {
      throw new TransportError("expected the messages to be taken, they were refused");
    };
    const publisher: Publisher = { start: async () => undefined, stop: async () => undefined, send: down };
    const { worker, executor } = await world.start({ sessions: settings, publisher });
    executor.script = () => ({ kind: "completed", outbox: [{ messageId: "out", body: new Uint8Array(10_000), headers: { eventType: "Done" } }] });
    world.send(...world.inSession("a", "a0"));
    await world.clock.advance(20_000);
    const { heldBytes } = worker.view();
    await world.clock.advance(300_000);
    assert.deepEqual([heldBytes > 20_000, worker.view().heldBytes], [true, heldBytes]);
  });

  test("takes no place of another session by a duplicate of its message there", async () => {
    const world = newWorld();
    const process = await world.start({ sessions: { ...settings, concurrentMax: 1 } });
    process.executor.script = async (run) => {
      if (run.eventId !== "same") return completedAnswer;
      await run.takes(500);
      return failedAnswer();
    };
    for (const session of ["a", "b"]) world.send({ ...world.message("same"), sessionId: session });
    await world.clock.advance(1_000);
    world.send({ ...world.message("same"), sessionId: "c" }, ...world.inSession("d", "d0"));
    await world.clock.advance(10_000);
    assert.deepEqual([world.statesOf("d0"), sessionsOf(process)], [["completed"], { accepted: 3, idle: 0, waiting: 0, resting: 3 }]);
    assert.equal(process.executor.posted.filter(({ route }) => route.eventId === "same").length, 1, "expected nobody to go before its pause is over");
    process.executor.script = () => completedAnswer;
    await world.clock.until("all to pass", () => world.broker.open.length === 0, 120_000);
    assert.equal(process.executor.posted.filter(({ route }) => route.eventId === "same").length, 2);
  });

  test("goes on when its pause is over though others keep their places without a message", async () => {
    const world = newWorld();
    const process = await world.start({ sessions: { ...settings, concurrentMax: 1, idleMs: 3_600_000, turnMs: 3_600_000 } });
    let fails = 1;
    process.executor.script = (run) => (run.eventId === "a0" && (fails -= 1) >= 0 ? failedAnswer() : completedAnswer);
    world.send(...world.inSession("a", "a0"));
    await world.clock.advance(500);
    world.send(...world.inSession("b", "b0"));
    await world.clock.advance(32_000);
    assert.deepEqual([world.statesOf("a0"), world.statesOf("b0")], [["completed"], ["completed"]]);
  });
});

test("accepts that the broker answers again are told to have recovered, though no session comes", async () => {
  const world = newWorld();
  const { connection, telemetry } = await world.start({ sessions: settings }, (process) => {
    process.connection.isDown = true;
  });
  await world.clock.until("a disturbance", () => telemetry.types().includes("transport.disturbed"), 5_000);
  connection.isDown = false;
  await world.clock.until("it to be over", () => telemetry.types().includes("transport.recovered"), 60_000);
  await world.clock.advance(120_000);
  assert.equal(telemetry.types().filter((type) => type === "transport.recovered").length, 1);
});

test("accepts that are refused all at once count as one refusal", async () => {
  const world = newWorld();
  let isRefused = false;
  const waiting = new Set<PromiseWithResolvers<never>>();
  const askedAtMs: number[] = [];
  const disabled = new TransportError("expected letters to be enabled, found that it is disabled", { entityTrouble: "disabled" });
  const { worker } = await world.start({ sessions: { ...settings, concurrentMax: 8, idleMs: 0 } }, ({ connection }) => {
    const accept = connection.acceptSession.bind(connection);
    connection.acceptSession = (waitMs) => {
      if (isRefused) {
        askedAtMs.push(world.clock.monotonicMs());
        return Promise.reject(disabled);
      }
      const refusal = Promise.withResolvers<never>();
      waiting.add(refusal);
      return Promise.race([accept(waitMs), refusal.promise]).finally(() => waiting.delete(refusal));
    };
  });
  for (const session of "abcdefgh") world.send(...world.inSession(session, `${session}0`));
  await world.clock.until("all to pass, and others to be waited for", () => world.broker.open.length === 0 && waiting.size === 8, 60_000);
  isRefused = true;
  for (const { reject } of waiting) reject(disabled);
  await world.clock.advance(1_000);
  const pausesMs = askedAtMs.slice(1).map((atMs, index) => atMs - (askedAtMs[index] ?? 0));
  assert.deepEqual(pausesMs.slice(0, 3), [100, 200, 400]);
  await world.clock.finish("the worker to stop", worker.stop(5_000));
});

test("a turn that ends while accepts are refused leaves the pause before the next one as it is", async () => {
  const world = newWorld();
  let isRefused = false;
  const askedAtMs: number[] = [];
  const { worker, executor } = await world.start({ sessions: { ...settings, concurrentMax: 1, turnMs: 1_000 } }, ({ connection }) => {
    const accept = connection.acceptSession.bind(connection);
    connection.acceptSession = (waitMs) => {
      if (!isRefused) return accept(waitMs);
      askedAtMs.push(world.clock.monotonicMs());
      return Promise.reject(new TransportError("expected letters to be enabled, found that it is disabled", { entityTrouble: "disabled" }));
    };
  });
  executor.script = async (run) => {
    await run.takes(8_000);
    return completedAnswer;
  };
  world.send(...world.inSession("a", "a0"), ...world.inSession("b", "b0"));
  await world.clock.advance(3_500);
  assert.equal(world.broker.sessions?.accepted, 2, "expected the second one to have been had, and let go for want of a place");
  isRefused = true;
  await world.clock.until("the first to end", () => world.statesOf("a0")[0] === "completed", 10_000);
  await world.clock.advance(10_000);
  const pausesMs = askedAtMs.slice(1).map((atMs, index) => atMs - (askedAtMs[index] ?? 0));
  assert.deepEqual(pausesMs, [50, 100, 200, 400, 800, 1_600, 3_200, 6_400]);
  await world.clock.finish("the worker to stop", worker.stop(5_000));
});

describe("a session that was accepted", () => {
  test("is not let go before its message can have come, however short its idle time and far the broker", async () => {
    const world = newWorld({ broker: { latencyMs: 80 } });
    await world.start({ sessions: { ...settings, idleMs: 0 } });
    world.send(...world.inSession("a", "a0", "a1", "a2"));
    await world.clock.advance(5_000);
    assert.deepEqual(
      ["a0", "a1", "a2"].flatMap((event) => world.statesOf(event)),
      ["completed", "completed", "completed"],
    );
    assert.ok((world.broker.sessions?.accepted ?? 0) <= 2, `accepted ${world.broker.sessions?.accepted} times`);
    assert.equal(world.broker.sessions?.held.size, 0);
  });

  test("goes to a worker that has a place for it when its own has none for long", async () => {
    const world = newWorld();
    const options = { sessions: { ...settings, concurrentMax: 1, turnMs: 1_000 } };
    const first = await world.start(options);
    first.executor.script = async (run) => {
      await run.takes(300_000);
      return completedAnswer;
    };
    world.send(...world.inSession("a", "a0", "a1"));
    await world.clock.advance(3_000);
    world.send(...world.inSession("b", "b0"));
    await world.clock.advance(1_000);
    assert.deepEqual(sessionsOf(first), { accepted: 2, idle: 0, waiting: 1, resting: 0 });
    const second = await world.start(options);
    await world.clock.advance(5_000);
    assert.deepEqual([world.statesOf("b0"), second.executor.posted.length], [["completed"], 1]);
    // Alone, the first gives way to those that it had to let go.
    await world.clock.finish("the second to stop", second.worker.stop(1_000));
    world.send(...world.inSession("c", "c0"));
    await world.clock.advance(310_000);
    assert.deepEqual(
      first.executor.posted.map(({ route }) => route.eventId),
      ["a0", "c0"],
    );
  });

  test("whose message waits for room for its bytes says nothing of the broker's time", async () => {
    const world = newWorld();
    for (let index = 0; index < 12; index += 1) world.send({ ...sized(world, `s${index}`, mb), sessionId: `s${index % 2}` });
    await world.clock.advance(60_000);
    const { executor, telemetry } = await world.start({ sessions: settings, heldBytesMax: 2 * mb, ...ofAnySize });
    executor.script = async (run) => {
      await run.takes(400);
      return completedAnswer;
    };
    await world.clock.advance(20_000);
    assert.deepEqual([world.broker.open.length, telemetry.types().filter((type) => type === "clock.skewed")], [0, []]);
  });
});
