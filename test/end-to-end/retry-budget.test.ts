// One budget for all retries of a worker, also those that its threads make within calls.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const module = (): string => `import { TransientError, defineDependency, definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
let tries = 0;
const dead = defineDependency({
  name: "dead",
  retry: { attemptsMax: 5, baseDelayMs: 1, delayMaxMs: 1 },
  request: async () => {
    tries += 1;
    throw new TransientError("try " + tries, { code: "DOWN", definite: true });
  },
});
const caller = defineSkill({
  name: "caller",
  handles: [{ eventType: "Tried" }],
  uses: [dead],
  retry: { attemptsMax: 1 },
  run: (context) => context.call(dead, undefined),
});
export default definePlugin({ skills: [caller], dependencies: [dead] });
`;

test("calls in a worker's threads are retried as often as messages and the minimum of its budget allow", async (t) => {
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["caller"], dependencies: ["dead"], module });
  const deaths = async (retryBudget: unknown, eventId: string): Promise<string> => {
    const worker = await bench.startWorker({ threads: 1, retryBudget });
    await bench.send(eventId);
    const [death] = await eventually("the event to be given up", () => {
      const found = worker.events("run.dead-lettered");
      return found.length > 0 ? found : undefined;
    });
    worker.process.kill("SIGTERM");
    await worker.done;
    return String(death?.["description"]);
  };
  assert.match(await deaths({ ratio: 2, perSecondMin: 0 }, "two"), /dead: try 3 /);
  assert.match(await deaths({ ratio: 0, perSecondMin: 0 }, "none"), /dead: try 1 /);
  assert.match(await deaths(undefined, "enough"), /dead: try 5 /);
});
