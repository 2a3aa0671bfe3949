// What a run holds beside the body of its message counts in the budget of bytes until its message is settled.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Publisher } from "#runtime/ports/publisher.ts";
import { World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

const resultBytes = 10_000;

test("results of steps count as they come and once each, and all that a message held is free when it ends", async () => {
  const world = new World();
  const { worker, executor } = await world.start();
  executor.script = async (run) => {
    await run.takes(1_000);
    await run.step("first", { resultBytes });
    await run.takes(1_000);
    await run.step("second", { resultBytes });
    await run.takes(1_000);
    return completedAnswer;
  };
  world.send("a");
  await world.clock.advance(500);
  const bodyBytes = worker.view().heldBytes;
  assert.ok(bodyBytes > 0 && bodyBytes < resultBytes, String(bodyBytes));
  await world.clock.advance(1_000);
  assert.equal(worker.view().heldBytes, bodyBytes + resultBytes);
  await world.clock.advance(1_000);
  assert.equal(worker.view().heldBytes, bodyBytes + 2 * resultBytes);
  await world.clock.advance(2_000);
  assert.deepEqual([world.statesOf("a"), worker.view().heldBytes], [["completed"], 0]);
});

test("steps that a claim tells of count again for whoever goes on from them", async () => {
  const world = new World();
  const first = await world.start();
  first.executor.script = async (run) => {
    await run.step("first", { resultBytes });
    await run.takes(60_000);
    return completedAnswer;
  };
  world.send("a");
  await world.clock.advance(1_000);
  assert.ok(first.worker.view().heldBytes >= resultBytes);
  first.kill();
  const second = await world.start();
  second.executor.script = async (run) => {
    await run.step("first", { resultBytes });
    await run.takes(5_000);
    return completedAnswer;
  };
  let heldMost = 0;
  for (let waited = 0; waited < 240 && world.statesOf("a")[0] !== "completed"; waited += 1) {
    await world.clock.advance(1_000);
    heldMost = Math.max(heldMost, second.worker.view().heldBytes);
  }
  assert.ok(heldMost >= resultBytes && heldMost < 2 * resultBytes, String(heldMost));
  assert.deepEqual([world.statesOf("a"), second.worker.view().heldBytes], [["completed"], 0]);
});

test("what is emitted counts until it is published", async () => {
  const world = new World();
  const sending = Promise.withResolvers<void>();
  const publisher: Publisher = { start: async () => undefined, stop: async () => undefined, send: () => sending.promise };
  const { worker, executor } = await world.start({ publisher });
  executor.script = () => ({ kind: "completed", outbox: [{ messageId: "a:0", body: new Uint8Array(resultBytes), headers: { eventType: "Done" } }] });
  world.send("a");
  await world.clock.advance(1_000);
  assert.ok(worker.view().heldBytes >= 2 * resultBytes, String(worker.view().heldBytes));
  sending.resolve();
  await world.clock.advance(1_000);
  assert.deepEqual([world.statesOf("a"), worker.view().heldBytes], [["completed"], 0]);
});
