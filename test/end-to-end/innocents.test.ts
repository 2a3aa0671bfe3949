// Skills that end their thread or their whole process, beside others that did nothing wrong.
import { strict as assert } from "node:assert";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import { eventually } from "../support/eventually.ts";
import { type RunningCommand, runCommand, startCommand } from "../support/holdfast-command.ts";
import { drillOnEach } from "../support/transports.ts";

const root = resolve(import.meta.dirname, "../..");
const { REDIS_URL: _redis, ...env } = process.env;

interface Place {
  readonly broker: Broker;
  readonly config: string;
  readonly folder: string;
  send(eventType: string, count: number): Promise<void>;
  start(): RunningCommand;
  /** Everything has ended. */
  isEmpty(): boolean;
  input(): NonNullable<ReturnType<Broker["inspect"]>["queues"][string]>;
  deadLetters(): readonly { readonly deadLetterReason?: unknown; readonly deadLetterDescription?: unknown }[];
}

/** Innocents wait for a dependency with one slot that takes `slowMs`; the others end their thread or their process. */
async function prepare(t: TestContext, slowMs: number, transport: TransportKind = "amqp"): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-innocents-"));
  const broker = await startBroker({ entities: { queues: [{ name: "input", deliveryCountMax: 10, lockDurationMs: 2_000 }] } });
  const running: RunningCommand[] = [];
  t.after(async () => {
    for (const { process: child, done } of running) {
      child.kill("SIGKILL");
      await done;
    }
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const place = join(folder, "mixed");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({
      name: "mixed",
      version: "1.0.0",
      entry: "./index.ts",
      skills: ["innocent", "thread-killer", "process-killer", "unwell", "hoarder"],
      dependencies: ["slow"],
    }),
  );
  writeFileSync(
    join(place, "index.ts"),
    `import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { defineDependency, definePlugin, defineSkill } from "${root}/runtime/index.ts";
const slow = defineDependency({ name: "slow", bulkhead: { concurrentMax: 1, queueMax: 64 }, request: () => pause(${slowMs}, "done") });
const innocent = defineSkill({
  name: "innocent",
  handles: [{ eventType: "Innocent", versions: "1.x" }],
  uses: [slow],
  run: (context) => context.step("call", { kind: "keyed" }, (step) => step.call(slow, {})),
});
const threadKiller = defineSkill({
  name: "thread-killer",
  handles: [{ eventType: "ThreadKiller", versions: "1.x" }],
  async run() {
    await pause(50);
    process.exit(7);
  },
});
const processKiller = defineSkill({
  name: "process-killer",
  handles: [{ eventType: "ProcessKiller", versions: "1.x" }],
  run: () => process.kill(process.pid, "SIGKILL"),
});
const unwell = defineSkill({
  name: "unwell",
  handles: [{ eventType: "Unwell", versions: "1.x" }],
  retry: { attemptsMax: 2, immediateMax: 0, baseDelayMs: 50, delayMaxMs: 50 },
  async run() {
    appendFileSync(${JSON.stringify(join(folder, "tries"))}, "begun\\n");
    if (!existsSync(${JSON.stringify(join(folder, "well"))})) await pause(60_000);
    if (existsSync(${JSON.stringify(join(folder, "failed"))})) return;
    writeFileSync(${JSON.stringify(join(folder, "failed"))}, "");
    throw new Error("503");
  },
});
const hoarder = defineSkill({
  name: "hoarder",
  handles: [{ eventType: "Hoarder", versions: "1.x" }],
  retry: { lossesMax: 2 },
  async run() {
    await pause(50);
    for (const kept = []; ; ) kept.push(new Array(100_000).fill(kept.length + 0.5));
  },
});
export default definePlugin({ skills: [innocent, threadKiller, processKiller, unwell, hoarder], dependencies: [slow] });
`,
  );
  const config = join(folder, "holdfast.config.json");
  writeFileSync(
    config,
    JSON.stringify({
      sources: [{ queue: "input" }],
      serviceBus: { connectionString: broker.connectionString },
      transport,
      plugins: ["./mixed"],
      threads: 1,
      memoryBytesMax: 1024 ** 3,
    }),
  );
  return {
    broker,
    config,
    folder,
    async send(eventType, count) {
      const sent = await runCommand(["send", "-c", config, "--event-type", eventType, "--count", String(count)], env);
      assert.equal(sent.code, 0, sent.stderr);
    },
    start() {
      const command = startCommand(["start", "-c", config], env);
      running.push(command);
      return command;
    },
    isEmpty() {
      const { active, locked, scheduled, deferred } = broker.inspect().queues["input"]!.states;
      return active + locked + scheduled + deferred === 0;
    },
    input: () => broker.inspect().queues["input"]!,
    deadLetters: () => broker.inspectMessages("input/$DeadLetterQueue", { top: 1_000 })?.messages ?? [],
  };
}

test("a skill that ends the thread it shares with twenty slow runs is found by itself and ends as CrashLoop, the twenty complete", async (t) => {
  const place = await prepare(t, 100);
  await place.send("Innocent", 10);
  await place.send("ThreadKiller", 1);
  await place.send("Innocent", 10);
  const worker = place.start();
  await eventually("everything to end", () => place.isEmpty(), 60_000);
  const dead = place.deadLetters();
  assert.deepEqual(
    dead.map(({ deadLetterReason }) => deadLetterReason),
    ["CrashLoop"],
  );
  assert.match(String(dead[0]?.deadLetterDescription), /exited with code 7/);
  worker.process.kill("SIGTERM");
  assert.equal((await worker.done).code, 0);
});

test("a skill that takes more heap than a thread has is recorded as out of memory, and what ran beside it completes", async (t) => {
  const place = await prepare(t, 50);
  await place.send("Innocent", 5);
  await place.send("Hoarder", 1);
  await place.send("Innocent", 5);
  const worker = place.start();
  await eventually("everything to end", () => place.isEmpty(), 60_000);
  worker.process.kill("SIGTERM");
  const { code, stderr } = await worker.done;
  assert.equal(code, 0);
  const [dead, ...others] = place.deadLetters() as { deadLetterReason?: unknown; applicationProperties?: Record<string, unknown> }[];
  const { "holdfast-dead-class": deadClass, "holdfast-dead-code": deadCode } = dead?.applicationProperties ?? {};
  assert.deepEqual([dead?.deadLetterReason, deadClass, deadCode, others.length], ["CrashLoop", "crash", "OUT_OF_MEMORY", 0]);
  assert.match(stderr, /"type":"memory","limitBytes":1073741824,"limitedBy":"memoryBytesMax"/);
});

drillOnEach(
  "a skill that kills the whole process beside thirty innocents before a slow dependency is alone dead-lettered, after few crashes",
  async (t, transport) => {
    const place = await prepare(t, 30, transport);
    await place.send("Innocent", 15);
    await place.send("ProcessKiller", 1);
    await place.send("Innocent", 15);
    let crashes = 0;
    let isOver = false;
    while (!isOver) {
      const worker = place.start();
      let isGone = false;
      void worker.done.then(() => (isGone = true));
      await eventually("a crash or the end", () => isGone || place.isEmpty(), 60_000);
      isOver = place.isEmpty();
      if (isOver) worker.process.kill("SIGTERM");
      else crashes += 1;
      const { code, signal, stderr } = await worker.done;
      assert.deepEqual([code, signal], isOver ? [0, null] : [null, "SIGKILL"], stderr.slice(-2_000));
      assert.ok(crashes <= 5, `expected few crashes, saw ${crashes}`);
    }
    assert.deepEqual(
      place.deadLetters().map(({ deadLetterReason }) => deadLetterReason),
      ["CrashLoop"],
    );
    assert.ok(place.input().totals.completed >= 30);
  },
);

test("an event whose worker was killed three times while it ran is tried again after its first failure", async (t) => {
  const place = await prepare(t, 10);
  await place.send("Unwell", 1);
  const begun = (): number => {
    try {
      return readFileSync(join(place.folder, "tries"), "utf8").split("\n").length - 1;
    } catch {
      return 0;
    }
  };
  for (let kill = 1; kill <= 3; kill += 1) {
    const worker = place.start();
    await eventually("the run to begin", () => begun() === kill, 60_000);
    worker.process.kill("SIGKILL");
    await worker.done;
  }
  writeFileSync(join(place.folder, "well"), "");
  const worker = place.start();
  await eventually("the run to complete", () => place.input().totals.completed === 2, 60_000);
  assert.deepEqual([begun(), place.deadLetters()], [5, []]);
  worker.process.kill("SIGTERM");
  assert.equal((await worker.done).code, 0);
});
