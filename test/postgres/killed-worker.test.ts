// Connections of a plugin's pool, as the server sees them, of whole worker processes under load: threads replaced, the worker killed, started again and stopped.
import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test, type TestContext } from "node:test";
import { Pool } from "pg";
import { startBroker } from "#load/broker/broker.ts";
import { WorkerProcess } from "#load/dev/worker-process.ts";
import { createProducer } from "#runtime/index.ts";
import { eventually } from "../support/eventually.ts";
import { isLong } from "../support/long.ts";
import { startPostgres } from "../support/postgres-server.ts";

const threads = 2;
const perPool = 3;
/** Of the threads that a worker begins with. */
const ofThreads = threads * perPool;
/** Runs that were in a thread that was lost run apart then, in a thread more. */
const ofLiving = (threads + 1) * perPool;
const asksPerRound = 200;
const rounds = 2;

const source = (
  url: string,
): string => `import { definePlugin, defineResource, defineSkill } from ${JSON.stringify(resolve(import.meta.dirname, "../../runtime/index.ts"))};
import { Pool } from ${JSON.stringify(import.meta.resolve("pg"))};
const database = defineResource({
  name: "database",
  open: () => new Pool({ connectionString: ${JSON.stringify(url)}, max: ${perPool}, application_name: "the-plugin" }),
  close: (pool) => pool.end(),
});
const skill = (name, run) => defineSkill({ name, handles: [{ eventType: "test." + name }], retry: { attemptsMax: 5, immediateDelayMs: 50 }, run });
export default definePlugin({ skills: [
  skill("ask", async (context) => { await (await context.use(database)).query("SELECT pg_sleep(0.01)"); }),
  skill("exit", async (context) => {
    await (await context.use(database)).query("SELECT 1");
    if (context.attempt === 1) process.exit(7);
  }),
] });
`;

/** Counts the plugin's connections again and again; `most` is the highest count since it was last asked for. */
class Watch {
  readonly #pool: Pool;
  #most = 0;
  #isOver = false;
  readonly #watching: Promise<void>;

  constructor(url: string) {
    this.#pool = new Pool({ connectionString: url, max: 1 });
    this.#watching = this.#run();
  }

  async #run(): Promise<void> {
    while (!this.#isOver) await this.now();
  }

  async now(): Promise<number> {
    const { rows } = await this.#pool.query<{ n: number }>(
      "SELECT count(*)::int AS n, pg_sleep(0.002) FROM pg_stat_activity WHERE application_name = 'the-plugin'",
    );
    const count = rows[0]?.n ?? -1;
    this.#most = Math.max(this.#most, count);
    return count;
  }

  most(): number {
    const most = this.#most;
    this.#most = 0;
    return most;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#watching;
    await this.#pool.end();
  }
}

async function scene(t: TestContext) {
  const closing: (() => unknown)[] = [];
  t.after(async () => {
    for (const close of closing.toReversed()) await close();
  });
  const folder = mkdtempSync(join(tmpdir(), "holdfast-killed-worker-"));
  closing.push(() => rmSync(folder, { recursive: true }));
  const server = await startPostgres();
  closing.push(() => server.stop());
  const watch = new Watch(server.url);
  closing.push(() => watch.stop());
  const broker = await startBroker({ entities: { queues: [{ name: "orders", lockDurationMs: 5_000 }] } });
  closing.push(() => broker.stop());
  mkdirSync(join(folder, "made"));
  writeFileSync(
    join(folder, "made/holdfast.plugin.json"),
    JSON.stringify({ name: "made", version: "1.0.0", entry: "./index.ts", skills: ["ask", "exit"], dependencies: [] }),
  );
  writeFileSync(join(folder, "made/index.ts"), source(server.url));
  const config = {
    sources: [{ queue: "orders" }],
    serviceBus: { connectionString: broker.connectionString },
    store: { kind: "sqlite", path: "runs.sqlite" },
    plugins: ["./made"],
    threads,
    logLevel: "silent",
  };
  const file = join(folder, "holdfast.config.json");
  writeFileSync(file, JSON.stringify(config));
  const worker = new WorkerProcess(file);
  closing.push(() => worker.stop());
  const producer = createProducer({ serviceBus: config.serviceBus, publish: { entity: "orders" }, projectId: "shop", agent: "test" });
  closing.push(() => producer.stop());
  const open = (): number => {
    const { active = 0, locked = 0, scheduled = 0, deferred = 0 } = broker.inspect().queues["orders"]?.states ?? {};
    return active + locked + scheduled + deferred;
  };
  return { watch, worker, producer, open };
}

const name = "they are never more than the pools of the living threads have, end with a process that is killed, and are none after a stop";

async function drive(t: TestContext): Promise<void> {
  const { watch, worker, producer, open } = await scene(t);
  const send = (count: number): Promise<unknown> => producer.sendAll(Array.from({ length: count }, () => ({ eventType: "test.ask", payload: {} })));
  await worker.start();
  await send(asksPerRound);
  await eventually("every pool to be full", async () => (await watch.now()) === ofThreads, 30_000);
  await eventually("the events to end", () => open() === 0, 60_000);
  assert.equal(watch.most(), ofThreads);

  for (let round = 1; round <= rounds; round += 1) {
    await send(asksPerRound);
    await producer.send("test.exit", {});
    const lost = (): number => worker.reports.totals().events["thread.lost"] ?? 0;
    await eventually("the thread to be lost", () => lost() >= round, 30_000);
    // The server has those of a thread that is gone until it looks at their sockets: for so long one more pool may be there, and no longer.
    await eventually("the lost thread's connections to end", async () => (await watch.now()) <= ofLiving);
    assert.ok(watch.most() <= ofLiving + perPool);
    await eventually("the events to end", () => open() === 0, 60_000);
    assert.ok(watch.most() <= ofLiving);
  }

  await send(asksPerRound);
  await eventually("the pools to be at work", async () => (await watch.now()) > 0 && open() > asksPerRound / 4, 30_000);
  await worker.kill();
  await eventually("the killed worker's connections to end", async () => (await watch.now()) === 0);
  assert.ok(open() > 0, "expected it to be killed under load");
  watch.most();
  await worker.start();
  await eventually("the events to end", () => open() === 0, 60_000);
  assert.ok(watch.most() <= ofLiving);

  await send(asksPerRound);
  await eventually("the pools to be at work", async () => (await watch.now()) > 0 && open() > asksPerRound / 4, 30_000);
  await worker.stop();
  assert.equal(await watch.now(), 0, "expected no connection when the worker has stopped");
  assert.ok(watch.most() <= ofLiving);
}

if (isLong) test(name, { timeout: 300_000 }, drive);
