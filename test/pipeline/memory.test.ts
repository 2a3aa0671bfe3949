import { strict as assert } from "node:assert";
import { test } from "node:test";
import { completedAnswer } from "../support/scripted-executor.ts";
import { World } from "../support/pipeline-world.ts";

test("a worker whose memory runs short takes nothing beside what it has, collects garbage, says so, and goes on when memory is free again", async () => {
  const world = new World();
  let usedBytes = 100;
  const { telemetry, worker, executor, calls } = await world.start({ memory: () => ({ usedBytes, limitBytes: 1_000 }) });
  world.send("a");
  await world.clock.advance(2_000);
  usedBytes = 950;
  await world.clock.advance(2_000);
  executor.script = async (run) => {
    await run.takes(15_000);
    return completedAnswer;
  };
  world.send("b", "c");
  await world.clock.advance(14_000);
  assert.deepEqual([world.statesOf("a"), world.statesOf("b"), world.statesOf("c"), worker.view().memory], [["completed"], ["locked"], ["active"], "short"]);
  assert.equal(calls.filter((call) => call === "collect unused").length, 4);
  usedBytes = 100;
  await world.clock.advance(2_000);
  await world.clock.advance(30_000);
  assert.deepEqual([world.statesOf("b"), world.statesOf("c")], [["completed"], ["completed"]]);
  assert.deepEqual(
    telemetry.events.filter(({ type }) => type === "memory.changed"),
    [
      { type: "memory.changed", state: "short", usedBytes: 950, limitBytes: 1_000 },
      { type: "memory.changed", state: "ample", usedBytes: 100, limitBytes: 1_000 },
    ],
  );
});

test("a worker gives back all that is kept for later, its threads' as well", async () => {
  const { worker, executor, calls } = await new World().start();
  worker.giveBackMemory();
  assert.deepEqual([calls.filter((call) => call.startsWith("collect")), executor.collected], [["collect everything"], ["everything"]]);
});
