// What a worker's log says while a dependency is down: which one, where it was looked for, and what to do.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { freePort } from "../support/redis-server.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const module = `import { defineDependency, definePlugin, defineSkill } from "${runtimeModule}";
const mailer = defineDependency({ name: "mailer", baseUrl: "https://mail.example.com" });
const writer = defineSkill({
  name: "writer",
  handles: [{ eventType: "Tried" }],
  uses: [mailer],
  async run(context) {
    await context.step("send", (step) => step.call(mailer, { method: "POST", path: "/messages", body: {} }));
  },
});
export default definePlugin({ skills: [writer], dependencies: [mailer] });
`;

test("while a dependency is down, the line of a retry names it, its address, skill, step and line, and what to do", async (t) => {
  const bench = await startWorkerBench(t, {
    entities: { queues: [{ name: "input", deadLetterOnExpiry: true }] },
    skills: ["writer"],
    dependencies: ["mailer"],
    module: () => module,
  });
  const address = `127.0.0.1:${await freePort()}`;
  const worker = await bench.startWorker({ dependencies: { mailer: { baseUrl: `http://${address}` } } });
  await bench.send("down");
  const [line] = await eventually("a retry", () => (worker.events("run.retrying").length > 0 ? worker.events("run.retrying") : undefined), 30_000);
  assert.deepEqual([line?.["level"], line?.["skill"], line?.["code"]], ["warn", "writer", "ECONNREFUSED"]);
  assert.equal(
    line?.["description"],
    `mailer: expected http://${address} to answer, found connect ECONNREFUSED ${address}; check that it is up and can be reached from here, and dependencies.mailer.baseUrl (skill 'writer', step 'send', index.ts:8:5)`,
  );
});
