/** The run store, and what can be asked of it. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type RedisFacts, readRedisFacts } from "../adapters/redis/facts.ts";
import type { RedisPlace } from "../adapters/redis/connect.ts";
import type { RedisCredential } from "../adapters/redis/login.ts";
import { createRedisRunRecords } from "../adapters/redis/run-records.ts";
import { createRedisRunStore, type RedisRunStoreOptions } from "../adapters/redis/run-store.ts";
import type { JobsPlace } from "../adapters/sqlite/jobs-wire.ts";
import { createSqliteRunRecords } from "../adapters/sqlite/run-records.ts";
import { createSqliteRunStore } from "../adapters/sqlite/run-store.ts";
import { createThreadedSqliteRunStore } from "../adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { storeMemoryIn } from "../adapters/system/store-memory.ts";
import { consumerName, soleSource } from "../core/config/sources.ts";
import type { Config, StoreConfig } from "../core/config.ts";
import { ConfigurationError, messageOf, StoreUnavailableError } from "../core/errors.ts";
import type { RunKind } from "../core/run.ts";
import type { RunRecords } from "../ports/run-records.ts";
import type { ForgettingOptions, RunStore } from "../ports/run-store.ts";

export type { RedisFacts } from "../adapters/redis/facts.ts";

/** How long after a loss events from before it may still come. */
export function suspectMsOf({ suspectMs, retentionMs }: Config): number {
  return suspectMs ?? retentionMs;
}

/** What is called when the store reports something beside its answers. */
type StoreListeners = Omit<ForgettingOptions, "memory"> & Pick<RedisPlace, "heard">;

/** With listeners, a loss of records that is found is noted in the store, unless `isObserver`; without them nothing is noted. */
export function composeRunStore(config: Config, directory: string, { heard, ...losses }: StoreListeners = { isObserver: true }): RunStore & Partial<JobsPlace> {
  const { store } = config;
  const consumer = consumerName(soleSource(config));
  const options = { consumer, retentionMs: config.retentionMs };
  // An observer keeps no memory of the store.
  const memory = losses.isObserver === true ? {} : { memory: storeMemoryIn(resolve(directory, storeMemoryFile), memoryName(consumer, store)) };
  const forgetting = { ...memory, ...losses };
  if (store.kind === "redis") {
    return createRedisRunStore({ ...options, ...redisOptions(store, directory), ...(heard === undefined ? {} : { heard }), ...forgetting });
  }
  if (store.path === ":memory:") return createSqliteRunStore({ ...options, path: store.path, clock: systemClock });
  return createThreadedSqliteRunStore({ ...options, ...forgetting, path: resolve(directory, store.path), clock: systemClock });
}

/** Throws `ConfigurationError` for a store whose records end with the worker that keeps them, in its memory. */
export function checkStoreIsShared({ store }: Pick<Config, "store">): void {
  if (isInMemory(store)) throw new ConfigurationError("store: expected one that other processes can read, found ':memory:'; name a file or a Redis");
}

function isInMemory(store: StoreConfig): boolean {
  return store.kind === "sqlite" && store.path === ":memory:";
}

/** The records of the same store, for people. Throws `ConfigurationError` where they are kept in a worker's memory. */
export function composeRunRecords(config: Config, directory: string): RunRecords {
  checkStoreIsShared(config);
  const { store, retentionMs } = config;
  const options = { consumer: consumerName(soleSource(config)), retentionMs };
  if (store.kind === "redis") return createRedisRunRecords({ ...options, ...redisOptions(store, directory) });
  return createSqliteRunRecords({ ...options, path: resolve(directory, store.path), clock: systemClock });
}

/** Names in the store the kinds of runs that start here. Only people read them: a store that does not answer now is skipped. */
export async function nameKinds(config: Config, directory: string, kinds: readonly RunKind[]): Promise<void> {
  if (isInMemory(config.store)) return;
  const records = composeRunRecords(config, directory);
  try {
    await records.start();
    await records.name(kinds);
  } catch (error) {
    if (!(error instanceof StoreUnavailableError)) throw error;
  } finally {
    await records.stop();
  }
}

/** What a worker must know of its store after a restart; beside the configuration. */
const storeMemoryFile = ".holdfast/stores.json";

/** Names one store without telling its password. */
function memoryName(consumer: string, store: StoreConfig): string {
  const place = store.kind === "redis" ? [new URL(store.url).host, new URL(store.url).pathname, store.prefix ?? ""] : [store.path];
  return `${consumer} ${createHash("sha256")
    .update(JSON.stringify([store.kind, ...place]))
    .digest("hex")
    .slice(0, 16)}`;
}

/** The workload's own identity; its library is loaded when it is first asked. */
const workloadIdentity: RedisCredential = {
  async getToken(scopes) {
    const { DefaultAzureCredential } = await import("@azure/identity");
    identity ??= new DefaultAzureCredential();
    return identity.getToken(scopes);
  },
};
let identity: RedisCredential | undefined;

function redisOptions(store: Extract<StoreConfig, { kind: "redis" }>, directory: string): Omit<RedisRunStoreOptions, "consumer" | "retentionMs"> {
  const { prefix, commandTimeoutMs, hashTags } = store;
  return {
    ...redisPlace(store, directory),
    ...(hashTags === undefined ? {} : { hashTags }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(commandTimeoutMs === undefined ? {} : { commandTimeoutMs }),
  };
}

/** How the Redis of a store is reached. */
export function redisPlace(store: Extract<StoreConfig, { kind: "redis" }>, directory: string): RedisPlace {
  const { url, cluster, nodes, sentinel, caFile, entraId } = store;
  return {
    url,
    isCluster: cluster === true,
    ...(nodes === undefined ? {} : { nodes }),
    ...(sentinel === undefined ? {} : { sentinel }),
    ...(caFile === undefined ? {} : { ca: readAuthority(resolve(directory, caFile)) }),
    ...(entraId === true ? { credential: workloadIdentity } : {}),
  };
}

function readAuthority(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigurationError(`store.caFile: expected a PEM file, found ${messageOf(error)}; correct the path`, { cause: error });
  }
}

/** What each server of a shared store reports of itself; undefined for a store in a file. */
export async function readStoreFacts(config: Config, directory: string): Promise<readonly RedisFacts[] | undefined> {
  return config.store.kind === "redis" ? readRedisFacts(redisPlace(config.store, directory)) : undefined;
}
