// A cluster whose shards change hands: what that puts in doubt, and of which events.
import { strict as assert } from "node:assert";
import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { describe, type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { createRedisRunStore } from "#runtime/adapters/redis/run-store.ts";
import { hashTagsOf, tagIndexOf } from "#runtime/adapters/redis/tags.ts";
import type { StoreSuspicion } from "#runtime/core/store-suspicion.ts";
import type { Forgetting, RunStore } from "#runtime/ports/run-store.ts";
import { claimOf } from "../contracts/run-store-fixtures.ts";
import { eventually } from "../support/eventually.ts";
import { type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts";

const leaseMs = 60_000;
const tags = 12;
const ids = Array.from({ length: 240 }, (_, index) => `event-${index}`);

async function kill(process: ChildProcess | undefined): Promise<void> {
  if (process === undefined) throw new TypeError("expected a server to kill");
  const exited = once(process, "exit");
  process.kill("SIGKILL");
  await exited;
}

async function clusterFor(t: TestContext): Promise<RedisCluster> {
  const cluster = await startRedisCluster();
  t.after(() => cluster.stop());
  return cluster;
}

interface Worker {
  readonly store: RunStore;
  readonly forgotten: Forgetting[];
  readonly suspicions: StoreSuspicion[];
  /** Claims all events again, over and over until each is answered. */
  touchAll(): Promise<void>;
}

async function workerOn(t: TestContext, cluster: RedisCluster): Promise<Worker> {
  const forgotten: Forgetting[] = [];
  const suspicions: StoreSuspicion[] = [];
  const store = createRedisRunStore({
    consumer: "orders",
    retentionMs: 3_600_000,
    url: cluster.url,
    isCluster: true,
    layout: "compact",
    commandTimeoutMs: 500,
    onForgotten: (what) => void forgotten.push(what),
    onSuspect: (suspicion) => void suspicions.push(suspicion),
  });
  t.after(() => store.stop());
  await store.start();
  const requests = ids.map((eventId) => claimOf(eventId));
  const touchAll = (): Promise<unknown> =>
    eventually(
      "every shard to answer",
      () =>
        store.claim(requests, leaseMs).then(
          (answers) => answers.every(({ kind }) => kind === "acquired" || kind === "done"),
          () => false,
        ),
      30_000,
    );
  await touchAll();
  return { store, forgotten, suspicions, touchAll: async () => void (await touchAll()) };
}

/** Parts of the store that are held by a server, by the records that it has. */
async function partsOn(server: { keys(pattern: string): Promise<readonly string[]> }): Promise<readonly number[]> {
  const keys = await server.keys("holdfast:*:buckets");
  const all = hashTagsOf("orders", tags);
  return keys.map((key) => all.indexOf(/\{(.*?)\}/.exec(key)?.[1] ?? "")).sort((one, other) => one - other);
}

const partsOf = (suspicions: readonly StoreSuspicion[]): readonly number[] =>
  [...new Set(suspicions.flatMap(({ parts }) => parts))].sort((one, other) => one - other);

describe("a cluster's shard that fails over to its replica", () => {
  test(
    "with every write of this worker's puts its own events alone in doubt, and of them those alone that were delivered before",
    { timeout: 90_000 },
    async (t) => {
      const cluster = await clusterFor(t);
      const worker = await workerOn(t, cluster);
      const replica = await cluster.addReplica(0);
      const parts = await partsOn(replica);
      assert.ok(parts.length > 0 && parts.length < tags, parts.join());
      await worker.store.finish([{ eventId: ids[0] ?? "", epoch: 1, outbox: new Uint8Array(0) }]);
      const probe = new Redis(replica.url);
      t.after(() => probe.disconnect());
      const signatures = async (client: Redis): Promise<string> =>
        JSON.stringify(await Promise.all((await client.keys("holdfast:*:w:*")).sort().map(async (key) => [key, await client.get(key)])));
      const master = new Redis(cluster.masters[0]?.url ?? "");
      t.after(() => master.disconnect());
      await eventually("the replica to have every write", async () => {
        await probe.call("READONLY");
        return (await signatures(probe)) === (await signatures(master));
      });
      await kill(cluster.masters[0]?.process);
      await worker.touchAll();
      assert.deepEqual([worker.forgotten, [...new Set(worker.suspicions.map(({ scope }) => scope))], partsOf(worker.suspicions)], [[], ["redelivered"], parts]);
      assert.equal((await worker.store.read(ids[0] ?? ""))?.state, "done");
    },
  );

  test("without this worker's last writes puts all of its own events in doubt, and none of the others", { timeout: 90_000 }, async (t) => {
    const cluster = await clusterFor(t);
    const worker = await workerOn(t, cluster);
    const replica = await cluster.addReplica(1);
    const parts = await partsOn(replica);
    const probe = new Redis(replica.url);
    t.after(() => probe.disconnect());
    // It cannot log in to its master any more: what is written from here on never reaches it.
    await probe.config("SET", "masterauth", "wrong");
    await probe.call("CLIENT", ["KILL", "TYPE", "master"]);
    await eventually("the replica to be cut off", async () => /master_link_status:down/.test(await probe.info("replication")));
    await worker.touchAll();
    await kill(cluster.masters[1]?.process);
    await worker.touchAll();
    const lost = worker.suspicions.filter(({ scope }) => scope === "all");
    assert.deepEqual([[...new Set(worker.forgotten)], partsOf(lost)], [["failover"], parts]);
    const [one] = lost;
    assert.ok(one !== undefined && ids.every((eventId) => one.partOf(eventId) === tagIndexOf(eventId, tags)));
  });
});

describe("a cluster's slot that moves to another shard", () => {
  test("is no failover: nothing is in doubt, and the moved records are found", { timeout: 90_000 }, async (t) => {
    const cluster = await clusterFor(t);
    const worker = await workerOn(t, cluster);
    const source = new Redis(cluster.masters[0]?.url ?? "");
    const target = new Redis(cluster.masters[1]?.url ?? "");
    t.after(() => {
      source.disconnect();
      target.disconnect();
    });
    const [part = 0] = await partsOn(cluster.masters[0] ?? { keys: async () => [] });
    const moved = ids.filter((eventId) => tagIndexOf(eventId, tags) === part);
    const slot = Number(await source.call("CLUSTER", ["KEYSLOT", `{${hashTagsOf("orders", tags)[part]}}`]));
    await worker.store.finish(moved.map((eventId) => ({ eventId, epoch: 1, outbox: new Uint8Array(0) })));
    // A server that was just restarted could not be told from one that was there.
    await eventually("the servers to have been up for a while", async () => Number(/uptime_in_seconds:(\d+)/.exec(await target.info("server"))?.[1]) >= 3);
    await worker.store.claim(
      moved.map((eventId) => claimOf(eventId)),
      leaseMs,
    );
    await cluster.moveSlot(slot, 0, 1);
    // Whoever knew the old server notices that it has changed with the next claim after a lost connection.
    await source.call("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await target.call("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await eventually("the moved records to be answered", () =>
      worker.store
        .claim(
          moved.map((eventId) => claimOf(eventId)),
          leaseMs,
        )
        .then(
          (answers) => answers.every(({ kind }) => kind === "done"),
          () => false,
        ),
    );
    const server = (await target.get(`holdfast:{${hashTagsOf("orders", tags)[part]}}:server`)) ?? "";
    assert.equal(server, /master_replid:(\w+)/.exec(await target.info("replication"))?.[1], "the move was noticed");
    assert.deepEqual([worker.forgotten, worker.suspicions], [[], []]);
  });
});
