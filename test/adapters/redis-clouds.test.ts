// Redis as managed services offer it: TLS with an authority of one's own, tokens that run out, users with few rights, sentinels.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { generate } from "selfsigned";
import { readRedisFacts } from "#runtime/adapters/redis/facts.ts";
import type { CredentialNews } from "#runtime/core/credential-news.ts";
import type { DoubtScope } from "#runtime/core/store-suspicion.ts";
import { createRedisRunStore, type RedisRunStoreOptions } from "#runtime/adapters/redis/run-store.ts";
import { StoreUnavailableError } from "#runtime/core/errors.ts";
import type { Forgetting, RunStore } from "#runtime/ports/run-store.ts";
import { claimOf, deathOf, stepOf } from "../contracts/run-store-fixtures.ts";
import { eventually } from "../support/eventually.ts";
import { startRedisCluster } from "../support/redis-cluster.ts";
import { freePort, type RedisServer, startRedis } from "../support/redis-server.ts";

const retentionMs = 3_600_000;
const leaseMs = 60_000;

async function serverFor(t: TestContext, args: readonly string[] = [], port?: number): Promise<RedisServer> {
  const server = await startRedis(args, port);
  t.after(() => server.stop());
  return server;
}

async function folderFor(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-redis-"));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

function admin(t: TestContext, url: string): Redis {
  const redis = new Redis(url, { disconnectTimeout: 100 });
  redis.on("error", () => undefined);
  t.after(() => redis.disconnect());
  return redis;
}

function storeFor(t: TestContext, url: string, more: Partial<RedisRunStoreOptions> = {}): RunStore {
  const store = createRedisRunStore({ consumer: "orders", retentionMs, url, commandTimeoutMs: 1_000, ...more });
  t.after(() => store.stop());
  return store;
}

const replay = {
  by: "replay",
  id: "letter",
  from: "start",
  patched: false,
  repeatsInDoubt: false,
  reason: "mended",
  who: "",
  payloadHash: "payload-1",
} as const;

/** Everything that a run needs of a store. */
async function live(store: RunStore, eventId: string): Promise<void> {
  await store.secret();
  assert.equal((await store.claim([claimOf(eventId)], leaseMs))[0]?.kind, "acquired");
  const own = { eventId, epoch: 1 };
  assert.deepEqual(await store.checkpoint([{ ...own, step: stepOf("one") }]), ["written"]);
  assert.deepEqual(await store.extend([own], leaseMs), ["written"]);
  assert.deepEqual(await store.finish([{ ...own, outbox: Uint8Array.of(1) }]), ["written"]);
  await store.clearOutbox([eventId]);
  assert.equal((await store.read(eventId))?.state, "done");
  const given = `${eventId}-given-up`;
  await store.claim([claimOf(given)], leaseMs);
  await store.checkpoint([{ eventId: given, epoch: 1, step: stepOf("one") }]);
  await store.fail([{ eventId: given, epoch: 1, state: "dead", reason: "over", failures: 1, losses: 0, death: deathOf() }]);
  assert.deepEqual(await store.revive([{ eventId: given, epoch: 0, revival: replay }]), ["revived"]);
  await store.close([given], { reason: "deleted", who: "ada" });
  assert.equal(await store.ping(), true);
}

/** A token as Entra ID issues it: its claims can be read by everybody. */
function tokenOf(number: number): string {
  const claims = Buffer.from(JSON.stringify({ oid: "worker-identity", number })).toString("base64url");
  return `head.${claims}.signature`;
}

const userCommands = (password: string): string[] => ["SETUSER", "worker-identity", "reset", "on", `>${password}`, "~*", "+@all"];

describe("redis over TLS", () => {
  test("trusts the authority that it is given, and no other", async (t) => {
    const folder = await folderFor(t);
    const pems = await generate([{ name: "commonName", value: "localhost" }], {
      keySize: 2_048,
      algorithm: "sha256",
      extensions: [
        { name: "basicConstraints", cA: true },
        { name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] },
      ],
    });
    const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    await Promise.all([writeFile(cert, pems.cert), writeFile(key, pems.private)]);
    const tlsPort = await freePort();
    await serverFor(t, ["--tls-port", String(tlsPort), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no"]);
    const url = `rediss://localhost:${tlsPort}`;
    await assert.rejects(storeFor(t, url).start(), (error: unknown) => error instanceof StoreUnavailableError && /self-signed|certificate/.test(error.message));
    const store = storeFor(t, url, { ca: pems.cert });
    await store.start();
    await live(store, "a");
    // The name must be the certificate's.
    await assert.rejects(storeFor(t, `rediss://127.0.0.1:${tlsPort}`, { ca: pems.cert }).start(), /does not match certificate|altnames/);
  });
});

describe("redis with tokens of an identity", () => {
  test("logs in with a token, and again before it runs out, on the connection that is there", async (t) => {
    const server = await serverFor(t);
    const redis = admin(t, server.url);
    await redis.call("ACL", userCommands(tokenOf(1)));
    let issued = 0;
    const scopes: unknown[] = [];
    const lifeMs = 600;
    const store = storeFor(t, server.url, {
      credential: {
        async getToken(scope) {
          scopes.push(scope);
          issued += 1;
          await redis.call("ACL", ["SETUSER", "worker-identity", `>${tokenOf(issued)}`]);
          return { token: tokenOf(issued), expiresOnTimestamp: Date.now() + lifeMs };
        },
      },
    });
    const authenticated = async (): Promise<number> => Number(/cmdstat_auth:calls=(\d+)/.exec(await redis.info("commandstats"))?.[1] ?? 0);
    const connections = async (): Promise<number> => Number(/total_connections_received:(\d+)/.exec(await redis.info("stats"))?.[1]);
    await store.start();
    const [before, authenticatedBefore] = [await connections(), await authenticated()];
    assert.match(String(await redis.call("CLIENT", "LIST")), /user=worker-identity/);
    await eventually("two renewals", async () => (await authenticated()) >= authenticatedBefore + 2);
    await live(store, "a");
    assert.equal(await connections(), before);
    assert.equal(new Set(scopes.map(String)).size, 1);
    assert.equal(String(scopes[0]), "https://redis.azure.com/.default");
    // A connection that is lost comes back with the token of now.
    const latest = issued;
    await redis.call("ACL", ["SETUSER", "worker-identity", "resetpass", `>${tokenOf(latest)}`, `>${tokenOf(latest + 1)}`]);
    await redis.call("CLIENT", ["KILL", "USER", "worker-identity"]);
    await eventually("the store to answer again", () => store.ping());
  });

  test("tells of tokens that cannot be replaced, each time they are tried, and of the one that comes at last", async (t) => {
    const server = await serverFor(t);
    const redis = admin(t, server.url);
    await redis.call("ACL", userCommands(tokenOf(1)));
    const news: CredentialNews[] = [];
    let asked = 0;
    const store = storeFor(t, server.url, {
      heard: (each) => news.push(each),
      credential: {
        async getToken() {
          asked += 1;
          if (asked === 2 || asked === 3) throw new Error("no identity");
          return { token: tokenOf(1), expiresOnTimestamp: Date.now() + (asked === 1 ? 2_000 : 600_000) };
        },
      },
    });
    await store.start();
    await eventually("another token", () => news.length === 4);
    assert.deepEqual(
      news.map(({ login, error }) => [login, error]),
      [
        ["Redis", undefined],
        ["Redis", "no identity"],
        ["Redis", "no identity"],
        ["Redis", undefined],
      ],
    );
    assert.ok(
      news.every(({ leftMs }) => leftMs > 0),
      "each in time",
    );
    await store.ping();
  });

  test("tells of a renewed token that Redis does not take, until it takes one, by what is left of the token that it took", async (t) => {
    const server = await serverFor(t);
    const redis = admin(t, server.url);
    await redis.call("ACL", userCommands(tokenOf(1)));
    const news: CredentialNews[] = [];
    let asked = 0;
    const store = storeFor(t, server.url, {
      heard: (each) => news.push(each),
      credential: {
        async getToken() {
          asked += 1;
          return { token: tokenOf(Math.min(asked, 2)), expiresOnTimestamp: Date.now() + (asked === 1 ? 2_000 : 600_000) };
        },
      },
    });
    await store.start();
    await eventually("two refusals", () => news.length >= 3);
    await redis.call("ACL", ["SETUSER", "worker-identity", `>${tokenOf(2)}`]);
    await eventually("the token to be taken", () => news.length > 3 && news.at(-1)?.error === undefined);
    const [first, ...others] = news;
    const last = others.pop();
    assert.deepEqual([first?.error, last?.error, (last?.leftMs ?? 0) > 500_000], [undefined, undefined, true]);
    assert.ok(others.length >= 2);
    for (const { login, error = "", leftMs, lifeMs } of others) {
      assert.match(error, /expected Redis to take a renewed token, found: WRONGPASS/);
      assert.ok(login === "Redis" && leftMs > 0 && leftMs < 2_000 && lifeMs <= 2_000, `${leftMs} of ${lifeMs}`);
    }
    await live(store, "a");
  });

  test("asks for another token in time, not sooner", async (t) => {
    const server = await serverFor(t);
    await admin(t, server.url).call("ACL", userCommands(tokenOf(1)));
    let asked = 0;
    const getToken = (): Promise<{ token: string; expiresOnTimestamp: number }> => {
      asked += 1;
      return Promise.resolve({ token: tokenOf(1), expiresOnTimestamp: Date.now() + 600_000 });
    };
    const store = storeFor(t, server.url, { credential: { getToken } });
    await store.start();
    const fromMs = performance.now();
    await eventually("half a second to pass", () => performance.now() - fromMs > 500);
    assert.equal(asked, 1);
  });

  test("goes by the user that the URL names, and needs one there where the token names none", async (t) => {
    const server = await serverFor(t);
    const unnamed = "head.e30.signature";
    await admin(t, server.url).call("ACL", ["SETUSER", "named", "reset", "on", `>${tokenOf(1)}`, `>${unnamed}`, "~*", "+@all"]);
    const credentialOf = (token: string | undefined) => ({
      getToken: () => Promise.resolve(token === undefined ? null : { token, expiresOnTimestamp: Date.now() + 600_000 }),
    });
    const named = server.url.replace("redis://", "redis://named@");
    for (const token of [tokenOf(1), unnamed]) {
      const store = storeFor(t, named, { credential: credentialOf(token) });
      await store.start();
      assert.equal(await store.ping(), true);
    }
    await assert.rejects(
      storeFor(t, server.url, { credential: credentialOf(unnamed) }).start(),
      /found a token without an object id \(put the user's name into the URL\)/,
    );
    await assert.rejects(storeFor(t, named, { credential: credentialOf(undefined) }).start(), /expected a token for Redis .*, found none/);
  });

  test("tells of an identity that gives the same token until it has run out", async (t) => {
    const server = await serverFor(t);
    await admin(t, server.url).call("ACL", userCommands(tokenOf(1)));
    const news: CredentialNews[] = [];
    const expiresOnTimestamp = Date.now() + 1_500;
    const store = storeFor(t, server.url, {
      heard: (each) => news.push(each),
      credential: { getToken: () => Promise.resolve({ token: tokenOf(1), expiresOnTimestamp }) },
    });
    await store.start();
    await eventually("the token to be refused", () => news.some(({ error }) => error === "no newer token"));
    const [first] = news;
    assert.equal(first?.error, undefined);
    const early = news.filter(({ leftMs }) => leftMs > 300);
    assert.ok(
      early.every(({ error }) => error === undefined),
      "expected the same token to do while much of its time is left",
    );
  });

  test("logs in again on every connection to a cluster", { timeout: 60_000 }, async (t) => {
    const cluster = await startRedisCluster();
    t.after(() => cluster.stop());
    const admins = cluster.masters.map(({ url }) => admin(t, url));
    let issued = 0;
    const store = storeFor(t, cluster.url, {
      isCluster: true,
      credential: {
        async getToken() {
          issued += 1;
          await Promise.all(
            admins.map((redis) => redis.call("ACL", issued === 1 ? userCommands(tokenOf(1)) : ["SETUSER", "worker-identity", `>${tokenOf(issued)}`])),
          );
          return { token: tokenOf(issued), expiresOnTimestamp: Date.now() + 1_000 };
        },
      },
    });
    await store.start();
    const ids = Array.from({ length: 100 }, (_, index) => `event-${index}`);
    await store.claim(
      ids.map((eventId) => claimOf(eventId)),
      leaseMs,
    );
    const authenticated = async (redis: Redis): Promise<number> => Number(/cmdstat_auth:calls=(\d+)/.exec(await redis.info("commandstats"))?.[1] ?? 0);
    const before = await Promise.all(admins.map(authenticated));
    await eventually("every node to hear a new token", async () =>
      (await Promise.all(admins.map(authenticated))).every((calls, index) => calls > (before[index] ?? 0)),
    );
  });
});

/** What the README has a worker's user be given. */
function rightsOf(readme: string): readonly string[] {
  const [, rights] = /An ACL user needs `~holdfast:\*` \(or the prefix\) and\s+`([^`]+)`/.exec(readme) ?? [];
  assert.ok(rights !== undefined, "expected the rights of an ACL user in README.md");
  return rights.split(" ");
}

/** Commands that scripts were refused. */
function refusedInScripts(log: unknown): readonly string[] {
  return (log as readonly (readonly unknown[])[])
    .filter((entry) => entry.includes("lua"))
    .map((entry) => String(entry[entry.indexOf("object") + 1]))
    .toSorted();
}

/** So many that the compact layout gets more buckets. */
async function claimMany(store: RunStore): Promise<void> {
  const claimed = await store.claim(
    Array.from({ length: 500 }, () => claimOf(randomUUID())),
    leaseMs,
  );
  assert.ok(claimed.every(({ kind }) => kind === "acquired"));
}

describe("redis with a user of few rights", () => {
  test("needs neither CONFIG nor INFO nor keys of others", async (t) => {
    const server = await serverFor(t);
    const rights = rightsOf(await readFile(new URL("../../README.md", import.meta.url), "utf8"));
    const chief = admin(t, server.url);
    await chief.call("ACL", ["SETUSER", "worker", "reset", "on", ">word", "~holdfast:*", ...rights]);
    const told: Forgetting[] = [];
    const url = `redis://worker:word@127.0.0.1:${server.port}`;
    const store = storeFor(t, url, { onForgotten: (what) => told.push(what) });
    await store.start();
    await live(store, "a");
    const compact = storeFor(t, url, { consumer: "compact", layout: "compact" });
    await compact.start();
    await live(compact, "a");
    await claimMany(compact);
    // These two are for who may know more.
    assert.deepEqual([told, refusedInScripts(await chief.call("ACL", "LOG"))], [[], ["info", "scan"]]);
    const [facts] = await readRedisFacts({ url });
    assert.deepEqual([facts?.evictionPolicy, facts?.isAppending, facts?.replicas], [undefined, undefined, undefined]);
    await assert.rejects(storeFor(t, url, { prefix: "others" }).start(), /NOPERM.*give its user the commands and keys that it needs/);
    // As by a user from before, or a Redis that has no such command.
    await chief.call("ACL", ["SETUSER", "worker", "-hrandfield"]);
    // How many depends on how often the lot had one looked at while there were few records: 17 without, fewer with each look.
    const buckets = Number(await chief.get("holdfast:{compact}:buckets"));
    assert.ok(buckets > 1 && buckets <= 17, `${buckets} buckets`);
    await claimMany(compact);
    assert.ok(Number(await chief.get("holdfast:{compact}:buckets")) > buckets);
  });
});

async function started<Store extends { start(): Promise<void> }>(store: Store): Promise<Store> {
  await store.start();
  return store;
}

describe("redis that says nothing of itself", () => {
  test("is in doubt over records without a sentinel, though nobody may ask what it is", async (t) => {
    const server = await serverFor(t);
    const rights = ["+@all", "-info", "-config"];
    const chief = admin(t, server.url);
    await chief.call("ACL", ["SETUSER", "worker", "reset", "on", ">word", "~holdfast:*", ...rights]);
    const url = `redis://worker:word@127.0.0.1:${server.port}`;
    await live(await started(storeFor(t, url)), "a");
    const sentinels = await chief.keys("holdfast:*:sentinel");
    assert.equal(sentinels.length, 1);
    await chief.del(...sentinels);
    const told: Forgetting[] = [];
    const lost: number[] = [];
    await started(storeFor(t, url, { onForgotten: (what) => told.push(what), onSuspect: ({ agoMs }) => lost.push(agoMs) }));
    assert.deepEqual([told, lost.length], [["sentinel"], 1]);
    // And so is the next one, which finds the sentinel in its place.
    await started(storeFor(t, url, { onSuspect: ({ agoMs }) => lost.push(agoMs) }));
    assert.equal(lost.length, 2);
  });
});

describe("redis behind sentinels", () => {
  test("finds the master by its name, goes to the one that takes its place, and tells of it", { timeout: 60_000 }, async (t) => {
    const folder = await folderFor(t);
    const master = await serverFor(t, ["--repl-diskless-sync-delay", "0"]);
    const replica = await serverFor(t, ["--replicaof", `127.0.0.1 ${master.port}`]);
    const port = await freePort();
    const file = join(folder, "sentinel.conf");
    await writeFile(
      file,
      `port ${port}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor orders 127.0.0.1 ${master.port} 1\nsentinel down-after-milliseconds orders 500\nsentinel failover-timeout orders 2000\n`,
    );
    const sentinel = spawn("redis-server", [file, "--sentinel"], { stdio: "ignore" });
    t.after(async () => {
      const exited = once(sentinel, "close");
      sentinel.kill("SIGTERM");
      await exited;
    });
    const watcher = admin(t, `redis://127.0.0.1:${port}`);
    await eventually(
      "the sentinel to know the replica",
      async () => String(await watcher.call("SENTINEL", ["REPLICAS", "orders"]).catch(() => "")).includes(String(replica.port)),
      20_000,
    );
    const told: Forgetting[] = [];
    // The first one is not there; the next one is asked.
    const place = { url: "redis://127.0.0.1:1", nodes: [`127.0.0.1:${port}`], sentinel: { master: "orders" } };
    const suspicions: DoubtScope[] = [];
    const store = storeFor(t, place.url, {
      layout: "compact",
      ...place,
      onForgotten: (what) => told.push(what),
      onSuspect: ({ scope }) => suspicions.push(scope),
    });
    await store.start();
    await live(store, "a");
    assert.deepEqual(
      (await readRedisFacts(place)).map(({ replicas }) => replicas),
      [1],
    );
    const copy = admin(t, replica.url);
    await eventually("the replica to have the run", async () => (await copy.hvals("holdfast:{orders}:b:0")).some((value) => /^[DE]/.test(value)));
    master.process.kill("SIGKILL");
    await eventually("the new master to be written", async () => (await store.claim([claimOf("b")], leaseMs).catch(() => []))[0]?.kind === "acquired", 30_000);
    // It has this worker's last write.
    assert.deepEqual([told, suspicions], [[], ["redelivered"]]);
    assert.equal((await store.read("a"))?.state, "done");
  });
});
