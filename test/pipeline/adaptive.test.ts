// How many runs use a dependency at once, found by the whole pipeline from how long its calls take.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { dependencyPolicy, type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

/** A server that works on `capacity` calls at once, each for `serviceMs`; the others wait for each other. */
function serve(world: World, { executor }: Process, server: { capacity: number; serviceMs: number }): { most: number } {
  const seen = { most: 0, atWork: 0 };
  const freeAt = Array.from({ length: 100 }, () => 0);
  executor.script = async (run) => {
    seen.atWork += 1;
    seen.most = Math.max(seen.most, seen.atWork);
    const nowMs = world.clock.monotonicMs();
    const places = freeAt.slice(0, server.capacity);
    const place = places.indexOf(Math.min(...places));
    const endMs = Math.max(nowMs, freeAt[place] ?? 0) + server.serviceMs;
    freeAt[place] = endMs;
    await run.takes(endMs - nowMs);
    seen.atWork -= 1;
    run.calls.push({ dependency: "api", result: "succeeded", latencyMs: endMs - nowMs });
    return completedAnswer;
  };
  return seen;
}

test("a bulkhead comes down to what its dependency can work on, and up again when that is more; both are shown and can be bounded", async () => {
  const world = new World({
    skills: [skillPolicy("calls", { uses: [0] })],
    dependencies: [{ ...dependencyPolicy("api", { concurrentMax: 100, queueMax: 100 }), concurrency: { mode: "adaptive", min: 2, max: 80 } }],
  });
  const process = await world.start({ inFlightMax: 400 });
  const server = { capacity: 10, serviceMs: 50 };
  serve(world, process, server);
  let sent = 0;
  const load = async (seconds: number): Promise<void> => {
    for (let tick = 0; tick < seconds * 20; tick += 1) {
      while (world.broker.open.length < 200) world.send(world.message(`e${(sent += 1)}`, "calls"));
      await world.clock.advance(50);
    }
  };
  const limitOf = (): number => process.worker.policies.view().dependencies[0]?.bulkhead.policy.concurrentMax ?? 0;
  assert.equal(limitOf(), 80);
  // The base is measured again after half a minute, with what the server takes then.
  await load(50);
  const low = limitOf();
  assert.ok(low >= 9 && low <= 45, `expected about what the server works on at once, found ${low}`);
  const { adaptive } = process.worker.policies.view().dependencies[0] ?? {};
  assert.equal(adaptive?.limit, low);
  server.capacity = 80;
  await load(5);
  assert.ok(limitOf() > low, `expected more than ${low}, found ${limitOf()}`);
  process.worker.policies.changeConcurrency("api", { max: 5 });
  assert.equal(limitOf(), 5);
  assert.throws(() => process.worker.policies.changeConcurrency("api", { min: 6 }), /concurrency\.min: expected at most max/);
  assert.throws(() => process.worker.policies.changeConcurrency("nobody", { min: 6 }), /expected a dependency of this worker/);
  assert.throws(
    () => process.worker.policies.changeBulkhead("api", { concurrentMax: 6 }),
    /expected no concurrentMax for 'api', whose concurrency is adaptive/,
  );
});
