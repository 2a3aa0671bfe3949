// Connections of a plugin's pool, as the server sees them: while threads are replaced, and after the worker has stopped.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Pool } from "pg";
import { createThreadsExecutor } from "#runtime/adapters/threads/executor.ts";
import { defaultDecodeLimits } from "#runtime/core/read-route.ts";
import type { Plugin } from "#runtime/index.ts";
import { retryLedgerBytes } from "#runtime/policy/retry-ledger.ts";
import { startExecutor } from "../contracts/executor.ts";
import { eventually } from "../support/eventually.ts";
import { longTest } from "../support/long.ts";
import { startPostgres } from "../support/postgres-server.ts";

const threads = 2;
const perPool = 3;

longTest("they are no more than the pools of the living threads have, and none after a stop", async (t) => {
  const server = await startPostgres();
  const folder = mkdtempSync(join(tmpdir(), "holdfast-connections-"));
  const watch = new Pool({ connectionString: server.url, max: 1 });
  watch.on("error", () => undefined);
  t.after(async () => {
    await watch.end();
    await server.stop();
    rmSync(folder, { recursive: true });
  });
  writeFileSync(
    join(folder, "index.mjs"),
    `import { definePlugin, defineResource, defineSkill } from "holdfast";
import { Pool } from ${JSON.stringify(import.meta.resolve("pg"))};
const database = defineResource({
  name: "database",
  open: () => new Pool({ connectionString: ${JSON.stringify(server.url)}, max: ${perPool}, application_name: "the-plugin" }),
  close: (pool) => pool.end(),
});
const skill = (name, run) => defineSkill({ name, handles: [{ eventType: "test." + name }], run });
export default definePlugin({ skills: [
  skill("ask", async (context) => { await (await context.use(database)).query("SELECT pg_sleep(0.005)"); }),
  skill("exit", async (context) => { await (await context.use(database)).query("SELECT 1"); process.exit(7); }),
] });`,
  );
  const executor = createThreadsExecutor({
    consumers: ["orders"],
    plugins: [
      {
        name: "made",
        entry: pathToFileURL(join(folder, "index.mjs")).href,
        folder,
        skills: ["ask", "exit"].map((name) => ({ name, isolation: "shared" })) as unknown as Plugin["skills"],
      },
    ],
    dependencies: [],
    dependencyConfig: new Map(),
    circuits: new SharedArrayBuffer(4),
    retries: new SharedArrayBuffer(retryLedgerBytes),
    limits: defaultDecodeLimits,
    threads,
  });
  const { post, answer, losses } = await startExecutor(t, executor);
  const seen = async (): Promise<number> =>
    (await watch.query<{ n: number }>("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'the-plugin'")).rows[0]?.n ?? -1;
  let most = 0;
  for (let round = 1; round <= 3; round += 1) {
    const runs = post("ask", ...Array.from({ length: 60 }, () => ({})));
    most = Math.max(most, await seen());
    for (const run of runs) await answer(run);
    most = Math.max(most, await seen());
    for (const run of post("exit")) await answer(run);
    await eventually("the thread to be replaced", () => losses.length >= round, 20_000);
    // A server notices a connection whose process goes on and whose thread is gone by its closed socket.
    await eventually("the lost thread's connections to end", async () => (await seen()) <= (threads - 1) * perPool);
  }
  assert.ok(most > perPool && most <= threads * perPool, `at most ${threads * perPool}, found ${most}`);
  const last = post("ask", ...Array.from({ length: 20 }, () => ({})));
  for (const run of last) await answer(run);
  assert.ok((await seen()) > 0);
  await executor.stop();
  await eventually("no connection", async () => (await seen()) === 0);
});
