/** The run store, and what can be asked of it. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createRedisBoard } from "../adapters/redis/board.ts";
import { type RedisFacts, readRedisFacts } from "../adapters/redis/facts.ts";
import type { RedisPlace } from "../adapters/redis/connect.ts";
import type { RedisCredential } from "../adapters/redis/login.ts";
import { createRedisRunRecords } from "../adapters/redis/run-records.ts";
import { createRedisRunStore, type RedisRunStoreOptions, sharedClientOf } from "../adapters/redis/run-store.ts";
import { type BoardPlace, createSqliteBoard } from "../adapters/sqlite/board.ts";
import type { JobsPlace } from "../adapters/sqlite/jobs-wire.ts";
import { createSqliteRunRecords } from "../adapters/sqlite/run-records.ts";
import { createSqliteRunStore } from "../adapters/sqlite/run-store.ts";
import { createThreadedSqliteRunStore, sharedThreadOf } from "../adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { storeMemoryIn } from "../adapters/system/store-memory.ts";
import { consumerName, firstSource, type SourceSettings } from "../core/config/sources.ts";
import { ownIdentity } from "./identity.ts";
import type { Config, RedisStoreSettings, StoreSettings } from "../core/config.ts";
import { ConfigurationError, messageOf, StoreRefusedError, StoreUnavailableError } from "../core/errors.ts";
import type { RunKind } from "../core/run.ts";
import { reveal } from "../core/secret.ts";
import type { PoolBoard } from "../ports/pool-board.ts";
import type { RunRecords } from "../ports/run-records.ts";
import type { ForgettingOptions, RunStore, RunStoreOptions } from "../ports/run-store.ts";

export type { RedisFacts } from "../adapters/redis/facts.ts";

/** How long after a loss events from before it may still come. */
export function suspectMsOf({ suspectMs, retentionMs }: Config): number {
  return suspectMs ?? retentionMs;
}

/** Who hears of records that the store has lost. */
type Losses = Omit<ForgettingOptions, "memory">;
export type OneStore = RunStore & Partial<JobsPlace>;

/** The stores of a worker, and what its pool's workers leave for each other beside them. */
export interface ComposedStores {
  readonly stores: readonly OneStore[];
  readonly board: PoolBoard;
}

/** That of the first source. Without listeners, nothing that is found of losses is noted. */
export function composeRunStore(config: Config, directory: string, losses: Losses = { isObserver: true }): OneStore {
  const { stores } = composeRunStores({ ...config, sources: [firstSource(config)] }, directory, () => losses);
  const [store] = stores;
  if (store === undefined) throw new TypeError("expected a store for the source, got none");
  return store;
}

/**
 * One for each source, in their order, over one connection or one file; the board lies with the first. Whoever hears that the store has lost records has that noted,
 * unless it is an observer. `heard`: hears what becomes of the tokens that the login lasts by.
 */
export function composeRunStores(
  { store, retentionMs, sources }: Config,
  directory: string,
  lossesOf: (source: SourceSettings) => Losses,
  heard?: RedisPlace["heard"],
): ComposedStores {
  const whole = consumerName(firstSource({ sources }));
  const optionsOf = (source: SourceSettings): RunStoreOptions & ForgettingOptions => {
    const consumer = consumerName(source);
    const losses = lossesOf(source);
    // Who only looks has nothing to remember.
    const memory = losses.isObserver === true ? {} : { memory: storeMemoryIn(resolve(directory, storeMemoryFile), memoryName(consumer, store)) };
    return { consumer, retentionMs, ...memory, ...losses };
  };
  if (store.kind === "redis") {
    const place = { ...redisOptions(store, directory), ...(heard === undefined ? {} : { heard }) };
    const client = sharedClientOf(place);
    const stores = sources.map((source) => createRedisRunStore({ ...optionsOf(source), ...place }, client));
    return { stores, board: createRedisBoard({ consumer: whole, prefix: store.prefix }, client) };
  }
  const { path, detailsMs } = store;
  if (path === ":memory:") return withBoard(sources.map((source) => createSqliteRunStore({ ...optionsOf(source), path, detailsMs, clock: systemClock })));
  const file = { path: resolve(directory, path), retentionMs, detailsMs, clock: systemClock };
  const thread = sharedThreadOf(file, sources.map(consumerName));
  return withBoard(sources.map((source) => createThreadedSqliteRunStore({ ...optionsOf(source), ...file }, thread)));
}

function withBoard(stores: readonly (OneStore & BoardPlace)[]): ComposedStores {
  const [first] = stores;
  if (first === undefined) throw new TypeError("expected a store for the first source, got none");
  return { stores, board: createSqliteBoard(first) };
}

/** Throws `ConfigurationError` for a store whose records end with the worker that keeps them, in its memory. */
export function checkStoreIsShared({ store }: Pick<Config, "store">): void {
  if (isInMemory(store)) throw new ConfigurationError("store: expected one that other processes can read, found ':memory:'; name a file or a Redis");
}

function isInMemory(store: StoreSettings): boolean {
  return store.kind === "sqlite" && store.path === ":memory:";
}

/** The records of the first source, for people. Throws `ConfigurationError` where they are kept in a worker's memory. */
export function composeRunRecords(config: Config, directory: string): RunRecords {
  checkStoreIsShared(config);
  const { store, retentionMs } = config;
  const options = { consumer: consumerName(firstSource(config)), retentionMs };
  if (store.kind === "redis") return createRedisRunRecords({ ...options, ...redisOptions(store, directory) });
  return createSqliteRunRecords({ ...options, path: resolve(directory, store.path), clock: systemClock });
}

/** Names in the store the kinds of runs that start here. Only people read them: a store that does not answer now is skipped. */
export async function nameKinds(config: Config, directory: string, kinds: readonly RunKind[]): Promise<void> {
  if (isInMemory(config.store)) return;
  for (const source of config.sources) await nameKindsOf({ ...config, sources: [source] }, directory, kinds);
}

async function nameKindsOf(config: Config, directory: string, kinds: readonly RunKind[]): Promise<void> {
  const records = composeRunRecords(config, directory);
  try {
    await records.start();
    await records.name(kinds);
  } catch (error) {
    if (!(error instanceof StoreUnavailableError || error instanceof StoreRefusedError)) throw error;
  } finally {
    await records.stop();
  }
}

/** What a worker must know of its store after a restart; beside the configuration. */
const storeMemoryFile = ".holdfast/stores.json";

/** Names one store without telling its password. */
function memoryName(consumer: string, store: StoreSettings): string {
  const place = store.kind === "redis" ? [hostAndPathOf(store), store.prefix ?? ""].flat() : [store.path];
  return `${consumer} ${createHash("sha256")
    .update(JSON.stringify([store.kind, ...place]))
    .digest("hex")
    .slice(0, 16)}`;
}

/** Asked for when a token is needed. */
const workloadIdentity: RedisCredential = {
  async getToken(scopes) {
    return (await ownIdentity()).getToken(scopes);
  },
};

function redisOptions(store: RedisStoreSettings, directory: string): Omit<RedisRunStoreOptions, "consumer" | "retentionMs"> {
  const { prefix, commandTimeoutMs, hashTags, layout, detailsMs } = store;
  return {
    ...redisPlace(store, directory),
    ...(hashTags === undefined ? {} : { hashTags }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(layout === undefined ? {} : { layout }),
    ...(detailsMs === undefined ? {} : { detailsMs }),
    ...(commandTimeoutMs === undefined ? {} : { commandTimeoutMs }),
  };
}

/** How the Redis of a store is reached. */
export function redisPlace(store: RedisStoreSettings, directory: string): RedisPlace {
  const { url, password, cluster, nodes, sentinel, caFile, entraId } = store;
  return {
    url,
    ...(password === undefined ? {} : { password }),
    isCluster: cluster === true,
    ...(nodes === undefined ? {} : { nodes }),
    ...(sentinel === undefined ? {} : { sentinel }),
    ...(caFile === undefined ? {} : { ca: readAuthority(resolve(directory, caFile)) }),
    ...(entraId === true ? { credential: workloadIdentity } : {}),
  };
}

function hostAndPathOf({ url }: RedisStoreSettings): readonly [host: string, path: string] {
  const { host, pathname } = new URL(reveal(url));
  return [host, pathname];
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
