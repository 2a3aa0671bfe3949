// What happens to the work, as events for the platform: by the whole product, received as another service would.
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type ServiceBusReceivedMessage, ServiceBusClient } from "@azure/service-bus";
import { Ajv2020 } from "ajv/dist/2020.js";
import { parseConfig } from "#runtime/core/config.ts";
import type { EventEnvelope } from "#runtime/core/event-envelope.ts";
import { platformEventSchema } from "#runtime/core/platform-catalogue.ts";
import { eventually } from "../support/eventually.ts";
import { runCommand } from "../support/holdfast-command.ts";
import { freePort } from "../support/redis-server.ts";
import { drillOnEach } from "../support/transports.ts";
import { runtimeModule, startWorkerBench, type WorkerBench } from "../support/worker-bench.ts";

const { REDIS_URL: _redis, ...env } = process.env;

const module = (): string => `import { defineDependency, definePlugin, defineSkill, PermanentError, TransientError } from ${JSON.stringify(runtimeModule)};
const shop = defineDependency({ name: "shop", baseUrl: "http://127.0.0.1:1", retry: { attemptsMax: 1 }, circuit: { failureThreshold: 1, callsMin: 1, mode: "consecutive" } });
const worker = defineSkill({
  name: "worker",
  handles: [{ eventType: "Tried" }],
  critical: true,
  uses: [shop],
  retry: { attemptsMax: 3, immediateMax: 1, immediateDelayMs: 1, baseDelayMs: 1, delayMaxMs: 1 },
  async run(context) {
    const { mode } = context.event.payload;
    if (mode === "refuse") throw new PermanentError("no such order", { code: "NO_ORDER" });
    const answer = await context.step("ask", { kind: "idempotent", fallbacks: [{ name: "guess", quality: "degraded", answer: () => 1 }] }, () => {
      if (mode === "fallback") throw new TransientError("no answer", { code: "ENOTFOUND" });
      return 2;
    });
    await context.step("book", { compensate: () => undefined }, () => undefined);
    if (mode === "stumble" && context.attempt < 3) throw new TransientError("not yet", { code: "NOT_YET" });
    if (mode === "undo") throw new PermanentError("the flight is full", { code: "FULL" });
    if (mode === "call") await context.step("call", (step) => step.call(shop, { method: "GET", path: "/" }));
    return answer;
  },
});
export default definePlugin({ skills: [worker], dependencies: [shop] });
`;

type Received = EventEnvelope<Readonly<Record<string, unknown>>>;

/** Receives all that comes to a subscription, as long as the test lasts. */
function readerOf(
  t: TestContext,
  bench: WorkerBench,
  topic: string,
  subscription: string,
): { readonly events: Received[]; readonly messages: ServiceBusReceivedMessage[] } {
  const client = new ServiceBusClient(bench.broker.connectionString);
  const events: Received[] = [];
  const messages: ServiceBusReceivedMessage[] = [];
  client.createReceiver(topic, subscription, { receiveMode: "receiveAndDelete" }).subscribe({
    processMessage(message) {
      messages.push(message);
      events.push(message.body as Received);
      return Promise.resolve();
    },
    processError: ({ error }) => Promise.resolve(void process.stderr.write(`${error.message}\n`)),
  });
  t.after(() => client.close());
  return { events, messages };
}

const ajv = new Ajv2020({ allErrors: true });

function assertFitsCatalogue({ eventType, version, payload }: Received): void {
  const schema = platformEventSchema(eventType);
  assert.equal(schema["title"], `${eventType} ${version}`);
  const isValid = ajv.validate(schema, payload);
  assert.ok(isValid, `${eventType}: ${ajv.errorsText()} in ${JSON.stringify(payload)}`);
}

/** What is expected of an event of each mode, in the order in which it happens. */
const stories: Readonly<Record<string, readonly string[]>> = {
  refuse: ["RunFailed NO_ORDER", "RunDeadLettered NO_ORDER"],
  fallback: ["StepFellBack ENOTFOUND"],
  stumble: ["RunFailed NOT_YET", "RunRetrying NOT_YET", "RunFailed NOT_YET", "RunRetrying NOT_YET", "RunResumed"],
  undo: ["RunFailed FULL", "RunCompensating", "StepCompensated ", "RunDeadLettered FULL"],
};

function storyOf(events: readonly Received[], eventId: string): string[] {
  const about = events.filter(({ causationId }) => causationId === eventId);
  return about.map(({ eventType, payload: { code } }) => (typeof code === "string" ? `${eventType} ${code}` : eventType));
}

drillOnEach(
  "failures, retries, fallbacks, compensations, dead letters, resumes, revivals and circuit changes reach the platform with their event's trace",
  async (t, transport) => {
    const entities = { queues: ["input"], topics: [{ name: "system", subscriptions: ["coordinator"] }] };
    const bench = await startWorkerBench(t, { entities, skills: ["worker"], dependencies: ["shop"], module });
    const { events, messages } = readerOf(t, bench, "system", "coordinator");
    const dependencies = { shop: { baseUrl: `http://127.0.0.1:${await freePort()}` } };
    const worker = await bench.startWorker({ transport, dependencies, platformEvents: { entity: "system" } });
    for (const mode of Object.keys(stories)) await bench.send(mode, { mode });
    for (const [mode, story] of Object.entries(stories)) {
      await eventually(`the story of ${mode}`, () => storyOf(events, mode).length >= story.length, 20_000).catch((error: unknown) =>
        assert.fail(`${String(error)}: ${JSON.stringify(storyOf(events, mode))} ${worker.log()}`),
      );
      assert.deepEqual(storyOf(events, mode), story);
    }
    const replayed = await runCommand(["dlq", "replay", "--event", "refuse", "--run", "--wait", "5", "-c", join(bench.folder, "holdfast-0.config.json")], env);
    assert.equal(replayed.code, 1, "expected the failure to return");
    await eventually("the event to be brought back", () => storyOf(events, "refuse").includes("RunRevived"), 20_000);
    await bench.send("call", { mode: "call" });
    await eventually("the circuit to open", () => storyOf(events, "call").includes("CircuitChanged"), 20_000);

    for (const event of events) {
      assertFitsCatalogue(event);
      // It is about the worker, and about no event.
      if (event.eventType === "WorkerIntakeChanged") continue;
      assert.deepEqual([event.traceId, event.correlationId, event.projectId, event.originatingAgent], ["t", event.causationId, "p", "holdfast"]);
    }
    assert.equal(new Set(events.map(({ eventId }) => eventId)).size, events.length);
    assert.ok(
      messages.every(({ messageId, subject, applicationProperties }) => typeof messageId === "string" && applicationProperties?.["eventType"] === subject),
    );
  },
);

test("a worker that reads what it sends about its work does not answer itself without end", async (t) => {
  const entities = { queues: ["input"], topics: [{ name: "system", subscriptions: [{ name: "back", forwardTo: "input" }, "coordinator"] }] };
  const bench = await startWorkerBench(t, { entities, skills: ["worker"], dependencies: ["shop"], module });
  const { events } = readerOf(t, bench, "system", "coordinator");
  const worker = await bench.startWorker({ platformEvents: { entity: "system" } });
  const letters = (): number => bench.broker.inspect().queues["input"]?.states.deadLettered ?? 0;
  // Each of the two events, and what is sent about it: its failure and its end.
  for (const [sent, eventId] of ["first", "second"].entries()) {
    await bench.send(eventId, { mode: "refuse" });
    await eventually("it and the events about it to be dead-lettered", () => letters() === 3 * (sent + 1), 20_000);
  }
  worker.process.kill("SIGTERM");
  await worker.done;
  assert.deepEqual(
    events.map(({ eventType, causationId }) => `${eventType} ${causationId}`),
    ["RunFailed first", "RunDeadLettered first", "RunFailed second", "RunDeadLettered second"],
  );
});

test("what is left of them is sent when the worker stops", async (t) => {
  const bench = await startWorkerBench(t, { entities: { queues: ["input", "system"] }, skills: ["worker"], dependencies: ["shop"], module });
  const worker = await bench.startWorker({ platformEvents: { entity: "system" } });
  await bench.send("a", { mode: "refuse" });
  await eventually("the event to be dead-lettered", () => worker.events("run.dead-lettered").length === 1, 20_000);
  worker.process.kill("SIGTERM");
  await worker.done;
  assert.equal(bench.broker.inspect().queues["system"]?.states.active, 2);
});

const base = { sources: [{ queue: "input" }], serviceBus: { connectionString: "Endpoint=sb://x/" }, plugins: ["./p"] };

test("a worker that would send them to the queue it reads is refused, and so is a type that there is not", () => {
  const refused = (platformEvents: unknown, sources: unknown = base.sources): RegExp | string => {
    try {
      parseConfig({ ...base, sources, platformEvents }, "test");
      return "accepted";
    } catch (error) {
      return String(error);
    }
  };
  assert.match(String(refused({ entity: "Input" })), /platformEvents\.entity: expected an entity other than the queue that this worker reads, got "Input"/);
  assert.match(String(refused({ entity: "r" }, [{ topic: "t", subscription: "s", retryQueue: "r" }])), /platformEvents\.entity/);
  assert.match(String(refused({ entity: "system", include: ["RunFaild"] })), /platformEvents\.include\.0/);
  assert.equal(refused({ entity: "t" }, [{ topic: "t", subscription: "s", retryQueue: "r" }]), "accepted");
});
