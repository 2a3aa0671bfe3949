// The admin server of a whole worker: what it says is what happens, a dead letter is brought back over it, and a drain ends the process in order.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { eventually } from "../support/eventually.ts";
import { startCommand } from "../support/holdfast-command.ts";
import { valueOf } from "../support/exposition.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const module = (folder: string): string => `import { existsSync } from "node:fs";
import { PermanentError, definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const payer = defineSkill({
  name: "payer",
  handles: [{ eventType: "Tried" }],
  steps: (begin) => begin.step("pay", { kind: "idempotent" }, () => {
    if (existsSync(${JSON.stringify(join(folder, "refuses"))})) throw new PermanentError("the card was refused", { code: "CARD_REFUSED" });
    return "paid";
  }),
});
export default definePlugin({ skills: [payer] });
`;

interface Group {
  readonly fingerprint: string;
  readonly count: number;
}

test("a worker is seen and steered over HTTP, from its dead letters to its end", async (t) => {
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["payer"], module });
  writeFileSync(join(bench.folder, "refuses"), "");
  const worker = await bench.startWorker({ stopBudgetMs: 5_000 }, { HOLDFAST_ADMIN__PORT: "0" });
  const url = String(worker.events("admin")[0]?.["url"]);
  const get = async <Answer>(path: string): Promise<Answer> => (await (await fetch(`${url}${path}`)).json()) as Answer;
  const post = async (path: string, body: object): Promise<number> =>
    (await fetch(`${url}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).status;
  for (const probe of ["/livez", "/readyz", "/startupz"]) assert.deepEqual(await get(probe), { status: "ok", why: [] });

  const probe = await startCommand(["probe", "--at", url, "--json"], process.env).done;
  const { state, settledBy, stagesMs, id } = JSON.parse(probe.stdout) as Readonly<Record<string, unknown>>;
  assert.deepEqual([probe.code, state, Object.keys(stagesMs ?? {})], [0, "completed", ["send", "queue", "claim", "run", "settle"]], probe.stderr);
  assert.match(String(settledBy), /:/);
  await eventually("its record to be gone", async () => (await fetch(`${url}/api/v1/runs/holdfast-probe-${String(id)}`)).status === 404);

  await bench.send("order-1");
  const deadLetters = (): number => bench.broker.inspect().queues["input/$DeadLetterQueue"]?.states.active ?? 0;
  await eventually("the dead letter", () => deadLetters() === 1, 30_000);
  const [group] = await get<readonly Group[]>("/api/v1/dead-letters");
  assert.ok(group !== undefined);
  rmSync(join(bench.folder, "refuses"));
  assert.equal(await post("/api/v1/replays", { group: group.fingerprint, expected: 2, reason: "the card is good now" }), 409);
  assert.equal(await post("/api/v1/replays", { group: group.fingerprint, expected: 1, reason: "the card is good now" }), 202);
  await eventually("the replay to be done", async () => (await get<readonly { readonly state: string }[]>("/api/v1/replays"))[0]?.state === "done");
  assert.deepEqual(await get("/api/v1/dead-letters"), []);
  const run = await get<{ readonly state: string; readonly skill: string; readonly generation: number }>("/api/v1/runs/order-1");
  assert.deepEqual([run.state, run.skill, run.generation], ["done", "payer", 1]);
  const { story } = await get<{ readonly story: readonly { readonly text: string }[] }>("/api/v1/runs/order-1/explanation");
  assert.ok(story.some(({ text }) => /brought back by a replay.*the card is good now/.test(text)));
  const metrics = await (await fetch(`${url}/metrics`)).text();
  assert.equal(valueOf(metrics, "holdfast_messages_total", { skill: "payer", outcome: "completed" }), 1);
  assert.equal(valueOf(metrics, "holdfast_messages_total", { skill: "holdfast.probe", outcome: "completed" }), undefined);
  assert.equal(valueOf(metrics, "holdfast_probe_seconds_count", { source: "input", stage: "total" }), 1);
  assert.equal(valueOf(metrics, "holdfast_probes_total", { source: "input", result: "completed" }), 1);
  assert.equal(valueOf(metrics, "holdfast_admin_changes_total", { operation: "startReplay", result: "done" }), 1);
  assert.equal(valueOf(metrics, "holdfast_bottleneck", { bottleneck: "none" }), 1);
  const scale = await get<{ readonly forRuns: number; readonly safeConcurrency: number }>("/api/v1/scale");
  assert.ok(scale.forRuns < 1 && scale.safeConcurrency >= 1, JSON.stringify(scale));
  assert.ok((valueOf(metrics, "holdfast_store_entries_total", { call: "claim" }) ?? 0) >= 2);

  writeFileSync(join(bench.folder, "refuses"), "");
  await bench.send("order-2");
  await eventually("it to be given up", async () => (await get<{ readonly state?: string }>("/api/v1/runs/order-2")).state === "dead");
  rmSync(join(bench.folder, "refuses"));
  assert.equal(await post("/api/v1/runs/order-2/resume", { reason: "a look", dryRun: true }), 200);
  assert.equal((await get<{ readonly state: string }>("/api/v1/runs/order-2")).state, "dead");
  assert.equal(await post("/api/v1/runs/order-2/resume", { reason: "the card is good again" }), 200);
  await eventually("it to be done", async () => (await get<{ readonly state: string }>("/api/v1/runs/order-2")).state === "done");
  assert.equal(await post("/api/v1/runs/order-2/cancel", { reason: "too late" }), 409);
  assert.equal(await post("/api/v1/runs/nobodys/cancel", { reason: "a slip" }), 404);
  assert.equal(await post("/api/v1/pause", { reason: "to look at what comes" }), 200);
  await bench.send("order-3");
  assert.equal(await post("/api/v1/runs/order-3/cancel", { reason: "ordered twice" }), 200);
  const cancelled = await get<{ readonly state: string; readonly reason: string }>("/api/v1/runs/order-3");
  assert.deepEqual([cancelled.state, cancelled.reason], ["dead", "Cancelled"]);

  const { worker: name } = await get<{ readonly worker: string }>("/api/v1/worker");
  assert.equal(await post("/api/v1/drain", { worker: name, reason: "a newer version" }), 202);
  assert.equal((await worker.done).code, 0);
  assert.deepEqual(
    worker.events("admin.audit").map(({ operation, result }) => [operation, result]),
    [
      ["startProbe", "done"],
      ["startReplay", "wrong-count"],
      ["startReplay", "done"],
      ["resumeRun", "dry-run"],
      ["resumeRun", "done"],
      ["cancelRun", "conflict"],
      ["cancelRun", "not-found"],
      ["pause", "done"],
      ["cancelRun", "done"],
      ["drain", "done"],
    ],
  );
});
