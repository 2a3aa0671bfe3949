// Runs as a person meets them: what `holdfast runs` shows of them, while they are on their way and after.
import { strict as assert } from "node:assert";
import { after, before, describe, test } from "node:test";
import { storesTried } from "../support/long.ts";
import { eventually } from "../support/eventually.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { marks, release, runsScene } from "../support/runs-scene.ts";

interface Listed {
  readonly total: number;
  readonly runs: readonly { readonly eventId: string; readonly state: string; readonly skill: string; readonly eventType: string; readonly reason?: string }[];
}

const idsOf = (listed: unknown): readonly string[] => (listed as Listed).runs.map(({ eventId }) => eventId).toSorted();

let redis: RedisServer;
before(async () => void (redis = await startRedis()));
after(() => redis.stop());

for (const kind of storesTried) {
  describe(`runs on ${kind}`, () => {
    const store = (): unknown => (kind === "sqlite" ? { kind, path: "runs.sqlite" } : { kind, url: redis.url });

    test("are listed by state, skill and type, and shown while they are on their way, with what is done of what is known", async (t) => {
      const { bench, runs, json } = await runsScene(t, { store: store() });
      release(bench, "paid-done-1");
      await bench.send("done-1", { order: 1 });
      await bench.send("open-1", { order: 2 });
      await bench.send("dead-1", { forGood: true }, "Failed");
      await bench.send("late-1", {}, "Failed");
      await eventually("the open one to be in its second step", () => marks(bench, "paying").includes("open-1"));
      await eventually(
        "all others to have ended or to wait",
        async () => {
          const listed = (await json("list")) as Listed;
          return listed.runs.filter(({ state }) => state !== "running").length === 3;
        },
        30_000,
      );

      const listed = (await json("list")) as Listed;
      const told = listed.runs.map(({ eventId, state, skill, eventType, reason }) => `${eventId} ${state} ${skill} ${eventType} ${reason ?? ""}`.trim());
      assert.deepEqual(told.toSorted(), [
        "dead-1 dead failing Failed REFUSED",
        "done-1 done chained Tried",
        "late-1 waiting failing Failed BANK_CLOSED",
        "open-1 running chained Tried",
      ]);
      assert.deepEqual(idsOf(await json("list", "--state", "dead", "waiting")), ["dead-1", "late-1"]);
      assert.deepEqual(idsOf(await json("list", "--skill", "chained")), ["done-1", "open-1"]);
      assert.deepEqual(idsOf(await json("list", "--type", "Failed", "--state", "dead")), ["dead-1"]);
      assert.deepEqual(idsOf(await json("list", "--older-than", "1h")), []);
      const limited = (await json("list", "--limit", "1")) as Listed;
      assert.deepEqual([limited.total, limited.runs.length], [4, 1]);

      const open = (await json("show", "open-1", "--results")) as Record<string, unknown> & { readonly steps: readonly Record<string, unknown>[] };
      assert.deepEqual([open["state"], open["progress"], open["ahead"]], ["running", "1 of 3 steps done", ["pay", "ship"]]);
      assert.match(String(open["holder"]), /^.+:\d+:[0-9a-f]{8}$/);
      assert.ok(Date.parse(String(open["leaseUntil"])) > Date.now(), String(open["leaseUntil"]));
      const [reserve, ...more] = open.steps;
      assert.deepEqual([reserve?.["name"], reserve?.["state"], reserve?.["quality"], more.length], ["reserve", "completed", "full", 0]);
      assert.deepEqual(reserve?.["result"], { seat: 12, password: "[redacted]", order: 2 });
      assert.ok(Number(reserve?.["bytes"]) > 0 && Date.parse(String(reserve?.["at"])) > 0);
      const dead = (await runs("show", "dead-1")).stdout;
      assert.match(dead, /^state +dead$/m);
      assert.match(dead, /^progress +1 step done/m);
      assert.match(dead, /^history .*died.*reason REFUSED/m);
      release(bench, "paid-open-1");
      await eventually("the open one to be done", async () => ((await json("show", "open-1")) as { readonly state: string }).state === "done", 30_000);
    });

    test("that nobody knows are told with what was probably meant", async (t) => {
      const { bench, runs, json } = await runsScene(t, { store: store() });
      release(bench, "paid-order-4711");
      await bench.send("order-4711");
      await eventually("it to be done", async () => idsOf(await json("list", "--state", "done")).length > 0, 30_000);
      const unknown = await runs("show", "order-4171");
      assert.equal(unknown.code, 1);
      assert.match(unknown.stderr, /expected a record of event 'order-4171', found none.*did you mean 'order-4711'\?/);
      const skill = await runs("list", "--skill", "chaind");
      assert.deepEqual([skill.code, /did you mean 'chained'\?/.test(skill.stderr)], [2, true], skill.stderr);
      const state = await runs("list", "--state", "finished");
      assert.equal(state.code, 2, state.stderr);
      const since = await runs("list", "--older-than", "soon");
      assert.match(since.stderr, /expected a number and s, m, h or d, such as 10m, got 'soon'/);
    });
  });
}
