// Rate limits by the whole product: worker processes that share a Redis keep the rate together, and lose nothing by it.
import { strict as assert } from "node:assert";
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { Redis } from "ioredis";
import { eventually } from "../support/eventually.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const redisUrl = process.env["REDIS_URL"] ?? "";
assert.ok(redisUrl !== "", "expected REDIS_URL; run this file with: node test/run.ts");

const module = (url: string): string => `import { defineDependency, definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const model = defineDependency({
  name: "model",
  baseUrl: ${JSON.stringify(url)},
  estimatedTokens: ({ body }) => body.prompt.length,
  tokensOf: ({ body }) => body.usage,
});
const asks = defineSkill({
  name: "asks",
  handles: [{ eventType: "Tried" }],
  uses: [model],
  run: (context) => context.step("ask", (step) => step.call(model, { method: "POST", path: "/", body: { prompt: "12345", eventId: context.event.eventId } })),
});
export default definePlugin({ skills: [asks], dependencies: [model] });
`;

/** A dependency that keeps when it was called, and says that each call used ten tokens. */
async function serveModel(t: TestContext): Promise<{ readonly url: string; readonly calls: { readonly atMs: number; readonly eventId: string }[] }> {
  const calls: { readonly atMs: number; readonly eventId: string }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      calls.push({ atMs: performance.now(), eventId: (JSON.parse(body) as { eventId: string }).eventId });
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ usage: 10 }));
    });
  });
  // Longer than clients keep a connection: an idle one must not be closed under a call, which would be retried.
  server.keepAliveTimeout = 120_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls };
}

async function allCompleted(bench: Awaited<ReturnType<typeof startWorkerBench>>, timeoutMs: number): Promise<void> {
  await eventually(
    "all messages to have ended",
    () => Object.entries(bench.broker.inspect().queues["input"]?.states ?? {}).every(([, count]) => count === 0),
    timeoutMs,
  );
}

test("two workers keep a limit of requests and of tokens together, and every event is done once", async (t) => {
  const { url, calls } = await serveModel(t);
  const prefix = `limits-${randomUUID().slice(0, 8)}`;
  const redis = new Redis(redisUrl);
  t.after(async () => {
    const keys = await redis.keys(`${prefix}:*`);
    if (keys.length > 0) await redis.del(...keys);
    await redis.quit();
  });
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["asks"], dependencies: ["model"], module: () => module(url) });
  const events = 60;
  const perSecond = 10;
  const changes = {
    store: { kind: "redis", url: redisUrl, prefix },
    dependencies: { model: { limits: [{ requestsPerMinute: perSecond * 60 * 2, tokensPerMinute: perSecond * 10 * 60, burstMs: 500 }] } },
  };
  const workers = await Promise.all([bench.startWorker(changes), bench.startWorker(changes)]);
  for (let event = 0; event < events; event += 1) await bench.send(`e${event}`);
  await allCompleted(bench, 60_000);
  assert.equal(new Set(calls.map(({ eventId }) => eventId)).size, events);
  assert.equal(calls.length, events);
  const tookMs = (calls.at(-1)?.atMs ?? 0) - (calls[0]?.atMs ?? 0);
  // What is saved up, what two workers begin before they know what a call uses, and a share of each are beyond the rate.
  const leastMs = ((events - 30) / perSecond) * 1_000;
  assert.ok(tookMs >= leastMs, `expected ${events} calls of ten tokens to take ${leastMs} ms at least, found ${Math.round(tookMs)}`);
  const troubles = workers.flatMap((worker) => ["run.retrying", "limits.unavailable"].flatMap((type) => worker.events(type)));
  const ofConnections = new Set(["ECONNRESET", "UND_ERR_SOCKET", "UND_ERR_CONNECT_TIMEOUT"]);
  assert.deepEqual(
    troubles.filter(({ code }) => !ofConnections.has(String(code))),
    [],
    "expected limits to cost no attempt",
  );
  const keys = await redis.keys(`${prefix}:{limit:*`);
  assert.ok(
    keys.every((key) => key.startsWith(`${prefix}:{limit:model/`)),
    keys.join(),
  );
});

test("a tenant over its limit, without Redis, waits by itself", async (t) => {
  const { url, calls } = await serveModel(t);
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["asks"], dependencies: ["model"], module: () => module(url) });
  await bench.startWorker({ dependencies: { model: { limits: [{ by: "tenant", requestsPerMinute: 6, burstMs: 0 }], bulkhead: { waitMaxMs: 100 } } } });
  for (let event = 0; event < 5; event += 1) await bench.send(`greedy-${event}`, {}, "Tried", "greedy");
  for (let event = 0; event < 5; event += 1) await bench.send(`modest-${event}`, {}, "Tried", `modest-${event}`);
  await eventually("the others to be done", () => calls.filter(({ eventId }) => eventId.startsWith("modest")).length === 5, 20_000);
  assert.equal(calls.filter(({ eventId }) => eventId.startsWith("greedy")).length, 1);
  await eventually("what is over the limit to be scheduled for later", () => bench.broker.inspect().queues["input"]?.states.scheduled === 4, 20_000);
});
