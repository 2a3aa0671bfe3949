import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { SessionsSettings } from "#runtime/core/config/sessions.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { RunAnswer } from "#runtime/core/outcome.ts";
import { type Process, skillPolicy, World } from "../support/pipeline-world.ts";
import type { ScriptedRun } from "../support/scripted-executor.ts";

const settings: SessionsSettings = { concurrentMax: 2, idleMs: 1_000, turnMs: 10_000, onFailure: "skip" };
const skills = [skillPolicy("task", { timeoutMs: 600_000 })];

function newWorld(lockMs = 30_000): World {
  return new World({ skills, broker: { requiresSessions: true, lockMs } });
}

const textOf = (state: Uint8Array | null | undefined): string => (state ? Buffer.from(state).toString() : "");
const stateOf = (world: World, session: string): string => textOf(world.broker.sessions?.states.get(session));

/** Adds its event's id to the state. */
async function append(run: ScriptedRun): Promise<RunAnswer> {
  const before = textOf(await run.state());
  return { kind: "completed", outbox: [], sessionState: Buffer.from(`${before} ${run.eventId}`.trim()) };
}

const appending = ({ executor }: Process): void => {
  executor.script = append;
};

describe("the state of a session", () => {
  test("goes from each message to the next, and to the next holder", async () => {
    const world = newWorld();
    const first = await world.start({ sessions: settings }, appending);
    world.send(...world.inSession("a", "a0", "a1"), ...world.inSession("b", "b0"));
    await world.clock.advance(500);
    await world.clock.finish("the first to stop", first.worker.stop(1_000));
    await world.start({ sessions: settings }, appending);
    world.send(...world.inSession("a", "a2"));
    await world.clock.advance(500);
    assert.deepEqual([stateOf(world, "a"), stateOf(world, "b")], ["a0 a1 a2", "b0"]);
  });

  test("is written after the run's done mark and before its events and its completion", async () => {
    const world = newWorld();
    const process = await world.start({ sessions: settings });
    const emitted: OutgoingMessage = { messageId: "out", body: Buffer.alloc(1), headers: { eventType: "Done" } };
    const states: string[] = [];
    process.called = (call) => states.push(`${call}: ${stateOf(world, "a")}`);
    process.executor.script = () => ({ kind: "completed", outbox: [emitted], sessionState: Buffer.from("new") });
    world.send(...world.inSession("a", "a0"));
    await world.clock.advance(500);
    const of = (call: string): string[] => states.filter((each) => each.startsWith(call));
    assert.deepEqual([of("finish"), of("send"), of("complete")], [["finish 1: "], ["send to output: new"], ["complete: new"]]);
    assert.deepEqual(states.findIndex((each) => each.startsWith("clear")) > states.findIndex((each) => each.startsWith("send")), true);
  });

  test("is written by whoever finds the run done, when its worker was killed before it could be", async () => {
    const world = newWorld(4_000);
    const first = await world.start({ sessions: settings }, (process) => {
      appending(process);
      process.called = (call) => {
        // It is on its way to the store, and arrives.
        if (call.startsWith("finish")) world.clock.after(1.5, () => process.kill());
      };
    });
    world.send(...world.inSession("a", "a0", "a1"));
    await world.clock.advance(1_000);
    assert.deepEqual([stateOf(world, "a"), (await world.record("a0")).state], ["", "done"]);
    const second = await world.start({ sessions: settings }, appending);
    await world.clock.advance(20_000);
    assert.equal(stateOf(world, "a"), "a0 a1");
    assert.deepEqual(
      [first, second].map(({ executor }) => executor.posted.map(({ route }) => route.eventId)),
      [["a0"], ["a1"]],
    );
  });

  test("is the same at a repeat, whatever the run had set before it failed", async () => {
    const world = newWorld();
    const process = await world.start({ sessions: settings });
    const seen: string[] = [];
    process.executor.script = async (run) => {
      seen.push(`${run.eventId}: ${textOf(await run.state())}`);
      if (run.eventId === "a1" && run.order.attempt < 3) return { kind: "failed", failure: { code: "EFAILED", message: "it failed" }, retryable: true };
      return append(run);
    };
    world.send(...world.inSession("a", "a0", "a1", "a2"));
    await world.clock.until("all to be completed", () => world.broker.open.length === 0, 60_000);
    assert.deepEqual(seen, ["a0: ", "a1: a0", "a1: a0", "a1: a0", "a2: a0 a1"]);
  });

  test("of a message that is sent again later does not come back", async () => {
    const world = newWorld();
    const refusing: Process = await world.start(
      {
        sessions: settings,
        entityFor: () => {
          throw new Error("nowhere");
        },
      },
      ({ executor }) => {
        executor.script = async (run) => {
          const answer = await append(run);
          const outbox: OutgoingMessage[] = run.eventId === "a0" ? [{ messageId: "out", body: Buffer.alloc(1), headers: { eventType: "Done" } }] : [];
          return answer.kind === "completed" ? { ...answer, outbox } : answer;
        };
      },
    );
    const [first] = world.inSession("a", "a0");
    assert.ok(first !== undefined);
    world.send(first, ...world.inSession("a", "a1"));
    await world.clock.advance(500);
    assert.deepEqual([world.statesOf("a0"), stateOf(world, "a")], [["dead-lettered: PublishUnconfigured"], "a0 a1"]);
    await world.clock.finish("it to stop", refusing.worker.stop(1_000));
    await world.start({ sessions: settings }, appending);
    world.send({ ...first, messageId: "again" });
    await world.clock.advance(500);
    assert.deepEqual([world.statesOf("a0")[1], stateOf(world, "a"), world.broker.published.length], ["completed", "a0 a1", 1]);
  });
});
