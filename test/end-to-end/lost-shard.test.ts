// Workers on a Redis Cluster of which a shard goes missing, and on a Redis that is killed and comes back with all it had.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { hashTagsOf, tagIndexOf } from "#runtime/adapters/redis/tags.ts";
import { eventually } from "../support/eventually.ts";
import { runCommand } from "../support/holdfast-command.ts";
import { startRedisCluster } from "../support/redis-cluster.ts";
import { freePort, startRedis } from "../support/redis-server.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const tags = 12;

/** Each effect, which must happen at most once, is a line of the ledger. */
const ledgerModule = (folder: string): string => `import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const skill = defineSkill({
  name: "charger",
  handles: [{ eventType: "Tried" }],
  async run(context) {
    await context.step("charge", { kind: "atMostOnce" }, () => appendFileSync(join(${JSON.stringify(folder)}, "ledger"), context.event.eventId + "\\n"));
  },
});
export default definePlugin({ skills: [skill] });
`;

async function benchFor(t: TestContext) {
  const bench = await startWorkerBench(t, { entities: { queues: [{ name: "input", lockDurationMs: 10_000 }] }, skills: ["charger"], module: ledgerModule });
  const ledger = join(bench.folder, "ledger");
  return {
    bench,
    effects: (): string[] => (existsSync(ledger) ? readFileSync(ledger, "utf8").trim().split("\n").sort() : []),
    /** How many messages were completed; one of which a copy was scheduled for later counts, too. */
    completed: (): number => bench.broker.inspect().queues["input"]?.totals.completed ?? 0,
    /** Nothing waits, is locked or scheduled for later; what was dead-lettered does not count. */
    isEmpty: (): boolean =>
      Object.entries(bench.broker.inspect().queues["input"]?.states ?? {}).every(([state, count]) => count === 0 || state === "deadLettered"),
    sendAll: async (ids: readonly string[]): Promise<void> => {
      for (const id of ids) await bench.send(id, {});
    },
  };
}

const idsOf = (name: string, count: number): string[] => Array.from({ length: count }, (_, number) => `${name}-${String(number).padStart(2, "0")}`);

/** The parts of the records that lie on each of a cluster's masters. */
async function partsByMaster(url: string): Promise<ReadonlyMap<number, ReadonlySet<number>>> {
  const client = new Redis(url);
  const slots = await Promise.all(hashTagsOf("input", tags).map(async (tag) => Number(await client.call("CLUSTER", ["KEYSLOT", `{${tag}}`]))));
  client.disconnect();
  const masters = new Map<number, Set<number>>([0, 1, 2].map((master) => [master, new Set()]));
  for (const [part, slot] of slots.entries()) masters.get(Math.min(2, Math.floor((slot * 3) / 16_384)))?.add(part);
  return masters;
}

test("while a shard is away the events of the others are handled, and its own when it is back: each has one effect", { timeout: 120_000 }, async (t) => {
  const cluster = await startRedisCluster();
  t.after(() => cluster.stop());
  const { bench, effects, completed, isEmpty, sendAll } = await benchFor(t);
  const worker = await bench.startWorker({ store: { kind: "redis", url: cluster.url, cluster: true, commandTimeoutMs: 500 } });
  await sendAll(["first"]);
  await eventually("the first event to end", () => completed() === 1, 20_000);
  const lost = (await partsByMaster(cluster.url)).get(2) ?? new Set();
  const ids = idsOf("away", 60);
  const reachable = ids.filter((id) => !lost.has(tagIndexOf(id, tags)));
  assert.ok(reachable.length > 20 && reachable.length < 60, `${reachable.length}`);
  cluster.masters[2]?.process.kill("SIGSTOP");
  await sendAll(ids);
  await eventually("the other shards' events to end", () => completed() >= reachable.length + 1, 40_000);
  cluster.masters[2]?.process.kill("SIGCONT");
  await eventually("each event to have its effect, and none to be left", () => effects().length > ids.length && isEmpty(), 40_000);
  assert.deepEqual(effects(), [...ids, "first"].sort());
  assert.deepEqual(worker.events("run.dead-lettered"), []);
});

test("a shard that has lost its records puts its own events alone in doubt", { timeout: 120_000 }, async (t) => {
  const cluster = await startRedisCluster();
  t.after(() => cluster.stop());
  const { bench, effects, completed, isEmpty, sendAll } = await benchFor(t);
  const store = { kind: "redis", url: cluster.url, cluster: true } as const;
  const first = await bench.startWorker({ store });
  await sendAll(["first"]);
  await eventually("the first event to end", () => completed() === 1, 20_000);
  first.process.kill("SIGTERM");
  await first.done;
  const ids = idsOf("backlog", 40);
  await sendAll(ids);
  const lost = (await partsByMaster(cluster.url)).get(0) ?? new Set();
  await cluster.masters[0]?.flush();
  const second = await bench.startWorker({ store }, { HOLDFAST_HEARTBEAT: join(bench.folder, "heartbeat") });
  const ended = (): number => effects().length - 1 + second.events("run.dead-lettered").length;
  await eventually("all events to end", () => ended() === ids.length && isEmpty(), 40_000);
  const [parked, done] = [true, false].map((isLost) => ids.filter((id) => lost.has(tagIndexOf(id, tags)) === isLost));
  assert.deepEqual(
    second
      .events("run.dead-lettered")
      .map(({ eventId }) => String(eventId))
      .sort((one, other) => one.localeCompare(other)),
    parked,
  );
  assert.deepEqual(effects(), [...(done ?? []), "first"]);
  assert.deepEqual(
    second.events("store.suspect").map(({ state, scope }) => [state, scope]),
    [["begin", "all"]],
  );
  const beats = (): { ready: boolean; waitsFor: string[]; storeSuspect: { why: string; parts: number }[] } =>
    JSON.parse(readFileSync(join(bench.folder, "heartbeat"), "utf8"));
  const beat = beats();
  assert.deepEqual([beat.ready, beat.waitsFor, beat.storeSuspect.map(({ parts }) => parts)], [true, [], [lost.size]]);
  assert.match(beat.storeSuspect[0]?.why ?? "", /^records were lost/);
  const { stdout } = await runCommand(["doctor", "--json", "-c", second.config]);
  const findings = JSON.parse(stdout) as { check: string; verdict: string; found: string }[];
  const records = findings.find(({ check }) => check === "store records");
  assert.match(`${records?.verdict} ${records?.found}`, /^ok records were lost: .* \(noticed 20.*Z, until 20.*Z\)$/);
});

test("a Redis that is killed and comes back with all it had parks none of the backlog", { timeout: 120_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-aof-"));
  const port = await freePort();
  const args = ["--dir", folder, "--appendonly", "yes", "--appendfsync", "always"];
  let server = await startRedis(args, port);
  t.after(async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  });
  const { bench, effects, completed, sendAll } = await benchFor(t);
  const worker = await bench.startWorker({ store: { kind: "redis", url: server.url } });
  await sendAll(idsOf("before", 5));
  await eventually("the first events to end", () => completed() === 5, 20_000);
  const exited = once(server.process, "close");
  server.process.kill("SIGKILL");
  await exited;
  await sendAll(idsOf("backlog", 30));
  server = await startRedis(args, port);
  await eventually("the backlog to end", () => effects().filter((id) => id.startsWith("backlog")).length === 30, 40_000);
  assert.deepEqual(worker.events("run.dead-lettered"), []);
  assert.deepEqual(
    worker.events("store.suspect").map(({ state, scope }) => [state, scope]),
    [["begin", "redelivered"]],
  );
});
