/** The Redis of a bench: the one of REDIS_URL, or one of its own. */
import { Redis } from "ioredis";
import { startRedis } from "../../test/support/redis-server.ts";

/** Since it began. */
export interface RedisUsage {
  /** CPU time it has used. */
  readonly cpuMicros: number;
  /** Scripts that clients have called. */
  readonly scriptCalls: number;
}

export interface BenchRedis {
  readonly url: string;
  usage(): Promise<RedisUsage>;
  stop(): Promise<void>;
}

export async function startBenchRedis(): Promise<BenchRedis> {
  const known = process.env["REDIS_URL"];
  const own = known === undefined ? await startRedis(["--maxmemory-policy", "noeviction"]) : undefined;
  const url = known ?? own!.url;
  const client = new Redis(url);
  return {
    url,
    usage: () => usageOf(client),
    async stop() {
      client.disconnect();
      await own?.stop();
    },
  };
}

export async function usageOf(client: Redis): Promise<RedisUsage> {
  const info = `${await client.info("cpu")}\n${await client.info("commandstats")}`;
  const sum = (pattern: RegExp): number => [...info.matchAll(pattern)].reduce((total, match) => total + Number(match[1]), 0);
  return { cpuMicros: sum(/^used_cpu_(?:sys|user):([\d.]+)/gm) * 1e6, scriptCalls: sum(/^cmdstat_(?:eval|evalsha):calls=(\d+)/gm) };
}
