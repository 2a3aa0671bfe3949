// What becomes of an event that was given up: sent again, replayed, or only repeated.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { verdictOf } from "#runtime/core/compensation.ts";
import { deathOfHeaders } from "#runtime/core/death.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { RunAnswer } from "#runtime/core/outcome.ts";
import { createPayloadHash } from "#runtime/core/payload-hash.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import { replayHeader, type ReplayOrder, signReplay } from "#runtime/core/replay-order.ts";
import { defaultRetryPolicy } from "#runtime/core/skill.ts";
import type { Stored } from "#runtime/testing/world/model-queue.ts";
import { type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, type ScriptedRun } from "../support/scripted-executor.ts";

/** More than a lock: after it a message is surely newer than what went before, however far the clocks may be apart. */
const clockMarginMs = 40_000;
const refused = { kind: "failed", failure: { code: "REFUSED", message: "no", step: "pay", at: "index.ts:12:9" }, retryable: false } as const;
const order: ReplayOrder = { id: "replay-1", from: "checkpoint", patched: false, repeatsInDoubt: false, reason: "mended", who: "ada@desk" };

/** Reserves, then is refused while paying. */
async function refusedWhilePaying(run: ScriptedRun): Promise<typeof refused> {
  await run.step("reserve");
  return refused;
}

/** A message as `holdfast dlq replay` sends it. */
async function replayOf(world: World, message: OutgoingMessage, ordered: ReplayOrder = order, secret?: string): Promise<OutgoingMessage> {
  const delivery = { ...message, bodySection: "data", header: (name: string) => message.headers[name], headers: () => message.headers } as never;
  const route = readRoute(delivery, defaultDecodeLimits);
  assert.ok(route.ok);
  const hash = await createPayloadHash(defaultDecodeLimits)(message.body, route);
  const header = signReplay(secret ?? (await world.records.secret()), ordered, String(message.headers["eventId"]), hash);
  return { ...message, headers: { ...message.headers, [replayHeader]: header } };
}

/** What a person takes out of the dead-letter queue and sends as it is. */
function letterOf({ message, properties }: Stored): OutgoingMessage {
  return { ...message, scheduledAtMs: undefined, headers: { ...message.headers, ...properties } };
}

async function deadEvent(world: World, process: Process): Promise<Stored> {
  process.executor.script = refusedWhilePaying;
  world.send("a");
  await world.clock.advance(clockMarginMs);
  const [letter] = world.broker.deadLettered;
  assert.ok(letter !== undefined && letter.reason === "REFUSED", "expected a dead letter");
  process.executor.script = () => completedAnswer;
  return letter;
}

describe("a dead letter", () => {
  test("carries class, code, step, attempt, skill, its version, fingerprint and trace, and so does the run's record", async () => {
    const world = new World();
    const process = await world.start();
    process.executor.script = refusedWhilePaying;
    world.send(world.message("a", "task", {}, { traceId: "trace-1" }));
    await world.clock.advance(clockMarginMs);
    const [letter] = world.broker.deadLettered;
    const death = deathOfHeaders((name) => letter?.properties[name]);
    assert.ok(death !== undefined);
    const { class: kind, code, step, attempt, skill, skillVersion, traceId, generation } = death;
    assert.deepEqual(
      { kind, code, step, attempt, skill, skillVersion, traceId, generation },
      { kind: "permanent", code: "REFUSED", step: "pay", attempt: 1, skill: "task", skillVersion: "1.0.0", traceId: "trace-1", generation: 0 },
    );
    const { history } = await world.record("a");
    assert.deepEqual(history, [{ kind: "died", state: "dead", ...death }]);
  });

  test("is dated when it happened, also where that is known by no better than a lock's length, and says from when on a message is surely newer", async () => {
    const world = new World({ skills: [skillPolicy("task", { retry: { ...defaultRetryPolicy, attemptsMax: 1 } })] });
    // No receiver has waited for it.
    world.send("a");
    const { executor } = await world.start();
    executor.script = refusedWhilePaying;
    const startedAtMs = world.clock.wallMs();
    await world.clock.advance(5_000);
    const [letter] = world.broker.deadLettered;
    const death = deathOfHeaders((name) => letter?.properties[name]);
    assert.ok(
      death?.happenedAtMs !== undefined && death.happenedAtMs >= startedAtMs && death.happenedAtMs <= world.clock.wallMs(),
      `found ${death?.happenedAtMs}`,
    );
    assert.ok(death.atMs > world.clock.wallMs(), `found ${death.atMs}`);
    const { history } = await world.record("a");
    assert.deepEqual(history, [{ kind: "died", state: "dead", ...death }]);
  });

  test("has the fingerprint of its failure, whatever the event, the attempt, the line and the ids in its message", async () => {
    const world = new World({ skills: [skillPolicy("task", { retry: { ...defaultRetryPolicy, attemptsMax: 1 } })] });
    const { executor } = await world.start();
    const failures = [
      { code: "HTTP_503", message: "order 4711 of 'Ada' failed after 31 ms", at: "index.ts:12:9" },
      { code: "HTTP_503", message: "order 5c1d-88a of 'Grace' failed after 7 ms", at: "index.ts:40:1" },
      { code: "HTTP_503", message: "invoice 4711 failed", at: "index.ts:12:9" },
      { code: "HTTP_502", message: "order 4711 of 'Ada' failed after 31 ms", at: "index.ts:12:9" },
      { code: "HTTP_503", message: "order 4711 of 'Ada' failed after 31 ms", at: "charge.ts:12:9" },
    ];
    executor.script = (run) => ({ kind: "failed", failure: failures[Number(run.order.route.eventId)] ?? failures[0]!, retryable: true });
    world.send(...[...failures.keys()].map(String));
    await world.clock.advance(clockMarginMs);
    const prints = world.broker.deadLettered.map(({ properties }) => properties["holdfast-dead-fingerprint"]);
    assert.equal(prints[0], prints[1]);
    assert.equal(new Set(prints).size, 4);
  });

  test("of a message that is refused unseen is poison, and nothing of an earlier death is left on it", async () => {
    const world = new World();
    await world.start();
    world.send(world.message("a", "other", {}, { "holdfast-dead-step": "forged", "holdfast-dead-class": "transient" }));
    await world.clock.advance(1_000);
    const { properties } = world.broker.deadLettered[0] ?? assert.fail("expected a dead letter");
    assert.deepEqual(
      [properties["holdfast-dead-class"], properties["holdfast-dead-code"], properties["holdfast-dead-step"]],
      ["poison", "UnknownEventType", ""],
    );
  });

  test("says nothing of a death that is not its last", () => {
    const properties = new Map<string, string>([
      ["holdfast-dead-class", "permanent"],
      ["holdfast-dead-fingerprint", "0123456789abcdef"],
      ["holdfast-dead-reason", "REFUSED"],
    ]);
    const header = (name: string): string | undefined => properties.get(name);
    properties.set("DeadLetterReason", "REFUSED");
    assert.equal(deathOfHeaders(header)?.code, "");
    properties.set("DeadLetterReason", "TTLExpiredException");
    assert.equal(deathOfHeaders(header), undefined);
  });
});

describe("an event that was given up", () => {
  test("goes on behind its last step, with fresh attempts and the same keys, when its dead letter is sent again", async () => {
    const world = new World();
    const process = await world.start();
    const letter = await deadEvent(world, process);
    world.send(letterOf(letter));
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["dead-lettered: REFUSED", "completed"]);
    const { steps, attempt, generation } = process.executor.posted.at(-1) ?? assert.fail("expected a run");
    assert.deepEqual([steps.map(({ name }) => name), attempt, generation], [["reserve"], 1, 0]);
    const record = await world.record("a");
    assert.deepEqual([record.state, record.generation, record.history.map(({ kind }) => kind)], ["done", 1, ["died", "revived"]]);
    assert.ok(process.telemetry.types().includes("run.revived"));
  });

  test("shares its fate with a duplicate that was enqueued before, also when that was postponed past its death", async () => {
    const world = new World();
    const { executor } = await world.start();
    const other = await world.start();
    for (const one of [executor, other.executor]) {
      one.script = async (run) => {
        await run.takes(5_000);
        return refused;
      };
    }
    world.send("a");
    await world.clock.advance(500);
    // It comes to the worker that does not have it, which postpones it as a copy.
    for (let turn = 0; turn < 8; turn += 1) world.send("a");
    await world.clock.advance(120_000);
    const fates = world.statesOf("a").filter((state) => state !== "completed");
    assert.ok(fates.length >= 9 && fates.every((state) => state === "dead-lettered: REFUSED"), fates.join());
    assert.equal(executor.posted.length + other.executor.posted.length, 1);
  });

  test("is left to a replay where resends are refused", async () => {
    const world = new World();
    const process = await world.start({ resends: "refuse" });
    const letter = await deadEvent(world, process);
    world.send(letterOf(letter));
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["dead-lettered: REFUSED", "dead-lettered: REFUSED"]);
    world.send(await replayOf(world, world.message("a")));
    await world.clock.advance(1_000);
    assert.equal(world.statesOf("a").at(-1), "completed");
  });

  test("runs once for a replay that was sent twice, and stays dead when the run that it brought has died", async () => {
    const world = new World();
    const process = await world.start();
    await deadEvent(world, process);
    process.executor.script = refusedWhilePaying;
    const replay = await replayOf(world, world.message("a"));
    world.send(replay);
    await world.clock.advance(clockMarginMs);
    world.send(replay, replay);
    await world.clock.advance(clockMarginMs);
    assert.equal(process.executor.posted.length, 2);
    assert.deepEqual(new Set(world.statesOf("a")), new Set(["dead-lettered: REFUSED"]));
    assert.equal((await world.record("a")).generation, 1);
  });

  test("starts over with other keys when the replay says so", async () => {
    const world = new World();
    const process = await world.start();
    await deadEvent(world, process);
    world.send(await replayOf(world, world.message("a"), { ...order, from: "start" }));
    await world.clock.advance(1_000);
    const { steps, generation } = process.executor.posted.at(-1) ?? assert.fail("expected a run");
    assert.deepEqual([steps.length, generation], [0, 1]);
  });

  test("takes another payload from a replay that was made with one", async () => {
    const world = new World();
    const process = await world.start();
    await deadEvent(world, process);
    world.send(await replayOf(world, world.message("a", "task", { amount: 2 }), { ...order, patched: true }));
    await world.clock.advance(1_000);
    assert.equal(world.statesOf("a").at(-1), "completed");
    const { history } = await world.record("a");
    assert.deepEqual(
      history.flatMap((entry) => (entry.kind === "revived" ? [[entry.by, entry.patched, entry.reason]] : [])),
      [["replay", true, "mended"]],
    );
  });

  test("is brought back by an order whose reason is longer than what is kept of it, cut within a character", async () => {
    const world = new World();
    const process = await world.start();
    await deadEvent(world, process);
    world.send(await replayOf(world, world.message("a"), { ...order, reason: `x${"\u{1f600}".repeat(150)}` }));
    await world.clock.advance(1_000);
    assert.equal(world.statesOf("a").at(-1), "completed");
    const { history } = await world.record("a");
    assert.deepEqual(
      history.flatMap((entry) => (entry.kind === "revived" ? [[entry.reason.length, entry.reason.isWellFormed()]] : [])),
      [[200, true]],
    );
  });

  test("takes no order that was forged, or made for another event or payload", async () => {
    const world = new World();
    const process = await world.start();
    await deadEvent(world, process);
    const patched = { ...order, patched: true };
    const forged = await replayOf(world, world.message("a", "task", { amount: 2 }), patched, "a guess");
    const ofAnother = await replayOf(world, world.message("b", "task", { amount: 2 }), patched);
    const moved = world.message("a", "task", { amount: 2 }, { [replayHeader]: ofAnother.headers[replayHeader] ?? "" });
    const own = await replayOf(world, world.message("a", "task", { amount: 2 }), patched);
    const changed = world.message("a", "task", { amount: 3 }, { [replayHeader]: own.headers[replayHeader] ?? "" });
    world.send(forged, moved, changed);
    await world.clock.advance(1_000);
    assert.deepEqual(
      world.statesOf("a").slice(1),
      Array.from({ length: 3 }, () => "dead-lettered: EventIdReuse"),
    );
    assert.equal((await world.record("a")).state, "dead");
  });

  test("is brought back once the store answers again", async () => {
    const world = new World();
    const process = await world.start();
    const letter = await deadEvent(world, process);
    process.store.loseNextAnswer("revive");
    world.send(letterOf(letter));
    await world.clock.advance(20_000);
    assert.deepEqual(world.statesOf("a"), ["dead-lettered: REFUSED", "completed"]);
    assert.equal((await world.record("a")).generation, 1);
  });

  test("is brought back though handling another one of its group throws, which is redelivered", async () => {
    const world = new World();
    const process = await world.start();
    process.executor.script = refusedWhilePaying;
    world.send("a", "b", "c");
    await world.clock.advance(clockMarginMs);
    process.executor.script = () => completedAnswer;
    const { telemetry } = process;
    const emit = telemetry.emit.bind(telemetry);
    let thrown = 0;
    telemetry.emit = (event) => {
      if (event.type === "run.revived" && event.eventId === "b" && thrown++ === 0) throw new Error("a defect");
      emit(event);
    };
    world.send(...world.broker.deadLettered.map(letterOf));
    await world.clock.advance(20_000);
    assert.equal(thrown, 1);
    for (const eventId of ["a", "b", "c"]) assert.deepEqual(world.statesOf(eventId), ["dead-lettered: REFUSED", "completed"]);
    assert.ok(telemetry.events.some((event) => event.type === "message.broken" && event.eventId === "b"));
  });

  test("is given its attempts again by a replay when the broker gave it up before a worker did", async () => {
    const world = new World();
    const { executor } = await world.start();
    const replay = await replayOf(world, world.message("a"));
    const message = world.message("a");
    const route = readRoute({ ...message, bodySection: "data", header: (name: string) => message.headers[name] } as never, defaultDecodeLimits);
    assert.ok(route.ok);
    const payloadHash = await createPayloadHash(defaultDecodeLimits)(message.body, route);
    await world.records.claim([{ eventId: "a", token: "t", payloadHash, pipelineHash: "task-1" }], 1_000);
    await world.records.fail([{ eventId: "a", epoch: 1, state: "waiting", reason: "released", failures: 1, losses: 4 }]);
    world.send(replay);
    await world.clock.advance(1_000);
    assert.equal(executor.posted.at(-1)?.attempt, 1);
    const record = await world.record("a");
    assert.deepEqual([record.state, record.generation, record.losses], ["done", 1, 0]);
  });
});

test("a run that was compensated ends as before when it is replayed from its checkpoint, and runs forward again from the start", async () => {
  const world = new World({ skills: [skillPolicy("task", { critical: true })] });
  const process = await world.start();
  let forward = 0;
  const script = async (run: ScriptedRun): Promise<RunAnswer> => {
    if (verdictOf(run.order.steps) !== undefined) return { kind: "compensated", log: [["reserve", { state: "compensated", wasNeeded: true }]] };
    forward += 1;
    return forward > 1 ? completedAnswer : refusedWhilePaying(run);
  };
  process.executor.script = script;
  world.send("a");
  await world.clock.advance(clockMarginMs);
  world.send(await replayOf(world, world.message("a")));
  await world.clock.advance(clockMarginMs);
  assert.deepEqual([forward, world.statesOf("a")], [1, ["dead-lettered: REFUSED", "dead-lettered: REFUSED"]]);
  world.send(await replayOf(world, world.message("a"), { ...order, id: "replay-2", from: "start" }));
  await world.clock.advance(clockMarginMs);
  assert.deepEqual([forward, world.statesOf("a").at(-1)], [2, "completed"]);
});
