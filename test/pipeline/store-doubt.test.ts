// What becomes of events while the store may have lost what it knew of them.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { StoreSuspicion } from "#runtime/core/store-suspicion.ts";
import { type Process, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer, type Script } from "../support/scripted-executor.ts";

const charging =
  (effects: string[]): Script =>
  async (run) => {
    await run.step("charge", { kind: "atMostOnce" });
    effects.push(run.eventId);
    return completedAnswer;
  };

const everything: StoreSuspicion = { scope: "all", agoMs: 0, parts: [0], partOf: () => 0 };

async function worldWith(prepare: (process: Process) => void): Promise<{ readonly world: World; readonly process: Process }> {
  const world = new World();
  const process = await world.start({}, prepare);
  return { world, process };
}

describe("a store that has lost records", () => {
  test("has what may happen once parked for events from before the loss, and those from after it executed", async () => {
    const effects: string[] = [];
    const world = new World();
    world.send("before");
    await world.clock.advance(60_000);
    const process = await world.start({}, ({ executor, storeDoubt }) => {
      executor.script = charging(effects);
      storeDoubt.lost(everything);
    });
    await world.clock.advance(60_000);
    world.send("after");
    await world.clock.advance(60_000);
    assert.deepEqual(effects, ["after"]);
    assert.deepEqual(
      [world.statesOf("before"), world.statesOf("after"), (await world.record("before")).state],
      [["dead-lettered: OutcomeUnknown"], ["completed"], "parked"],
    );
    assert.deepEqual(
      process.worker.view().storeSuspect.map(({ scope, parts }) => [scope, parts]),
      [["all", 1]],
    );
    await world.clock.advance(3_600_000);
    assert.deepEqual(
      process.telemetry.events.flatMap((event) => (event.type === "store.suspect" ? [event.state] : [])),
      ["begin", "end"],
    );
    assert.deepEqual(process.worker.view().storeSuspect, []);
  });

  test("leaves a copy as old as the message that it was made of", async () => {
    let calls = 0;
    const { world, process } = await worldWith(({ executor }) => {
      executor.script = () => {
        calls += 1;
        return calls <= 2 ? failedAnswer() : completedAnswer;
      };
    });
    world.send("a");
    await world.clock.advance(5_000);
    assert.equal(world.statesOf("a").length, 2);
    process.storeDoubt.lost(everything);
    await world.clock.advance(120_000);
    const doubts = process.executor.posted.map(({ inDoubt }) => inDoubt);
    assert.deepEqual([doubts[0], doubts.at(-1), world.statesOf("a").at(-1)], [false, true, "completed"]);
  });

  test("does not put steps in doubt whose record has survived", async () => {
    const effects: string[] = [];
    const world = new World();
    const first = await world.start({}, ({ executor }) => {
      executor.script = async (run) => {
        await run.step("charge", { kind: "atMostOnce" });
        await run.takes(3_600_000);
        return completedAnswer;
      };
    });
    world.send("a");
    await world.clock.advance(1_000);
    first.kill();
    const second = await world.start({}, ({ executor, storeDoubt }) => {
      executor.effect = (_run, step) => effects.push(step);
      executor.script = charging([]);
      storeDoubt.lost(everything);
    });
    await world.clock.advance(300_000);
    assert.deepEqual([effects, second.executor.posted.at(-1)?.inDoubt, world.statesOf("a").at(-1)], [[], true, "completed"]);
  });

  test("that has kept what could be looked for: only messages that were delivered before are in doubt, and copies of them", async () => {
    const world = new World();
    const first = await world.start({}, ({ executor }) => {
      executor.script = async (run) => {
        if (run.eventId === "copied") return failedAnswer();
        await run.takes(3_600_000);
        return completedAnswer;
      };
    });
    world.send("redelivered");
    world.send("copied");
    await world.clock.advance(5_000);
    first.kill();
    world.send("fresh");
    const effects: string[] = [];
    await world.start({}, ({ executor, storeDoubt }) => {
      executor.script = charging(effects);
      storeDoubt.lost({ ...everything, scope: "redelivered" });
    });
    await world.clock.advance(600_000);
    assert.deepEqual(effects, ["fresh"]);
    assert.deepEqual(
      ["redelivered", "copied", "fresh"].map((id) => world.statesOf(id).at(-1)),
      ["dead-lettered: OutcomeUnknown", "dead-lettered: OutcomeUnknown", "completed"],
    );
  });
});
