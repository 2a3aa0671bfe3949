/** The only place where adapters are made and handed to the pipeline. */
import { createHash, randomUUID } from "node:crypto";
import { availableParallelism, hostname } from "node:os";
import { resolve } from "node:path";
import type { Logger } from "pino";
import { createAmqpPublisher } from "./adapters/amqp/publisher.ts";
import { createAmqpTransport } from "./adapters/amqp/transport.ts";
import { mergeTransports } from "./adapters/merged/transport.ts";
import { type RedisFacts, readRedisFacts } from "./adapters/redis/facts.ts";
import { createRedisRunStore } from "./adapters/redis/run-store.ts";
import { type EntitySettings, type SendingCheck, checkCanSend, readEntitySettings } from "./adapters/service-bus/administration.ts";
import type { ServiceBusConnection, ServiceBusEntity } from "./adapters/service-bus/client.ts";
import { findSequenceNumbers } from "./adapters/service-bus/find-sent.ts";
import { createServiceBusPublisher } from "./adapters/service-bus/publisher.ts";
import { createServiceBusTransport } from "./adapters/service-bus/transport.ts";
import { createSqliteRunStore } from "./adapters/sqlite/run-store.ts";
import { createThreadedSqliteRunStore } from "./adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "./adapters/system/clock.ts";
import { storeMemoryIn } from "./adapters/system/store-memory.ts";
import { EventLog, createLogger, teeTelemetry, writeSkillLog } from "./adapters/telemetry/log.ts";
import { Summaries } from "./adapters/telemetry/summary.ts";
import { Statistics } from "./adapters/telemetry/statistics.ts";
import { createThreadsExecutor } from "./adapters/threads/executor.ts";
import type { Config, ConsumerConfig, ServiceBusConfig, StoreConfig } from "./core/config.ts";
import { ConfigurationError } from "./core/errors.ts";
import { createPayloadHash } from "./core/payload-hash.ts";
import { defaultDecodeLimits, readRoute } from "./core/read-route.ts";
import { Worker } from "./pipeline/lifecycle.ts";
import { Caution } from "./policy/caution.ts";
import type { CircuitState } from "./policy/circuit.ts";
import type { Publisher } from "./ports/publisher.ts";
import type { Forgetting, RunStore } from "./ports/run-store.ts";
import type { Transport } from "./ports/transport.ts";
import { loadPlugins } from "./skills/host/plugins.ts";
import { type RegisteredSkill, SkillRegistry, checkBaseUrls } from "./skills/host/registry.ts";

export { Recurrences } from "./adapters/telemetry/recurrences.ts";
export { systemClock } from "./adapters/system/clock.ts";
export type { EntitySettings } from "./adapters/service-bus/administration.ts";

/** Circuit states as the threads read them. */
const circuitNumbers: Readonly<Record<CircuitState, number>> = { closed: 0, open: 1, "half-open": 2 };

export interface ComposedWorker {
  readonly worker: Worker;
  readonly statistics: Statistics;
  /** Since the last one was taken. */
  readonly summaries: Summaries;
  readonly logger: Logger;
}

/** The name under which runs of this consumer are kept. */
export function consumerName(consumer: ConsumerConfig): string {
  return "queue" in consumer ? consumer.queue : `${consumer.topic}/${consumer.subscription}`;
}

/** `forgot` hears that the store has lost records. */
export function composeRunStore(config: Config, directory: string, forgot?: (what: Forgetting) => void): RunStore {
  const { store } = config;
  const consumer = consumerName(config.consumer);
  const options = { consumer, retentionMs: config.retentionMs };
  // Only who wants to hear of a loss looks for one, and remembers.
  const forgetting =
    forgot === undefined ? {} : { memory: storeMemoryIn(resolve(directory, storeMemoryFile), memoryName(consumer, store)), onForgotten: forgot };
  if (store.kind === "redis") {
    const { url, prefix, commandTimeoutMs } = store;
    return createRedisRunStore({
      ...options,
      url,
      ...(prefix === undefined ? {} : { prefix }),
      ...(commandTimeoutMs === undefined ? {} : { commandTimeoutMs }),
      ...forgetting,
    });
  }
  if (store.path === ":memory:") return createSqliteRunStore({ ...options, path: store.path, clock: systemClock });
  return createThreadedSqliteRunStore({ ...options, ...forgetting, path: resolve(directory, store.path), clock: systemClock });
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

/** The broker's address with what to log in with: a key, or the workload's own identity. */
async function connectionOf(serviceBus: ServiceBusConfig): Promise<ServiceBusConnection> {
  if ("connectionString" in serviceBus) return serviceBus;
  const { DefaultAzureCredential } = await import("@azure/identity");
  return { ...serviceBus, credential: new DefaultAzureCredential() };
}

function entityOf(consumer: ConsumerConfig): ServiceBusEntity {
  return "queue" in consumer ? { queue: consumer.queue } : { topic: consumer.topic, subscription: consumer.subscription };
}

export async function composePublisher(config: Pick<Config, "serviceBus" | "transport">): Promise<Publisher> {
  const options = { ...(await connectionOf(config.serviceBus)), clock: systemClock };
  return config.transport === "amqp" ? createAmqpPublisher(options) : createServiceBusPublisher(options);
}

/** A subscription is read together with its retry queue. */
export async function composeTransport(config: Config): Promise<Transport> {
  const { consumer } = config;
  const connection = await connectionOf(config.serviceBus);
  const transportOf = (entity: ServiceBusEntity): Transport => {
    const options = { ...connection, entity, clock: systemClock };
    return config.transport === "amqp" ? createAmqpTransport(options) : createServiceBusTransport(options);
  };
  const main = transportOf(entityOf(consumer));
  return "queue" in consumer ? main : mergeTransports(main, transportOf({ queue: consumer.retryQueue }), systemClock);
}

/** The entities that are read: the configured one first, then the retry queue of a subscription. */
export function consumedEntities({ consumer }: Config): readonly ServiceBusEntity[] {
  return "queue" in consumer ? [entityOf(consumer)] : [entityOf(consumer), { queue: consumer.retryQueue }];
}

/** The settings of an entity, and the broker's time. */
export async function readBrokerFacts(config: Config, entity: ServiceBusEntity): Promise<EntitySettings> {
  return readEntitySettings(await connectionOf(config.serviceBus), entity);
}

/** Every entity that emitted events are sent to. */
export function publishedEntities({ publish }: Config): readonly string[] {
  return publish === undefined ? [] : [...new Set([publish.entity, ...publish.byEventType.values()])];
}

/** Every entity the worker sends to: emitted events and scheduled copies. */
export function entitiesSentTo(config: Config): readonly string[] {
  return [...new Set([...publishedEntities(config), retryEntityOf(config.consumer)])];
}

/** Whether the worker could send there. */
export async function checkSendingTo(config: Config, entity: string): Promise<SendingCheck> {
  return checkCanSend(await connectionOf(config.serviceBus), entity);
}

/** Sequence numbers of messages that were just sent and still lie in the entity, by message id; see `findSequenceNumbers`. */
export async function findSent(serviceBus: ServiceBusConfig, entity: string, messageIds: ReadonlySet<string>): Promise<ReadonlyMap<string, readonly string[]>> {
  return findSequenceNumbers(await connectionOf(serviceBus), entity, messageIds);
}

function retryEntityOf(consumer: ConsumerConfig): string {
  return "queue" in consumer ? consumer.queue : consumer.retryQueue;
}

/** What a shared store says of itself; undefined for one that is a file. */
export async function readStoreFacts(config: Config): Promise<RedisFacts | undefined> {
  return config.store.kind === "redis" ? readRedisFacts(config.store.url) : undefined;
}

/** Loads the plugins and makes a worker of them; nothing is connected before its `start`. */
export async function composeWorker(config: Config, directory: string): Promise<ComposedWorker> {
  const plugins = await loadPlugins({ plugins: config.plugins, roots: config.pluginRoots, directory });
  const registry = new SkillRegistry(plugins, config);
  checkBaseUrls(plugins, config);
  const workerId = `${hostname()}:${process.pid}:${randomUUID().slice(0, 8)}`;
  const format = config.logFormat ?? (process.stderr.isTTY ? "pretty" : "json");
  const logger = createLogger({ level: config.logLevel, format, worker: workerId, host: hostname() });
  const statistics = new Statistics();
  const summaries = new Summaries();
  const telemetry = teeTelemetry([statistics, summaries, new EventLog(logger, systemClock)]);
  for (const part of plugins.flatMap(({ slow }) => slow)) telemetry.emit({ type: "plugin.slow", thread: "main", ...part });
  const threads = config.threads ?? availableParallelism();
  const circuits = new SharedArrayBuffer(Math.max(1, registry.dependencies.length) * Int32Array.BYTES_PER_ELEMENT);
  const circuitView = new Int32Array(circuits);
  const limits = { ...defaultDecodeLimits, bodyBytesMax: config.bodyBytesMax, demandsAttributes: !config.envelopeDefaults };
  const worker = new Worker({
    clock: systemClock,
    random: Math.random,
    workerId,
    consumer: consumerName(config.consumer),
    transport: await composeTransport(config),
    publisher: await composePublisher(config),
    store: composeRunStore(config, directory, (what) => telemetry.emit({ type: "store.forgot", what })),
    executor: createThreadsExecutor({
      plugins,
      threads,
      consumer: consumerName(config.consumer),
      dependencies: registry.dependencies.map(({ name }) => name),
      dependencyConfig: config.dependencies,
      circuits,
      limits,
      log: (lines) => writeSkillLog(logger, lines),
      slow: (part) => telemetry.emit({ type: "plugin.slow", thread: "skills", ...part }),
    }),
    telemetry,
    skills: registry,
    skillCount: registry.skills.length,
    threads,
    dependencies: registry.dependencies,
    readRoute: (delivery) => readRoute(delivery, limits, config.envelopes),
    hashPayload: createPayloadHash(limits),
    inFlightMax: config.inFlightMax,
    deliveriesMax: config.deliveriesMax,
    retryEntity: retryEntityOf(config.consumer),
    entityFor: (eventType) => entityFor(config, eventType),
    storeHoldMaxMs: config.storeHoldMaxMs,
    silenceMaxMs: config.silenceMaxMs,
    caution: new Caution(),
    circuitChanged: (dependency, state) => Atomics.store(circuitView, dependency, circuitNumbers[state]),
  });
  return { worker, statistics, summaries, logger };
}

/** Throws `ConfigurationError` for what would keep the plugins from starting. */
export async function checkPlugins(config: Config, directory: string): Promise<readonly RegisteredSkill[]> {
  const plugins = await loadPlugins({ plugins: config.plugins, roots: config.pluginRoots, directory });
  checkBaseUrls(plugins, config);
  return new SkillRegistry(plugins, config).skills;
}

/** Everything that is registered, from where and why. */
export async function describeSkills(config: Config, directory: string): Promise<readonly RegisteredSkill[]> {
  const plugins = await loadPlugins({ plugins: config.plugins, roots: config.pluginRoots, directory });
  return new SkillRegistry(plugins, config).skills;
}

function entityFor(config: Config, eventType: string): string {
  const entity = config.publish?.byEventType.get(eventType) ?? config.publish?.entity;
  if (entity === undefined) throw new ConfigurationError(`publish: expected an entity to send '${eventType}' to, got none; a skill emitted it`);
  return entity;
}
