import type { CredentialNews } from "#runtime/core/credential-news.ts";
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { describe, type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { type BullmqRecoveryQueueOptions, createBullmqRecoveryQueue } from "#runtime/adapters/bullmq/recovery-queue.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { JobHandler, RecoveryQueue } from "#runtime/ports/recovery-queue.ts";
import { deaf, recoveryQueueContract } from "../contracts/recovery-queue.ts";
import { eventually, within } from "../support/eventually.ts";
import { startRedisCluster } from "../support/redis-cluster.ts";
import { freePort, type RedisServer, startRedis } from "../support/redis-server.ts";

const sharedUrl = process.env["REDIS_URL"] ?? "";
assert.ok(sharedUrl !== "", "expected REDIS_URL; run this file with: node test/run.ts");

function queueFor(t: TestContext, url: string, more: Partial<BullmqRecoveryQueueOptions> = {}): RecoveryQueue {
  const queue = createBullmqRecoveryQueue({ url, consumer: "orders", commandTimeoutMs: 1_000, ...more });
  t.after(() => queue.stop(0));
  return queue;
}

async function serverFor(t: TestContext, args: readonly string[] = [], port?: number): Promise<RedisServer> {
  const server = await startRedis(args, port);
  t.after(async () => {
    server.process.kill("SIGCONT");
    await server.stop();
  });
  return server;
}

function plainClient(t: TestContext, url: string): Redis {
  const redis = new Redis(url, { disconnectTimeout: 100 });
  redis.on("error", () => undefined);
  t.after(() => redis.disconnect());
  return redis;
}

/** Notes the ids of the jobs that are done. */
function doing(): { readonly handlers: ReadonlyMap<string, JobHandler>; readonly done: string[] } {
  const done: string[] = [];
  const handler: JobHandler = async ({ id }) => {
    done.push(id);
    return { kind: "done" };
  };
  return { done, handlers: new Map([["probe", handler]]) };
}

/** From start to a job that is done. */
async function live(queue: RecoveryQueue, id = "a", troubles: string[] = []): Promise<void> {
  const { handlers, done } = doing();
  queue.start({ ...deaf(), disturbed: (error) => troubles.push(error) });
  void queue.work(handlers);
  await eventually("the queue to be open", () =>
    queue.counts().then(
      () => true,
      () => false,
    ),
  );
  await queue.add({ kind: "probe", id, data: 1 });
  await queue.add({ kind: "probe", id: `${id} later`, data: 1, delayMs: 50 });
  await eventually("the jobs to be done", () => done.length === 2);
  await queue.hurry("probe", id);
  assert.equal((await queue.find("probe", id))?.kind, "probe");
}

recoveryQueueContract("bullmq", async (t) => {
  const prefix = `test-${randomUUID()}`;
  const redis = new Redis(sharedUrl);
  t.after(async () => {
    const keys = await redis.keys(`${prefix}:*`);
    if (keys.length > 0) await redis.unlink(keys);
    await redis.quit();
  });
  return { open: async (times = {}) => createBullmqRecoveryQueue({ url: sharedUrl, consumer: "orders", prefix, ...times }) };
});

describe("recovery queue in Redis", () => {
  test("is not blamed for the time in which this process stands still, however long that is", async (t) => {
    const commandTimeoutMs = 100;
    const queue = queueFor(t, sharedUrl, { prefix: `test-${randomUUID()}`, commandTimeoutMs });
    queue.start(deaf());
    const standStill = (): void => {
      for (const fromMs = performance.now(); performance.now() - fromMs < 3 * commandTimeoutMs;);
    };
    const first = queue.counts();
    standStill();
    assert.equal((await first).waiting, 0);
    const second = queue.counts();
    standStill();
    assert.equal((await second).waiting, 0);
  });

  test("names all its keys with the prefix and the consumer's hash tag", async (t) => {
    const { url } = await serverFor(t);
    await live(queueFor(t, url, { consumer: "a{b}c/d", prefix: "test" }));
    const keys = await plainClient(t, url).keys("*");
    assert.deepEqual(
      keys.filter((key) => !key.startsWith("test:{a%7Bb%7Dc/d}:recovery:")),
      [],
    );
    assert.ok(keys.length > 0);
  });

  test("waits for a Redis that is away at the start, refuses what is asked meanwhile, and works once it is there", async (t) => {
    const port = await freePort();
    const told: string[] = [];
    const queue = queueFor(t, `redis://127.0.0.1:${port}`, { commandTimeoutMs: 300 });
    const { handlers, done } = doing();
    queue.start({ ...deaf(), disturbed: (error) => told.push(error), recovered: () => told.push("recovered") });
    void queue.work(handlers);
    await assert.rejects(
      within("an answer", queue.add({ kind: "probe", id: "a", data: 1 }), 2_000),
      (error: unknown) => error instanceof StoreUnavailableError && /ECONNREFUSED/.test(error.message),
    );
    await serverFor(t, [], port);
    await eventually("a job to be added", () =>
      queue.add({ kind: "probe", id: "b", data: 1 }).then(
        () => true,
        () => false,
      ),
    );
    await eventually("it to be done", () => done.includes("b"));
    await eventually("the end of the trouble to be told", () => told.length === 2);
    assert.match(told[0] ?? "", /ECONNREFUSED/);
    assert.equal(told[1], "recovered");
  });

  test("stops at once while Redis is away", async (t) => {
    const queue = queueFor(t, `redis://127.0.0.1:${await freePort()}`);
    queue.start(deaf());
    void queue.work(doing().handlers);
    await within("the stop", queue.stop(10_000), 3_000);
  });

  test("stops in time when Redis went away while it worked, and leaves nothing behind that keeps the process", async () => {
    const server = await startRedis();
    const script = `
      const { createBullmqRecoveryQueue } = await import(${JSON.stringify(new URL("../../runtime/adapters/bullmq/recovery-queue.ts", import.meta.url).href)});
      const queue = createBullmqRecoveryQueue({ url: ${JSON.stringify(server.url)}, consumer: "orders" });
      queue.start({ failed() {}, disturbed() {}, recovered() {} });
      void queue.work(new Map([["probe", async () => { console.log("working"); return { kind: "done" }; }]]));
      const add = () => queue.add({ kind: "probe", id: "a", data: 1 }).catch(add);
      await add();
      process.stdin.once("data", () => queue.stop(1_000).then(() => { console.log("stopped"); process.stdin.destroy(); }));
    `;
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["pipe", "pipe", "inherit"] });
    let said = "";
    child.stdout.on("data", (text: Buffer) => (said += text.toString()));
    await eventually("it to work", () => said.includes("working"));
    await server.stop();
    const exited = once(child, "exit");
    child.stdin.write("stop");
    await within("the process to end", exited, 6_000).finally(() => child.kill("SIGKILL"));
    assert.match(said, /stopped/);
  });

  test("goes on after Redis was restarted or frozen while it worked", async (t) => {
    const port = await freePort();
    const server = await startRedis([], port);
    const queue = queueFor(t, server.url, { commandTimeoutMs: 300 });
    const { handlers, done } = doing();
    queue.start(deaf());
    void queue.work(handlers);
    const add = (id: string): Promise<boolean> =>
      queue.add({ kind: "probe", id, data: 1 }).then(
        () => true,
        () => false,
      );
    await eventually("a first job", () => add("first"));
    await eventually("it to be done", () => done.includes("first"));
    await server.stop();
    assert.equal(await add("meanwhile"), false);
    const again = await serverFor(t, [], port);
    await eventually("a second job", () => add("second"));
    await eventually("it to be done", () => done.includes("second"), 20_000);
    again.process.kill("SIGSTOP");
    assert.equal(await add("frozen"), false);
    again.process.kill("SIGCONT");
    await eventually("a third job", () => add("third"));
    await eventually("it to be done", () => done.includes("third"), 20_000);
  });

  test("asks a Redis that refuses to write about once a second, not as fast as it can", async (t) => {
    const { url } = await serverFor(t);
    const redis = plainClient(t, url);
    const queue = queueFor(t, url);
    const { handlers, done } = doing();
    queue.start(deaf());
    void queue.work(handlers);
    await eventually("a job to be done", async () => {
      await queue.add({ kind: "probe", id: "a", data: 1, replacesEnded: true }).catch(() => undefined);
      return done.length > 0;
    });
    await redis.config("SET", "maxmemory", "1");
    await redis.call("ZADD", ["holdfast:{orders}:recovery:marker", "0", "0"]).catch(() => undefined);
    const calls = async (): Promise<number> => Number(/total_commands_processed:(\d+)/.exec(await redis.info("stats"))?.[1]);
    const before = await calls();
    const untilMs = performance.now() + 2_000;
    await eventually("two seconds", () => performance.now() >= untilMs);
    assert.ok((await calls()) - before < 300, `expected few commands, found ${(await calls()) - before}`);
    await redis.config("SET", "maxmemory", "0");
    await queue.add({ kind: "probe", id: "b", data: 1 });
    await eventually("it to be done once there is memory", () => done.includes("b"), 20_000);
  });

  test("works in a cluster, all keys in one slot", { timeout: 60_000 }, async (t) => {
    const cluster = await startRedisCluster();
    t.after(() => cluster.stop());
    await live(queueFor(t, cluster.url, { isCluster: true }));
    const counts = await Promise.all(cluster.masters.map(async (master) => (await master.keys("holdfast:*")).length));
    assert.equal(counts.filter((count) => count > 0).length, 1);
  });

  test("logs in with tokens on all its connections, and works as a user with the commands that README names", async (t) => {
    const { url } = await serverFor(t);
    const redis = plainClient(t, url);
    const commands = recoveryCommands.split(" ");
    await redis.call("ACL", ["SETUSER", "worker", "reset", "on", ">token-1", "~holdfast:*", ...commands]);
    let issued = 0;
    const news: CredentialNews[] = [];
    const queue = queueFor(t, url.replace("redis://", "redis://worker@"), {
      heard: (one) => void news.push(one),
      credential: {
        async getToken() {
          issued += 1;
          await redis.call("ACL", ["SETUSER", "worker", `>token-${issued}`]);
          return { token: `token-${issued}`, expiresOnTimestamp: Date.now() + 1_000 };
        },
      },
    });
    const troubles: string[] = [];
    await live(queue, "a", troubles);
    await eventually("renewals on both connections", () => issued >= 6);
    const logins = new Set(news.filter(({ error }) => error === undefined).map(({ login }) => login));
    assert.deepEqual([...logins].toSorted(), ["Redis, for jobs of the recovery queue", "Redis, for the recovery queue"]);
    await live2(queue);
    const users = String(await redis.call("CLIENT", "LIST")).match(/user=worker/g);
    assert.equal(users?.length, 2);
    assert.deepEqual(troubles, []);
  });
});

/** What README says that a user needs for the recovery queue. */
const recoveryCommands =
  "+evalsha +eval +script +auth +hello +ping +select +get +set +del +exists +expire +pexpire +incr +incrby +type +hset +hmset +hget +hmget +hgetall +hincrby +hexists +hdel +hsetnx +lpush +rpush +lpop +rpop +lrem +llen +lrange +lindex +linsert +ltrim +lpos +rpoplpush +zadd +zrem +zrange +zrevrange +zrangebyscore +zrevrangebyscore +zremrangebyscore +zremrangebyrank +zcard +zscore +zcount +zpopmin +bzpopmin +zrank +sadd +srem +smembers +sismember +scard +xadd +xtrim +quit +time +info";

async function live2(queue: RecoveryQueue): Promise<void> {
  assert.equal(await queue.add({ kind: "probe", id: "after", data: 1 }), "added");
  await eventually("it to be done", async () => (await queue.find("probe", "after"))?.state === "done");
}
