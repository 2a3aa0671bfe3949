import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { closeWaitMaxMs, ReceiveLoop } from "#runtime/pipeline/receive-loop.ts";
import type { SourceHealth } from "#runtime/pipeline/source-health.ts";
import type { Source } from "#runtime/pipeline/source.ts";
import { ByteBudget } from "#runtime/policy/byte-budget.ts";
import { IncomingBytes } from "#runtime/policy/incoming-bytes.ts";
import type { Receiver, ReceiverListener } from "#runtime/ports/transport.ts";
import { ProcessClock } from "#runtime/testing/world/sim-clock.ts";
import { skillPolicy, TelemetryLog, World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

describe("the receive loop", () => {
  test("never has more messages in flight and on open credit than its maximum", async () => {
    const world = new World();
    const { executor, worker, connection } = await world.start({ inFlightMax: 7 });
    let most = 0;
    executor.script = async (run) => {
      const credit = connection.receivers.reduce((sum, receiver) => sum + receiver.credit, 0);
      most = Math.max(most, worker.view().inFlight + credit);
      await run.takes(1 + (Number(run.eventId.slice(1)) % 13));
      return completedAnswer;
    };
    for (let event = 0; event < 200; event += 1) world.send(`e${event}`);
    await world.clock.until("all to be completed", () => world.broker.open.length === 0);
    assert.equal(most, 7);
  });

  test("grants no credit twice while messages trickle in", async () => {
    const world = new World();
    const { connection, worker } = await world.start({ inFlightMax: 7 });
    for (let event = 0; event < 50; event += 1) {
      world.send(`e${event}`);
      await world.clock.advance(20);
      assert.deepEqual([worker.view().inFlight, connection.receivers[0]?.credit], [0, 7]);
    }
  });

  test("takes messages as room comes free, however slow some are", async () => {
    const world = new World({ skills: [skillPolicy("task", { timeoutMs: 600_000 })] });
    const { executor } = await world.start({ inFlightMax: 3 });
    executor.script = async (run) => {
      await run.takes(run.eventId === "slow" ? 60_000 : 1);
      return completedAnswer;
    };
    world.send("slow", ...Array.from({ length: 50 }, (_, event) => `e${event}`));
    await world.clock.advance(1_000);
    assert.equal(world.broker.open.length, 1);
  });

  test("replaces a receiver that went silent, and hears nothing twice", async () => {
    const world = new World();
    const { connection, executor, telemetry } = await world.start({ silenceMaxMs: 5_000 });
    const [receiver] = connection.receivers;
    assert.ok(receiver !== undefined);
    receiver.isMute = true;
    world.send("a", "b");
    await world.clock.advance(20_000);
    assert.equal(connection.receivers.length, 2);
    assert.deepEqual([executor.posted.length, telemetry.types().filter((type) => type === "receiver.rebuilt").length], [2, 1]);
  });

  test("leaves a receiver behind that does not close", async () => {
    const world = new World();
    const { connection, executor } = await world.start({ silenceMaxMs: 5_000 });
    const [receiver] = connection.receivers;
    assert.ok(receiver !== undefined);
    receiver.isMute = true;
    receiver.stop = () => new Promise(() => undefined);
    world.send("a");
    await world.clock.advance(7_000);
    assert.equal(executor.posted.length, 0);
    await world.clock.advance(closeWaitMaxMs);
    assert.equal(executor.posted.length, 1);
  });

  test("looks for room again that came free without a word, while messages wait for some", async () => {
    const world = new World();
    const clock = new ProcessClock(world.clock);
    const budget = new ByteBudget(1_000_000);
    const heard: ReceiverListener[] = [];
    let widened = 0;
    const receiver: Receiver = { addCredit: () => undefined, widen: () => void (widened += 1), stop: async () => undefined };
    const transport = { openReceiver: (listener: ReceiverListener) => (heard.push(listener), receiver) };
    const loop = new ReceiveLoop({
      source: { name: "work", transport } as unknown as Source,
      health: { served: () => undefined, disturbed: () => true } as unknown as SourceHealth,
      clock,
      telemetry: new TelemetryLog(),
      room: () => 10,
      incoming: new IncomingBytes(budget, 1),
      part: () => 1,
      short: () => undefined,
      deliveries: () => undefined,
    });
    loop.start();
    await world.clock.advance(1);
    budget.took(1_000_000);
    assert.equal(heard[0]?.bytesRoom?.(0), 0);
    assert.deepEqual([loop.silentSinceMs, loop.waitsForRoom], [undefined, true]);
    await world.clock.advance(500);
    const before = widened;
    assert.ok(before >= 4, `expected it to be looked for several times, was ${before} times`);
    budget.gave(1_000_000);
    const givenMs = clock.monotonicMs();
    await world.clock.advance(100);
    assert.deepEqual([widened, loop.waitsForRoom], [before + 1, false]);
    assert.ok((loop.silentSinceMs ?? 0) >= givenMs, "expected silence to count from when there was room");
    await world.clock.advance(500);
    assert.equal(widened, before + 1, "expected nothing to be looked for that is there");
  });

  test("tells of a disturbance", async () => {
    const world = new World();
    const { telemetry } = await world.start({}, ({ brokerFaults }) => brokerFaults.set("disturbed", 1));
    await world.clock.advance(100);
    assert.deepEqual(
      telemetry.events.find((event) => event.type === "transport.disturbed"),
      { type: "transport.disturbed", source: "work", error: "expected the link to stay, it was detached" },
    );
  });

  test("tells that the broker serves it again, though no message comes", async () => {
    const world = new World();
    const { telemetry, connection } = await world.start();
    const [receiver] = connection.receivers;
    receiver?.disturb();
    await world.clock.advance(2_000);
    receiver?.reopen();
    receiver?.reopen();
    assert.deepEqual(
      telemetry.events.filter((event) => event.type === "transport.recovered"),
      [{ type: "transport.recovered", source: "work", afterMs: 2_000 }],
    );
  });
});
