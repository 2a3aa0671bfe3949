// A worker is killed at each of its calls in turn, before the call or after it was carried out and before its answer came.
// Another one takes over.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { outputEntity, type Process, World } from "../support/pipeline-world.ts";
import { completedAnswer, failedAnswer, type Script } from "../support/scripted-executor.ts";

const emitted: OutgoingMessage = { messageId: "a:0", body: new Uint8Array(1), headers: { eventType: "done" } };

const succeeding: Script = async (run) => {
  await run.step("one");
  await run.step("two");
  return { kind: "completed", outbox: [emitted] };
};
const failingOnce: Script = async (run) => {
  await run.step("one");
  return run.order.attempt <= 2 ? failedAnswer() : completedAnswer;
};
const givingUp: Script = () => failedAnswer("EWRONG", {}, false);

interface Aftermath {
  readonly world: World;
  readonly first: Process;
  readonly second: Process;
  /** Effects that began, by step. */
  readonly effects: readonly string[];
}

/** Kills a worker as it makes the call of this number, `afterMs` later; lets another one finish. */
async function crashAt(script: Script, call: number, afterMs: number): Promise<Aftermath> {
  const world = new World({ broker: { lockMs: 10_000 } });
  const effects: string[] = [];
  const prepare = (process: Process): void => {
    process.executor.script = script;
    process.executor.effect = (run, step) => {
      void world.records.read(run.eventId).then((record) => {
        const isDone = record?.steps.some((known) => known.name === step && known.state === "completed") ?? false;
        assert.ok(!isDone, `expected step ${step} not to run again while its checkpoint survives`);
      });
      effects.push(step);
    };
  };
  const first = await world.start({}, prepare);
  first.called = () => {
    if (first.calls.length !== call) return;
    if (afterMs === 0) first.kill();
    else world.clock.after(afterMs, () => first.kill());
  };
  world.send("a");
  await world.clock.advance(3_000);
  const second = await world.start({}, prepare);
  await world.clock.advance(200_000);
  return { world, first, second, effects };
}

/** Runs the case for a crash at each call that the script leads to. */
async function atEachCall(script: Script, check: (aftermath: Aftermath, where: string) => Promise<void>): Promise<number> {
  for (let call = 1; ; call += 1) {
    for (const afterMs of [0, 1]) {
      const aftermath = await crashAt(script, call, afterMs);
      if (aftermath.first.calls.length < call) return call - 1;
      const where = `killed ${afterMs === 0 ? "at" : "after"} call ${call}: ${aftermath.first.calls.join(" → ")}`;
      await check(aftermath, where);
    }
  }
}

describe("a worker that is killed", () => {
  test("at any call of a run that succeeds: it is finished elsewhere, published under stable ids, no recorded step repeated", async () => {
    const calls = await atEachCall(succeeding, async ({ world, effects }, where) => {
      assert.deepEqual(world.statesOf("a"), ["completed"], where);
      assert.equal((await world.record("a")).state, "done", where);
      assert.ok(effects.length === 2 || effects.length === 3, `${where}: ${effects.join()}`);
      assert.ok(world.broker.published.length === 1 || world.broker.published.length === 2, `${where}: published ${world.broker.published.length}`);
      const message = { ...emitted, messageId: await world.idPublished(emitted.messageId) };
      for (const one of world.broker.published) assert.deepEqual(one, { entity: outputEntity, message }, where);
    });
    assert.equal(calls, 8);
  });

  test("at any call of a run that fails and comes again: there is one run, and its retries go on", async () => {
    await atEachCall(failingOnce, async ({ world }, where) => {
      assert.deepEqual(new Set(world.statesOf("a")), new Set(["completed"]), where);
      assert.equal((await world.record("a")).state, "done", where);
    });
  });

  test("at any call of a run that is given up: it is dead-lettered all the same, and not run again once that is recorded", async () => {
    await atEachCall(givingUp, async ({ world, first, second }, where) => {
      assert.deepEqual(world.statesOf("a"), ["dead-lettered: EWRONG"], where);
      assert.equal((await world.record("a")).state, "dead", where);
      const recorded = first.calls.includes("dead-letter");
      if (recorded) assert.equal(second.executor.posted.length, 0, where);
    });
  });

  test("resumes elsewhere within what is left of lock and lease", async () => {
    const { world, second } = await crashAt(succeeding, 3, 0);
    const order = second.executor.posted[0];
    assert.equal(order?.epoch, 2);
    assert.deepEqual(world.statesOf("a"), ["completed"]);
  });
});
