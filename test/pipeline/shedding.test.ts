// While a worker is over its bounds, what may wait goes back to the queue and what is important is run; nothing is lost by it.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type LoadSheddingPolicy, defaultLoadSheddingPolicy } from "#runtime/core/load-shedding.ts";
import { noPriorityRules } from "#runtime/core/priority.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";

const shedding: LoadSheddingPolicy = { ...defaultLoadSheddingPolicy, enabled: true };
const minuteMs = 60_000;

function prioritised(world: World, eventId: string, priority: string, eventType = "task"): OutgoingMessage {
  return world.message(eventId, eventType, {}, { priority });
}

/** A worker whose memory is as full as `use.part` says, and for which every draw is the lowest. */
function pressedBy(use: { part: number }, loadShedding: LoadSheddingPolicy = shedding) {
  return { loadShedding, random: () => 0, memory: () => ({ usedBytes: use.part * 1_000, limitBytes: 1_000 }) };
}

function countOf(events: readonly { readonly type: string }[], type: string): number {
  return events.filter((event) => event.type === type).length;
}

test("while the queue is old, what may wait is given back and what is important is run; in the end everything has run once", async () => {
  const world = new World({ seed: 7 });
  const began = new Map<string, number>();
  const { telemetry, worker, executor } = await world.start(
    { loadShedding: { ...shedding, queueAgeMs: 5_000 }, intake: { start: 4, floor: 4, ceiling: 4, waitMaxMs: 500 } },
    ({ executor: made }) => {
      made.script = async (run) => {
        began.set(run.order.route.eventId, world.clock.monotonicMs());
        await run.takes(1_000);
        return completedAnswer;
      };
    },
  );
  const startedMs = world.clock.monotonicMs();
  for (let number = 0; number < 200; number += 1) world.send(prioritised(world, `low-${number}`, "low"));
  for (let number = 0; number < 20; number += 1) world.send(prioritised(world, `high-${number}`, "high"));
  await world.clock.advance(25_000);
  const lastHighMs = Math.max(...[...began].filter(([id]) => id.startsWith("high")).map(([, ms]) => ms));
  assert.equal([...began.keys()].filter((id) => id.startsWith("high")).length, 20);
  // At four a second, those before them alone would have taken fifty seconds.
  assert.ok(lastHighMs - startedMs < 20_000, `the last important one began after ${lastHighMs - startedMs} ms`);
  assert.ok(worker.view().loadShedding.shed.low > 100);
  await world.clock.until("everything to be completed", () => world.broker.open.length === 0, 30 * minuteMs);
  assert.deepEqual([began.size, executor.posted.length, countOf(telemetry.events, "run.failed")], [220, 220, 0]);
  assert.ok(executor.posted.every(({ attempt }) => attempt === 1));
  await world.clock.advance(minuteMs);
  const changes = telemetry.events.filter(({ type }) => type === "load-shedding.changed");
  assert.deepEqual(changes.map((event) => "state" in event && event.state).slice(0, 2), ["shedding", "off"]);
  assert.equal(worker.view().loadShedding.isActive, false);
  const shedByEvents = changes.reduce((sum, event) => sum + (event.type === "load-shedding.changed" ? event.shed : 0), 0);
  assert.equal(shedByEvents, worker.view().loadShedding.shed.low);
});

test("without the configuration, an old queue is worked off in its order", async () => {
  const world = new World();
  const { worker, executor } = await world.start({ intake: { start: 4, floor: 4, ceiling: 4, waitMaxMs: 500 } }, ({ executor: made }) => {
    made.script = async (run) => {
      await run.takes(10_000);
      return completedAnswer;
    };
  });
  for (let number = 0; number < 80; number += 1) world.send(prioritised(world, `low-${number}`, "low"));
  world.send(prioritised(world, "high", "high"));
  await world.clock.until("everything to be completed", () => world.broker.open.length === 0, 30 * minuteMs);
  assert.equal(executor.posted.at(-1)?.route.eventId, "high");
  assert.deepEqual(worker.view().loadShedding.shed, { low: 0, normal: 0, high: 0, critical: 0 });
});

test("what has begun is not shed, nor what would not live to come back, nor what its sender calls important", async () => {
  const world = new World();
  const use = { part: 0.1 };
  const { telemetry, executor } = await world.start(pressedBy(use));
  executor.script = (run) => (run.order.attempt <= 2 && run.order.route.eventId === "begun" ? failedAnswer("EDOWN") : completedAnswer);
  world.send(prioritised(world, "begun", "low"));
  await world.clock.advance(5_000);
  assert.deepEqual(world.statesOf("begun"), ["completed", "scheduled"]);
  use.part = 0.85;
  await world.clock.advance(2_000);
  world.send({ ...prioritised(world, "short-lived", "low"), timeToLiveMs: 2 * minuteMs });
  world.send(prioritised(world, "unmarked", "of no importance"), prioritised(world, "high", "high"), prioritised(world, "low", "low"));
  await world.clock.advance(200);
  assert.deepEqual(
    ["short-lived", "unmarked", "high", "low"].map((eventId) => world.statesOf(eventId)),
    [["completed"], ["completed"], ["completed"], ["completed", "scheduled"]],
  );
  await world.clock.advance(2 * minuteMs);
  assert.deepEqual(world.statesOf("begun"), ["completed", "completed"]);
  const shed = telemetry.events.filter((event) => event.type === "run.postponed" && event.why === "shed");
  assert.ok(shed.length > 0 && shed.every((event) => "eventId" in event && event.eventId === "low"));
  use.part = 0.1;
  await world.clock.until("the one that was shed to be completed", () => world.broker.open.length === 0, 5 * minuteMs);
  const { failures, steps } = await world.record("low");
  assert.deepEqual([failures, steps.length, executor.posted.at(-1)?.attempt], [0, 0, 1]);
});

test("an event that was shed as often as it may be is run", async () => {
  const world = new World();
  const { worker } = await world.start(pressedBy({ part: 0.85 }, { ...shedding, postponementsMax: 3 }));
  await world.clock.advance(2_000);
  world.send(prioritised(world, "a", "low"));
  await world.clock.advance(minuteMs);
  assert.deepEqual([world.statesOf("a"), worker.view().loadShedding.shed.low], [["completed", "completed", "completed", "completed"], 3]);
});

test("or is dead-lettered with its reason where that is configured, and runs when it is sent again in time", async () => {
  const world = new World();
  const use = { part: 0.85 };
  const { executor, worker } = await world.start(pressedBy(use, { ...shedding, postponementsMax: 1, afterwards: "dead-letter" }));
  await world.clock.advance(2_000);
  world.send(prioritised(world, "a", "low"));
  await world.clock.advance(10_000);
  assert.deepEqual([world.statesOf("a"), executor.posted.length, worker.view().loadShedding.givenUp], [["completed", "dead-lettered: LoadShed"], 0, 1]);
  assert.deepEqual([(await world.record("a")).state, (await world.record("a")).reason], ["dead", "LoadShed"]);
  use.part = 0.1;
  await world.clock.advance(10_000);
  world.send(prioritised(world, "a", "low"));
  await world.clock.advance(2_000);
  assert.deepEqual([world.statesOf("a").at(-1), executor.posted.length], ["completed", 1]);
});

test("a message beyond its postponements whose event has begun elsewhere is not dead-lettered, but goes on", async () => {
  const world = new World();
  const use = { part: 0.1 };
  const { executor } = await world.start(pressedBy(use, { ...shedding, postponementsMax: 1, afterwards: "dead-letter" }));
  executor.script = (run) => (run.order.attempt <= 2 ? failedAnswer("EDOWN") : completedAnswer);
  world.send(prioritised(world, "a", "low"));
  await world.clock.advance(5_000);
  assert.deepEqual(world.statesOf("a"), ["completed", "scheduled"]);
  use.part = 0.85;
  await world.clock.advance(2_000);
  const again = prioritised(world, "a", "low");
  world.send({ ...again, headers: { ...again.headers, "holdfast-postponed": 1 } });
  await world.clock.advance(2_000);
  assert.deepEqual([world.statesOf("a"), executor.posted.length], [["completed", "scheduled", "completed"], 4]);
  await world.clock.advance(2 * minuteMs);
  assert.deepEqual(world.statesOf("a"), ["completed", "completed", "completed"]);
});

test("an event's priority is its message's, else its project's, its tenant's, its type's, its skill's", async () => {
  const world = new World({ skills: [skillPolicy("task"), skillPolicy("report"), skillPolicy("audit")] });
  const { worker } = await world.start({
    ...pressedBy({ part: 0.85 }),
    priorities: {
      ...noPriorityRules,
      project: new Map([["shop", "critical"]]),
      tenant: new Map([["trial", "low"]]),
      eventType: new Map([["report", "low"]]),
      skill: new Map([["audit", "low"]]),
    },
  });
  await world.clock.advance(2_000);
  world.send(
    world.message("plain"),
    world.message("by-type", "report"),
    world.message("by-skill", "audit"),
    world.message("by-tenant", "task", {}, { tenantId: "trial" }),
    world.message("by-project", "report", {}, { projectId: "shop", tenantId: "trial" }),
    world.message("by-itself", "report", {}, { priority: "high", tenantId: "trial" }),
  );
  await world.clock.advance(300);
  assert.deepEqual(
    world.broker.stored.filter(({ state }) => state === "scheduled").map(({ message }) => message.headers["eventId"]),
    ["by-type", "by-skill", "by-tenant"],
  );
  assert.equal(worker.view().loadShedding.shed.low, 3);
});

test("nothing is shed of a session, whose order it would break", async () => {
  const world = new World({ broker: { requiresSessions: true } });
  const sessions = { concurrentMax: 2, idleMs: 1_000, turnMs: 10_000, onFailure: "block" } as const;
  const { worker } = await world.start({ ...pressedBy({ part: 0.85 }), sessions });
  await world.clock.advance(2_000);
  for (const eventId of ["a0", "a1"]) world.send({ ...prioritised(world, eventId, "low"), sessionId: "a" });
  await world.clock.advance(2_000);
  assert.deepEqual(
    [world.statesOf("a0"), world.statesOf("a1"), worker.view().loadShedding.isActive, worker.view().loadShedding.shed.low],
    [["completed"], ["completed"], true, 0],
  );
});

test("senders have no say where the configuration wants it so", async () => {
  const world = new World();
  await world.start({ ...pressedBy({ part: 0.85 }), priorities: { ...noPriorityRules, property: false } });
  await world.clock.advance(2_000);
  world.send(prioritised(world, "a", "low"));
  await world.clock.advance(300);
  assert.deepEqual(world.statesOf("a"), ["completed"]);
});

test("is switched off and on, and given other bounds, while the worker runs; what the configuration would refuse is refused", async () => {
  const world = new World();
  const { worker, telemetry } = await world.start(pressedBy({ part: 0.85 }));
  await world.clock.advance(2_000);
  assert.equal(worker.policies.view().loadShedding.isActive, true);
  worker.policies.changeLoadShedding({ enabled: false });
  world.send(prioritised(world, "a", "low"));
  await world.clock.advance(2_000);
  assert.deepEqual([world.statesOf("a"), worker.policies.view().loadShedding.isActive], [["completed"], false]);
  worker.policies.changeLoadShedding({ enabled: true, upTo: "normal" });
  await world.clock.advance(2_000);
  world.send("b");
  await world.clock.advance(300);
  assert.deepEqual(world.statesOf("b"), ["completed", "scheduled"]);
  assert.deepEqual(
    telemetry.events.filter(({ type }) => type === "load-shedding.changed"),
    (["shedding", "off", "shedding"] as const).map((state) => ({ type: "load-shedding.changed", state, why: "memory", queueAgeMs: 0, shed: 0 })),
  );
  const before = worker.policies.view().loadShedding;
  assert.throws(() => worker.policies.changeLoadShedding({ queueAgeMs: 99 }), {
    name: "RangeError",
    message: /^loadShedding\.queueAgeMs: expected .*100 .*, got 99/,
  });
  assert.throws(() => worker.policies.changeLoadShedding({ upTo: "critical" as never }), /^RangeError: loadShedding\.upTo: expected .*got "critical"/);
  assert.deepEqual(worker.policies.view().loadShedding, before);
});
