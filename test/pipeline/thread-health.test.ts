import { strict as assert } from "node:assert";
import { test } from "node:test";
import { within } from "../support/eventually.ts";
import { World } from "../support/pipeline-world.ts";

test("a worker is worn out once as many threads do not end as it may not have, and says each of them", async () => {
  const world = new World();
  const { executor, telemetry, worker } = await world.start({ leakedThreadsMax: 2 });
  let reason: string | undefined;
  void worker.wornOut.then((why) => (reason = why));
  executor.leakThread(1);
  await world.clock.advance(100);
  assert.equal(reason, undefined);
  executor.leakThread(2);
  await world.clock.advance(100);
  assert.equal(reason, "2 skill threads do not end, at most 1 may be left like that");
  assert.deepEqual(
    telemetry.events.filter(({ type }) => type === "thread.leaked"),
    [1, 2].map((leaked) => ({ type: "thread.leaked", state: "begin", why: "it is in native code", leaked, leakedMax: 2 })),
  );
});

test("a worker is worn out when some skills have no threads any more, and none can be started", async () => {
  const world = new World();
  const { executor, worker } = await world.start();
  executor.bringThreadsDown("no thread of skill 'task' is left");
  assert.equal(await within("the reason", worker.wornOut), "no thread of skill 'task' is left");
});

test("a thread that ends after all is said to, and counts no more", async () => {
  const world = new World();
  const { executor, telemetry, worker } = await world.start({ leakedThreadsMax: 2 });
  let reason: string | undefined;
  void worker.wornOut.then((why) => (reason = why));
  executor.leakThread(1);
  executor.leakThread(0, true);
  executor.leakThread(1);
  await world.clock.advance(100);
  assert.equal(reason, undefined);
  const told = telemetry.events.flatMap((event) => (event.type === "thread.leaked" ? [`${event.state} ${event.leaked}`] : []));
  assert.deepEqual(told, ["begin 1", "end 0", "begin 1"]);
});

test("a thread that could not be replaced is said to be when it is after all", async () => {
  const world = new World();
  const { executor, telemetry } = await world.start();
  executor.replaceThread({ why: "it exited with code 7", missing: 1 });
  assert.deepEqual(telemetry.events.at(-1), { type: "thread.replaced", why: "it exited with code 7", missing: 1 });
});

test("a stuck thread is said to be one, with what holds it and since when, and to turn again", async () => {
  const world = new World();
  const { executor, telemetry } = await world.start();
  const held = { skill: "task", eventId: "a", at: "plugin.ts:33:7", why: "it is held" };
  executor.stickThread({ ...held, isOver: false, forMs: 5_000.4 });
  executor.stickThread({ ...held, isOver: true, forMs: 7_999.6 });
  assert.deepEqual(
    telemetry.events.filter(({ type }) => type === "thread.stuck"),
    [
      { type: "thread.stuck", state: "begin", ...held, forMs: 5_000 },
      { type: "thread.stuck", state: "end", ...held, forMs: 8_000 },
    ],
  );
});
