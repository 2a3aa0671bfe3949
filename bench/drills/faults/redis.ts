/** A Redis that can be hurt, with what persistence a fault needs of it. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { type RedisCluster, startRedisCluster } from "../../../test/support/redis-cluster.ts";
import { type RedisServer, startRedis } from "../../../test/support/redis-server.ts";

export interface FaultyRedis {
  readonly url: string;
  readonly isCluster: boolean;
  thaw(): void;
  stop(): Promise<void>;
}

/** `aof`: every write survives its end; `dump`: only what was saved on purpose. */
export type Persistence = "aof" | "dump";

export class SingleRedis implements FaultyRedis {
  readonly isCluster = false;
  readonly url: string;
  readonly #args: readonly string[];
  readonly #env: Readonly<Record<string, string>>;
  readonly #folder: string;
  #server: RedisServer;

  private constructor(server: RedisServer, folder: string, args: readonly string[], env: Readonly<Record<string, string>>) {
    this.url = server.url;
    this.#server = server;
    this.#folder = folder;
    this.#args = args;
    this.#env = env;
  }

  static async start(persistence: Persistence, env: Readonly<Record<string, string>>): Promise<SingleRedis> {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-redis-"));
    const args = ["--maxmemory-policy", "noeviction", "--dir", folder, ...(persistence === "aof" ? ["--appendonly", "yes"] : [])];
    return new SingleRedis(await startRedis(args, undefined, env), folder, args, env);
  }

  /** One command, on a connection of its own. */
  async command(name: string, ...args: readonly (string | number)[]): Promise<unknown> {
    const client = new Redis(this.url, { lazyConnect: true, disconnectTimeout: 100 });
    try {
      await client.connect();
      return await client.call(name, [...args]);
    } finally {
      client.disconnect();
    }
  }

  async kill(): Promise<void> {
    const gone = once(this.#server.process, "close");
    this.#server.process.kill("SIGKILL");
    await gone;
  }

  /** On what it had written. */
  async restart(): Promise<void> {
    this.#server = await startRedis(this.#args, this.#server.port, this.#env);
  }

  freeze(): void {
    this.#server.process.kill("SIGSTOP");
  }

  thaw(): void {
    this.#server.process.kill("SIGCONT");
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export class ClusteredRedis implements FaultyRedis {
  readonly isCluster = true;
  readonly cluster: RedisCluster;

  private constructor(cluster: RedisCluster) {
    this.cluster = cluster;
  }

  static async start(): Promise<ClusteredRedis> {
    return new ClusteredRedis(await startRedisCluster({ isPersistent: true }));
  }

  get url(): string {
    return this.cluster.url;
  }

  thaw(): void {}

  stop(): Promise<void> {
    return this.cluster.stop();
  }
}
