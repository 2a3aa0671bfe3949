// Workers that are killed between a step's effect and the end of its run, on a store that is emptied before another takes over.
import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Redis } from "ioredis";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

/** Each effect is a line of the ledger. A run's first execution hangs behind its effect, for as long as the file `hang` is there. */
const ledgerModule = (folder: string): string => `import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const folder = ${JSON.stringify(folder)};
const ledger = join(folder, "ledger");
const effect = async (context) => {
  appendFileSync(ledger, context.event.eventId + "\\n");
  if (context.event.payload.hangs) await new Promise((_resolve, reject) => context.signal.addEventListener("abort", reject));
  return "charged";
};
const query = (context) => (existsSync(ledger) && readFileSync(ledger, "utf8").split("\\n").includes(context.event.eventId) ? "found" : undefined);
const skill = defineSkill({
  name: "charger",
  handles: [{ eventType: "Tried" }],
  async run(context) {
    const { kind } = context.event.payload;
    await context.step("charge", kind === "queryable" ? { kind, query } : { kind }, effect);
  },
});
export default definePlugin({ skills: [skill] });
`;

test(
  "events whose worker was killed behind their effect have one effect each, though the store was emptied: parked, or found",
  { timeout: 120_000 },
  async (t) => {
    const server = await startRedis();
    const redis = new Redis(server.url);
    t.after(async () => {
      redis.disconnect();
      await server.stop();
    });
    const bench = await startWorkerBench(t, { entities: { queues: [{ name: "input", lockDurationMs: 3_000 }] }, skills: ["charger"], module: ledgerModule });
    const ledger = join(bench.folder, "ledger");
    const effects = (): string[] => (existsSync(ledger) ? readFileSync(ledger, "utf8").trim().split("\n").sort() : []);
    const totals = (): { readonly completed: number; readonly deadLettered: number } => {
      const { completed = 0, deadLettered = 0 } = bench.broker.inspect().queues["input"]?.totals ?? {};
      return { completed, deadLettered };
    };
    const isOver = (): boolean =>
      Object.entries(bench.broker.inspect().queues["input"]?.states ?? {}).every(([state, count]) => state === "deadLettered" || count === 0);
    const store = { kind: "redis", url: server.url };
    const first = await bench.startWorker({ store });
    await bench.send("once", { kind: "atMostOnce", hangs: true });
    await bench.send("asked", { kind: "queryable", hangs: true });
    await eventually("both effects", () => effects().length === 2, 20_000);
    first.process.kill("SIGKILL");
    await first.done;
    await redis.flushall();
    const second = await bench.startWorker({ store });
    await eventually("both events to end", () => totals().completed + totals().deadLettered === 2, 40_000);
    assert.deepEqual([effects(), totals()], [["asked", "once"], { completed: 1, deadLettered: 1 }]);
    await eventually("the worker to tell of it", () => second.events("run.dead-lettered").length > 0);
    const reasons = second.events("run.dead-lettered").map(({ eventId, reason }) => [eventId, reason]);
    assert.deepEqual([reasons, second.events("store.suspect").map(({ state }) => state)], [[["once", "OutcomeUnknown"]], ["begin"]]);
    // A worker that runs notices by itself, and what comes after the loss is handled as always.
    await redis.flushall();
    await bench.send("next", { kind: "keyed" });
    await eventually("the next loss to be noticed", () => second.events("store.suspect").length === 2, 20_000);
    await eventually("what showed it to end", isOver, 20_000);
    await eventually(
      "the clocks to be past the loss",
      async () => {
        const before = totals();
        await bench.send(`later-${before.deadLettered}`, { kind: "atMostOnce" });
        await eventually("the event to end", isOver, 20_000);
        return totals().completed > before.completed;
      },
      30_000,
    );
  },
);
