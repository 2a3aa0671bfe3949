// A worker inside somebody else's program: what it does there, and what it leaves alone.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { type Broker, startBroker } from "#load/broker/index.ts";
import { type ConfigInput, type CreateWorkerOptions, type EmbeddedWorker, type MessageSettled, type WorkerEvent, createWorker } from "#runtime/index.ts";
import plugin from "../support/embedded-plugin.ts";
import { sendEvents } from "../support/send-events.ts";
import { within } from "../support/eventually.ts";

interface Bench {
  readonly broker: Broker;
  readonly make: (
    queue: string,
    changes?: Partial<ConfigInput>,
    options?: CreateWorkerOptions,
  ) => { readonly worker: EmbeddedWorker; readonly lines: string[] };
}

async function startEmbedding(t: TestContext, queues: readonly unknown[] = ["input"]): Promise<Bench> {
  const broker = await startBroker({ entities: { queues } });
  const workers: EmbeddedWorker[] = [];
  t.after(async () => {
    await Promise.all(workers.map((worker) => worker.stop()));
    await broker.stop();
  });
  return {
    broker,
    make: (queue, changes = {}, options = {}) => {
      const lines: string[] = [];
      const config: ConfigInput = {
        sources: [{ queue }],
        serviceBus: { connectionString: broker.connectionString },
        plugins: [plugin],
        store: { kind: "sqlite", path: ":memory:" },
        threads: 1,
        dependencies: { ledger: { baseUrl: "http://127.0.0.1:9" } },
        ...changes,
      };
      const worker = createWorker(config, { log: (line) => lines.push(line), ...options });
      workers.push(worker);
      return { worker, lines };
    },
  };
}

/** Resolves with the first `count` settlements. */
function settlements(worker: EmbeddedWorker, count: number): Promise<readonly MessageSettled[]> {
  const { promise, resolve: done } = Promise.withResolvers<readonly MessageSettled[]>();
  const seen: MessageSettled[] = [];
  worker.on("message.settled", (event) => {
    if (seen.push(event) === count) done(seen);
  });
  return within(`${count} messages to be settled`, promise);
}

test("runs a plugin that was handed over as an object, says how it is, counts, and tells what happens", async (t) => {
  const { broker, make } = await startEmbedding(t);
  const { worker, lines } = make("input");
  const heard: WorkerEvent[] = [];
  for (const type of ["worker.started", "run.dead-lettered", "worker.stopped"] as const) worker.on(type, (event) => heard.push(event));
  const off = worker.on("message.settled", () => assert.fail("expected no call after it was taken off"));
  off();
  assert.deepEqual([worker.health().phase, worker.health().ready.isWell, await worker.metrics()], ["new", false, ""]);
  await worker.start();
  const { phase, live, ready } = worker.health();
  assert.deepEqual([phase, live.isWell, ready], ["running", true, { isWell: true, why: [] }]);
  const settled = settlements(worker, 2);
  await sendEvents(broker, "input", [
    { eventId: "a", eventType: "Waited" },
    { eventId: "b", eventType: "Refused" },
  ]);
  const ends = new Map((await settled).map(({ eventId, ...end }) => [eventId, end]));
  assert.deepEqual([ends.get("a")?.outcome, ends.get("a")?.skill, ends.get("a")?.attempt, ends.get("b")?.outcome], ["completed", "wait", 1, "dead-lettered"]);
  assert.match(await worker.metrics(), /^holdfast_messages_total\{.*outcome="completed".*\} 1$/m);
  await worker.stop();
  assert.equal(worker.health().phase, "stopped");
  assert.deepEqual(
    heard.map((event) => [event.type, event.type === "run.dead-lettered" ? event.reason : ""]),
    [
      ["worker.started", ""],
      ["run.dead-lettered", "NOT_LIKE_THIS"],
      ["worker.stopped", ""],
    ],
  );
  assert.ok(lines.every((line) => line.endsWith("\n") && typeof JSON.parse(line) === "object"));
});

test("several live side by side, and each tells of its own", async (t) => {
  const { broker, make } = await startEmbedding(t, ["one", "two"]);
  const workers = ["one", "two"].map((queue) => make(queue).worker);
  await Promise.all(workers.map((worker) => worker.start()));
  const settled = workers.map((worker) => settlements(worker, 1));
  await sendEvents(broker, "one", [{ eventId: "of-one", eventType: "Waited" }]);
  await sendEvents(broker, "two", [{ eventId: "of-two", eventType: "Waited" }]);
  const ids = await Promise.all(settled.map(async (events) => (await events).map(({ eventId }) => eventId)));
  assert.deepEqual(ids, [["of-one"], ["of-two"]]);
  await workers[0]?.stop();
  const later = settlements(workers[1] as EmbeddedWorker, 1);
  await sendEvents(broker, "two", [{ eventId: "still-there", eventType: "Waited" }]);
  assert.deepEqual(
    (await later).map(({ eventId }) => eventId),
    ["still-there"],
  );
});

test("a listener that throws is a line of the log, and the message is settled all the same", async (t) => {
  const { broker, make } = await startEmbedding(t);
  const { worker, lines } = make("input");
  worker.on("message.settled", () => {
    throw new Error("not today");
  });
  await worker.start();
  const settled = settlements(worker, 1);
  await sendEvents(broker, "input", [{ eventId: "a", eventType: "Waited" }]);
  assert.equal((await settled)[0]?.outcome, "completed");
  assert.ok(lines.some((line) => line.includes("a listener has thrown") && line.includes("not today")));
});

test("what would lose messages is refused with what `doctor` says, and everything is closed", async (t) => {
  const { make } = await startEmbedding(t, [{ name: "input", deadLetterOnExpiry: false, timeToLiveMs: 1_000 }]);
  const { worker } = make("input");
  await assert.rejects(
    worker.start(),
    (error: Error & { code?: string }) => error.code === "HOLDFAST_REFUSED" && /expiry: expected expired messages/.test(error.message),
  );
  assert.equal(worker.health().phase, "stopped");
  await worker.stop();
});

test("stops before it was started, and while it starts", async (t) => {
  const { make } = await startEmbedding(t);
  const never = make("input").worker;
  await never.stop();
  await never.start();
  assert.equal(never.health().phase, "stopped");
  const hasty = make("input").worker;
  const starting = hasty.start();
  await Promise.all([hasty.stop(), starting]);
  assert.equal(hasty.health().phase, "stopped");
});

test("hears no signal, prints nothing of its own or of its skills, and keeps no process alive once it has stopped", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-embedding-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const at = (path: string): string => JSON.stringify(resolve(import.meta.dirname, "../..", path));
  writeFileSync(
    join(folder, "program.ts"),
    `
    import { createWorker } from ${at("runtime/index.ts")};
    import { startBroker } from ${at("load/broker/index.ts")};
    import { sendEvents } from ${at("test/support/send-events.ts")};
    import plugin from ${at("test/support/embedded-plugin.ts")};
    const broker = await startBroker({ entities: { queues: ["input"] } });
    const { write } = process.stdout;
    const worker = createWorker(
      { sources: [{ queue: "input" }], serviceBus: { connectionString: broker.connectionString }, plugins: [plugin], threads: 1,
        store: { kind: "sqlite", path: ":memory:" }, dependencies: { ledger: { baseUrl: "http://127.0.0.1:9" } }, logLevel: "warn" });
    const ended = new Promise((resolve) => worker.on("message.settled", resolve));
    await worker.start();
    await sendEvents(broker, "input", [{ eventId: "a", eventType: "Printed" }]);
    await ended;
    const signals = ["SIGTERM", "SIGINT", "SIGHUP"].map((signal) => process.listenerCount(signal));
    await worker.stop();
    await broker.stop();
    console.log(JSON.stringify({ signals, isUntouched: process.stdout.write === write }));
    `,
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(folder, "program.ts")], { encoding: "utf8", timeout: 20_000 });
  assert.deepEqual([status, stdout, stderr], [0, `${JSON.stringify({ signals: [0, 0, 0], isUntouched: true })}\n`, ""]);
});
