import { strict as assert } from "node:assert";
import { test } from "node:test";
import { World } from "../support/pipeline-world.ts";
import { completedAnswer } from "../support/scripted-executor.ts";

test("a step that a fallback answered is reported once, with what answered and why", async () => {
  const world = new World();
  const { executor, telemetry } = await world.start();
  const fellBack = { fallback: "template", quality: "template", code: "HTTP_503" } as const;
  executor.script = async (run) => {
    await run.step("plain");
    await run.step("asked", { fellBack });
    return completedAnswer;
  };
  world.send("e1");
  await world.clock.advance(1_000);
  const told = telemetry.events.filter(({ type }) => type === "step.fell-back");
  assert.deepEqual(told, [{ type: "step.fell-back", eventId: "e1", skill: "task", attempt: 1, step: "asked", ...fellBack }]);
});

test("a report about a step that throws keeps no run from going on, its own or another's", async () => {
  const world = new World();
  const { executor, telemetry } = await world.start();
  const fellBack = { fallback: "template", quality: "template", code: "HTTP_503" } as const;
  executor.script = async (run) => {
    await run.step("asked", { fellBack });
    return completedAnswer;
  };
  const emit = telemetry.emit.bind(telemetry);
  telemetry.emit = (event) => {
    if (event.type === "step.fell-back" && event.eventId === "e1") throw new Error("a defect");
    emit(event);
  };
  world.send("e1", "e2");
  await world.clock.advance(1_000);
  assert.deepEqual([world.statesOf("e1"), world.statesOf("e2")], [["completed"], ["completed"]]);
  assert.deepEqual(
    telemetry.events.flatMap((event) => (event.type === "message.broken" || event.type === "step.fell-back" ? [`${event.type} ${event.eventId}`] : [])).sort(),
    ["message.broken e1", "step.fell-back e2"],
  );
});
