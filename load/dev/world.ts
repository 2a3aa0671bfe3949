/** Everything a worker needs, on one machine: broker, dependencies, and the worker itself, each a process of its own. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { composePublisher } from "#runtime/compose/broker.ts";
import { composeRunStore } from "#runtime/compose/store.ts";
import { type Config, type ConfigInput, type TransportKind, parseConfig } from "#runtime/core/config.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import { StandInControl, spawnStandIns } from "../stand-ins/client.ts";
import type { StandInAddresses } from "../stand-ins/stand-ins.ts";
import { BrokerControl } from "./broker-account.ts";
import { startChild } from "./child.ts";
import { WorkerProcess } from "./worker-process.ts";

const root = resolve(import.meta.dirname, "../..");
const inputQueue = "agent-input";
/** Short, so that what a killed worker held is redelivered soon. */
const lockDurationMs = 10_000;
/** Records of a trial need not live long. */
const retentionMs = 3_600_000;

interface BrokerReady {
  readonly controlPort: number;
  readonly connectionString: string;
}

export interface World {
  readonly config: Config;
  /** For further workers of the same consumer. */
  readonly configFile: string;
  readonly broker: BrokerControl;
  readonly standIns: StandInControl;
  readonly standInUrls: StandInAddresses["urls"];
  readonly worker: WorkerProcess;
  readonly publisher: Publisher;
  /** The worker's own store, for reading. */
  readonly store: RunStore;
  readonly queue: string;
  /** Stops everything that is still up. Idempotent. */
  stop(): Promise<void>;
}

/** Retries that a trial can wait for. */
const retry = { attemptsMax: 10, immediateDelayMs: 100, baseDelayMs: 1_000, delayFactor: 2, delayMaxMs: 5_000 };
const impatient = {
  timeouts: { connectMs: 500, headersMs: 1_000, bodyMs: 1_000, totalMs: 1_000 },
  circuit: { failureThreshold: 10, resetTimeoutMs: 1_000, halfOpenMax: 2 },
};

/** What a trial wants of the workers beside the built-in skills. */
export interface Further {
  /** Writes it into a folder of the world; answers where it lies. */
  readonly plugin: (this: void, folder: string) => string;
  readonly dependency: { readonly name: string; readonly url: string };
}

function withFurther(input: ConfigInput, folder: string, { plugin, dependency }: Further): ConfigInput {
  return {
    ...input,
    plugins: [...(input.plugins ?? []), plugin(folder)],
    pluginRoots: [...(input.pluginRoots ?? []), folder],
    dependencies: { ...input.dependencies, [dependency.name]: { baseUrl: dependency.url } },
  };
}

function configOf(connectionString: string, transport: TransportKind, urls: Readonly<Record<string, string>>, folder: string): ConfigInput {
  const redis = process.env["REDIS_URL"];
  const skills = ["event-dispatcher", "artifact-validator", "webhook-notifier", "document-drafter"];
  return {
    sources: [{ queue: inputQueue }],
    serviceBus: { connectionString },
    transport,
    store:
      redis === undefined
        ? { kind: "sqlite", path: join(folder, "runs.sqlite") }
        : { kind: "redis", url: redis, prefix: `holdfast-dev-${randomUUID().slice(0, 8)}` },
    plugins: skills.map((skill) => join(root, "handlers", skill)),
    pluginRoots: [join(root, "handlers")],
    publish: { entity: "agent-events" },
    dependencies: Object.fromEntries(Object.entries(urls).map(([name, baseUrl]) => [name, { baseUrl, ...impatient }])),
    skills: Object.fromEntries(skills.map((skill) => [skill, { retry }])),
    retentionMs,
    stopBudgetMs: 10_000,
    admin: { port: 0 },
    logLevel: "error",
  };
}

/**
 * `transport`: what the worker, and who sends to it, speak to the broker with. Undefined when it is interrupted before all is up;
 * what was up is stopped then.
 */
export async function startWorld(transport: TransportKind, interrupted: AbortSignal, further?: Further): Promise<World | undefined> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-"));
  const closing: (() => Promise<void>)[] = [async () => rmSync(folder, { recursive: true, force: true })];
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= closeAll(closing));
  try {
    const entities = {
      queues: [{ name: inputQueue, lockDurationMs, deadLetterOnExpiry: true }],
      topics: [{ name: "agent-events", subscriptions: [] }],
    };
    const [broker, standIns] = await allOrNone(
      closing,
      startChild<BrokerReady>("load/broker/main", ["--port", "0", "--control-port", "0", "--entities", JSON.stringify(entities)]),
      spawnStandIns(),
    );
    interrupted.throwIfAborted();
    const configFile = join(folder, "holdfast.config.json");
    const builtIn = configOf(broker.ready.connectionString, transport, standIns.urls, folder);
    const input = further === undefined ? builtIn : withFurther(builtIn, folder, further);
    writeFileSync(configFile, JSON.stringify(input));
    const config = parseConfig(input, configFile);
    const worker = new WorkerProcess(configFile);
    const publisher = await composePublisher(config);
    const store = composeRunStore(config, folder);
    await allOrNone(closing, started(worker), started(publisher), started(store));
    interrupted.throwIfAborted();
    return {
      config,
      configFile,
      broker: new BrokerControl(broker.ready.controlPort, inputQueue),
      standIns: new StandInControl(standIns.controlUrl),
      standInUrls: standIns.urls,
      worker,
      publisher,
      store,
      queue: inputQueue,
      stop,
    };
  } catch (error) {
    await stop();
    if (interrupted.aborted) return undefined;
    throw error;
  }
}

interface Stoppable {
  stop(): Promise<void>;
}

/** Starts it, and has it again once it is up. */
async function started<Part extends Stoppable & { start(): Promise<void> }>(part: Part): Promise<Part> {
  await part.start();
  return part;
}

/** Waits for all of them, so that what is up is known and can be stopped, also when another does not start. */
async function allOrNone<Parts extends readonly Stoppable[]>(
  closing: (() => Promise<void>)[],
  ...starting: { readonly [Place in keyof Parts]: Promise<Parts[Place]> }
): Promise<Parts> {
  const results = await Promise.allSettled(starting as readonly Promise<Stoppable>[]);
  for (const result of results) if (result.status === "fulfilled") closing.unshift(() => result.value.stop());
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return results.map((result) => (result as PromiseFulfilledResult<Stoppable>).value) as unknown as Parts;
}

async function closeAll(closing: readonly (() => Promise<void>)[]): Promise<void> {
  for (const close of closing) await close();
}
