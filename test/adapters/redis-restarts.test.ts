// What a worker makes of a Redis that answers again: whether it has all that was written, and who can tell.
import { strict as assert } from "node:assert";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { createRedisRunStore, type RedisRunStoreOptions } from "#runtime/adapters/redis/run-store.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { claimOf } from "../contracts/run-store-fixtures.ts";
import { eventually } from "../support/eventually.ts";
import { freePort, type RedisServer, startRedis } from "../support/redis-server.ts";

const leaseMs = 60_000;

/** A Redis that is killed and comes back on the same port, with what its folder has. */
class Restarting {
  readonly #t: TestContext;
  readonly #folder: string;
  readonly #port: number;
  readonly #args: readonly string[];
  #server: RedisServer | undefined;

  private constructor(t: TestContext, folder: string, port: number, args: readonly string[]) {
    this.#t = t;
    this.#folder = folder;
    this.#port = port;
    this.#args = args;
  }

  static async start(t: TestContext, ...args: readonly string[]): Promise<Restarting> {
    const folder = await mkdtemp(join(tmpdir(), "holdfast-restarts-"));
    const redis = new Restarting(t, folder, await freePort(), args);
    await redis.#start();
    t.after(async () => {
      await redis.#server?.stop();
      await rm(folder, { recursive: true });
    });
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  /** What is written from here on is lost with the next restart. */
  async snapshot(): Promise<void> {
    const client = this.client();
    await client.save();
    await copyFile(join(this.#folder, "dump.rdb"), join(this.#folder, "kept.rdb"));
  }

  async restart(): Promise<void> {
    this.#server?.process.kill("SIGKILL");
    await this.#server?.stop();
    await this.#start();
  }

  client(): Redis {
    const client = new Redis(this.url, { disconnectTimeout: 100 });
    client.on("error", () => undefined);
    this.#t.after(() => client.disconnect());
    return client;
  }

  async #start(): Promise<void> {
    this.#server = await startRedis(["--dir", this.#folder, ...this.#args], this.#port);
  }
}

interface Worker {
  readonly store: RunStore;
  /** What it was told: scopes of suspicions, and kinds of losses. */
  readonly told: string[];
}

async function workerOn(t: TestContext, url: string, options: Partial<RedisRunStoreOptions> = {}): Promise<Worker> {
  const told: string[] = [];
  const store = createRedisRunStore({
    consumer: "orders",
    retentionMs: 3_600_000,
    url,
    commandTimeoutMs: 500,
    onForgotten: (what) => void told.push(what),
    onSuspect: ({ scope }) => void told.push(scope),
    ...options,
  });
  t.after(() => store.stop());
  await store.start();
  return { store, told };
}

async function runs({ store }: Worker, eventId: string): Promise<void> {
  const [claimed] = await store.claim([claimOf(eventId)], leaseMs);
  assert.equal(claimed?.kind, "acquired");
  await store.finish([{ eventId, epoch: 1, outbox: new Uint8Array(0) }]);
}

async function answers({ store }: Worker): Promise<void> {
  await eventually("the store to answer again", () => store.ping());
}

describe("a Redis that was restarted", () => {
  test("with all that this worker wrote leaves only messages that were delivered before in doubt, and says so to who starts later", async (t) => {
    const redis = await Restarting.start(t, "--appendonly", "yes", "--appendfsync", "always");
    const worker = await workerOn(t, redis.url);
    await runs(worker, "a");
    await redis.restart();
    await answers(worker);
    await runs(worker, "b");
    assert.deepEqual(worker.told, ["redelivered"]);
    assert.equal((await worker.store.read("a"))?.state, "done");
    const later = await workerOn(t, redis.url);
    assert.deepEqual(later.told, ["redelivered"]);
    await runs(later, "c");
    await runs(worker, "d");
    assert.deepEqual([worker.told, later.told], [["redelivered"], ["redelivered"]]);
  });

  test("as it was before this worker's last write has lost records, also where writes come before the next claim", async (t) => {
    const redis = await Restarting.start(t);
    const worker = await workerOn(t, redis.url);
    await worker.store.claim([claimOf("a")], leaseMs);
    await redis.snapshot();
    await worker.store.finish([{ eventId: "a", epoch: 1, outbox: new Uint8Array(0) }]);
    await redis.restart();
    await answers(worker);
    for (let call = 0; call < 5; call += 1) await worker.store.finish([{ eventId: "a", epoch: 1, outbox: new Uint8Array(0) }]);
    await worker.store.claim([claimOf("b")], leaseMs);
    assert.deepEqual(worker.told, ["failover", "all"]);
    // It goes on from there: the next restart is judged by what was written since.
    await redis.snapshot();
    await redis.restart();
    await answers(worker);
    await worker.store.claim([claimOf("c")], leaseMs);
    assert.deepEqual(worker.told, ["failover", "all", "redelivered"]);
  });

  test("is judged by each worker for its own writes: a loss that one finds reaches those that have lost nothing", async (t) => {
    const redis = await Restarting.start(t);
    const idle = await workerOn(t, redis.url);
    const busy = await workerOn(t, redis.url);
    await runs(idle, "a");
    await redis.snapshot();
    await runs(busy, "b");
    await redis.restart();
    await Promise.all([answers(idle), answers(busy)]);
    await runs(idle, "c");
    assert.deepEqual(idle.told, ["redelivered"]);
    await runs(busy, "d");
    // The first to look had found nothing missing of its own.
    assert.deepEqual(busy.told, ["failover", "redelivered", "all"]);
    await runs(idle, "e");
    assert.deepEqual(idle.told, ["redelivered", "all"]);
  });

  test("is noticed by a worker that has nothing to do", async (t) => {
    const redis = await Restarting.start(t);
    const worker = await workerOn(t, redis.url);
    await runs(worker, "a");
    await redis.restart();
    await eventually("the loss to be told", () => worker.told.includes("sentinel") && worker.told.includes("all"), 15_000);
  });

  test("is judged by no tool that only looks", async (t) => {
    const redis = await Restarting.start(t, "--appendonly", "yes", "--appendfsync", "always");
    const worker = await workerOn(t, redis.url);
    await runs(worker, "a");
    await redis.restart();
    const tool = await workerOn(t, redis.url, { isObserver: true });
    assert.deepEqual(tool.told, ["failover"]);
    await answers(worker);
    await runs(worker, "b");
    assert.deepEqual(worker.told, ["redelivered"]);
  });
});

test("a Redis whose first replica joins has lost nothing, though it goes by another id from then on", async (t) => {
  const redis = await Restarting.start(t, "--repl-diskless-sync-delay", "0");
  const worker = await workerOn(t, redis.url);
  const client = redis.client();
  const idOf = async (): Promise<string> => /master_replid:(\w+)/.exec(await client.info("replication"))?.[1] ?? "";
  const before = await idOf();
  await eventually("the server to have been up for a while", async () => Number(/uptime_in_seconds:(\d+)/.exec(await client.info("server"))?.[1]) >= 2);
  await runs(worker, "a");
  const replica = await startRedis(["--replicaof", `127.0.0.1 ${new URL(redis.url).port}`]);
  t.after(() => replica.stop());
  await eventually("the replica to join", async () => (await idOf()) !== before);
  await client.call("CLIENT", ["KILL", "TYPE", "normal", "SKIPME", "yes"]);
  await eventually("the id to be met", async () => {
    await worker.store.claim([claimOf("b")], leaseMs).catch(() => undefined);
    return (await client.get("holdfast:{orders}:server")) === (await idOf());
  });
  assert.deepEqual(worker.told, []);
});
