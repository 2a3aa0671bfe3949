// The commands as a user runs them, against a real broker.
import { fitted, tableWidths } from "#runtime/cli/table-widths.ts";
import { strict as assert } from "node:assert";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { eventually } from "../support/eventually.ts";
import { runCommand, startCommand } from "../support/holdfast-command.ts";
import { freePort, startRedis } from "../support/redis-server.ts";
import { drillOnEach, testOnEach } from "../support/transports.ts";

const root = resolve(import.meta.dirname, "../..");
const { REDIS_URL: _redis, ...env } = process.env;

interface Bench {
  readonly broker: Broker;
  readonly folder: string;
  /** Writes a configuration with these changes, on top of the bench's own, and returns its path. */
  readonly config: (changes?: Record<string, unknown>) => string;
}

async function startBench(context: TestContext, changes: Record<string, unknown> = {}, queue: Record<string, unknown> = {}): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-commands-"));
  const broker = await startBroker({ entities: { queues: [{ name: "input", ...queue }, "events"] } });
  context.after(async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    broker,
    folder,
    config(more = {}) {
      const file = join(folder, "holdfast.config.json");
      const config = {
        sources: [{ queue: "input" }],
        serviceBus: { connectionString: broker.connectionString },
        plugins: [join(root, "handlers/event-dispatcher")],
        pluginRoots: [join(root, "handlers")],
        publish: { entity: "events" },
        threads: 1,
        ...changes,
        ...more,
      };
      writeFileSync(file, JSON.stringify(config));
      return file;
    },
  };
}

function findings(stdout: string): Record<string, string> {
  return Object.fromEntries((JSON.parse(stdout) as { check: string; verdict: string }[]).map(({ check, verdict }) => [check, verdict]));
}

testOnEach("send puts events on the queue, start works them off and ends on SIGTERM", async (t, transport) => {
  const { broker, config } = await startBench(t, { transport });
  const file = config();
  const sent = await runCommand(
    ["send", "-c", file, "--event-type", "RepositoryEventReceived", "--payload", '{"name":"push","event":{}}', "--count", "5"],
    env,
  );
  assert.equal(sent.code, 0, sent.stderr);
  const worker = startCommand(["start", "-c", file], env);
  await eventually("five completions", () => broker.inspect().queues["input"]?.totals.completed === 5, 30_000);
  worker.process.kill("SIGTERM");
  const ended = await worker.done;
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stderr, /worker\.stopped/);
  assert.equal(broker.inspect().queues["input"]?.states.locked, 0);
});

test("finds the runtime by its name from anywhere, and tells why a run is tried again", async (t) => {
  const { broker, folder } = await startBench(t);
  const plugin = join(folder, "thrower");
  mkdirSync(plugin);
  writeFileSync(join(plugin, "holdfast.plugin.json"), JSON.stringify({ name: "thrower", version: "1.0.0", entry: "./index.mjs", skills: ["thrower"] }));
  const schema = '{ type: "object" }';
  writeFileSync(
    join(plugin, "index.mjs"),
    `import { definePlugin, defineSkill, TransientError } from "holdfast";
     const skill = defineSkill({ name: "thrower", handles: [{ eventType: "Thrown", versions: "1.x" }], payload: ${schema}, run() { throw new TransientError("boom"); } });
     export default definePlugin({ skills: [skill] });`,
  );
  const file = join(folder, "holdfast.config.mjs");
  const settings = {
    sources: [{ queue: "input" }],
    serviceBus: { connectionString: broker.connectionString },
    plugins: [plugin],
    pluginRoots: [folder],
    threads: 1,
  };
  writeFileSync(file, `import { defineConfig } from "holdfast";\nexport default defineConfig(${JSON.stringify(settings)});\n`);
  const sent = await runCommand(["send", "-c", file, "--event-type", "Thrown"], env);
  assert.equal(sent.code, 0, sent.stderr);
  const worker = startCommand(["start", "-c", file], env);
  await eventually("a retry through the queue", () => broker.inspect().queues["input"]?.states.scheduled === 1, 30_000);
  worker.process.kill("SIGTERM");
  const { code, stderr } = await worker.done;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /"type":"run\.retrying".*"skill":"thrower".*"description":"boom \(skill 'thrower', index\.mjs:2:\d+\)"/);
});

test("every line of a worker is JSON, whatever its plugins print, and tells whose run printed it", async (t) => {
  const { broker, folder, config } = await startBench(t);
  const plugin = join(folder, "printer");
  mkdirSync(plugin);
  writeFileSync(join(plugin, "holdfast.plugin.json"), JSON.stringify({ name: "printer", version: "1.0.0", entry: "./index.mjs", skills: ["printer"] }));
  writeFileSync(
    join(plugin, "index.mjs"),
    `import { definePlugin, defineSkill } from "holdfast";
     console.error("while it was imported");
     setInterval(() => process.stderr.write("a timer of its own\\n"), 50).unref();
     const run = () => { console.log("to standard output"); console.table([{ a: 1 }]); process.stderr.write("to standard error"); };
     export default definePlugin({ skills: [defineSkill({ name: "printer", handles: [{ eventType: "Printed" }], run })] });`,
  );
  const file = config({ plugins: [plugin], pluginRoots: [folder] });
  const sent = await runCommand(["send", "-c", file, "--event-type", "Printed", "--event-id", "evt-printed"], env);
  assert.equal(sent.code, 0, sent.stderr);
  const worker = startCommand(["start", "-c", file], env);
  await eventually("a completion", () => broker.inspect().queues["input"]?.totals.completed === 1, 30_000);
  worker.process.kill("SIGTERM");
  const { code, stdout, stderr } = await worker.done;
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "");
  const lines = stderr
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { readonly msg: string; readonly skill?: string; readonly eventId?: string });
  for (const text of ["to standard output", "to standard error"]) {
    const line = lines.find(({ msg }) => msg === text);
    assert.deepEqual([line?.skill, line?.eventId], ["printer", "evt-printed"]);
  }
  assert.ok(lines.some(({ msg }) => msg === "while it was imported"));
});

test("start refuses a configuration with a mistake and says which", async (t) => {
  const { config } = await startBench(t);
  const result = await runCommand(["start", "--log", "pretty", "-c", config({ inFlightMax: "many" })], env);
  assert.equal(result.code, 2);
  assert.match(result.stderr, /holdfast: .*inFlightMax: expected number, got "many"/);
});

testOnEach("start says what is wrong when the entity does not exist", async (t, transport) => {
  const { config } = await startBench(t, { transport });
  const result = await runCommand(["start", "--log", "pretty", "-c", config({ sources: [{ queue: "nowhere" }] })], env);
  assert.equal(result.code, 1);
  assert.match(
    result.stderr,
    /^holdfast: the worker was not started;[^]*send to nowhere: expected a queue or topic 'nowhere' .*, found none of that name; create it, or name another in sources\.0\.queue$/m,
  );
});

test("skills lists what is registered, from where", async (t) => {
  const { config } = await startBench(t);
  const result = await runCommand(["skills", "-c", config(), "--json"], env);
  assert.equal(result.code, 0, result.stderr);
  const [skill] = JSON.parse(result.stdout) as { name: string; handles: { eventType: string }[]; plugin: { folder: string } }[];
  assert.equal(skill?.name, "event-dispatcher");
  assert.equal(skill.handles[0]?.eventType, "RepositoryEventReceived");
  assert.equal(skill.plugin.folder, join(root, "handlers/event-dispatcher"));
});

testOnEach("doctor finds nothing wrong where all is well", async (t, transport) => {
  const { config } = await startBench(t, { transport }, { deadLetterOnExpiry: true });
  const result = await runCommand(["doctor", "-c", config(), "--json"], env);
  assert.equal(result.code, 0, result.stdout);
  assert.deepEqual(new Set(Object.values(findings(result.stdout))), new Set(["ok"]));
});

test("doctor exits 1 and names each trouble: delivery count, expiry, store", async (t) => {
  const { config } = await startBench(t, {}, { deliveryCountMax: 5, timeToLiveMs: 60_000 });
  const store = { kind: "redis", url: `redis://127.0.0.1:${await freePort()}` };
  const result = await runCommand(["doctor", "-c", config({ store }), "--json"], env);
  assert.equal(result.code, 1);
  const found = findings(result.stdout);
  assert.deepEqual([found["delivery count"], found["expiry"], found["store"], found["broker"]], ["failed", "failed", "failed", "ok"]);
});

testOnEach("doctor names an entity that emitted events could not be sent to", async (t, transport) => {
  const { config } = await startBench(t, { transport }, { deadLetterOnExpiry: true });
  const result = await runCommand(["doctor", "-c", config({ publish: { entity: "nowhere" } }), "--json"], env);
  assert.equal(result.code, 1);
  const found = findings(result.stdout);
  assert.deepEqual([found["send to nowhere"], found["send to input"]], ["failed", "ok"]);
});

drillOnEach("events that cannot be published for a while wait in the run's outbox, burn no deliveries, and go out once they can", async (t, transport) => {
  const { broker, config } = await startBench(t, { transport });
  const administration = administrationOf(broker);
  const closed = await administration.createQueue("closed");
  const file = config({ publish: { entity: "closed" } });
  const worker = startCommand(["start", "-c", file], env);
  t.after(() => worker.process.kill("SIGKILL"));
  let log = "";
  worker.process.stderr?.on("data", (text: string) => (log += text));
  await eventually("the worker to start", () => log.includes("worker.started"), 30_000);
  await administration.updateQueue({ ...closed, status: "SendDisabled" });
  await runCommand(["send", "-c", file, "--event-type", "RepositoryEventReceived", "--payload", '{"name":"push","event":{"ref":"refs/heads/main"}}'], env);
  await eventually("the failure to be told", () => log.includes("send.failed"), 30_000);
  await eventually("the message to be postponed", () => broker.inspect().queues["input"]?.totals.scheduledAccepted === 1, 30_000);
  assert.deepEqual([broker.inspect().queues["input"]?.totals.abandoned, broker.inspect().queues["input"]?.totals.deadLettered], [0, 0]);
  worker.process.kill("SIGTERM");
  assert.equal((await worker.done).code, 0);
  await administration.updateQueue({ ...closed, status: "Active" });
  const mended = startCommand(["start", "-c", file], env);
  t.after(() => mended.process.kill("SIGKILL"));
  await eventually("the event to be published", () => broker.inspect().queues["closed"]?.totals.accepted === 1, 60_000);
  mended.process.kill("SIGTERM");
  assert.equal((await mended.done).code, 0);
});

test("doctor refuses a Redis that evicts", async (t) => {
  const redis = await startRedis(["--maxmemory-policy", "allkeys-lru", "--maxmemory", "50mb"]);
  t.after(() => redis.stop());
  const { config } = await startBench(t);
  const result = await runCommand(["doctor", "-c", config({ store: { kind: "redis", url: redis.url } }), "--json"], env);
  assert.equal(result.code, 1);
  assert.match(result.stdout, /noeviction/);
});

testOnEach("doctor exits 1 when the broker does not answer", async (t, transport) => {
  const { config } = await startBench(t, { transport });
  const connectionString = `Endpoint=sb://127.0.0.1:${await freePort()};SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true`;
  const result = await runCommand(["doctor", "-c", config({ serviceBus: { connectionString } }), "--json"], env);
  assert.equal(result.code, 1);
  assert.equal(findings(result.stdout)["broker"], "failed");
});

drillOnEach("a store that goes down stops the effects, not the process; what waits is worked off when it is back", async (t, transport) => {
  const redis = await startRedis();
  const { broker, config } = await startBench(t, { transport });
  const file = config({ store: { kind: "redis", url: redis.url, commandTimeoutMs: 500 } });
  const worker = startCommand(["start", "-c", file], env);
  t.after(() => worker.process.kill("SIGKILL"));
  let log = "";
  worker.process.stderr?.on("data", (text: string) => (log += text));
  await eventually("the worker to start", () => log.includes("worker.started"), 30_000);
  await redis.stop();
  await runCommand(["send", "-c", file, "--event-type", "RepositoryEventReceived", "--payload", '{"name":"push","event":{}}', "--count", "20"], env);
  await eventually("the worker to notice", () => log.includes("store.down"), 30_000);
  assert.equal(broker.inspect().queues["input"]?.totals.completed, 0);
  const again = await startRedis([], redis.port);
  t.after(() => again.stop());
  await eventually("twenty completions", () => broker.inspect().queues["input"]?.totals.completed === 20, 60_000);
  worker.process.kill("SIGTERM");
  assert.equal((await worker.done).code, 0);
});

test("a log line has worker, host and a level in words; a run that completes is a line at debug, and the log sums up what happened", async (t) => {
  const { broker, config } = await startBench(t);
  const file = config({ logLevel: "debug" });
  await runCommand(["send", "-c", file, "--event-type", "RepositoryEventReceived", "--payload", '{"name":"push","event":{}}', "--event-id", "the-event"], env);
  const worker = startCommand(["start", "-c", file], env);
  t.after(() => worker.process.kill("SIGKILL"));
  await eventually("the completion", () => broker.inspect().queues["input"]?.totals.completed === 1, 30_000);
  worker.process.kill("SIGTERM");
  const { stderr } = await worker.done;
  const lines = stderr
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const line of lines)
    assert.ok(
      typeof line["worker"] === "string" && line["host"] === hostname() && /^(debug|info|warn|error)$/.test(String(line["level"])),
      JSON.stringify(line),
    );
  assert.partialDeepStrictEqual(
    lines.find(({ type }) => type === "run.completed"),
    { level: "debug", eventId: "the-event", skill: "event-dispatcher", attempt: 1 },
  );
  assert.partialDeepStrictEqual(
    lines.find(({ type }) => type === "summary"),
    { level: "info", completed: 1, duplicates: 0, retried: 0, deadLettered: {}, inFlight: 0 },
  );
});

test("start --log pretty writes lines for eyes, whatever the configuration says", async (t) => {
  const { config } = await startBench(t);
  const worker = startCommand(["start", "--log", "pretty", "-c", config({ logFormat: "json" })], env);
  t.after(() => worker.process.kill("SIGKILL"));
  let log = "";
  worker.process.stderr?.on("data", (text: string) => (log += text));
  await eventually("the worker to start", () => log.includes("worker.started"), 30_000);
  worker.process.kill("SIGTERM");
  const { stderr } = await worker.done;
  assert.match(stderr, /^\d\d:\d\d:\d\d\.\d{3} INFO {2}worker\.started sources=input skills=1 threads=1$/m);
});

testOnEach("send tells the id of each event, and its sequence number where it can be seen in the queue", async (t, transport) => {
  const { config } = await startBench(t, { transport });
  const file = config();
  const one = await runCommand(["send", "-c", file, "--event-type", "Some", "--event-id", "first"], env);
  assert.deepEqual([one.code, one.stdout], [0, "sent 1 Some to input; each message has its event's id\neventId first, sequence number 1\n"]);
  const more = await runCommand(["send", "-c", file, "--event-type", "Some", "--count", "2", "--json"], env);
  const told = JSON.parse(more.stdout) as { eventId: string; messageId: string; sequenceNumbers: string[] }[];
  assert.deepEqual(
    told.map(({ sequenceNumbers }) => sequenceNumbers),
    [["2"], ["3"]],
  );
  assert.ok(told.every(({ eventId, messageId }) => eventId === messageId && /^[\da-f-]{36}$/.test(eventId)));
});

test("send says that it does not know a sequence number, where the entity is a topic", async (t) => {
  const broker = await startBroker({ entities: { topics: [{ name: "news", subscriptions: ["all"] }] } });
  t.after(() => broker.stop());
  const { code, stdout, stderr } = await runCommand(
    ["send", "--connection-string", broker.connectionString, "--entity", "news", "--event-type", "Some", "--event-id", "first"],
    env,
  );
  assert.equal(code, 0, stderr);
  assert.match(
    stdout,
    /^sent 1 Some to news; .*\neventId first, sequence number not known\nnot known: the message was taken already, .* or the entity is a topic/,
  );
});

test("keeps its store in HOLDFAST_DATA when the configuration names none, and beats while it works", async (t) => {
  const { folder, config } = await startBench(t);
  const data = join(folder, "data");
  const heartbeat = join(folder, "beats", "worker");
  const worker = startCommand(["start", "-c", config()], { ...env, HOLDFAST_DATA: data, HOLDFAST_HEARTBEAT: heartbeat });
  await eventually("a heartbeat", () => existsSync(heartbeat), 30_000);
  assert.equal((JSON.parse(readFileSync(heartbeat, "utf8")) as { pid: number }).pid, worker.process.pid);
  assert.ok(existsSync(join(data, "runs.sqlite")));
  rmSync(heartbeat);
  await eventually("another heartbeat", () => existsSync(heartbeat), 30_000);
  worker.process.kill("SIGTERM");
  const { code, stderr } = await worker.done;
  assert.equal(code, 0, stderr);
  assert.ok(!existsSync(heartbeat), "expected no heartbeat of a worker that was stopped");
});

test("the help of every command names the exit codes", async () => {
  for (const args of [["-h"], ["send", "-h"], ["dlq", "replay", "-h"]]) {
    const { code, stdout } = await runCommand(args, env);
    assert.equal(code, 0);
    assert.match(stdout, /exit codes: 0 done; 1 .*; 2 .*; 130 /);
  }
});

test("of two configurations in the working folder none is taken, until one is named", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-two-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "holdfast.config.mjs"), "export default {};");
  writeFileSync(join(folder, "holdfast.config.json"), "{}");
  const both = await runCommand(["skills"], env, folder);
  assert.deepEqual([both.code, /found holdfast\.config\.mjs and holdfast\.config\.json; name one/.test(both.stderr)], [2, true], both.stderr);
  const named = await runCommand(["skills"], { ...env, HOLDFAST_CONFIG: "holdfast.config.json" }, folder);
  assert.match(named.stderr, /holdfast\.config\.json/);
  assert.doesNotMatch(named.stderr, /name one/);
});

test("send refuses what no worker would take", async () => {
  const target = ["send", "--event-type", "Some", "--connection-string", "unused", "--entity", "input"];
  for (const [option, value] of [
    ["--timestamp", "yesterday"],
    ["--timestamp", "2024-13-01T00:00:00Z"],
    ["--project", ""],
    ["--event-id", "a\nb"],
  ] as const) {
    const { code, stderr } = await runCommand([...target, option, value], env);
    assert.deepEqual([code, stderr.startsWith(`holdfast: ${option}: expected `)], [2, true], stderr);
  }
});

test("a word that is longer than its column goes on below", () => {
  assert.equal(fitted("at /a/long/path/to it", 8), "at /a/lon\ng/path\n/to it");
});

test("a table fits its terminal", () => {
  for (const columns of [80, 100, 132, 150]) {
    const widths = tableWidths([17, 9], [0.28, 0.35], columns);
    assert.equal(
      widths.reduce((sum, width) => sum + width, widths.length + 1),
      columns,
    );
  }
});

test("an option that is not known is named, with the one that was probably meant", async () => {
  const { code, stderr } = await runCommand(["send", "--event-typ", "Some"], env);
  assert.equal(code, 2);
  assert.match(stderr, /unknown option '--event-typ'\n\(Did you mean --event-type\?\)/);
  // On a small screen, too, the last thing to be seen.
  assert.ok(stderr.trimEnd().split("\n").length <= 4, stderr);
  const purge = await runCommand(["dlq", "purge", "--all", "--cuont", "3", "--reason", "old"], env);
  assert.equal(purge.code, 2);
  assert.match(purge.stderr, /unknown option '--cuont'\n\(Did you mean --count\?\)/);
  const cancel = await runCommand(["runs", "cancel", "order-1", "--reson", "old"], env);
  assert.equal(cancel.code, 2);
  assert.match(cancel.stderr, /unknown option '--reson'\n\(Did you mean --reason\?\)/);
  for (const [args, option] of [
    [["runs", "fork", "order-1", "--reason", "old"], "--step <name>"],
    [["send"], "--event-type <type>"],
    [["dlq", "purge", "--all", "--reason", "old"], "--count <n>"],
    [["dlq", "purge", "--all", "--count", "3"], "--reason <text>"],
  ] as const) {
    const missing = await runCommand(args, env);
    assert.equal(missing.code, 2);
    assert.ok(missing.stderr.includes(`required option '${option}' not specified`), missing.stderr);
  }
});

test("a heartbeat that cannot be written is said, and keeps no worker from its work", async (t) => {
  const { config } = await startBench(t);
  const file = config();
  const worker = startCommand(["start", "-c", file], { ...env, HOLDFAST_HEARTBEAT: join(file, "below-a-file") });
  let said = "";
  worker.process.stderr?.on("data", (text: string) => (said += text));
  await eventually("a word about it", () => said.includes("HOLDFAST_HEARTBEAT: expected to write"), 30_000);
  worker.process.kill("SIGTERM");
  assert.equal((await worker.done).code, 0, said);
});
