// A dependency that is full, and what its skill does without it.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const module = (): string => `import { defineDependency, definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const slow = defineDependency({
  name: "slow",
  bulkhead: { concurrentMax: 1, queueMax: 0 },
  request: (_request, { signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve)),
});
const asker = defineSkill({
  name: "asker",
  handles: [{ eventType: "Tried" }],
  uses: [slow],
  timeoutMs: 60_000,
  steps: (begin) =>
    begin.step("ask", { fallbacks: [{ name: "known", quality: "cached", answer: () => "from before" }] }, (step) => step.call(slow, undefined)),
});
export default definePlugin({ skills: [asker], dependencies: [slow] });
`;

test("where a bulkhead rejects, fallbacks answer while it is full, as its configuration says", async (t) => {
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["asker"], dependencies: ["slow"], module });
  const worker = await bench.startWorker({ threads: 1, dependencies: { slow: { bulkhead: { whenFull: "reject" }, timeouts: { totalMs: 50_000 } } } });
  for (const eventId of ["one", "two", "three"]) await bench.send(eventId);
  const answered = await eventually("two fallbacks", () => {
    const found = worker.events("step.fell-back");
    return found.length === 2 ? found : undefined;
  });
  assert.deepEqual(
    answered.map(({ step, fallback, quality, code }) => [step, fallback, quality, code]),
    Array.from({ length: 2 }, () => ["ask", "known", "cached", "BULKHEAD_FULL"]),
  );
  await eventually("two of three to be completed", () => bench.broker.inspect().queues["input"]?.totals.completed === 2);
});
