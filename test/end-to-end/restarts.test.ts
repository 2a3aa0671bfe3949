// Workers whose process, or whose store, is not what it was when they look again.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { Redis } from "ioredis";
import { eventually } from "../support/eventually.ts";
import { startRedis } from "../support/redis-server.ts";
import { runtimeModule, type RunningWorker, startWorkerBench, type WorkerBench } from "../support/worker-bench.ts";

const quietModule = (): string => `import { definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
export default definePlugin({ skills: [defineSkill({ name: "quiet", handles: [{ eventType: "Tried" }], run() {} })] });
`;

const startQuiet = (t: Parameters<typeof startWorkerBench>[0]): Promise<WorkerBench> =>
  startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["quiet"], module: quietModule });

/** One worker's life: it handles an event and stops. Returns what it said its store forgot. */
async function live(bench: WorkerBench, store: unknown, eventId: string): Promise<readonly unknown[]> {
  const worker = await bench.startWorker({ store });
  const completed = (): number => bench.broker.inspect().queues["input"]?.totals.completed ?? 0;
  const before = completed();
  await bench.send(eventId);
  await eventually("the event to be completed", () => completed() > before, 20_000);
  worker.process.kill("SIGTERM");
  await worker.done;
  return worker.events("store.forgot").map(({ what }) => what);
}

test("a worker that starts on a Redis that was emptied meanwhile tells so, as it would while running; a first start and a mere restart do not", async (t) => {
  const bench = await startQuiet(t);
  const server = await startRedis();
  const redis = new Redis(server.url);
  t.after(async () => {
    redis.disconnect();
    await server.stop();
  });
  const store = { kind: "redis", url: server.url };
  assert.deepEqual(await live(bench, store, "a"), []);
  assert.deepEqual(await live(bench, store, "b"), []);
  await redis.flushall();
  assert.deepEqual(await live(bench, store, "a"), ["sentinel"]);
  assert.deepEqual(await live(bench, store, "c"), []);
});

test("a worker that starts on another file in the place of its own tells so", async (t) => {
  const bench = await startQuiet(t);
  const store = { kind: "sqlite", path: "runs.sqlite" };
  assert.deepEqual(await live(bench, store, "a"), []);
  for (const end of ["", "-wal", "-shm"]) rmSync(join(bench.folder, `runs.sqlite${end}`), { force: true });
  assert.deepEqual(await live(bench, store, "a"), ["sentinel"]);
  assert.deepEqual(await live(bench, store, "b"), []);
});

const callingModule = (url: string): string => `import { defineDependency, definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const web = defineDependency({ name: "web", baseUrl: ${JSON.stringify(url)}, bulkhead: { concurrentMax: 1 }, retry: { attemptsMax: 1 }, timeouts: { headersMs: 60_000, totalMs: 60_000 } });
const caller = defineSkill({
  name: "caller",
  handles: [{ eventType: "Tried" }],
  uses: [web],
  timeoutMs: 120_000,
  async run(context) {
    await Promise.all(["/first", "/second"].map((path) => context.call(web, { method: "POST", path })));
  },
});
export default definePlugin({ skills: [caller], dependencies: [web] });
`;

test("a call that waited inside the HTTP client while its process slept past its lease is not sent when it wakes", async (t) => {
  const received: (readonly [path: string | undefined, epoch: unknown])[] = [];
  const held: ServerResponse[] = [];
  const server = createServer((request, response) => {
    received.push([request.url, request.headers["holdfast-epoch"]]);
    request.resume();
    // The first owner's first call is answered only once another worker has ended the run.
    if (request.headers["holdfast-epoch"] === "1" && request.url === "/first") held.push(response);
    else response.end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const bench = await startWorkerBench(t, {
    entities: { queues: [{ name: "input", lockDurationMs: 3_000 }] },
    skills: ["caller"],
    dependencies: ["web"],
    module: () => callingModule(url),
  });
  const sleeper = await bench.startWorker();
  await bench.send("a");
  await eventually("the first call", () => held.length === 1, 20_000);
  sleeper.process.kill("SIGSTOP");
  await bench.startWorker();
  await eventually("another worker to end the run", () => bench.broker.inspect().queues["input"]?.totals.completed === 1, 30_000);
  held[0]?.end("{}");
  // The answer lies in the socket before the process wakes.
  await once(held[0] as ServerResponse, "close");
  sleeper.process.kill("SIGCONT");
  await isAwake(sleeper);
  assert.deepEqual(received, [
    ["/first", "1"],
    ["/first", "2"],
    ["/second", "2"],
  ]);
});

/** It has seen what came while it slept: it stops as asked. */
async function isAwake(worker: RunningWorker): Promise<void> {
  worker.process.kill("SIGTERM");
  const { code } = await worker.done;
  assert.equal(code, 0);
}
