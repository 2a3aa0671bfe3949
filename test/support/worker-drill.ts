// A worker in a process of its own on a broker in another, with a skill that leaves a mark of each event it has handled: what
// became of every message can be held against what was sent, whatever went wrong between.
import { strict as assert } from "node:assert";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { askControl } from "#load/broker/control/client.ts";
import type { MessagePage, QueueInspection } from "#load/broker/inspection.ts";
import type { FaultRequest } from "#load/broker/protocol/faults.ts";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import { eventually } from "./eventually.ts";
import { type RunningCommand, startCommand } from "./holdfast-command.ts";
import { freePort } from "./redis-server.ts";
import { startRelay } from "./relay.ts";

const root = resolve(import.meta.dirname, "../..");
/** Short, so that a message whose settlement was lost is redelivered soon. */
const lockDurationMs = 3_000;
/** Trouble ends many deliveries without anyone's fault. */
const deliveriesMax = 100;
const { REDIS_URL: _redis, ...env } = process.env;

export interface Drill {
  /** Sends events that the skill handles, and one in ten that it refuses for good. Resolves when the broker has them. */
  send(count: number): Promise<void>;
  addFault(fault: FaultRequest): Promise<void>;
  /** Kills the broker and starts it again on what it had written. */
  restartBroker(): Promise<void>;
  /** Lets the worker's connections go silent, without a word to either side. */
  mute(): void;
  /** How many different events were handled. */
  handled(): number;
  /** Waits until the queue is empty, and fails unless every message ended as it should, each handled once. */
  assertSound(deadlineMs: number): Promise<void>;
}

export async function startDrill(t: TestContext, transport: TransportKind): Promise<Drill> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-drill-"));
  const port = await freePort();
  const entities = { queues: [{ name: "input", lockDurationMs, deliveryCountMax: deliveriesMax + 1 }] };
  const brokerArguments = ["broker", "--port", String(port), "--data", join(folder, "broker"), "--entities", JSON.stringify(entities)];
  const running: RunningCommand[] = [];
  let publisher: Publisher | undefined;
  t.after(async () => {
    await publisher?.stop();
    for (const { process: child, done } of running.toReversed()) {
      child.kill("SIGKILL");
      await done;
    }
    rmSync(folder, { recursive: true, force: true });
  });
  const startBroker = async (): Promise<string> => {
    const command = startCommand(brokerArguments, env);
    running.push(command);
    let said = "";
    command.process.stdout?.on("data", (text: string) => (said += text));
    await eventually("the broker to be up", () => said.includes("control: "), 30_000);
    return said.slice(0, said.indexOf("\n"));
  };
  const connectionString = await startBroker();
  const relay = await startRelay(port);
  t.after(() => relay.stop());
  const config = writeWorker(folder, connectionString.replace(`:${port}`, `:${relay.port}`), transport);
  const worker = startCommand(["start", "-c", config], env);
  running.push(worker);
  let log = "";
  worker.process.stderr?.on("data", (text: string) => (log += text));
  await eventually("the worker to start", () => log.includes("worker.started"), 30_000);
  publisher = createAmqpPublisher({ connectionString, clock: systemClock });
  await publisher.start();
  const control = `http://127.0.0.1:${port}`;
  const account = async (): Promise<QueueInspection> => askControl(control, "GET", "/inspect/input");
  const sent: OutgoingMessage[] = [];
  return {
    mute: () => relay.mute(),
    handled: () => new Set(marks(folder)).size,
    async send(count) {
      const messages = Array.from({ length: count }, (_, index) => messageOf(sent.length + index));
      sent.push(...messages);
      await publisher.send("input", messages);
    },
    addFault: async (fault) => void (await askControl(control, "POST", "/faults", fault)),
    async restartBroker() {
      const before = running.splice(0, 1)[0];
      before?.process.kill("SIGKILL");
      await before?.done;
      await startBroker();
      running.unshift(running.pop()!);
    },
    async assertSound(deadlineMs) {
      const isEmpty = async (): Promise<boolean> => {
        const { active, locked, scheduled, deferred } = (await account()).states;
        return active + locked + scheduled + deferred === 0;
      };
      await eventually("the queue to be empty", isEmpty, deadlineMs).catch(async (error: unknown) =>
        assert.fail(`${String(error)}: ${JSON.stringify(await account())} ${log.slice(-3_000)}`),
      );
      const page = await askControl<MessagePage>(control, "GET", "/inspect/input%2F$DeadLetterQueue/messages?top=1000");
      const dead = page.messages.map(({ messageId, deadLetterReason }) => `${messageId.split("~")[0]} ${deadLetterReason}`);
      const ids = sent.map(({ messageId }) => messageId);
      assertSame(
        "events that were handled",
        marks(folder),
        ids.filter((_, index) => !isPoison(index)),
      );
      assertSame(
        "dead letters",
        dead,
        ids.filter((_, index) => isPoison(index)).map((id) => `${id} PERMANENT`),
      );
    },
  };
}

/** Each once, in any order; names only what differs. */
function assertSame(what: string, found: readonly string[], expected: readonly string[]): void {
  const missing = expected.filter((one) => !found.includes(one));
  const unexpected = found.filter((one, index) => !expected.includes(one) || found.indexOf(one) !== index);
  assert.deepEqual({ missing, unexpected }, { missing: [], unexpected: [] }, what);
}

function isPoison(index: number): boolean {
  return index % 10 === 9;
}

function messageOf(index: number): OutgoingMessage {
  const eventId = `e${index}`;
  const envelope = {
    eventId,
    eventType: "Drilled",
    traceId: "t",
    correlationId: eventId,
    projectId: "drill",
    originatingAgent: "drill",
    version: "1.0",
    timestamp: new Date().toISOString(),
    payload: { isPoison: isPoison(index) },
  };
  return { messageId: eventId, contentType: "application/json", headers: eventHeaders(envelope), body: Buffer.from(JSON.stringify(envelope)) };
}

function marks(folder: string): readonly string[] {
  const file = join(folder, "marks");
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(0, -1) : [];
}

/** Writes plugin and configuration; returns the latter's path. */
function writeWorker(folder: string, connectionString: string, transport: TransportKind): string {
  const place = join(folder, "marker");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "marker", version: "1.0.0", entry: "./index.ts", skills: ["marker"], dependencies: [] }),
  );
  writeFileSync(
    join(place, "index.ts"),
    `import { appendFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { definePlugin, defineSkill, PermanentError } from "${root}/runtime/index.ts";
const marker = defineSkill({
  name: "marker",
  handles: [{ eventType: "Drilled", versions: "1.x" }],
  retry: { attemptsMax: 20, immediateMax: 0, baseDelayMs: 100, delayMaxMs: 1_000 },
  async run(context) {
    if (context.event.payload.isPoison) throw new PermanentError("it is poison");
    await context.step("mark", { kind: "idempotent" }, () => appendFileSync(${JSON.stringify(join(folder, "marks"))}, context.event.eventId + "\\n"));
    await context.step("dawdle", { kind: "idempotent" }, () => pause(20));
  },
});
export default definePlugin({ skills: [marker] });
`,
  );
  const file = join(folder, "holdfast.config.json");
  const config = {
    sources: [{ queue: "input" }],
    serviceBus: { connectionString },
    transport,
    plugins: ["./marker"],
    threads: 1,
    deliveriesMax,
    inFlightMax: 50,
    silenceMaxMs: 2_000,
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}
