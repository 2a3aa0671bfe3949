// A real Redis Cluster for the tests: three masters on loopback, each with a third of the slots.
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { eventually } from "./eventually.ts";
import { onFreePort, type RedisServer, startRedis } from "./redis-server.ts";

interface RedisMaster extends RedisServer {
  /** Ends it at once. */
  kill(): Promise<void>;
  /** Starts it again where it was, with what it had written. */
  restart(): Promise<void>;
  /** Its own keys that match. */
  keys(pattern: string): Promise<readonly string[]>;
  /** Its own keys are lost. */
  flush(): Promise<void>;
}

export interface RedisCluster {
  readonly url: string;
  readonly masters: readonly RedisMaster[];
  /** Every key is lost. */
  flush(): Promise<void>;
  /** One more server that copies the master of this number, and takes its place when it is gone; resolves when it is in step. */
  addReplica(master: number): Promise<RedisMaster>;
  /** Gives a slot with all its keys to another master, as resharding does. */
  moveSlot(slot: number, from: number, to: number): Promise<void>;
  stop(): Promise<void>;
}

const slots = 16_384;
const mastersDefault = 3;

/** Its records survive it only where `isPersistent`. */
async function startMaster(folder: string, isPersistent: boolean): Promise<Pick<RedisMaster, keyof RedisServer | "kill" | "restart">> {
  const place = await mkdtemp(join(folder, "master-"));
  const args = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-announce-ip", "127.0.0.1", "--dir", place];
  if (isPersistent) args.push("--appendonly", "yes");
  // A shard that is down leaves the others to serve, and is found soon.
  args.push("--cluster-require-full-coverage", "no", "--cluster-node-timeout", "2000");
  let server = await onFreePort((port) => startRedis(args, port));
  const { port } = server;
  return {
    url: server.url,
    port,
    get process() {
      return server.process;
    },
    async kill() {
      const gone = once(server.process, "close");
      server.process.kill("SIGKILL");
      await gone;
    },
    async restart() {
      server = await startRedis(args, port);
    },
    stop: () => server.stop(),
  };
}

/** Makes a cluster of them; resolves when each knows of all and serves. */
async function form(clients: readonly Redis[], firstPort: number): Promise<void> {
  await Promise.all(
    clients.map(async (client, number) => {
      const from = Math.floor((slots * number) / clients.length);
      const to = Math.floor((slots * (number + 1)) / clients.length) - 1;
      await client.call("CLUSTER", ["SET-CONFIG-EPOCH", number + 1]);
      await client.call("CLUSTER", ["ADDSLOTSRANGE", from, to]);
    }),
  );
  await eventually("every master to know the whole cluster", async () => {
    const infos = await Promise.all(clients.map(async (client) => String(await client.call("CLUSTER", "INFO"))));
    const known = infos.map((info) => Number(/cluster_known_nodes:(\d+)/.exec(info)?.[1]));
    // Again until they know each other: a handshake that takes longer than a node's time-out is forgotten.
    if (known.some((count) => count < clients.length)) for (const client of clients.slice(1)) await client.call("CLUSTER", ["MEET", "127.0.0.1", firstPort]);
    return infos.every((info) => /cluster_state:ok/.test(info) && /cluster_slots_assigned:16384/.test(info));
  });
}

/** Resolves when every master knows of all and serves. `isPersistent`: a master that is killed has its records when it is started again. */
export async function startRedisCluster({ isPersistent = false }: { readonly isPersistent?: boolean } = {}): Promise<RedisCluster> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-cluster-"));
  const started = await Promise.allSettled(Array.from({ length: mastersDefault }, () => startMaster(folder, isPersistent)));
  const masters = started.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failed = started.find((one) => one.status === "rejected");
  if (failed !== undefined) {
    // Nobody else knows of those that did start, and they would keep the process.
    await Promise.all(masters.map((master) => master.stop()));
    throw failed.reason;
  }
  const clients = masters.map(({ url }) => new Redis(url, { disconnectTimeout: 100 }));
  for (const client of clients) client.on("error", () => undefined);
  const first = masters[0];
  if (first === undefined) throw new RangeError("expected a master");
  const stop = async (servers: readonly RedisServer[]): Promise<void> => {
    for (const client of clients) client.disconnect();
    for (const { process } of servers) process.kill("SIGCONT");
    await Promise.all(servers.map((server) => server.stop()));
    await rm(folder, { recursive: true });
  };
  await form(clients, first.port).catch(async (error: unknown) => {
    await stop(masters);
    throw error;
  });
  const replicas: RedisServer[] = [];
  const clientOf = (number: number): Redis => {
    const client = clients[number];
    if (client === undefined) throw new RangeError(`expected a master ${number}`);
    return client;
  };
  return {
    async addReplica(master) {
      const server = await startMaster(folder, isPersistent);
      replicas.push(server);
      const client = new Redis(server.url, { disconnectTimeout: 100 });
      client.on("error", () => undefined);
      clients.push(client);
      await client.call("CLUSTER", ["MEET", "127.0.0.1", first.port]);
      const id = String(await clientOf(master).call("CLUSTER", "MYID"));
      await eventually("the replica to know its master", async () => String(await client.call("CLUSTER", "NODES")).includes(id));
      await client.call("CLUSTER", ["REPLICATE", id]);
      await eventually("the replica to be in step", async () => /master_link_status:up/.test(await client.info("replication")));
      return { ...server, keys: (pattern) => client.keys(pattern), flush: async () => void (await client.flushall()) };
    },
    async moveSlot(slot, from, to) {
      const [source, target] = [clientOf(from), clientOf(to)];
      const [sourceId, targetId] = await Promise.all([source, target].map(async (client) => String(await client.call("CLUSTER", "MYID"))));
      await target.call("CLUSTER", ["SETSLOT", slot, "IMPORTING", String(sourceId)]);
      await source.call("CLUSTER", ["SETSLOT", slot, "MIGRATING", String(targetId)]);
      for (;;) {
        const keys = (await source.call("CLUSTER", ["GETKEYSINSLOT", slot, 100])) as string[];
        if (keys.length === 0) break;
        await source.call("MIGRATE", ["127.0.0.1", masters[to]?.port ?? 0, "", 0, 5_000, "KEYS", ...keys]);
      }
      for (const client of [target, source]) await client.call("CLUSTER", ["SETSLOT", slot, "NODE", String(targetId)]);
    },
    url: first.url,
    masters: masters.map((master, number) =>
      // Its process is another one after a restart: a getter must stay one.
      Object.assign(Object.create(master) as typeof master, {
        keys: (pattern: string) => clients[number]?.keys(pattern) ?? Promise.resolve([]),
        flush: async () => void (await clients[number]?.flushall()),
      }),
    ),
    async flush() {
      await Promise.all(clients.map((client) => client.flushall()));
    },
    stop: () => stop([...masters, ...replicas]),
  };
}
