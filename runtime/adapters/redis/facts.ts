import { Redis } from "ioredis";
import { StoreUnavailableError, messageOf } from "../../core/errors.ts";

export interface RedisFacts {
  readonly version: string;
  /** `maxmemory-policy`. */
  readonly evictionPolicy: string;
  /** 0 when there is no limit. */
  readonly memoryMaxBytes: number;
  readonly timeMs: number;
}

const answerTimeoutMs = 3_000;

/** Asks a Redis what the doctor wants to know; rejects with `StoreUnavailableError`. */
export async function readRedisFacts(url: string): Promise<RedisFacts> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: answerTimeoutMs,
    commandTimeout: answerTimeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  // A connection that fails says so by rejecting `connect`.
  redis.on("error", () => undefined);
  try {
    await redis.connect();
    const [server, memory, time] = await Promise.all([redis.info("server"), redis.info("memory"), redis.time()]);
    return {
      version: field(server, "redis_version"),
      evictionPolicy: field(memory, "maxmemory_policy"),
      memoryMaxBytes: Number(field(memory, "maxmemory")),
      timeMs: Number(time[0]) * 1_000 + Number(time[1]) / 1_000,
    };
  } catch (error) {
    throw new StoreUnavailableError(`expected Redis to answer, found ${messageOf(error)}`, { cause: error });
  } finally {
    redis.disconnect();
  }
}

function field(info: string, name: string): string {
  return new RegExp(`^${name}:(.*)\\r?$`, "m").exec(info)?.[1]?.trim() ?? "";
}
