/** The Redis of a bench: the one of REDIS_URL, or one of its own. */
import { Redis } from "ioredis";
import { startRedis } from "../../test/support/redis-server.ts";

export interface BenchRedis {
  readonly url: string;
  /** CPU time it has used since it began. */
  cpuMicros(): Promise<number>;
  stop(): Promise<void>;
}

export async function startBenchRedis(): Promise<BenchRedis> {
  const known = process.env["REDIS_URL"];
  const own = known === undefined ? await startRedis(["--maxmemory-policy", "noeviction"]) : undefined;
  const url = known ?? own!.url;
  const client = new Redis(url);
  return {
    url,
    async cpuMicros() {
      const info = await client.info("cpu");
      return [...info.matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm)].reduce((sum, match) => sum + Number(match[1]), 0) * 1e6;
    },
    async stop() {
      client.disconnect();
      await own?.stop();
    },
  };
}
