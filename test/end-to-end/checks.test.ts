// `doctor` and `start` look at the same and say the same: what the doctor fails, no worker starts with; and what changes while
// a worker runs is reported once, with what to do, and not at every try.
import { strict as assert } from "node:assert";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { type Broker, type BrokerOptions, startBroker } from "#load/broker/broker.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { eventually, within } from "../support/eventually.ts";
import { runCommand } from "../support/holdfast-command.ts";
import { freePort, startRedis } from "../support/redis-server.ts";
import { testOnEach } from "../support/transports.ts";

const root = resolve(import.meta.dirname, "../..");
const { REDIS_URL: _redis, ...env } = process.env;

interface Bench {
  readonly broker: Broker;
  readonly config: (changes?: Record<string, unknown>) => string;
}

async function startBench(t: TestContext, options: BrokerOptions): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-checks-"));
  const broker = await startBroker(options);
  t.after(async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    broker,
    config(changes = {}) {
      const file = join(folder, "holdfast.config.json");
      const settings = {
        sources: [{ queue: "input" }],
        serviceBus: { connectionString: broker.connectionString },
        plugins: [join(root, "handlers/event-dispatcher")],
        pluginRoots: [join(root, "handlers")],
        publish: { entity: "events" },
        threads: 1,
      };
      writeFileSync(file, JSON.stringify({ ...settings, ...changes }));
      return file;
    },
  };
}

interface Line {
  readonly level: string;
  readonly type?: string;
  readonly check?: string;
  readonly error?: string;
  readonly remedy?: string;
  readonly found?: string;
}

class LiveWorker {
  readonly #process: ChildProcess;
  #text = "";

  constructor(t: TestContext, file: string) {
    this.#process = fork(join(root, "runtime/cli/main.ts"), ["start", "-c", file], { cwd: root, env, stdio: ["ignore", "ignore", "pipe", "ipc"] });
    t.after(() => this.#process.kill("SIGKILL"));
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => (this.#text += text));
  }

  lines(): Line[] {
    const whole = this.#text.slice(0, this.#text.lastIndexOf("\n") + 1);
    return whole
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as Line);
  }

  async says(what: string, isIt: (line: Line) => boolean): Promise<Line> {
    await eventually(what, () => this.lines().some(isIt), 30_000).catch((error: unknown) => assert.fail(`${String(error)}: ${this.#text}`));
    return this.lines().find(isIt)!;
  }

  async started(): Promise<void> {
    await this.says("it to start", ({ type }) => type === "worker.started");
  }

  async stop(): Promise<void> {
    const closed = once(this.#process, "close");
    this.#process.kill("SIGTERM");
    await within("the worker to end", closed, 30_000);
    assert.equal(this.#process.exitCode, 0, this.#text);
  }
}

async function failedByDoctor(file: string): Promise<string[]> {
  const { stdout } = await runCommand(["doctor", "-c", file, "--json"], env);
  return (JSON.parse(stdout) as { check: string; verdict: string }[]).filter(({ verdict }) => verdict === "failed").map(({ check }) => check);
}

/** Of the log of a worker that was refused. */
interface LastLine {
  readonly level: string;
  readonly code: string;
  readonly findings?: readonly { readonly check: string; readonly remedy: string }[];
}

/** Both refuse, for the same. */
async function assertBothRefuse(file: string, checks: readonly string[]): Promise<void> {
  const [failed, start] = await Promise.all([failedByDoctor(file), runCommand(["start", "-c", file], env)]);
  assert.deepEqual(failed, checks);
  assert.equal(start.code, 1, start.stderr);
  const { level, code, findings = [] } = JSON.parse(start.stderr.trim().split("\n").at(-1) ?? "") as LastLine;
  // What is wrong with the store it also says by itself, in starting; whichever comes first.
  const isByStore = checks.includes("store") && code === "HOLDFAST_CONFIGURATION";
  assert.deepEqual([level, code], ["fatal", isByStore ? "HOLDFAST_CONFIGURATION" : "HOLDFAST_REFUSED"]);
  if (!isByStore)
    assert.deepEqual(
      findings.map(({ check, remedy }) => [check, remedy.length > 0]),
      checks.filter((check) => check !== "store").map((check) => [check, true]),
    );
}

const troubles: readonly (readonly [name: string, settings: Record<string, unknown>, changes: Record<string, unknown>, checks: readonly string[]])[] = [
  ["sessions that are not configured", { requiresSession: true }, {}, ["sessions"]],
  ["sessions that are configured for an entity that has none", {}, { sources: [{ queue: "input", sessions: {} }] }, ["sessions"]],
  ["a lock that is too short", { lockDurationMs: 1_000 }, {}, ["lock duration"]],
  ["a delivery maximum that comes before the worker's own", { deliveryCountMax: 9 }, {}, ["delivery count"]],
  ["messages that are dropped when they expire", { timeToLiveMs: 60_000 }, {}, ["expiry"]],
  ["run records that are kept for less than messages live", { timeToLiveMs: 86_400_000, deadLetterOnExpiry: true }, { retentionMs: 3_600_000 }, ["retention"]],
  ["messages that move on by themselves", { forwardTo: "events" }, {}, ["forwarding"]],
  ["nowhere to publish to", {}, { publish: { entity: "events", byEventType: { Sent: "nowhere" } } }, ["send to nowhere"]],
  ["nowhere to send platform events to", {}, { platformEvents: { entity: "nowhere" } }, ["send to nowhere"]],
  ["an entity to publish to that requires sessions", {}, { publish: { entity: "ordered" } }, ["send to ordered"]],
  ["an entity to publish to that is disabled", {}, { publish: { entity: "closed" } }, ["send to closed"]],
];

for (const [name, settings, changes, checks] of troubles) {
  test(`start and doctor refuse ${name}`, async (t) => {
    const queues = [{ name: "input", ...settings }, "events", { name: "ordered", requiresSession: true }, { name: "closed", status: "Disabled" }];
    const { config } = await startBench(t, { entities: { queues } });
    await assertBothRefuse(config(changes), checks);
  });
}

test("start and doctor refuse a queue that is disabled", async (t) => {
  const { config } = await startBench(t, { entities: { queues: [{ name: "input", status: "ReceiveDisabled" }, "events"] } });
  const file = config();
  assert.ok((await failedByDoctor(file)).includes("status"));
  const { code, stderr } = await runCommand(["start", "--log", "pretty", "-c", file], env);
  assert.deepEqual([code, /status: expected an entity that is open for receiving, found ReceiveDisabled; enable the entity/.test(stderr)], [1, true], stderr);
});

test("start and doctor refuse a retry queue that is not there, or is not as it must be", async (t) => {
  const entities = { queues: ["events", { name: "retries", deliveryCountMax: 3 }], topics: [{ name: "news", subscriptions: ["all"] }] };
  const { config } = await startBench(t, { entities });
  const source = { topic: "news", subscription: "all" };
  await assertBothRefuse(config({ sources: [{ ...source, retryQueue: "retries" }] }), ["delivery count of retries"]);
  const file = config({ sources: [{ ...source, retryQueue: "nowhere" }] });
  assert.deepEqual(await failedByDoctor(file), ["broker", "send to nowhere"]);
  const { code, stderr } = await runCommand(["start", "--log", "pretty", "-c", file], env);
  assert.deepEqual([code, stderr.includes("send to nowhere")], [1, true], stderr);
});

test("start and doctor refuse a Redis that evicts", async (t) => {
  const redis = await startRedis(["--maxmemory-policy", "allkeys-lru", "--maxmemory", "50mb"]);
  t.after(() => redis.stop());
  const { config } = await startBench(t, { entities: { queues: ["input", "events"] } });
  await assertBothRefuse(config({ store: { kind: "redis", url: redis.url } }), ["store", "store eviction"]);
});

/** What needs an entity that is not there, and what start and doctor say of it. */
const missing: readonly (readonly [what: string, changes: Record<string, unknown>, says: string])[] = [
  [
    "the queue that is read",
    { sources: [{ queue: "nowhere" }] },
    "send to nowhere: expected a queue or topic 'nowhere' that takes messages (sources.0.queue: it is read, and copies of messages that are retried or postponed are sent there), found none of that name; create it, or name another in sources.0.queue",
  ],
  [
    "the subscription that is read",
    { sources: [{ topic: "news", subscription: "none", retryQueue: "input" }] },
    "read from news/none: expected a subscription 'none' of a topic 'news' (sources.0.topic and sources.0.subscription: it is read), found none of that name; create it, or name another in sources.0.topic and sources.0.subscription",
  ],
  [
    "the queue for retries of a subscription",
    { sources: [{ topic: "news", subscription: "all", retryQueue: "nowhere" }] },
    "send to nowhere: expected a queue or topic 'nowhere' that takes messages (sources.0.retryQueue: it is read, and copies of messages that are retried or postponed are sent there), found none of that name; create it, or name another in sources.0.retryQueue",
  ],
  [
    "where a skill's events go",
    { publish: { entity: "events", byEventType: { Sent: "nowhere" } } },
    "send to nowhere: expected a queue or topic 'nowhere' that takes messages (publish.byEventType.Sent: Sent events that skills emit are sent there), found none of that name; create it, or name another in publish.byEventType.Sent",
  ],
  [
    "where events about the work go",
    { platformEvents: { entity: "nowhere" } },
    "send to nowhere: expected a queue or topic 'nowhere' that takes messages (platformEvents.entity: events about the work itself are sent there), found none of that name; create it, or name another in platformEvents.entity",
  ],
];

for (const [what, changes, says] of missing) {
  testOnEach(`start and doctor say in one sentence what needs ${what} when it is not there, what was found and what to do`, async (t, transport) => {
    const queues = [{ name: "input", deadLetterOnExpiry: true }, "events"];
    const { config } = await startBench(t, { entities: { queues, topics: [{ name: "news", subscriptions: ["all"] }] } });
    const file = config({ ...changes, transport });
    const [start, doctor] = await Promise.all([runCommand(["start", "--log", "pretty", "-c", file], env), runCommand(["doctor", "-c", file, "--json"], env)]);
    assert.deepEqual([start.code, doctor.code], [1, 1]);
    assert.equal(start.stderr, `holdfast: the worker was not started; \`holdfast doctor\` shows the same:\n  ${says}\n`);
    const findings = JSON.parse(doctor.stdout) as { check: string; expected: string; found: string; remedy: string }[];
    assert.ok(findings.some(({ check, expected, found, remedy }) => `${check}: expected ${expected}, found ${found}; ${remedy}` === says));
    assert.doesNotMatch(doctor.stdout, /TrackingId/);
  });
}

testOnEach("without the Manage right a subscription that is not there is named in our words as well", async (t, transport) => {
  const keys = [{ name: "worker", key: "c2VjcmV0", rights: ["Listen", "Send"] as const }];
  const { broker, config } = await startBench(t, { entities: { queues: ["input", "events"], topics: [{ name: "news", subscriptions: ["all"] }] }, keys });
  const connectionString = `Endpoint=sb://127.0.0.1:${broker.port};SharedAccessKeyName=worker;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true`;
  const file = config({ transport, serviceBus: { connectionString }, sources: [{ topic: "news", subscription: "none", retryQueue: "input" }] });
  const { code, stderr } = await runCommand(["start", "--log", "pretty", "-c", file], env);
  assert.equal(code, 1, stderr);
  assert.match(
    stderr,
    /^holdfast: expected to reach the entity news\/Subscriptions\/none of 127\.0\.0\.1, found no entity of that name \([\w:-]+\); create it, or correct its name in the configuration$/m,
  );
});

testOnEach("without the Manage right both say what was not checked and why, and go on", async (t, transport) => {
  const keys = [{ name: "worker", key: "c2VjcmV0", rights: ["Listen", "Send"] as const }];
  const { broker, config } = await startBench(t, { entities: { queues: ["input", "events"] }, keys });
  const connectionString = `Endpoint=sb://127.0.0.1:${broker.port};SharedAccessKeyName=worker;SharedAccessKey=c2VjcmV0;UseDevelopmentEmulator=true`;
  const file = config({ transport, serviceBus: { connectionString } });
  const { code, stdout } = await runCommand(["doctor", "-c", file, "--json"], env);
  const unknown = (JSON.parse(stdout) as { check: string; verdict: string; found: string }[]).filter(({ verdict }) => verdict !== "ok");
  assert.deepEqual([code, unknown.map(({ check, verdict }) => [check, verdict])], [0, [["entity settings", "unknown"]]], stdout);
  assert.equal(unknown[0]?.found, "not checked, because the identity lacks the Manage right");
  const worker = new LiveWorker(t, file);
  await worker.started();
  const line = await worker.says("what was not checked", ({ check }) => check === "entity settings");
  assert.deepEqual([line.level, line.found?.startsWith("not checked, because "), line.remedy?.includes("Manage")], ["warn", true, true]);
  await worker.stop();
});

test("a lock that is shortened while the worker runs is told once, with what to do, and so is its mending", async (t) => {
  const { broker, config } = await startBench(t, { entities: { queues: ["input", "events"] } });
  const worker = new LiveWorker(t, config({ checkEveryMs: 1_000 }));
  await worker.started();
  const administration = administrationOf(broker);
  const queue = await administration.getQueue("input");
  await administration.updateQueue({ ...queue, lockDuration: "PT1S" });
  const line = await worker.says("that the lock is too short", ({ check }) => check === "lock duration");
  assert.deepEqual([line.level, line.found, line.remedy], ["error", "1000 ms", "raise the entity's lock duration; 1 minute is a good value"]);
  await administration.updateQueue({ ...queue, maxDeliveryCount: 5 });
  await worker.says("that the lock is good again", ({ check, level }) => check === "lock duration" && level === "info");
  await worker.says("that deliveries are too few", ({ check, level }) => check === "delivery count" && level === "error");
  assert.deepEqual(
    worker
      .lines()
      .filter(({ type }) => type === "settings.checked")
      .map(({ check, level }) => [check, level]),
    [
      ["lock duration", "error"],
      ["lock duration", "info"],
      ["delivery count", "error"],
    ],
  );
  await worker.stop();
});

testOnEach("a queue that is deleted while the worker runs is told with what to do, not at every try; when it is back, messages come", async (t, transport) => {
  const { broker, config } = await startBench(t, { entities: { queues: ["input", "events"] } });
  const file = config({ transport, silenceMaxMs: 1_000 });
  const worker = new LiveWorker(t, file);
  await worker.started();
  const administration = administrationOf(broker);
  await administration.deleteQueue("input");
  const isMissing = ({ type, error }: Line): boolean => type === "source.down" && /not.?found/i.test(error ?? "");
  const line = await worker.says("that the queue is not there", isMissing);
  assert.match(line.error ?? "", /create it, or correct its name in the configuration/);
  await administration.createQueue("input");
  await runCommand(["send", "-c", file, "--event-type", "RepositoryEventReceived", "--payload", '{"name":"push","event":{}}'], env);
  await worker.says("that messages come again", ({ type }) => type === "source.up");
  await eventually("the completion", () => broker.inspect().queues["input"]?.totals.completed === 1, 30_000);
  assert.deepEqual(
    worker.lines().flatMap(({ type }) => (type === "source.down" || type === "transport.disturbed" ? [type] : [])),
    ["source.down"],
  );
  await worker.stop();
});

testOnEach("a broker that does not answer is what start names, not what it could not look at", async (t, transport) => {
  const { config } = await startBench(t, { entities: { queues: ["input", "events"] } });
  const connectionString = `Endpoint=sb://127.0.0.1:${await freePort()};SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true`;
  const { code, stderr } = await runCommand(["start", "--log", "pretty", "-c", config({ transport, serviceBus: { connectionString } })], env);
  assert.equal(code, 1);
  assert.match(stderr, /^holdfast: expected to reach .*input.*ECONNREFUSED.*check that the broker is up/m);
});
