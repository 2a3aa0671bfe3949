import { strict as assert } from "node:assert";
import { test } from "node:test";
import { World } from "../support/pipeline-world.ts";

test("a worker whose memory runs short takes nothing more, ends what it has, says so, and goes on when memory is free again", async () => {
  const world = new World();
  let usedBytes = 100;
  const { telemetry, worker } = await world.start({ memory: () => ({ usedBytes, limitBytes: 1_000 }) });
  world.send("a");
  await world.clock.advance(2_000);
  usedBytes = 950;
  await world.clock.advance(2_000);
  world.send("b");
  await world.clock.advance(60_000);
  assert.deepEqual([world.statesOf("a"), world.statesOf("b"), worker.view().memory], [["completed"], ["active"], "short"]);
  usedBytes = 100;
  await world.clock.advance(2_000);
  assert.deepEqual(world.statesOf("b"), ["completed"]);
  assert.deepEqual(
    telemetry.events.filter(({ type }) => type === "memory.changed"),
    [
      { type: "memory.changed", state: "short", usedBytes: 950, limitBytes: 1_000 },
      { type: "memory.changed", state: "ample", usedBytes: 100, limitBytes: 1_000 },
    ],
  );
});
