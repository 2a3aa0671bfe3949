// Workers in processes of their own, with a plugin that a test writes, on a broker in the test's process.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { ServiceBusClient } from "@azure/service-bus";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { eventually } from "./eventually.ts";
import { type RunningCommand, startCommand } from "./holdfast-command.ts";

const { REDIS_URL: _redis, ...env } = process.env;
export const runtimeModule: string = resolve(import.meta.dirname, "../../runtime/index.ts");

export interface RunningWorker extends RunningCommand {
  /** Its configuration. */
  readonly config: string;
  /** All it has logged. */
  log(): string;
  /** Lines of one type. */
  events(type: string): readonly Readonly<Record<string, unknown>>[];
}

export interface WorkerBench {
  readonly broker: Broker;
  readonly folder: string;
  /** Starts one more worker, with these changes to the configuration, and waits until it has started. */
  startWorker(changes?: Readonly<Record<string, unknown>>, moreEnv?: Readonly<Record<string, string>>): Promise<RunningWorker>;
  /** Puts an event into the queue `input`, the same for the same arguments; its event type is `Tried`, unless another is named. */
  send(eventId: string, payload?: unknown, eventType?: string, tenantId?: string, sessionId?: string): Promise<void>;
}

export interface WorkerBenchOptions {
  readonly entities: unknown;
  readonly skills: readonly string[];
  readonly dependencies?: readonly string[];
  /** The plugin's module; `runtimeModule` is what it imports. */
  readonly module: (folder: string) => string;
}

/** Everything ends with the test; processes that are stopped are killed. */
export async function startWorkerBench(t: TestContext, { entities, skills, dependencies = [], module }: WorkerBenchOptions): Promise<WorkerBench> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-workers-"));
  const broker = await startBroker({ entities });
  const client = new ServiceBusClient(broker.connectionString);
  const sender = client.createSender("input");
  const running: RunningCommand[] = [];
  t.after(async () => {
    await client.close();
    for (const { process: child, done } of running) {
      child.kill("SIGKILL");
      await done;
    }
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  mkdirSync(join(folder, "plugin"));
  writeFileSync(
    join(folder, "plugin", "holdfast.plugin.json"),
    JSON.stringify({ name: "plugin", version: "1.0.0", entry: "./index.ts", skills, dependencies }),
  );
  writeFileSync(join(folder, "plugin", "index.ts"), module(folder));
  return {
    broker,
    folder,
    async startWorker(changes = {}, moreEnv = {}) {
      const file = join(folder, `holdfast-${running.length}.config.json`);
      const config = {
        sources: [{ queue: "input" }],
        serviceBus: { connectionString: broker.connectionString },
        plugins: ["./plugin"],
        threads: 1,
        store: { kind: "sqlite", path: "runs.sqlite" },
        ...changes,
      };
      writeFileSync(file, JSON.stringify(config));
      const command = startCommand(["start", "-c", file], { ...env, ...moreEnv });
      running.push(command);
      let log = "";
      let readTo = 0;
      const read = new Map<unknown, Readonly<Record<string, unknown>>[]>();
      command.process.stderr?.on("data", (text: string) => (log += text));
      const events = (type: string): readonly Readonly<Record<string, unknown>>[] => {
        // Each line once, however often somebody looks.
        const end = log.lastIndexOf("\n") + 1;
        for (const line of log.slice(readTo, end).split("\n")) {
          if (!line.startsWith("{") || !line.endsWith("}")) continue;
          const event = JSON.parse(line) as Readonly<Record<string, unknown>>;
          const ofType = read.get(event["type"]);
          if (ofType === undefined) read.set(event["type"], [event]);
          else ofType.push(event);
        }
        readTo = end;
        return [...(read.get(type) ?? [])];
      };
      await eventually("the worker to start", () => events("worker.started").length > 0 || command.process.exitCode !== null, 60_000);
      if (command.process.exitCode !== null) throw new Error(`expected the worker to start, it ended with ${command.process.exitCode}: ${log.slice(-2_000)}`);
      return { ...command, config: file, log: () => log, events };
    },
    async send(eventId, payload = {}, eventType = "Tried", tenantId?: string, sessionId?: string) {
      const event = {
        eventId,
        eventType,
        traceId: "t",
        correlationId: eventId,
        projectId: "p",
        originatingAgent: "test",
        version: "1.0",
        timestamp: "2026-01-01T00:00:00.000Z",
        ...(tenantId === undefined ? {} : { tenantId }),
      };
      await sender.sendMessages({
        messageId: eventId,
        ...(sessionId === undefined ? {} : { sessionId }),
        contentType: "application/json",
        applicationProperties: eventHeaders(event) as Record<string, string>,
        body: { ...event, payload },
      });
    },
  };
}
