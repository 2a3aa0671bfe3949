/** The world of one fault: broker, store and workers, each a process of its own that can be hurt, and the witness of what they do. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { composeRunStore } from "#runtime/compose/store.ts";
import { type Config, type ConfigInput, parseConfig } from "#runtime/core/config.ts";
import { originHeader } from "#runtime/core/copy.ts";
import type { RunView } from "#runtime/core/run.ts";
import { askControl } from "#load/broker/control/client.ts";
import type { FaultReport, FaultRequest } from "#load/broker/protocol/faults.ts";
import { BrokerControl } from "#load/dev/broker-account.ts";
import { startChild } from "#load/dev/child.ts";
import { WorkerProcess } from "#load/dev/worker-process.ts";
import { EffectLedger } from "../effects/effect-ledger.ts";
import { writeEffectsPlugin } from "../effects/plugin.ts";
import { Load } from "./load.ts";
import { Rates } from "./rates.ts";
import type { FaultyRedis } from "./redis.ts";

export const lockMs = 5_000;
const queue = "input";
const configName = "holdfast.config.json";
const readsAtOnce = 64;

interface BrokerReady {
  readonly controlPort: number;
  readonly connectionString: string;
}

export interface SceneOptions {
  readonly workers: number;
  readonly perSecond: number;
  readonly random: () => number;
  readonly memoryBytesMax: number | undefined;
  /** Further environment of these processes; of a worker by its number. */
  readonly env: { readonly broker: Readonly<Record<string, string>>; worker(number: number): Readonly<Record<string, string>> };
}

export class Scene {
  readonly workers: readonly WorkerProcess[];
  readonly redis: FaultyRedis;
  readonly ledger: EffectLedger;
  readonly load: Load;
  readonly rates: Rates;
  readonly broker: BrokerControl;
  readonly #folder: string;
  readonly #config: Config;
  readonly #controlUrl: string;
  readonly #closing: (() => Promise<void>)[];

  private constructor(
    parts: Pick<Scene, "workers" | "redis" | "ledger" | "load" | "rates" | "broker">,
    own: { readonly folder: string; readonly config: Config; readonly controlUrl: string; readonly closing: (() => Promise<void>)[] },
  ) {
    this.workers = parts.workers;
    this.redis = parts.redis;
    this.ledger = parts.ledger;
    this.load = parts.load;
    this.rates = parts.rates;
    this.broker = parts.broker;
    this.#folder = own.folder;
    this.#config = own.config;
    this.#controlUrl = own.controlUrl;
    this.#closing = own.closing;
  }

  /** Takes the Redis over: it is stopped with the scene. */
  static async start(redis: FaultyRedis, { workers: count, perSecond, random, memoryBytesMax, env }: SceneOptions): Promise<Scene> {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-faults-"));
    const closing: (() => Promise<void>)[] = [() => redis.stop(), async () => rmSync(folder, { recursive: true, force: true })];
    try {
      const ledger = await EffectLedger.start();
      closing.unshift(() => ledger.stop());
      const entities = { queues: [{ name: queue, lockDurationMs: lockMs, deadLetterOnExpiry: true }] };
      const brokerArguments = ["--port", "0", "--control-port", "0", "--entities", JSON.stringify(entities)];
      const broker = await startChild<BrokerReady>("load/broker/main", brokerArguments, undefined, env.broker);
      closing.unshift(() => broker.stop());
      const { connectionString, controlPort } = broker.ready;
      const input = { ...configOf(folder, connectionString, redis, ledger.url), ...(memoryBytesMax === undefined ? undefined : { memoryBytesMax }) };
      const file = join(folder, configName);
      writeFileSync(file, JSON.stringify(input));
      const workers = Array.from({ length: count }, (_, number) => new WorkerProcess(file, env.worker(number)));
      closing.unshift(async () => void (await Promise.all(workers.map((worker) => worker.stop()))));
      await Promise.all(workers.map((worker) => worker.start()));
      const publisher = createAmqpPublisher({ connectionString, clock: systemClock });
      await publisher.start();
      closing.unshift(() => publisher.stop());
      const control = new BrokerControl(controlPort, queue);
      const load = new Load({ publisher, queue, perSecond, random });
      const config = parseConfig(input, file);
      const own = { folder, config, controlUrl: `http://127.0.0.1:${controlPort}`, closing };
      return new Scene({ workers, redis, ledger, load, rates: new Rates(control), broker: control }, own);
    } catch (error) {
      await closeAll(closing);
      throw error;
    }
  }

  /** Where everything of it lies. */
  get folder(): string {
    return this.#folder;
  }

  get configFile(): string {
    return join(this.#folder, configName);
  }

  /** All of it is stopped, also where the rates could not be read to their end, which is thrown then. */
  async stop(): Promise<void> {
    for (const worker of this.workers) worker.thaw();
    this.redis.thaw();
    try {
      await this.rates.stop();
    } finally {
      await closeAll(this.#closing);
    }
  }

  addFault(fault: Omit<FaultRequest, "target">): Promise<FaultReport> {
    return askControl<FaultReport>(this.#controlUrl, "POST", "/faults", { ...fault, target: queue });
  }

  /** How often this fault has struck so far. */
  async hitsOf(id: number): Promise<number> {
    const { faults } = await askControl<{ readonly faults: readonly FaultReport[] }>(this.#controlUrl, "GET", "/faults");
    return faults.find((fault) => fault.id === id)?.hits ?? 0;
  }

  /** The broker's wall clock, to the second. */
  async brokerNowMs(): Promise<number> {
    const { headers } = await fetch(`${this.#controlUrl}/health`);
    return Date.parse(headers.get("date") ?? "");
  }

  async clearFaults(): Promise<void> {
    await askControl(this.#controlUrl, "DELETE", "/faults");
  }

  /** How often the workers told of any of these. */
  heard(...types: readonly string[]): number {
    return this.workers.reduce((sum, worker) => sum + types.reduce((ofOne, type) => ofOne + (worker.reports.totals().events[type] ?? 0), 0), 0);
  }

  /** Sequence numbers of all that is in the queue. */
  async waiting(): Promise<Set<number>> {
    const found = new Set<number>();
    for await (const { sequenceNumber } of this.broker.waiting()) found.add(sequenceNumber);
    return found;
  }

  async deadLetters(): Promise<ReadonlyMap<string, readonly string[]>> {
    const reasons = new Map<string, string[]>();
    for await (const { applicationProperties, messageId, deadLetterReason } of this.broker.deadLetters()) {
      const eventId = String(applicationProperties["eventId"] ?? applicationProperties[originHeader] ?? messageId);
      reasons.set(eventId, [...(reasons.get(eventId) ?? []), deadLetterReason ?? ""]);
    }
    return reasons;
  }

  async records(eventIds: readonly string[]): Promise<ReadonlyMap<string, RunView>> {
    const store = composeRunStore(this.#config, this.#folder);
    await store.start();
    const views = new Map<string, RunView>();
    for (let at = 0; at < eventIds.length; at += readsAtOnce) {
      const some = eventIds.slice(at, at + readsAtOnce);
      const read = await Promise.all(some.map((eventId) => store.read(eventId)));
      for (const [index, view] of read.entries()) if (view !== undefined) views.set(some[index] ?? "", view);
    }
    await store.stop();
    return views;
  }
}

function configOf(folder: string, connectionString: string, redis: FaultyRedis, effectsUrl: string): ConfigInput {
  return {
    sources: [{ queue }],
    serviceBus: { connectionString },
    store: { kind: "redis", url: redis.url, prefix: "drill", ...(redis.isCluster ? { cluster: true } : {}) },
    plugins: [writeEffectsPlugin(folder)],
    pluginRoots: [folder],
    dependencies: { effects: { baseUrl: effectsUrl } },
    threads: 1,
    stopBudgetMs: 5_000,
    silenceMaxMs: 5_000,
    logLevel: "silent",
  };
}

/** Each of them, also where one before it fails; that failure is thrown in the end. */
async function closeAll(closing: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const close of closing) await close().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
