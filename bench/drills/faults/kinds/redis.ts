/** Trouble with the run store. */
import { setTimeout as pause } from "node:timers/promises";
import { type Fault, heardSince, ofInfrastructure, type Prepared } from "../fault.ts";
import { ClusteredRedis, type Persistence, SingleRedis } from "../redis.ts";
import type { Scene } from "../scene.ts";

const downMs = 3_000;
const frozenMs = 6_000;
const refusesMs = 5_000;
/** How old the copy is that a rewound Redis has. */
const rewoundMs = 3_000;

const single = (persistence: Persistence) => async (): Promise<Prepared> => ({ redis: await SingleRedis.start(persistence, {}) });

function redisOf({ redis }: Scene): SingleRedis {
  if (!(redis instanceof SingleRedis)) throw new Error("expected a single Redis");
  return redis;
}

const killed: Fault = {
  name: "redis-killed",
  what: "SIGKILL; after 3 s started again on its append-only file",
  isQuick: true,
  targets: ofInfrastructure,
  async strike(scene) {
    const times = heardSince(scene, "store.down");
    await redisOf(scene).kill();
    await pause(downMs);
    await redisOf(scene).restart();
    return times;
  },
};

const frozen: Fault = {
  name: "redis-frozen",
  what: "SIGSTOP for 6 s, then SIGCONT",
  targets: ofInfrastructure,
  async strike(scene) {
    const times = heardSince(scene, "store.down");
    redisOf(scene).freeze();
    await pause(frozenMs);
    redisOf(scene).thaw();
    return times;
  },
};

const emptied: Fault = {
  name: "redis-emptied",
  what: "FLUSHALL",
  isQuick: true,
  losesRecords: true,
  targets: ofInfrastructure,
  async strike(scene) {
    const times = heardSince(scene, "store.forgot");
    await redisOf(scene).command("FLUSHALL");
    return times;
  },
};

const rewound: Fault = {
  name: "redis-rewound",
  what: "ended, and started again on a copy that is 3 s old",
  losesRecords: true,
  targets: ofInfrastructure,
  prepare: single("dump"),
  async strike(scene) {
    const times = heardSince(scene, "store.forgot");
    await redisOf(scene).command("SAVE");
    await pause(rewoundMs);
    await redisOf(scene).kill();
    await redisOf(scene).restart();
    return times;
  },
};

const full: Fault = {
  name: "redis-full",
  what: "maxmemory reached with noeviction for 5 s",
  targets: ofInfrastructure,
  async strike(scene) {
    const times = heardSince(scene, "store.down");
    await redisOf(scene).command("CONFIG", "SET", "maxmemory", 1);
    await pause(refusesMs);
    await redisOf(scene).command("CONFIG", "SET", "maxmemory", 0);
    return times;
  },
};

const replica: Fault = {
  name: "redis-read-only",
  what: "made a replica of a server that does not answer for 5 s, then a master again",
  targets: ofInfrastructure,
  async strike(scene) {
    const times = heardSince(scene, "store.down");
    await redisOf(scene).command("REPLICAOF", "127.0.0.1", 1);
    await pause(refusesMs);
    await redisOf(scene).command("REPLICAOF", "NO", "ONE");
    return times;
  },
};

const lonely: Fault = {
  name: "redis-no-replicas",
  what: "min-replicas-to-write without a replica for 5 s",
  targets: ofInfrastructure,
  async strike(scene) {
    const times = heardSince(scene, "store.down");
    await redisOf(scene).command("CONFIG", "SET", "min-replicas-to-write", 1);
    await pause(refusesMs);
    await redisOf(scene).command("CONFIG", "SET", "min-replicas-to-write", 0);
    return times;
  },
};

const shardLost: Fault = {
  name: "redis-shard-lost",
  what: "one of three masters of a cluster killed; after 5 s started again on its append-only file",
  targets: ofInfrastructure,
  prepare: async () => ({ redis: await ClusteredRedis.start() }),
  async strike(scene) {
    const times = heardSince(scene, "run.postponed", "store.down");
    const { redis } = scene;
    if (!(redis instanceof ClusteredRedis)) throw new Error("expected a cluster");
    const shard = redis.cluster.masters[1];
    await shard?.kill();
    await pause(refusesMs);
    await shard?.restart();
    return times;
  },
};

export const redisFaults: readonly Fault[] = [killed, frozen, emptied, rewound, full, replica, lonely, shardLost];
