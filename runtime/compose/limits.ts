/** The buckets of rate limits: on Redis where run records are, so that a pool shares them; else in this process. */
import type { RedisPlace } from "../adapters/redis/connect.ts";
import { createRedisLimits } from "../adapters/redis/limits.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { LocalLimits } from "../adapters/system/local-limits.ts";
import type { Config } from "../core/config.ts";
import type { DependencyPolicy } from "../core/skill.ts";
import type { SharedLimits } from "../ports/shared-limits.ts";
import { redisPlace } from "./store.ts";

/** Undefined where no dependency is limited: then there is nothing to connect. */
export function composeLimits(
  { store }: Pick<Config, "store">,
  directory: string,
  dependencies: readonly Pick<DependencyPolicy, "limits">[],
  heard?: RedisPlace["heard"],
): SharedLimits | undefined {
  if (dependencies.every(({ limits = [] }) => limits.length === 0)) return undefined;
  if (store.kind === "sqlite") return new LocalLimits(systemClock);
  const { prefix, commandTimeoutMs } = store;
  return createRedisLimits({
    ...redisPlace(store, directory),
    heard,
    purpose: "limits",
    ...(prefix === undefined ? {} : { prefix }),
    ...(commandTimeoutMs === undefined ? {} : { commandTimeoutMs }),
  });
}
