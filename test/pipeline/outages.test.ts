import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { RuntimeEvent } from "#runtime/core/catalogue.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import { StoreGate } from "#runtime/pipeline/store-gate.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { dependencyPolicy, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer } from "../support/scripted-executor.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

const emitted: OutgoingMessage = { messageId: "a:0", body: new Uint8Array(1), headers: { eventType: "done" } };

describe("while the store is down", () => {
  test("nothing new runs, nothing more is received, locks are kept, and everything goes on by itself", async () => {
    const world = new World({ broker: { lockMs: 4_000 } });
    const { executor, store, telemetry, connection } = await world.start({ inFlightMax: 2 });
    store.isDown = true;
    world.send("a", "b", "c", "d");
    await world.clock.advance(20_000);
    assert.equal(executor.posted.length, 0);
    assert.deepEqual(
      ["a", "b", "c", "d"].flatMap((event) => world.statesOf(event)),
      ["locked", "locked", "active", "active"],
    );
    assert.deepEqual(
      world.broker.stored.map((one) => one.failedDeliveries),
      [0, 0, 0, 0],
    );
    assert.equal(connection.receivers.length, 1);
    store.isDown = false;
    await world.clock.advance(5_000);
    assert.deepEqual(
      ["a", "b", "c", "d"].flatMap((event) => world.statesOf(event)),
      ["completed", "completed", "completed", "completed"],
    );
    assert.deepEqual(telemetry.types(), ["worker.started", "store.down", "store.up"]);
  });

  test("what is held and has not begun is handed back once the hold is over, with no delivery counted, and is not taken again until the store is back", async () => {
    const world = new World({ broker: { lockMs: 4_000 } });
    const { store, telemetry, worker } = await world.start({ inFlightMax: 2, storeHoldMaxMs: 10_000 });
    store.isDown = true;
    world.send("a", "b", "c");
    await world.clock.advance(9_000);
    assert.deepEqual(world.statesOf("a"), ["locked"]);
    await world.clock.advance(60_000);
    assert.deepEqual(
      world.broker.stored.map((one) => [one.state, one.failedDeliveries]),
      [
        ["active", 0],
        ["active", 0],
        ["active", 0],
      ],
    );
    assert.deepEqual(telemetry.outcomes, ["released", "released"]);
    assert.equal(worker.view().inFlight, 0);
    store.isDown = false;
    await world.clock.advance(5_000);
    assert.deepEqual(
      world.broker.stored.map((one) => one.state),
      ["completed", "completed", "completed"],
    );
  });

  test("a store that answers pings and takes no write is given up, too: what is held is handed back, and it is not said to be up before a write succeeds", async () => {
    const world = new World({ broker: { lockMs: 4_000 } });
    const { store, telemetry, worker } = await world.start({ inFlightMax: 2, storeHoldMaxMs: 10_000 });
    const claim = store.claim.bind(store);
    store.claim = () => world.clock.delay(500).then(() => Promise.reject(new StoreUnavailableError("expected the store to answer, it did not")));
    world.send("a", "b", "c");
    await world.clock.advance(9_000);
    assert.deepEqual([world.statesOf("a"), telemetry.outcomes], [["locked"], []]);
    await world.clock.advance(6_000);
    assert.deepEqual(telemetry.outcomes.slice(0, 2), ["released", "released"]);
    // It is tried again, and given up again.
    await world.clock.advance(60_000);
    assert.ok(telemetry.outcomes.length >= 6 && telemetry.outcomes.every((outcome) => outcome === "released"), telemetry.outcomes.join());
    assert.deepEqual(
      world.broker.stored.map((one) => one.failedDeliveries),
      [0, 0, 0],
    );
    // The first answer to a ping was taken for the end of it.
    const down = ["worker.started", "store.down", "store.up", "store.down"];
    assert.deepEqual(telemetry.types(), down);
    store.claim = claim;
    await world.clock.advance(20_000);
    assert.deepEqual(
      world.broker.stored.map((one) => one.state),
      ["completed", "completed", "completed"],
    );
    assert.deepEqual([telemetry.types(), worker.view().inFlight], [[...down, "store.up"], 0]);
  });

  test("a message that the store itself refuses is counted each time that it goes back, so that it ends", async () => {
    const world = new World();
    const { store, executor } = await world.start();
    const claim = store.claim.bind(store);
    store.claim = (requests, leaseMs) =>
      requests.some(({ eventId }) => eventId === "odd") ? Promise.reject(new Error("expected another kind of id")) : claim(requests, leaseMs);
    world.send("odd", "even");
    await world.clock.advance(60_000);
    assert.deepEqual([world.statesOf("odd"), world.statesOf("even"), executor.posted.length], [["dead-lettered: DeliveryLimit"], ["completed"], 1]);
  });

  test("a run that took effect and cannot be recorded is counted when it goes back", async () => {
    const world = new World();
    const { store, executor } = await world.start({ storeHoldMaxMs: 5_000 });
    executor.script = async (run) => {
      await run.takes(500);
      store.isDown = true;
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(20_000);
    assert.deepEqual(
      world.broker.stored.map((one) => [one.state, one.failedDeliveries]),
      [["active", 1]],
    );
  });

  test("a run that waits in a lane or for its retry does not start, and starts when the store is back", async () => {
    const world = new World({
      broker: { lockMs: 60_000 },
      skills: [skillPolicy("task", { uses: [0] }), skillPolicy("free")],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1 })],
    });
    const { executor, store } = await world.start();
    executor.script = async (run) => {
      if (run.eventId === "retried" && run.order.attempt === 1) return failedAnswer();
      await run.takes(1_000);
      return completedAnswer;
    };
    world.send("holds", "waits", world.message("retried", "free"));
    await world.clock.advance(100);
    store.isDown = true;
    // Its claim finds out that the store is down.
    world.send("third");
    await world.clock.advance(10_000);
    assert.deepEqual(
      executor.posted.map((order) => order.route.eventId),
      ["holds", "retried"],
    );
    store.isDown = false;
    await world.clock.advance(10_000);
    assert.deepEqual(
      executor.posted
        .slice(2)
        .map((order) => order.route.eventId)
        .toSorted(),
      ["retried", "third", "waits"],
    );
    assert.deepEqual(
      world.broker.stored.map((one) => one.state),
      ["completed", "completed", "completed", "completed"],
    );
  });

  test("a step does not go on, and does so when the store is back", async () => {
    const world = new World();
    const { executor, store } = await world.start();
    const effects: string[] = [];
    executor.effect = (_, step) => effects.push(step);
    executor.script = async (run) => {
      await run.step("one", { takesMs: 500 });
      await run.step("two");
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(100);
    store.isDown = true;
    await world.clock.advance(5_000);
    assert.deepEqual(effects, ["one"]);
    store.isDown = false;
    await world.clock.advance(5_000);
    assert.deepEqual(effects, ["one", "two"]);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
  });

  test("an atMostOnce effect does not begin without its intent; its run fails once the hold is over", async () => {
    const world = new World({ skills: [skillPolicy("task", { timeoutMs: 600_000 })] });
    const { executor, store } = await world.start({ storeHoldMaxMs: 5_000 });
    const effects: string[] = [];
    executor.effect = (_, step) => effects.push(step);
    executor.script = async (run) => {
      await run.takes(100);
      await run.step("pay", { kind: "atMostOnce" });
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(50);
    store.isDown = true;
    await world.clock.advance(20_000);
    assert.deepEqual(effects, []);
    assert.deepEqual(world.statesOf("a"), ["active"]);
    store.isDown = false;
    await world.clock.advance(120_000);
    assert.deepEqual(effects, ["pay"]);
    assert.deepEqual(new Set(world.statesOf("a")), new Set(["completed"]));
  });

  test("a finished run is not completed until its done mark is written", async () => {
    const world = new World();
    const { executor, store } = await world.start();
    executor.script = async (run) => {
      await run.takes(500);
      return { kind: "completed", outbox: [emitted] };
    };
    world.send("a");
    await world.clock.advance(100);
    store.isDown = true;
    await world.clock.advance(10_000);
    assert.deepEqual([world.statesOf("a"), world.broker.published], [["locked"], []]);
    store.isDown = false;
    await world.clock.advance(3_000);
    assert.deepEqual([world.statesOf("a"), world.broker.published.length], [["completed"], 1]);
    assert.equal(executor.posted.length, 1);
  });

  test("a finished run whose done mark cannot be written is handed back, and its redelivery replays its checkpoints only", async () => {
    const world = new World();
    const { executor, store } = await world.start({ storeHoldMaxMs: 5_000 });
    const effects: string[] = [];
    executor.effect = (_, step) => effects.push(step);
    executor.script = async (run) => {
      await run.step("one");
      await run.takes(500);
      return completedAnswer;
    };
    world.send("a");
    await world.clock.advance(100);
    store.isDown = true;
    await world.clock.advance(20_000);
    assert.deepEqual(world.statesOf("a"), ["active"]);
    store.isDown = false;
    await world.clock.advance(60_000);
    assert.deepEqual([effects, executor.posted.length], [["one"], 2]);
    assert.deepEqual(new Set(world.statesOf("a")), new Set(["completed"]));
  });

  test("a second delivery of an event that was handed back is handed back too", async () => {
    const world = new World();
    const { store, worker } = await world.start({ storeHoldMaxMs: 5_000 });
    store.isDown = true;
    world.send("a", "a", "a");
    await world.clock.advance(20_000);
    assert.deepEqual(world.statesOf("a"), ["active", "active", "active"]);
    assert.equal(worker.view().inFlight, 0);
  });

  test("it is asked again with growing pauses", async () => {
    const world = new World();
    const { store, worker } = await world.start();
    const pings: number[] = [];
    const ping = store.ping.bind(store);
    store.ping = () => {
      pings.push(world.clock.monotonicMs());
      return ping();
    };
    store.isDown = true;
    world.send("a");
    await world.clock.advance(10_500);
    const pauses = pings.slice(1).map((atMs, index) => Math.round((atMs - (pings[index] ?? 0)) / 100) * 100);
    assert.deepEqual(pauses, [200, 400, 800, 1_600, 2_000, 2_000, 2_000]);
    assert.equal(worker.view().storeUp, false);
  });
});

describe("a store that answers a ping and fails every write", () => {
  test("is not asked at full speed, and what is held is handed back when the hold is over", async () => {
    const world = new World();
    const { storeFaults, telemetry, calls } = await world.start({ storeHoldMaxMs: 10_000 });
    storeFaults.set("call-lost", 1);
    const { store } = await world.start({ inFlightMax: 1 });
    store.isDown = true;
    world.send("a");
    await world.clock.advance(60_000);
    assert.ok(calls.filter((call) => call === "claim 1").length < 60, `${calls.length} calls`);
    assert.ok(telemetry.outcomes.includes("released"));
  });

  test("is said to be down once more after its first answer, and to be up when a write has succeeded", async () => {
    const clock = new SimClock();
    const told: string[] = [];
    const store = { ping: () => Promise.resolve(true) } as unknown as RunStore;
    const telemetry = { emit: ({ type }: RuntimeEvent) => void told.push(type), settled: () => undefined };
    const gate = new StoreGate({ store, clock, telemetry, holdMaxMs: 60_000 });
    for (let writes = 0; writes < 5; writes += 1) {
      gate.close(new Error("database or disk is full"));
      await clock.advance(3_000);
      assert.equal(gate.isOpen, true);
    }
    assert.deepEqual(told, ["store.down", "store.up", "store.down"]);
    gate.worked();
    gate.worked();
    assert.deepEqual(told, ["store.down", "store.up", "store.down", "store.up"]);
    gate.stop();
  });
});

describe("a store that comes and goes", () => {
  test("is asked again soon after each new failure", async () => {
    const world = new World();
    const { store, telemetry } = await world.start();
    for (let outage = 1; outage <= 3; outage += 1) {
      store.isDown = true;
      world.send(`e${outage}`);
      await world.clock.advance(5_000);
      store.isDown = false;
      await world.clock.advance(10_000);
    }
    const downs = telemetry.events.flatMap((event) => (event.type === "store.up" ? [event.downMs] : []));
    assert.equal(downs.length, 3);
    assert.ok(
      downs.every((downMs) => downMs === downs[0]),
      downs.join(),
    );
  });

  test("gets a whole hold for what is taken after it had been given up", async () => {
    const world = new World({ broker: { lockMs: 5_000 } });
    const { store, telemetry } = await world.start({ storeHoldMaxMs: 20_000 });
    store.isDown = true;
    world.send("a");
    await world.clock.advance(30_000);
    assert.deepEqual([telemetry.outcomes, world.statesOf("a")], [["released"], ["active"]]);
    // It answers one ping, and no claim.
    const ping = store.ping.bind(store);
    store.ping = async () => true;
    await world.clock.until("the message to be taken again", () => world.statesOf("a")[0] === "locked", 5_000);
    store.ping = ping;
    await world.clock.advance(15_000);
    assert.deepEqual(world.statesOf("a"), ["locked"]);
    await world.clock.advance(10_000);
    assert.deepEqual([telemetry.outcomes, world.statesOf("a")], [["released", "released"], ["active"]]);
  });

  test("after which a lease is over gets no run started on it: the message is handed back, and runs when it comes again", async () => {
    const world = new World({
      skills: [skillPolicy("task", { uses: [0] })],
      dependencies: [dependencyPolicy("api", { concurrentMax: 1 })],
      broker: { lockMs: 2_000 },
    });
    const { executor, store, telemetry } = await world.start({ storeHoldMaxMs: 60_000 });
    executor.script = async (run) => {
      await run.takes(1_000);
      return completedAnswer;
    };
    world.send("first", "second");
    await world.clock.advance(500);
    store.isDown = true;
    // Its claim finds out that the store is down.
    world.send("third");
    await world.clock.advance(20_000);
    store.isDown = false;
    await world.clock.advance(20_000);
    assert.deepEqual(executor.posted.map((order) => order.route.eventId).toSorted(), ["first", "second", "third"]);
    assert.ok(executor.posted.every((order) => order.leaseMs > 0));
    assert.ok(telemetry.outcomes.includes("released"));
    assert.deepEqual(
      world.broker.stored.map((one) => one.state),
      ["completed", "completed", "completed"],
    );
  });
});

describe("a lost answer of the store", () => {
  for (const name of ["claim", "checkpoint", "finish", "clearOutbox", "fail"] as const) {
    test(`to ${name} does no harm: the same call is made again`, async () => {
      const world = new World();
      const { executor, store } = await world.start();
      const effects: string[] = [];
      executor.effect = (run, step) => effects.push(`${step} of ${run.eventId}`);
      executor.script = async (run) => {
        await run.step("one");
        return run.eventId === "bad" ? failedAnswer("EWRONG", {}, false) : { kind: "completed", outbox: [emitted] };
      };
      store.loseNextAnswer(name);
      world.send("a", "bad");
      await world.clock.advance(10_000);
      assert.deepEqual(
        world.broker.stored.map((one) => one.reason ?? one.state),
        ["completed", "EWRONG"],
      );
      assert.deepEqual(effects, ["one of a", "one of bad"]);
      assert.deepEqual([(await world.record("a")).epoch, (await world.record("a")).losses], [1, 0]);
    });
  }
});

describe("while the broker takes no messages", () => {
  test("a run's events are published later, with the same ids, by the redelivery", async () => {
    const world = new World();
    const { executor, brokerFaults } = await world.start();
    executor.script = () => ({ kind: "completed", outbox: [emitted] });
    brokerFaults.set("send-refused", 1);
    world.send("a");
    await world.clock.advance(1_500);
    brokerFaults.off();
    await world.clock.advance(5_000);
    assert.deepEqual(
      world.broker.published.map(({ message }) => message.messageId),
      [await world.idPublished("a:0")],
    );
    assert.deepEqual([world.statesOf("a"), executor.posted.length], [["completed"], 1]);
  });

  test("a retry that cannot be scheduled waits here, and its steps survive", async () => {
    const world = new World();
    const { executor, brokerFaults } = await world.start();
    const effects: string[] = [];
    executor.effect = (_, step) => effects.push(step);
    executor.script = async (run) => {
      await run.step("one");
      return run.order.attempt <= 2 ? failedAnswer() : completedAnswer;
    };
    brokerFaults.set("send-refused", 1);
    world.send("a");
    await world.clock.advance(5_000);
    assert.deepEqual([world.statesOf("a"), effects], [["locked"], ["one"]]);
    await world.clock.advance(90_000);
    assert.deepEqual([world.statesOf("a"), effects, world.broker.stored[0]?.failedDeliveries], [["completed"], ["one"], 0]);
  });

  test("a message whose send is taken and never answered is sent again under the same id", async () => {
    const world = new World();
    const { executor, brokerFaults } = await world.start();
    executor.script = () => ({ kind: "completed", outbox: [emitted] });
    brokerFaults.set("send-answer-lost", 1);
    world.send("a");
    await world.clock.advance(150);
    brokerFaults.off();
    await world.clock.advance(5_000);
    assert.deepEqual(new Set(world.broker.published.map(({ message }) => message.messageId)), new Set([await world.idPublished("a:0")]));
    assert.equal(world.broker.published.length, 3);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
  });
});

describe("an order to settle", () => {
  test("whose answer is lost ends the delivery all the same", async () => {
    const world = new World();
    const { brokerFaults, telemetry, worker } = await world.start();
    brokerFaults.set("settle-answer-lost", 1);
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual([world.statesOf("a"), telemetry.outcomes, worker.view().inFlight], [["completed"], ["completed"], 0]);
  });

  test("that never arrives is absorbed by the done mark when the message comes again", async () => {
    const world = new World();
    const { brokerFaults, executor, telemetry } = await world.start();
    brokerFaults.set("settle-lost", 1);
    world.send("a");
    await world.clock.advance(1_000);
    brokerFaults.off();
    assert.deepEqual(world.statesOf("a"), ["locked"]);
    await world.clock.advance(40_000);
    assert.deepEqual([world.statesOf("a"), executor.posted.length, telemetry.outcomes], [["completed"], 1, ["completed", "duplicate"]]);
  });
});
