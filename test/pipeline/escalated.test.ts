// A dead letter whose escalation is not durable yet.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { World } from "../support/pipeline-world.ts";

const refused = { kind: "failed", failure: { code: "REFUSED", message: "no" }, retryable: false } as const;

test("a message is dead-lettered once its escalation is durable; a worker that ends before leaves it to the next one", async () => {
  const world = new World();
  const asked: PromiseWithResolvers<void>[] = [];
  const escalated = (): Promise<void> => {
    const next = Promise.withResolvers<void>();
    asked.push(next);
    return next.promise;
  };
  const first = await world.start({ escalated });
  first.executor.script = () => refused;
  world.send("a");
  await world.clock.advance(5_000);
  assert.deepEqual([asked.length, (await world.record("a")).state, world.broker.deadLettered.length], [1, "dead", 0]);
  first.kill();

  const second = await world.start({ escalated });
  second.executor.script = () => refused;
  await world.clock.advance(60_000);
  assert.deepEqual([asked.length, world.broker.deadLettered.length], [2, 0], "expected the next worker to escalate it, too");
  asked[1]?.resolve();
  await world.clock.advance(1_000);
  assert.deepEqual(world.statesOf("a"), ["dead-lettered: REFUSED"]);
});
