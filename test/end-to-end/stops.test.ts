// Workers that are stopped and started again and again before a slow dependency: who waited for it has done nothing wrong.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import { eventually } from "../support/eventually.ts";
import { runCommand, startCommand } from "../support/holdfast-command.ts";
import { isLong } from "../support/long.ts";
import { drillOnEach } from "../support/transports.ts";

const root = resolve(import.meta.dirname, "../..");
const { REDIS_URL: _redis, ...env } = process.env;
const messagesCount = 40;
const stopsCount = isLong ? 10 : 3;
/** On a transport that cannot give back free of charge, what was taken must have time to end. */
const answerMs = 150;

interface Dependency {
  readonly url: string;
  /** Calls that have come. */
  calls: number;
  /** How long it takes to answer; undefined: for ever. */
  answerMs: number | undefined;
}

async function startDependency(t: TestContext): Promise<Dependency> {
  const server = createServer((request, response) => {
    dependency.calls += 1;
    request.resume();
    if (dependency.answerMs !== undefined) setTimeout(() => response.end("{}"), dependency.answerMs);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const dependency: Dependency = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls: 0, answerMs: undefined };
  return dependency;
}

/** A skill whose only step calls a dependency that takes one call at a time. Returns the configuration's path. */
function writeWorker(folder: string, broker: Broker, transport: TransportKind, baseUrl: string): string {
  const place = join(folder, "caller");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "caller", version: "1.0.0", entry: "./index.ts", skills: ["caller"], dependencies: ["slow"] }),
  );
  writeFileSync(
    join(place, "index.ts"),
    `import { defineDependency, definePlugin, defineSkill } from "${root}/runtime/index.ts";
const slow = defineDependency({ name: "slow", baseUrl: ${JSON.stringify(baseUrl)}, bulkhead: { concurrentMax: 1, queueMax: 64 } });
const caller = defineSkill({
  name: "caller",
  handles: [{ eventType: "Called", versions: "1.x" }],
  uses: [slow],
  run: (context) => context.step("call", { kind: "keyed" }, (step) => step.call(slow, { method: "POST", path: "/", body: {} })),
});
export default definePlugin({ skills: [caller], dependencies: [slow] });
`,
  );
  const file = join(folder, "holdfast.config.json");
  const config = {
    sources: [{ queue: "input" }],
    serviceBus: { connectionString: broker.connectionString },
    transport,
    plugins: ["./caller"],
    threads: 1,
    deliveriesMax: stopsCount - 1,
    stopBudgetMs: transport === "sdk" ? 3_000 : 1_000,
  };
  writeFileSync(file, JSON.stringify(config));
  return file;
}

drillOnEach(
  `${stopsCount} stops before a slow dependency dead-letter none of forty messages, and count no delivery for what never began`,
  async (t, transport) => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-stops-"));
    const broker = await startBroker({ entities: { queues: [{ name: "input", deliveryCountMax: stopsCount }] } });
    t.after(async () => {
      await broker.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    const dependency = await startDependency(t);
    // Our own transport gives back even what was begun, so that there it may hang.
    dependency.answerMs = transport === "sdk" ? answerMs : undefined;
    const file = writeWorker(folder, broker, transport, dependency.url);
    const sent = await runCommand(["send", "-c", file, "--event-type", "Called", "--count", String(messagesCount)], env);
    assert.equal(sent.code, 0, sent.stderr);
    const input = (): NonNullable<ReturnType<Broker["inspect"]>["queues"][string]> => broker.inspect().queues["input"]!;
    for (let stop = 0; stop < stopsCount; stop += 1) {
      const before = dependency.calls;
      const worker = startCommand(["start", "-c", file], env);
      t.after(() => worker.process.kill("SIGKILL"));
      await eventually("a call", () => dependency.calls > before, 30_000);
      worker.process.kill("SIGTERM");
      const { code, stderr } = await worker.done;
      assert.equal(code, 0, stderr);
    }
    const { states, totals } = input();
    assert.deepEqual([states.locked, states.scheduled, states.deadLettered, states.active + totals.completed], [0, 0, 0, messagesCount]);
    const counts = broker.inspectMessages("input", { top: 1_000 })?.messages.map(({ deliveryCount }) => deliveryCount) ?? [];
    assert.deepEqual(
      counts,
      counts.map(() => 0),
    );
    dependency.answerMs = 0;
    const worker = startCommand(["start", "-c", file], env);
    t.after(() => worker.process.kill("SIGKILL"));
    await eventually("all completions", () => input().totals.completed === messagesCount, 30_000);
    worker.process.kill("SIGTERM");
    assert.equal((await worker.done).code, 0);
    assert.equal(input().states.deadLettered, 0);
  },
);
