import { strict as assert } from "node:assert";
import { test } from "node:test";
import { enqueuedFirstHeader, postponedHeader } from "#runtime/core/copy.ts";
import { World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

test("a message of a run that another worker holds comes back when that lease ends, however often it was postponed before", async () => {
  const world = new World({ broker: { lockMs: 10_000 } });
  const { executor } = await world.start();
  executor.script = () => Promise.resolve(completedAnswer);
  await world.records.claim([{ eventId: "a", token: "a lost worker", payloadHash: "vyGp6PvFo4RvsFtPoIWeCReyIC8=", pipelineHash: "task-1" }], 5_000);
  world.send(world.message("a", "task", {}, { [postponedHeader]: 6, [enqueuedFirstHeader]: 1 }));
  await world.clock.advance(7_000);
  assert.deepEqual([world.statesOf("a").at(-1), executor.posted.length], ["completed", 1]);
});
