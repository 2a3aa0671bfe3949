// Logins that last by tokens, and a token that cannot be replaced.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { World } from "../support/pipeline-world.ts";

test("a worker whose login is about to end takes nothing more, says so, and goes on with the next token", async () => {
  const world = new World();
  const { worker, telemetry, credentials } = await world.start();
  const lifeMs = 3_600_000;
  credentials.heard({ login: "sb://host/input", error: undefined, leftMs: lifeMs, lifeMs });
  for (const leftMs of [45_000, 40_000]) credentials.heard({ login: "sb://host/input", error: "no identity", leftMs, lifeMs });
  world.send("a");
  await world.clock.advance(5_000);
  assert.deepEqual(world.statesOf("a"), ["completed"]);
  await world.clock.advance(10_000);
  world.send("b");
  await world.clock.advance(20_000);
  assert.deepEqual([world.statesOf("b"), worker.view().credentials.map(({ login, isEnding }) => [login, isEnding])], [["active"], [["sb://host/input", true]]]);
  credentials.heard({ login: "sb://host/input", error: undefined, leftMs: lifeMs, lifeMs });
  await world.clock.advance(5_000);
  assert.deepEqual([world.statesOf("b"), worker.view().credentials], [["completed"], []]);
  assert.deepEqual(
    telemetry.events.flatMap((event) => (event.type === "credential.failing" ? [event.state] : [])),
    ["begin", "ending", "end"],
  );
});

test("a worker whose login has ended tries to receive again, since nobody else may ask for a token", async () => {
  const world = new World();
  const { worker, credentials } = await world.start();
  credentials.heard({ login: "sb://host/input", error: undefined, leftMs: 20_000, lifeMs: 3_600_000 });
  credentials.heard({ login: "sb://host/input", error: "no identity", leftMs: 20_000, lifeMs: 3_600_000 });
  await world.clock.advance(2_000);
  world.send("a");
  await world.clock.advance(15_000);
  assert.deepEqual([world.statesOf("a"), worker.view().credentials[0]?.isEnding], [["active"], true]);
  await world.clock.advance(10_000);
  assert.deepEqual([world.statesOf("a"), worker.view().credentials[0]?.isEnding], [["completed"], false]);
});
