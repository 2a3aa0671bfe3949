/** The world of the drill: a broker, a worker that reads all of it, and what can be seen of them from outside. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ServiceBusAdministrationClient } from "@azure/service-bus";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { SourceConfig } from "#runtime/core/config.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { WorkerProcess } from "#load/dev/worker-process.ts";
import { effectsFile, writePlugin } from "./plugin.ts";

/** Where the events of a source are sent, and where they lie. */
export interface Place {
  readonly name: string;
  readonly entity: string;
  readonly path: string;
}

const lockDurationMs = 10_000;

export const topics: readonly string[] = ["urgent", "doomed", "closed", "busy", "poisoned"];
export const queues: readonly string[] = ["heavy", "light"];

export function placeOf(name: string): Place {
  return { name, entity: name, path: topics.includes(name) ? `${name}/Subscriptions/reader` : name };
}

function sourceOf(name: string, traits: Partial<SourceConfig>): SourceConfig {
  const place = topics.includes(name) ? { topic: name, subscription: "reader", retryQueue: `${name}-retry` } : { queue: name };
  return { ...place, name, ...traits };
}

export class Scene {
  readonly broker: Broker;
  readonly worker: WorkerProcess;
  readonly #folder: string;
  readonly #publisher: ReturnType<typeof createAmqpPublisher>;

  private constructor(folder: string, broker: Broker) {
    this.#folder = folder;
    this.broker = broker;
    this.worker = new WorkerProcess(this.configFile);
    this.#publisher = createAmqpPublisher({ connectionString: broker.connectionString, clock: systemClock });
  }

  static async start(traits: Readonly<Record<string, Partial<SourceConfig>>>, names: readonly string[]): Promise<Scene> {
    const scene = await Scene.prepare(traits, names);
    await scene.#publisher.start();
    await scene.worker.start();
    return scene;
  }

  /** With a worker that is not started. */
  static async prepare(traits: Readonly<Record<string, Partial<SourceConfig>>>, names: readonly string[]): Promise<Scene> {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-sources-"));
    writePlugin(folder);
    const all = [...names.filter((name) => !topics.includes(name)), ...topics.map((topic) => `${topic}-retry`)];
    const broker = await startBroker({
      entities: {
        queues: all.map((name) => ({ name, lockDurationMs })),
        topics: topics.map((name) => ({ name, subscriptions: [{ name: "reader", lockDurationMs }] })),
      },
    });
    const config = {
      sources: names.map((name) => sourceOf(name, traits[name] ?? {})),
      serviceBus: { connectionString: broker.connectionString },
      plugins: ["./computer"],
      threads: 1,
      store: { kind: "sqlite", path: "runs.sqlite" },
      logLevel: "silent",
      silenceMaxMs: 2_000,
    };
    writeFileSync(join(folder, "holdfast.config.json"), JSON.stringify(config));
    return new Scene(folder, broker);
  }

  get configFile(): string {
    return join(this.#folder, "holdfast.config.json");
  }

  async stop(): Promise<void> {
    await this.worker.stop();
    await this.#publisher.stop();
    await this.broker.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** `poison`: of a type that no skill handles. */
  async send(place: Place, count: number, ms: number, poison = false): Promise<void> {
    const messages = Array.from({ length: count }, (_, index) => messageOf(`${place.name}-${ms}-${index}`, ms, poison));
    await this.#publisher.send(place.entity, messages);
  }

  administration(): ServiceBusAdministrationClient {
    const client = new ServiceBusAdministrationClient(this.broker.connectionString, { retryOptions: { maxRetries: 0 } });
    client.pipeline.addPolicy({
      name: "plainHttp",
      sendRequest: (request, next) => {
        request.url = request.url.replace(/^https:/, "http:");
        request.allowInsecureConnection = true;
        return next(request);
      },
    });
    return client;
  }

  /** Every run: its event, and how long it computed. */
  effects(): readonly { readonly eventId: string; readonly ms: number }[] {
    const file = join(this.#folder, effectsFile);
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, "utf8").split("\n").slice(0, -1);
    return lines.map((line) => {
      const [eventId = "", ms = "0"] = line.split(" ");
      return { eventId, ms: Number(ms) };
    });
  }

  /** How long the runs of each source have computed. */
  computedMs(): ReadonlyMap<string, number> {
    const sums = new Map<string, number>();
    for (const { eventId, ms } of this.effects()) {
      const [name = ""] = eventId.split("-");
      sums.set(name, (sums.get(name) ?? 0) + ms);
    }
    return sums;
  }

  /** What is left of a place in the entity, its retry queue included; undefined when it is gone. */
  open({ name, path }: Place): number | undefined {
    const inspected = this.broker.inspect().queues;
    if (inspected[path] === undefined) return undefined;
    return [path, `${name}-retry`].reduce((sum, each) => {
      const { active = 0, locked = 0, scheduled = 0, deferred = 0 } = inspected[each]?.states ?? {};
      return sum + active + locked + scheduled + deferred;
    }, 0);
  }

  deadLetters({ path }: Place): number {
    return this.broker.inspect().queues[`${path}/$DeadLetterQueue`]?.states.active ?? 0;
  }
}

function messageOf(eventId: string, ms: number, poison: boolean): OutgoingMessage {
  const event = {
    eventId,
    eventType: poison ? "Unheard" : "Computed",
    version: "1.0",
    traceId: "drill",
    correlationId: eventId,
    projectId: "drill",
    originatingAgent: "drill",
    timestamp: "2026-01-01T00:00:00.000Z",
  };
  return {
    messageId: eventId,
    contentType: "application/json",
    headers: eventHeaders(event),
    body: Buffer.from(JSON.stringify({ ...event, payload: { ms } })),
  };
}
