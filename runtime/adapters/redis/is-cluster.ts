import type { Cluster, Redis } from "ioredis";

/** Tells the two apart without loading their library. */
export function isCluster(redis: Redis | Cluster): redis is Cluster {
  return redis.isCluster;
}
