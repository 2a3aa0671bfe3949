// One worker that reads several sources, as a user runs it: its log and its heartbeat name them.
import { strict as assert } from "node:assert";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ServiceBusClient } from "@azure/service-bus";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { eventually } from "../support/eventually.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const module = (folder: string): string => `import { appendFileSync } from "node:fs";
import { definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const note = defineSkill({
  name: "note",
  handles: [{ eventType: "Tried" }],
  run: (context) => appendFileSync(${JSON.stringify(join(folder, "ran"))}, context.event.eventId + " " + context.event.payload.from + "\\n"),
});
export default definePlugin({ skills: [note] });
`;

interface Beat {
  readonly ready: boolean;
  readonly troubledSources: readonly unknown[];
  readonly sessions: readonly { readonly source: string }[];
}

test("a worker reads a queue, a subscription and sessions at once, and does without a queue that is not there", async (t) => {
  const entities = { queues: ["input", "retry", { name: "ordered", requiresSession: true }], topics: [{ name: "news", subscriptions: ["reader"] }] };
  const bench = await startWorkerBench(t, { entities, skills: ["note"], module });
  const heartbeat = join(bench.folder, "heartbeat");
  const sources = [
    { queue: "input" },
    { topic: "news", subscription: "reader", retryQueue: "retry", name: "the-news", priority: 1 },
    { queue: "ordered", sessions: {} },
    { queue: "absent" },
  ];
  const client = new ServiceBusClient(bench.broker.connectionString);
  t.after(() => client.close());
  // The same event on each: so many runs.
  for (const entity of ["input", "news", "ordered"]) {
    const event = {
      eventId: "e1",
      eventType: "Tried",
      traceId: "t",
      correlationId: "c",
      projectId: "p",
      originatingAgent: "test",
      version: "1.0",
      timestamp: "2026-01-01T00:00:00.000Z",
    };
    const message = { messageId: "e1", contentType: "application/json", applicationProperties: eventHeaders(event) as Record<string, string> };
    await client
      .createSender(entity)
      .sendMessages({ ...message, body: { ...event, payload: { from: entity } }, ...(entity === "ordered" ? { sessionId: "s" } : {}) });
  }
  const worker = await bench.startWorker({ sources }, { HOLDFAST_HEARTBEAT: heartbeat });
  const ran = (): string[] => (existsSync(join(bench.folder, "ran")) ? readFileSync(join(bench.folder, "ran"), "utf8").trim().split("\n") : []);
  await eventually("each of them to be run", () => ran().length === 3, 30_000);
  assert.deepEqual(ran().toSorted(), ["e1 input", "e1 news", "e1 ordered"]);
  assert.deepEqual(
    worker.events("source.down").map(({ source, trouble }) => [source, trouble]),
    [["absent", "missing"]],
  );
  await eventually("the heartbeat to be written", () => existsSync(heartbeat));
  const beat = JSON.parse(readFileSync(heartbeat, "utf8")) as Beat;
  assert.deepEqual(
    [beat.ready, beat.troubledSources, beat.sessions.map(({ source }) => source)],
    [true, [{ source: "absent", trouble: "missing" }], ["ordered"]],
  );
});
