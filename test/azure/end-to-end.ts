// A whole worker on a namespace: every event once, duplicates absorbed, poison dead-lettered, and nothing left.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { readEntityDepth } from "#runtime/adapters/amqp/administration.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { eventually } from "../support/eventually.ts";
import { startCommand } from "../support/holdfast-command.ts";
import type { Assumption } from "./assumptions.ts";
import type { Scene } from "./scene.ts";

const runtimeModule = resolve(import.meta.dirname, "../../runtime/index.ts");
const eventCount = 20;
const workDeadlineMs = 120_000;

const pluginOf = (marks: string): string => `import { appendFileSync } from "node:fs";
import { definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const marker = defineSkill({
  name: "marker",
  handles: [{ eventType: "Tried" }],
  async run(context) {
    await context.step("mark", { kind: "idempotent" }, () => appendFileSync(${JSON.stringify(marks)}, context.event.eventId + "\\n"));
  },
});
export default definePlugin({ skills: [marker] });
`;

async function sendEvents(scene: Scene, queue: string): Promise<void> {
  const publisher = await scene.publisher();
  const message = (eventId: string, messageId: string) => {
    const event = {
      eventId,
      eventType: "Tried",
      traceId: "t",
      correlationId: eventId,
      projectId: "p",
      originatingAgent: "proof",
      version: "1.0",
      timestamp: "2026-01-01T00:00:00.000Z",
    };
    return {
      messageId,
      contentType: "application/json",
      body: Buffer.from(JSON.stringify({ ...event, payload: { number: 1 } })),
      headers: eventHeaders(event),
    };
  };
  const good = Array.from({ length: eventCount }, (_, index) => message(`event-${index}`, `event-${index}`));
  const repeated = Array.from({ length: 5 }, (_, index) => message(`event-${index}`, `again-${index}`));
  await publisher.send(queue, [...good, ...repeated, { messageId: "poison", body: Buffer.from("no event"), headers: {} }]);
}

export const endToEnd: Assumption = {
  name: "a worker runs every event once, absorbs duplicates, dead-letters poison, and stops in order",
  isSlow: true,
  expected: { events: eventCount, executions: eventCount, left: 0, deadLettered: 1, code: 0 },
  async look(scene) {
    const queue = await scene.queue("worker");
    const folder = mkdtempSync(join(tmpdir(), "holdfast-proof-"));
    const marks = join(folder, "marks");
    mkdirSync(join(folder, "plugin"));
    writeFileSync(
      join(folder, "plugin", "holdfast.plugin.json"),
      JSON.stringify({ name: "plugin", version: "1.0.0", entry: "./index.ts", skills: ["marker"], dependencies: [] }),
    );
    writeFileSync(join(folder, "plugin", "index.ts"), pluginOf(marks));
    const { login } = scene;
    const serviceBus = "connectionString" in login ? { connectionString: login.connectionString } : { fullyQualifiedNamespace: login.fullyQualifiedNamespace };
    const config = { sources: [{ queue }], serviceBus, plugins: ["./plugin"], threads: 1, store: { kind: "sqlite", path: "runs.sqlite" } };
    writeFileSync(join(folder, "holdfast.config.json"), JSON.stringify(config), { mode: 0o600 });
    await sendEvents(scene, queue);
    const worker = startCommand(["start", "-c", join(folder, "holdfast.config.json")]);
    try {
      const depth = await eventually(
        "the queue to be empty",
        async () => {
          if (worker.process.exitCode !== null) throw new Error(`expected the worker to run, it ended: ${(await worker.done).stderr.slice(-2_000)}`);
          const now = await readEntityDepth(login, { queue });
          return now.active === 0 && now.scheduled === 0 && now.deadLettered > 0 ? now : undefined;
        },
        workDeadlineMs,
      );
      worker.process.kill("SIGTERM");
      const { code } = await worker.done;
      const marked = existsSync(marks) ? readFileSync(marks, "utf8").trim().split("\n") : [];
      return { events: new Set(marked).size, executions: marked.length, left: depth.active, deadLettered: depth.deadLettered, code };
    } finally {
      worker.process.kill("SIGKILL");
      await worker.done;
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
