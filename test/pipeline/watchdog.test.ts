import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { waitsFor } from "#runtime/admin/worker-state.ts";
import { TransportError } from "#runtime/core/errors.ts";
import { World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

describe("the watchdog", () => {
  test("leaves a receiver alone while the queue is empty", async () => {
    const world = new World();
    const { connection, telemetry } = await world.start({ silenceMaxMs: 5_000 });
    await world.clock.advance(60_000);
    assert.equal(connection.receivers.length, 1);
    assert.deepEqual(telemetry.types(), ["worker.started"]);
  });

  test("asks for the backlog of an empty queue only once in a while", async () => {
    const world = new World();
    const { connection } = await world.start({ silenceMaxMs: 5_000 });
    let asked = 0;
    connection.hasBacklog = async () => {
      asked += 1;
      return false;
    };
    await world.clock.advance(60_000);
    assert.ok(asked >= 9 && asked <= 12, `${asked}`);
  });

  test("leaves a receiver alone while there is no room for more", async () => {
    const world = new World();
    const { connection, executor } = await world.start({ silenceMaxMs: 5_000, inFlightMax: 1 });
    executor.script = async (run) => {
      await run.takes(19_000);
      return completedAnswer;
    };
    world.send("a", "b");
    await world.clock.advance(18_000);
    assert.equal(connection.receivers.length, 1);
  });

  test("counts receivers that were replaced without success, until a message comes", async () => {
    const world = new World();
    const { connection, worker } = await world.start({ silenceMaxMs: 5_000 });
    const open = connection.openReceiver.bind(connection);
    connection.openReceiver = (listener) => {
      const receiver = open(listener);
      for (const one of connection.receivers) one.isMute = true;
      return receiver;
    };
    for (const one of connection.receivers) one.isMute = true;
    world.send("a");
    await world.clock.advance(30_000);
    assert.ok(worker.view().rebuiltInVain >= 3, `${worker.view().rebuiltInVain}`);
    assert.deepEqual(waitsFor(worker.view()), ["the broker"]);
    connection.openReceiver = open;
    await world.clock.advance(10_000);
    assert.deepEqual([worker.view().rebuiltInVain, world.statesOf("a"), waitsFor(worker.view())], [0, ["completed"], []]);
  });

  test("replaces the receiver first, and the connection when that has not helped", async () => {
    const world = new World();
    const { connection, worker, telemetry } = await world.start({ silenceMaxMs: 5_000 });
    const open = connection.openReceiver.bind(connection);
    connection.openReceiver = (listener) => {
      const receiver = open(listener);
      if (connection.reconnections === 0) for (const one of connection.receivers) one.isMute = true;
      return receiver;
    };
    for (const one of connection.receivers) one.isMute = true;
    world.send("a");
    await world.clock.advance(7_000);
    assert.deepEqual([telemetry.types().slice(1), connection.reconnections], [["receiver.rebuilt"], 0]);
    await world.clock.advance(7_000);
    assert.deepEqual([telemetry.types().slice(1), connection.reconnections], [["receiver.rebuilt", "connection.rebuilt"], 1]);
    assert.deepEqual([worker.view().rebuiltInVain, world.statesOf("a")], [0, ["completed"]]);
    // A receiver that goes silent later is only replaced.
    for (const one of connection.receivers) one.isMute = true;
    world.send("b");
    await world.clock.advance(14_000);
    assert.deepEqual([connection.reconnections, world.statesOf("b")], [1, ["completed"]]);
  });

  test("replaces the connection when the queue can be looked at no more, but not while the broker asks for patience", async () => {
    const world = new World();
    const { connection, telemetry } = await world.start({ silenceMaxMs: 5_000 });
    let retryAfterMs: number | undefined = 10_000;
    connection.hasBacklog = async () => {
      throw new TransportError("expected to look into work, found that it cannot be", retryAfterMs === undefined ? {} : { retryAfterMs });
    };
    await world.clock.advance(30_000);
    assert.equal(connection.reconnections, 0);
    retryAfterMs = undefined;
    await world.clock.advance(6_500);
    assert.equal(connection.reconnections, 1);
    assert.ok(!telemetry.types().includes("receiver.rebuilt"));
  });

  test("forgets what was wrong once the queue is found empty", async () => {
    const world = new World();
    const { connection } = await world.start({ silenceMaxMs: 5_000 });
    const answers = [true, false, true, false];
    connection.hasBacklog = async () => answers.shift() ?? false;
    await world.clock.advance(60_000);
    assert.deepEqual([answers.length, connection.receivers.length, connection.reconnections], [0, 3, 0]);
  });

  test("goes on watching when the queue cannot be looked at", async () => {
    const world = new World();
    const { connection, telemetry } = await world.start({ silenceMaxMs: 5_000 });
    for (const one of connection.receivers) one.isMute = true;
    connection.isDown = true;
    world.send("a");
    await world.clock.advance(20_000);
    assert.ok(telemetry.types().includes("transport.disturbed"));
    connection.isDown = false;
    // What came over the connection that was made meanwhile could not be settled; its lock has to end.
    await world.clock.advance(40_000);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
  });

  test("tells for how long the loop was blocked", async () => {
    const world = new World();
    const { clock, telemetry, worker } = await world.start();
    await world.clock.advance(500);
    clock.freeze(5_000);
    await world.clock.advance(20_000);
    assert.deepEqual(
      telemetry.events.filter((event) => event.type === "loop.changed"),
      [
        { type: "loop.changed", state: "short", delayMs: 4_500 },
        { type: "loop.changed", state: "ample", delayMs: 0 },
      ],
    );
    assert.deepEqual([worker.view().loopDelayMs, worker.view().loop], [0, "ample"]);
  });

  test("keeps messages away from threads that cannot take work, and takes them again when they can", async () => {
    const world = new World();
    const { executor, telemetry, worker } = await world.start();
    executor.isReadyNow = false;
    executor.loseThread("it cannot start");
    await world.clock.advance(100);
    world.send("a");
    await world.clock.advance(5_000);
    assert.deepEqual([executor.posted.length, world.statesOf("a"), worker.view().threadsReady], [0, ["active"], false]);
    assert.deepEqual(telemetry.events.at(-1), { type: "thread.lost", why: "it cannot start", replaced: false });
    executor.isReadyNow = true;
    await world.clock.advance(5_000);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
  });
});
