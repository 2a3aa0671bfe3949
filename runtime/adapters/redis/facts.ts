// What a Redis says of itself, asked of each master of a cluster. CONFIG is never asked, and INFO may be refused: what is not told
// is undefined.
import type { Redis } from "ioredis";
import { isCluster } from "./is-cluster.ts";
import { StoreUnavailableError, messageOf } from "../../core/errors.ts";
import { connect, type RedisPlace } from "./connect.ts";
import { Login } from "./login.ts";

/** Of one server. */
export interface RedisFacts {
  /** `maxmemory-policy`. */
  readonly evictionPolicy: string | undefined;
  readonly isAppending: boolean | undefined;
  readonly replicas: number | undefined;
  readonly timeMs: number;
}

const answerTimeoutMs = 3_000;

/** Asks every server that holds records; rejects with `StoreUnavailableError`. */
export async function readRedisFacts(place: RedisPlace): Promise<readonly RedisFacts[]> {
  const redis = connect(place, answerTimeoutMs);
  const login = place.credential && new Login(redis, place.credential, {});
  // A connection that fails says so by rejecting `connect`.
  let lastError: unknown;
  redis.on("error", (error: unknown) => (lastError = error));
  try {
    await login?.start();
    await redis.connect();
    const masters = isCluster(redis) ? redis.nodes("master") : [redis];
    return await Promise.all(masters.map(factsOf));
  } catch (error) {
    throw new StoreUnavailableError(`expected Redis to answer, found ${messageOf(lastError ?? error)}`, { cause: error });
  } finally {
    login?.stop();
    redis.disconnect();
  }
}

async function factsOf(redis: Redis): Promise<RedisFacts> {
  const sections = ["memory", "persistence", "replication"];
  const [time, ...infos] = await Promise.all([redis.time(), ...sections.map((section) => redis.info(section).catch(() => ""))]);
  const info = infos.join("\n");
  const appending = field(info, "aof_enabled");
  const replicas = field(info, "connected_slaves");
  return {
    evictionPolicy: field(info, "maxmemory_policy"),
    isAppending: appending === undefined ? undefined : appending === "1",
    replicas: replicas === undefined ? undefined : Number(replicas),
    timeMs: Number(time[0]) * 1_000 + Number(time[1]) / 1_000,
  };
}

function field(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\s*$`, "m").exec(info)?.[1];
}
