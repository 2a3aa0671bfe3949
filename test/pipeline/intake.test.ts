import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { skillPolicy, World } from "../support/pipeline-world.ts";
import { completedAnswer, type ScriptedRun } from "../support/scripted-executor.ts";

const skills = ["quick", "slow", "idle", "another", "third"].map((name) => skillPolicy(name));
const intake = { start: 4, floor: 1, ceiling: 10_000, waitMaxMs: 500 };

const script = async (run: ScriptedRun): Promise<typeof completedAnswer> => {
  await run.takes(run.order.skill === "slow" ? 2_000 : 1);
  return completedAnswer;
};

describe("what a worker takes of several skills", () => {
  test("is what the one that messages come for can begin, however many others wait for theirs", async () => {
    const world = new World({ skills, broker: { latencyMs: 20 } });
    const { executor } = await world.start({ intake, inFlightMax: 10_000 });
    executor.script = script;
    for (let event = 0; event < 4_000; event += 1) world.send(world.message(`e${event}`, "quick"));
    await world.clock.advance(2_000);
    assert.equal(world.broker.stored.filter((one) => one.state === "completed").length, 4_000);
  });

  test("is not postponed where slow work is mixed in by chance", async () => {
    const world = new World({ skills, broker: { latencyMs: 20 } });
    const { executor, telemetry } = await world.start({ intake, inFlightMax: 10_000 });
    executor.script = script;
    for (let event = 0; event < 2_000; event += 1) world.send(world.message(`e${event}`, event % 20 === 0 ? "slow" : "quick"));
    await world.clock.advance(60_000);
    assert.equal(world.broker.stored.filter((one) => one.state === "completed").length, 2_000);
    assert.deepEqual(telemetry.outcomes.filter((outcome) => outcome === "postponed").length, 0);
  });
});
