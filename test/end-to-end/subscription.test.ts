// A worker on a subscription, as a user runs it: what is to be retried goes by way of a queue that it reads too.
import { strict as assert } from "node:assert";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { eventually } from "../support/eventually.ts";
import { runCommand, startCommand } from "../support/holdfast-command.ts";
import { testOnEach } from "../support/transports.ts";

const root = resolve(import.meta.dirname, "../..");
const { REDIS_URL: _redis, ...env } = process.env;
const subscription = "news/Subscriptions/reader";

interface Bench {
  readonly broker: Broker;
  readonly folder: string;
  /** Writes a configuration with these changes and returns its path. */
  readonly config: (changes?: Record<string, unknown>) => string;
}

async function startBench(context: TestContext): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-subscription-"));
  const broker = await startBroker({ entities: { queues: ["retry"], topics: [{ name: "news", subscriptions: ["reader", "bystander"] }] } });
  context.after(async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  writePlugin(folder);
  return {
    broker,
    folder,
    config(changes = {}) {
      const file = join(folder, "holdfast.config.json");
      const config = {
        sources: [{ topic: "news", subscription: "reader", retryQueue: "retry" }],
        serviceBus: { connectionString: broker.connectionString },
        plugins: ["./stumbler"],
        threads: 1,
        ...changes,
      };
      writeFileSync(file, JSON.stringify(config));
      return file;
    },
  };
}

/** A skill that fails on its first try and leaves a mark on each. */
function writePlugin(folder: string): void {
  const place = join(folder, "stumbler");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "stumbler", version: "1.0.0", entry: "./index.ts", skills: ["stumbler"], dependencies: [] }),
  );
  writeFileSync(
    join(place, "index.ts"),
    `import { appendFileSync, readFileSync } from "node:fs";
import { definePlugin, defineSkill, TransientError } from "${root}/runtime/index.ts";
const marks = ${JSON.stringify(join(folder, "marks"))};
const stumbler = defineSkill({
  name: "stumbler",
  handles: [{ eventType: "Stumbled", versions: "1.x" }],
  retry: { attemptsMax: 3, immediateMax: 0, baseDelayMs: 50, delayMaxMs: 50 },
  run() {
    appendFileSync(marks, "x");
    if (readFileSync(marks).length === 1) throw new TransientError("not yet");
  },
});
export default definePlugin({ skills: [stumbler] });
`,
  );
}

testOnEach("a run that fails once succeeds on the copy that comes by the retry queue", (t, transport) => retryOnce(t, { transport }));

testOnEach("so it does when the worker holds one message at a time, and nothing else comes", (t, transport) => retryOnce(t, { transport, inFlightMax: 1 }));

async function retryOnce(t: TestContext, changes: Record<string, unknown>): Promise<void> {
  const { broker, config, folder } = await startBench(t);
  const file = config(changes);
  const sent = await runCommand(["send", "-c", file, "--event-type", "Stumbled", "--payload", "{}"], env);
  assert.equal(sent.code, 0, sent.stderr);
  const worker = startCommand(["start", "-c", file], env);
  t.after(() => worker.process.kill("SIGKILL"));
  await eventually("the second try", () => tries(folder) === 2, 30_000);
  await eventually("the retry queue to be empty", () => sum(broker.inspect().queues["retry"]?.states) === 0, 30_000);
  worker.process.kill("SIGTERM");
  const ended = await worker.done;
  assert.equal(ended.code, 0, ended.stderr);
  const { queues } = broker.inspect();
  assert.equal(queues[subscription]?.totals.completed, 1);
  assert.equal(queues["retry"]?.totals.completed, 1, ended.stderr);
  assert.equal(tries(folder), 2, ended.stderr);
  assert.equal(queues["retry/$DeadLetterQueue"]?.states.active, 0);
  // Whoever else subscribes gets the event once, and no copy of it.
  assert.equal(queues["news/Subscriptions/bystander"]?.states.active, 1);
}

testOnEach("doctor reports a retry queue that does not exist, and start refuses to run without it", async (t, transport) => {
  const { config } = await startBench(t);
  const sound = await runCommand(["doctor", "-c", config({ transport }), "--json"], env);
  assert.deepEqual(verdictOf(sound.stdout, "broker")?.verdict, "ok");
  const file = config({ transport, sources: [{ topic: "news", subscription: "reader", retryQueue: "nowhere" }] });
  const found = await runCommand(["doctor", "-c", file, "--json"], env);
  assert.equal(found.code, 1);
  assert.equal(verdictOf(found.stdout, "send to nowhere")?.verdict, "failed");
  const started = await runCommand(["start", "--log", "pretty", "-c", file], env);
  assert.equal(started.code, 1);
  assert.match(started.stderr, /holdfast: the worker was not started;.*send to nowhere: expected .*nowhere/s);
});

/** How often the skill was run. */
function tries(folder: string): number {
  const marks = join(folder, "marks");
  return existsSync(marks) ? readFileSync(marks).length : 0;
}

function sum(counts: object | undefined): number | undefined {
  return counts && Object.values(counts).reduce((total: number, count: number) => total + count, 0);
}

function verdictOf(stdout: string, check: string): { readonly verdict: string; readonly found: string } | undefined {
  return (JSON.parse(stdout) as { check: string; verdict: string; found: string }[]).find((finding) => finding.check === check);
}
