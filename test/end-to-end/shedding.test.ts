// Load shedding by the whole product: a worker that does not keep up lets the important events past those that may wait, and says so.
import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";
import { longTest } from "../support/long.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const module = (folder: string): string => `import { appendFileSync } from "node:fs";
import { definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const slow = defineSkill({
  name: "slow",
  handles: [{ eventType: "Tried" }],
  concurrentMax: 1,
  run: async (context) => {
    appendFileSync(${JSON.stringify(join(folder, "ran"))}, context.event.eventId + "\\n");
    await new Promise((resolve) => setTimeout(resolve, 100));
  },
});
export default definePlugin({ skills: [slow] });
`;

longTest("events of a tenant that may wait are let past, and the worker's log and heartbeat say so", async (t) => {
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["slow"], module });
  const ran = (): string[] => (existsSync(join(bench.folder, "ran")) ? readFileSync(join(bench.folder, "ran"), "utf8").trim().split("\n") : []);
  const lows = 150;
  for (let event = 0; event < lows; event += 1) await bench.send(`low-${event}`, {}, "Tried", "trial");
  await bench.send("important", {}, "Tried", "gold");
  const heartbeat = join(bench.folder, "heartbeat");
  const worker = await bench.startWorker({ loadShedding: { queueAgeMs: 200, priorities: { tenant: { trial: "low" } } } }, { HOLDFAST_HEARTBEAT: heartbeat });
  await eventually("the important one to be run", () => ran().includes("important"), 20_000);
  assert.ok(ran().length < lows / 2, `${ran().length} were run before it`);
  assert.deepEqual(
    worker.events("load-shedding.changed").map(({ state, why, level }) => [state, why, level]),
    [["shedding", "queue-age", "warn"]],
  );
  interface Beat {
    readonly ready: boolean;
    readonly loadShedding: { readonly why: string; readonly queueAgeMs: number; readonly shed: { readonly low: number } } | null;
  }
  const beat = (): Beat => JSON.parse(readFileSync(heartbeat, "utf8")) as Beat;
  await eventually("the heartbeat to tell", () => (beat().loadShedding?.shed.low ?? 0) > 0, 20_000);
  assert.deepEqual([beat().ready, beat().loadShedding?.why], [true, "queue-age"]);
});
