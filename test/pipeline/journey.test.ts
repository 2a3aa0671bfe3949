import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { World } from "../support/pipeline-world.ts";

describe("the journey", () => {
  test("completes a message", async () => {
    const world = new World();
    const { telemetry, worker } = await world.start();
    world.send("a");
    await world.clock.advance(1_000);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
    assert.deepEqual(telemetry.outcomes, ["completed"]);
    await world.clock.finish("stop", worker.stop(10_000));
    assert.deepEqual(telemetry.types(), ["worker.started", "worker.stopping", "worker.stopped"]);
  });
});
