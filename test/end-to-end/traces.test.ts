// What traces tell of the whole way of an event: across queues, workers, threads and services, received as a collector would.
import { strict as assert } from "node:assert";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { ServiceBusClient } from "@azure/service-bus";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import { eventually } from "../support/eventually.ts";
import { startOtlpReceiver, treeOf } from "../support/otlp-receiver.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const module = (): string => `import { defineDependency, definePlugin, defineSkill, TransientError } from ${JSON.stringify(runtimeModule)};
const shop = defineDependency({ name: "shop" });
const opener = defineSkill({
  name: "opener",
  handles: [{ eventType: "Tried" }],
  uses: [shop],
  async run(context) {
    const answer = await context.step("ask", (step) => step.call(shop, { method: "POST", path: "/orders/" + context.event.payload.secret, body: context.event.payload }));
    context.log.info("asked", { status: answer.status });
    context.emit("Opened", context.event.payload);
  },
});
const closer = defineSkill({
  name: "closer",
  handles: [{ eventType: "Opened" }],
  retry: { attemptsMax: 3, immediateMax: 0, baseDelayMs: 1, delayMaxMs: 1 },
  async run(context) {
    if (context.attempt === 1) throw new TransientError("no luck with " + context.event.payload.secret, { code: "NO_LUCK" });
  },
});
export default definePlugin({ skills: [opener, closer], dependencies: [shop] });
`;

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const rootId = "00f067aa0ba902b7";

test("one event's trace goes through queue, worker, thread and service, into the event that it emits, the next worker and the retry's copy", async (t) => {
  const receiver = await startOtlpReceiver(t);
  const requests: IncomingHttpHeaders[] = [];
  const shop = createServer((request, response) => {
    requests.push(request.headers);
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  });
  shop.keepAliveTimeout = 120_000;
  await new Promise<void>((resolve) => shop.listen(0, "127.0.0.1", resolve));
  t.after(() => shop.close());
  const bench = await startWorkerBench(t, { entities: { queues: ["input", "next"] }, skills: ["opener", "closer"], dependencies: ["shop"], module });
  const dependencies = { shop: { baseUrl: `http://127.0.0.1:${(shop.address() as AddressInfo).port}` } };
  const [first, second] = await Promise.all([
    bench.startWorker({ dependencies, publish: { entity: "next" } }, { ...receiver.env, OTEL_LOGS_EXPORTER: "otlp", OTEL_BLRP_SCHEDULE_DELAY: "20" }),
    bench.startWorker({ dependencies, sources: [{ queue: "next" }] }, receiver.env),
  ]);
  const client = new ServiceBusClient(bench.broker.connectionString);
  t.after(() => client.close());
  const envelope = { eventId: "e-1", eventType: "Tried", traceId, correlationId: "c", projectId: "p", originatingAgent: "test", version: "1.0" };
  const applicationProperties = { ...eventHeaders({ ...envelope, timestamp: "2026-01-01T00:00:00.000Z" }), traceparent: `00-${traceId}-${rootId}-01` };
  await client.createSender("input").sendMessages({
    messageId: "m-1",
    contentType: "application/json",
    applicationProperties: applicationProperties as Record<string, string>,
    body: { ...envelope, timestamp: "2026-01-01T00:00:00.000Z", payload: { secret: "Rosebud" } },
  });
  const ofTrace = (): typeof receiver.spans => receiver.spans.filter((span) => span.traceId === traceId);
  const batches = (): typeof receiver.spans => receiver.spans.filter(({ name }) => name.startsWith("receive "));
  const isThere = (): boolean => ofTrace().filter(({ name }) => name === "process next").length === 2 && batches().length === 3;
  await eventually("the spans of the whole way", isThere, 20_000).catch((error: unknown) =>
    assert.fail(`${String(error)}: ${treeOf(receiver.spans, "").join("\n")} ${first.log()} ${second.log()}`),
  );

  assert.deepEqual(treeOf(ofTrace(), rootId), [
    "process input",
    "  complete input",
    "  run opener",
    "    create Opened",
    "      process next !",
    "        complete next",
    "        process next",
    "          complete next",
    "          run closer",
    "        run closer !",
    "    step ask",
    "      POST shop",
    "  send next",
  ]);
  const [opened, created, call] = ["process input", "create Opened", "POST shop"].map((wanted) => ofTrace().find(({ name }) => name === wanted));
  const failed = ofTrace().find(({ name, status }) => name === "process next" && status.code === 2);
  assert.deepEqual(
    requests.map(({ traceparent }) => traceparent),
    [`00-${traceId}-${call?.spanId ?? ""}-01`],
  );
  assert.deepEqual(
    ofTrace()
      .find(({ name }) => name === "send next")
      ?.links.map(({ spanId }) => spanId),
    [created?.spanId],
  );
  // Batches are traces of their own: what was received together need not belong together.
  assert.deepEqual(
    batches()
      .flatMap(({ links }) => links.map((link) => `${link.traceId} ${link.spanId}`))
      .toSorted(),
    [rootId, created?.spanId, failed?.spanId].map((spanId) => `${traceId} ${spanId ?? ""}`).toSorted(),
  );
  const received = batches().find(({ name }) => name === "receive input");
  assert.deepEqual(
    opened?.links.map(({ spanId }) => spanId),
    [rootId, received?.spanId],
  );
  assert.deepEqual(
    [opened?.kind, opened?.attributes["messaging.system"], opened?.attributes["messaging.destination.name"], opened?.attributes["holdfast.outcome"]],
    [5, "servicebus", "input", "completed"],
  );
  assert.equal(opened?.resource["service.name"], "holdfast");
  assert.ok(!receiver.bodies.some((body) => body.includes("Rosebud")), "expected nothing of the payload in what is exported");
  const line =
    first
      .log()
      .split("\n")
      .find((one) => one.includes('"asked"')) ?? "{}";
  const idsOf = (text: string): readonly unknown[] => {
    const { traceId: said, trace_id: trace, span_id: span, trace_flags: flags } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    return [said, trace, span, flags];
  };
  const run = ofTrace().find(({ name }) => name === "run opener");
  assert.deepEqual(idsOf(line), [traceId, traceId, run?.spanId, "01"]);
  const asked = await eventually("the line at the collector", () => receiver.logs.find(({ body }) => body === "asked"), 5_000);
  assert.deepEqual([asked.traceId, asked.spanId, asked.severityNumber, asked.attributes["skill"]], [traceId, run?.spanId, 9, "opener"]);
  assert.ok(receiver.logs.some(({ eventName }) => eventName === "worker.started"));
  const retrying = second.events("run.retrying").map(({ trace_id: trace, span_id: span, trace_flags: flags }) => [trace, span, flags]);
  assert.deepEqual(retrying, [[traceId, failed?.spanId, "01"]]);
  first.process.kill("SIGTERM");
  assert.equal((await first.done).code, 0);
  const last = receiver.logs.map(({ eventName }) => eventName).slice(-3);
  assert.ok(last.includes("worker.stopped"), `expected the end of the worker at the collector, found ${last.join(", ")}`);
});
