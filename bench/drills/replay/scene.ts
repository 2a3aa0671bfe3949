/** One world of the drill: a broker, a worker that can be killed, the command that replays, and what can be seen of them from outside. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { composeRunStore } from "#runtime/compose/store.ts";
import { type Config, parseConfig } from "#runtime/core/config.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import type { RunView } from "#runtime/core/run.ts";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { WorkerProcess } from "#load/dev/worker-process.ts";
import { effectsFile, mendedFile, writePlugin } from "./plugin.ts";

export type Source = "queue" | "subscription";

/** Kinds of failure; the first two are mended. */
export const kinds = ["CARD", "BANK", "GIFT", "CASH"] as const;
export const mendedKinds: readonly string[] = kinds.slice(0, 2);

/** Short, so that what a killed command had locked is soon there again. */
const lockDurationMs = 5_000;
const lookEveryMs = 50;
const root = resolve(import.meta.dirname, "../../..");

const readers = {
  queue: { sources: [{ queue: "orders" }], sentTo: "orders", target: "orders", letters: ["orders"] },
  subscription: {
    sources: [{ topic: "news", subscription: "reader", retryQueue: "retry" }],
    sentTo: "news",
    target: "retry",
    letters: ["news/Subscriptions/reader", "retry"],
  },
} as const;

const entities = {
  queues: ["orders", "retry"].map((name) => ({ name, lockDurationMs })),
  topics: [{ name: "news", subscriptions: ["reader", "bystander"].map((name) => ({ name, lockDurationMs })) }],
};

export interface Replaying {
  readonly process: ChildProcess;
  /** Its exit code and what it printed; the code is null when it was killed. */
  readonly done: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
}

export class Scene {
  readonly source: Source;
  readonly #folder: string;
  readonly #broker: Broker;
  readonly #config: Config;
  readonly worker: WorkerProcess;

  private constructor(source: Source, folder: string, broker: Broker, config: Config) {
    this.source = source;
    this.#folder = folder;
    this.#broker = broker;
    this.#config = config;
    this.worker = new WorkerProcess(join(folder, "holdfast.config.json"));
  }

  static async start(source: Source): Promise<Scene> {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-replay-"));
    writePlugin(folder);
    const broker = await startBroker({ entities });
    const redis = process.env["REDIS_URL"];
    const input = {
      sources: readers[source].sources,
      serviceBus: { connectionString: broker.connectionString },
      plugins: ["./payer"],
      threads: 1,
      logLevel: "silent",
      store: redis === undefined ? { kind: "sqlite", path: "runs.sqlite" } : { kind: "redis", url: redis, prefix: `replay:${process.pid}:${Date.now()}` },
    };
    writeFileSync(join(folder, "holdfast.config.json"), JSON.stringify(input));
    const scene = new Scene(source, folder, broker, parseConfig(input, "the drill's configuration"));
    await scene.worker.start();
    return scene;
  }

  async stop(): Promise<void> {
    await this.worker.stop();
    await this.#broker.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Sends as many events, the kinds in turn; answers their ids. */
  async send(count: number): Promise<readonly string[]> {
    const publisher = createAmqpPublisher({ connectionString: this.#broker.connectionString, clock: systemClock });
    const messages = Array.from({ length: count }, (_, number) => messageOf(number));
    await publisher.start();
    await publisher.send(readers[this.source].sentTo, messages);
    await publisher.stop();
    return messages.map(({ messageId }) => messageId);
  }

  mend(): void {
    writeFileSync(join(this.#folder, mendedFile), mendedKinds.join(" "));
  }

  replay(perSecond: number, waitS: number): Replaying {
    const args = ["dlq", "replay", "--all", "--run", "--json", "--per-second", `${perSecond}`, "--wait", `${waitS}`];
    const file = join(this.#folder, "holdfast.config.json");
    const child = spawn(process.execPath, ["runtime/cli/main.ts", ...args, "-c", file], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    return { process: child, done: new Promise((ended) => child.on("close", (code) => ended({ code, stdout, stderr }))) };
  }

  /** Messages that ever came to the queue that replays go to. */
  get arrived(): number {
    return this.#broker.inspect().queues[readers[this.source].target]?.totals.accepted ?? 0;
  }

  /** Event ids of the dead letters there are, one for each letter. */
  letters(): readonly string[] {
    return readers[this.source].letters.flatMap((path) => {
      const ids: string[] = [];
      for (let from: number | null = 0; from !== null;) {
        const page = this.#broker.inspectMessages(`${path}/$DeadLetterQueue`, { from, top: 1_000 });
        ids.push(...(page?.messages ?? []).map(({ messageId }) => messageId.replace(/~.*$/, "")));
        from = page?.next ?? null;
      }
      return ids;
    });
  }

  /** Messages that wait to be worked on, or are. */
  get open(): number {
    const { queues } = this.#broker.inspect();
    const paths = new Set<string>([readers[this.source].target, ...readers[this.source].letters]);
    let open = 0;
    for (const path of paths) {
      const { active = 0, locked = 0, scheduled = 0, deferred = 0 } = queues[path]?.states ?? {};
      open += active + locked + scheduled + deferred;
    }
    return open;
  }

  /** What the topic and the subscription beside have ever got. */
  get seenByOthers(): readonly number[] {
    const { queues, topics } = this.#broker.inspect();
    const bystander = queues["news/Subscriptions/bystander"];
    return [topics["news"]?.totals.accepted ?? 0, bystander?.totals.accepted ?? 0, bystander?.states.active ?? 0];
  }

  /** Every effect: event, step and key. */
  effects(): readonly (readonly string[])[] {
    const file = join(this.#folder, effectsFile);
    if (!existsSync(file)) return [];
    return readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => line.split(" "));
  }

  async records(eventIds: readonly string[]): Promise<ReadonlyMap<string, RunView | undefined>> {
    const store = composeRunStore(this.#config, this.#folder);
    await store.start();
    try {
      const records = new Map<string, RunView | undefined>();
      for (const eventId of eventIds) records.set(eventId, await store.read(eventId));
      return records;
    } finally {
      await store.stop();
    }
  }
}

function messageOf(number: number): OutgoingMessage {
  const kind = kinds[number % kinds.length] ?? kinds[0];
  const event = {
    eventId: `${kind}-${number}`,
    eventType: "Ordered",
    version: "1.0",
    traceId: `trace-${number}`,
    correlationId: `${number}`,
    projectId: "drill",
    originatingAgent: "drill",
    timestamp: "2026-01-01T00:00:00.000Z",
  };
  const body = Buffer.from(JSON.stringify({ ...event, payload: { kind, number } }));
  return { messageId: event.eventId, contentType: "application/json", headers: eventHeaders(event), body };
}

/** Looks until it is so, or the time is over; false then. */
export async function until(isSo: () => boolean, limitMs: number): Promise<boolean> {
  const endMs = performance.now() + limitMs;
  while (!isSo()) {
    if (performance.now() > endMs) return false;
    await pause(lookEveryMs);
  }
  return true;
}
