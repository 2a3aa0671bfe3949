import { strict as assert } from "node:assert";
import { test } from "node:test";
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
