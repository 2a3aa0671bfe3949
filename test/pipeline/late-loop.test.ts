import { strict as assert } from "node:assert";
import { test } from "node:test";
import { skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

test("a worker whose event loop is late takes fewer messages, then none, says so, and goes on when it is on time again", async () => {
  const world = new World({ skills: [skillPolicy("task", { timeoutMs: 3_600_000 })] });
  let delayMs = 0;
  const { telemetry, worker, executor } = await world.start({ loopDelay: () => delayMs, inFlightMax: 100 }, ({ executor: made }) => {
    made.script = async (run) => {
      await run.takes(600_000);
      return completedAnswer;
    };
  });
  delayMs = 700;
  await world.clock.advance(5_000);
  assert.deepEqual([worker.view().loop, worker.view().loopDelayMs], ["tight", 700]);
  const send = (from: number, to: number): void => {
    for (let number = from; number < to; number += 1) world.send(`a-${number}`);
  };
  send(0, 80);
  await world.clock.advance(5_000);
  // As many as it left room for when it became late: by 467 ms in the mean then.
  assert.deepEqual([worker.view().inFlight, executor.posted.length], [59, 59]);
  delayMs = 1_500;
  await world.clock.advance(5_000);
  assert.equal(worker.view().loop, "short");
  send(80, 100);
  await world.clock.advance(20_000);
  assert.equal(worker.view().inFlight, 59);
  delayMs = 0;
  await world.clock.advance(20_000);
  assert.equal(worker.view().inFlight, 100);
  assert.deepEqual(
    telemetry.events.filter(({ type }) => type === "loop.changed"),
    [
      { type: "loop.changed", state: "tight", delayMs: 700 },
      { type: "loop.changed", state: "short", delayMs: 1_500 },
      { type: "loop.changed", state: "ample", delayMs: 0 },
    ],
  );
});

test("a worker whose event loop is very late takes back what it has asked for, and takes nothing even with nothing held", async () => {
  const world = new World();
  let delayMs = 0;
  const { worker } = await world.start({ loopDelay: () => delayMs });
  await world.clock.advance(2_000);
  delayMs = 3_000;
  await world.clock.advance(2_000);
  world.send("a");
  await world.clock.advance(20_000);
  assert.deepEqual([world.statesOf("a"), worker.view().loop], [["active"], "short"]);
  delayMs = 0;
  await world.clock.advance(5_000);
  assert.deepEqual([world.statesOf("a"), worker.view().loop], [["completed"], "ample"]);
});
