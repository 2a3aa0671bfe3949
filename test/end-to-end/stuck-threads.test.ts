// Workers with skill threads in native code, which nothing can end.
import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { eventually, within } from "../support/eventually.ts";
import { type RunningCommand, runCommand, startCommand } from "../support/holdfast-command.ts";
import { makePipe } from "../support/pipe.ts";

const root = resolve(import.meta.dirname, "../..");
const { REDIS_URL: _redis, ...env } = process.env;

interface Life {
  readonly broker: Broker;
  readonly worker: RunningCommand;
  /** What the worker has written so far. */
  readonly said: () => string;
}

/** A worker with one event, whose skill is in native code past its time, and one that waits beside it. */
async function start(t: TestContext, stuckThreads: object): Promise<Life> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-stuck-"));
  const pipe = makePipe(t);
  const broker = await startBroker({ entities: { queues: [{ name: "input" }] } });
  t.after(async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  mkdirSync(join(folder, "stuck"));
  writeFileSync(join(folder, "stuck/holdfast.plugin.json"), JSON.stringify({ name: "stuck", version: "1.0.0", entry: "./index.ts", skills: ["native"] }));
  writeFileSync(
    join(folder, "stuck/index.ts"),
    `import { openSync } from "node:fs";
import { definePlugin, defineSkill } from "${root}/runtime/index.ts";
const native = defineSkill({ name: "native", handles: [{ eventType: "Native" }], timeoutMs: 200, run: () => void openSync(${JSON.stringify(pipe.path)}, "r") });
export default definePlugin({ skills: [native] });
`,
  );
  const config = join(folder, "holdfast.config.json");
  const { connectionString } = broker;
  writeFileSync(
    config,
    JSON.stringify({ sources: [{ queue: "input" }], serviceBus: { connectionString }, plugins: ["./stuck"], threads: 1, stopBudgetMs: 1_000, stuckThreads }),
  );
  const sent = await runCommand(["send", "-c", config, "--event-type", "Native"], env);
  assert.equal(sent.code, 0, sent.stderr);
  const worker = startCommand(["start", "-c", config], env);
  t.after(() => worker.process.kill("SIGKILL"));
  let text = "";
  worker.process.stderr?.on("data", (piece: string) => (text += piece));
  return { broker, worker, said: () => text };
}

test("with too many threads that do not end a worker stops in order, with 75 to be restarted, and loses nothing", async (t) => {
  const { broker, worker } = await start(t, { graceMs: 100, endWithinMs: 100, leakedMax: 1 });
  const { code, signal, stderr } = await within("the worker to end", worker.done, 30_000);
  assert.deepEqual([code, signal], [75, null], stderr);
  const lines = stderr.split("\n").filter((line) => line.startsWith("{"));
  const types = lines.map((line) => (JSON.parse(line) as { readonly type?: string; readonly msg: string }).type);
  for (const type of ["thread.stuck", "thread.leaked", "worker.stopped"]) assert.ok(types.includes(type), stderr);
  assert.match(stderr, /"reason":"1 skill threads do not end, at most 0 may be left like that"/);
  const { active, scheduled } = broker.inspect().queues["input"]!.states;
  assert.equal(active + scheduled, 1);
});

test("a thread that does not end keeps no worker from ending at once", async (t) => {
  const { worker, said } = await start(t, { graceMs: 100, endWithinMs: 100, leakedMax: 200 });
  await eventually("a thread to be leaked", () => said().includes('"thread.leaked"'), 30_000);
  // Both at once: once it has stopped in order there is nothing left to end.
  worker.process.kill("SIGTERM");
  worker.process.kill("SIGINT");
  const { code, signal, stderr } = await within("the worker to end", worker.done);
  assert.deepEqual([code, signal], [130, null], stderr);
});
