// Runs as a person meets them: what `holdfast runs` tells of them, while they are on their way and after.
import { strict as assert } from "node:assert";
import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, type TestContext, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { runCommand, type CommandResult } from "../support/holdfast-command.ts";
import { type RedisServer, startRedis } from "../support/redis-server.ts";
import { type RunningWorker, runtimeModule, startWorkerBench, type WorkerBench } from "../support/worker-bench.ts";

const { REDIS_URL: _redis, ...env } = process.env;

/** A chain whose second step waits for a file, and a skill that fails in the way that the payload names. */
function skills(folder: string): string {
  return `import { existsSync, appendFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { definePlugin, defineSkill, PermanentError, TransientError } from "${runtimeModule}";
const folder = ${JSON.stringify(folder)};
const mark = (name, text) => appendFileSync(join(folder, name), text + "\\n");
const chained = defineSkill({
  name: "chained",
  handles: [{ eventType: "Tried", versions: "1.x" }],
  timeoutMs: 60_000,
  steps: (begin) =>
    begin
      .step("reserve", { kind: "idempotent" }, (step) => {
        mark("reserved", step.event.eventId);
        return { seat: 12, password: "hush", order: step.event.payload.order };
      })
      .step("pay", { kind: "idempotent" }, async (step) => {
        mark("paying", step.event.eventId);
        while (!existsSync(join(folder, "paid-" + step.event.eventId))) await pause(10);
        return { paid: true };
      })
      .step("ship", { kind: "idempotent" }, () => undefined),
});
const failing = defineSkill({
  name: "failing",
  handles: [{ eventType: "Failed", versions: "1.x" }],
  retry: { attemptsMax: 2, immediateMax: 0, baseDelayMs: 60_000, delayMaxMs: 60_000, jitter: "none" },
  async run(context) {
    await context.step("begin", { kind: "idempotent" }, () => "begun");
    if (context.event.payload.forGood) throw new PermanentError("refused", { code: "REFUSED" });
    throw new TransientError("the bank is closed", { code: "BANK_CLOSED" });
  },
});
export default definePlugin({ skills: [chained, failing] });
`;
}

interface Scene {
  readonly bench: WorkerBench;
  readonly worker: RunningWorker;
  readonly runs: (...args: readonly string[]) => Promise<CommandResult>;
  readonly json: (...args: readonly string[]) => Promise<unknown>;
}

async function sceneOf(t: TestContext, store: unknown): Promise<Scene> {
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["chained", "failing"], module: skills });
  const worker = await bench.startWorker({ store });
  const file = join(bench.folder, "holdfast-0.config.json");
  const runs: Scene["runs"] = (...args) => runCommand(["runs", ...args, "-c", file], env);
  return {
    bench,
    worker,
    runs,
    async json(...args) {
      const { code, stdout, stderr } = await runs(...args, "--json");
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout) as unknown;
    },
  };
}

function hasMark(bench: WorkerBench, name: string, eventId: string): boolean {
  const file = join(bench.folder, name);
  return existsSync(file) && readFileSync(file, "utf8").split("\n").includes(eventId);
}

interface Listed {
  readonly total: number;
  readonly runs: readonly { readonly eventId: string; readonly state: string; readonly skill: string; readonly eventType: string; readonly reason?: string }[];
}

const idsOf = (listed: unknown): readonly string[] => (listed as Listed).runs.map(({ eventId }) => eventId).toSorted();

let redis: RedisServer;
before(async () => void (redis = await startRedis()));
after(() => redis.stop());

for (const kind of ["sqlite", "redis"] as const) {
  describe(`runs on ${kind}`, () => {
    const store = (): unknown => (kind === "sqlite" ? { kind, path: "runs.sqlite" } : { kind, url: redis.url });

    test("are listed by state, skill and type, and shown while they are on their way, with what is done of what is known", async (t) => {
      const { bench, runs, json } = await sceneOf(t, store());
      writeFileSync(join(bench.folder, "paid-done-1"), "");
      await bench.send("done-1", { order: 1 });
      await bench.send("open-1", { order: 2 });
      await bench.send("dead-1", { forGood: true }, "Failed");
      await bench.send("late-1", {}, "Failed");
      await eventually("the open one to be in its second step", () => hasMark(bench, "paying", "open-1"));
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
      appendFileSync(join(bench.folder, "paid-open-1"), "");
      await eventually("the open one to be done", async () => ((await json("show", "open-1")) as { readonly state: string }).state === "done", 30_000);
    });

    test("that nobody knows are told with what was probably meant", async (t) => {
      const { bench, runs, json } = await sceneOf(t, store());
      writeFileSync(join(bench.folder, "paid-order-4711"), "");
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
