// A command is asked to stop at any moment of its life, by real signals to a real process.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as moment } from "node:timers/promises";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { eventually, within } from "../support/eventually.ts";
import { type CommandResult, runCommand, startCommand } from "../support/holdfast-command.ts";
import { isLong } from "../support/long.ts";
import { drillOnEach, testOnEach } from "../support/transports.ts";

const root = resolve(import.meta.dirname, "../..");
const { REDIS_URL: _redis, npm_lifecycle_script: _script, ...withoutRedis } = process.env;
/**
 * Says when the command hears, and whether it had loaded nothing to speak of before. Until then Node itself starts, and the system
 * ends the process. A listener is told of before it is there: what is said of it is said in a turn of its own.
 */
const hears = `process.on("newListener", (name) => {
  if (name !== "SIGTERM") return;
  const isLate = process.moduleLoadList.includes("NativeModule net");
  process.nextTick(() => process.stderr.write(isLate ? "hears late\\n" : "hears first\\n"));
});`;
const env = { ...withoutRedis, NODE_OPTIONS: `--import=data:text/javascript;base64,${Buffer.from(hears).toString("base64")}` };
const stopBudgetMs = 10_000;

interface Life {
  /** Waits until the command has written this to standard error. */
  says(text: string): Promise<void>;
  /** Calls `hear` for what the command writes to standard output. */
  heardOutput(hear: () => void): void;
  kill(signal: NodeJS.Signals): void;
  readonly done: Promise<CommandResult>;
}

function live(t: TestContext, args: readonly string[], more: NodeJS.ProcessEnv = {}): Life {
  const command = startCommand(args, { ...env, ...more });
  t.after(() => command.process.kill("SIGKILL"));
  let said = "";
  command.process.stderr?.on("data", (text: string) => (said += text));
  return {
    says: async (text) =>
      void (await eventually(`it to say ${text}`, () => said.includes(text), 30_000).catch((error: unknown) => assert.fail(`${String(error)}: ${said}`))),
    heardOutput: (hear) => void command.process.stdout?.on("data", hear),
    kill: (signal) => void command.process.kill(signal),
    done: command.done,
  };
}

async function assertEnds(life: Life, what: string, code = 0): Promise<CommandResult> {
  const endedMs = performance.now();
  const result = await life.done;
  assert.deepEqual([result.code, result.signal], [code, null], `${what}: ${result.stderr}`);
  assert.ok(performance.now() - endedMs < stopBudgetMs, `${what}: expected an end within ${stopBudgetMs} ms`);
  return result;
}

/** Stops the command at moments from its first to beyond its last of starting, which `ready` tells. */
async function sweep(t: TestContext, args: readonly string[], ready: (life: Life) => Promise<void>, steps: number): Promise<void> {
  const first = live(t, args);
  await first.says("hears first");
  const heardMs = performance.now();
  await ready(first);
  const startsMs = performance.now() - heardMs;
  first.kill("SIGTERM");
  await assertEnds(first, "once it had started");
  for (let step = 0; step <= steps; step += 1) {
    const life = live(t, args);
    await life.says("hears first");
    const afterMs = (step / steps) * startsMs * 1.1;
    // Time is what is swept; nothing is waited for.
    await moment(afterMs);
    life.kill(step % 2 === 0 ? "SIGTERM" : "SIGINT");
    await assertEnds(life, `${Math.round(afterMs)} ms after it began to hear, of ${Math.round(startsMs)} ms`);
  }
}

interface Bench {
  readonly broker: Broker;
  readonly folder: string;
  /** Writes a plugin with this source and a configuration that uses it; returns the configuration's path. */
  readonly worker: (source: string, changes?: Record<string, unknown>) => string;
}

async function startBench(t: TestContext): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-signals-"));
  const broker = await startBroker({ entities: { queues: ["input"] } });
  t.after(async () => {
    await broker.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    broker,
    folder,
    worker(source, changes = {}) {
      const place = join(folder, "plugin");
      mkdirSync(place);
      writeFileSync(
        join(place, "holdfast.plugin.json"),
        JSON.stringify({ name: "plugin", version: "1.0.0", entry: "./index.ts", skills: ["skill"], dependencies: [] }),
      );
      writeFileSync(
        join(place, "index.ts"),
        `import { appendFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";
import { definePlugin, defineSkill } from "${root}/runtime/index.ts";
const forever = () => new Promise(() => setInterval(() => undefined, 1_000));
const mark = () => appendFileSync(${JSON.stringify(join(folder, "mark"))}, "x");
${source}
const skill = defineSkill({ name: "skill", handles: [{ eventType: "Asked", versions: "1.x" }], run: () => (mark(), forever()) });
export default definePlugin({ skills: [skill] });
`,
      );
      const file = join(folder, "holdfast.config.json");
      const config = {
        sources: [{ queue: "input" }],
        serviceBus: { connectionString: broker.connectionString },
        plugins: ["./plugin"],
        threads: 2,
        stopBudgetMs,
        ...changes,
      };
      writeFileSync(file, JSON.stringify(config));
      return file;
    },
  };
}

interface Silence {
  readonly port: number;
  /** Resolves when somebody connects. */
  readonly nextConnection: () => Promise<unknown>;
}

/** A server that takes every connection and never says a word. */
async function startSilence(t: TestContext): Promise<Silence> {
  const server = createServer((socket) => socket.on("error", () => undefined));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, nextConnection: () => once(server, "connection") };
}

drillOnEach("a worker that is stopped at any moment of its start ends with 0, within the budget", async (t, transport) => {
  const { worker } = await startBench(t);
  const file = worker("", { transport });
  await sweep(t, ["start", "-c", file], (life) => life.says("worker.started"), isLong ? 20 : 5);
});

test("the local broker that is stopped at any moment of its start ends with 0", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-signals-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const isUp = async (life: Life): Promise<void> => {
    const exited = life.done.then(({ stderr }) => assert.fail(stderr));
    await Promise.race([exited, eventually("the broker's folder", () => existsSync(join(folder, "broker.lock")))]);
  };
  await sweep(t, ["broker", "--port", "0", "--queue", "input", "--data", folder], isUp, 4);
});

test("npm start that is stopped at any moment of its start ends with 0, and leaves no process behind", async (t) => {
  for (const afterMs of [0, 400, 1_200, 2_500, 4_000]) {
    const life = live(t, ["dev", "--no-warm-up", "--rate", "20"]);
    await life.says("hears first");
    await moment(afterMs);
    life.kill("SIGINT");
    // Its children share its standard error, which closes when all are gone.
    await assertEnds(life, `${afterMs} ms after it began to hear`);
  }
});

test("a worker is stopped while a plugin's import never ends", async (t) => {
  const { worker, folder } = await startBench(t);
  const life = live(t, ["start", "-c", worker("mark(); await forever();")]);
  await eventually("the import", () => existsSync(join(folder, "mark")), 30_000);
  life.kill("SIGTERM");
  const { stderr } = await assertEnds(life, "during the import");
  assert.match(stderr, /SIGTERM: nothing had started yet/);
});

test("a worker is stopped while its threads never start", async (t) => {
  const { worker, folder } = await startBench(t);
  const life = live(t, ["start", "-c", worker("if (!isMainThread) { mark(); await forever(); }")]);
  await eventually("a thread", () => existsSync(join(folder, "mark")), 30_000);
  life.kill("SIGTERM");
  await assertEnds(life, "while threads start");
});

testOnEach("a worker is stopped while the broker does not answer, or the store", async (t, transport) => {
  const { worker, folder } = await startBench(t);
  const { port, nextConnection } = await startSilence(t);
  const silent = `Endpoint=sb://127.0.0.1:${port};SharedAccessKeyName=a;SharedAccessKey=b;UseDevelopmentEmulator=true`;
  const changes = [{ serviceBus: { connectionString: silent } }, { store: { kind: "redis", url: `redis://127.0.0.1:${port}`, commandTimeoutMs: 60_000 } }];
  for (const change of changes) {
    const connected = nextConnection();
    const life = live(t, ["start", "-c", worker("", { transport, ...change })]);
    await within("a connection", connected, 30_000);
    life.kill("SIGTERM");
    await assertEnds(life, JSON.stringify(change));
    rmSync(join(folder, "plugin"), { recursive: true });
  }
});

/** A worker with a run that never ends, so that its stop takes the whole budget. */
async function startStuck(t: TestContext, more: NodeJS.ProcessEnv = {}): Promise<Life> {
  const { worker, folder } = await startBench(t);
  const file = worker("", { stopBudgetMs: 60_000 });
  const sent = await runCommand(["send", "-c", file, "--event-type", "Asked"], withoutRedis);
  assert.equal(sent.code, 0, sent.stderr);
  const life = live(t, ["start", "-c", file], more);
  await eventually("the run", () => existsSync(join(folder, "mark")), 30_000);
  return life;
}

for (const [first, second] of [
  ["SIGTERM", "SIGTERM"],
  ["SIGINT", "SIGTERM"],
  ["SIGTERM", "SIGINT"],
] as const) {
  test(`a ${second} after a ${first} ends a worker at once with 130, and the log says so`, async (t) => {
    const life = await startStuck(t);
    life.kill(first);
    await life.says('"stopping"');
    life.kill(second);
    const { stderr } = await assertEnds(life, "the second signal", 130);
    assert.match(stderr, new RegExp(`${second}, after ${first}: it ends at once`));
  });
}

test("npm's copy of a signal is not taken for a second one", async (t) => {
  const { worker } = await startBench(t);
  const life = live(t, ["start", "-c", worker("")], { npm_lifecycle_script: "node runtime/cli/main.ts start" });
  await life.says("worker.started");
  life.kill("SIGINT");
  life.kill("SIGINT");
  await life.says('"stopping"');
  life.kill("SIGINT");
  await assertEnds(life, "one Ctrl-C");
});

test("the local broker stops in order when its terminal hangs up", async (t) => {
  const life = live(t, ["broker", "--port", "0", "--queue", "input"]);
  const said = new Promise<void>((resolve) => life.heardOutput(() => resolve()));
  await within("the broker to listen", said, 30_000);
  life.kill("SIGHUP");
  await assertEnds(life, "after a hang-up");
});

test("a worker goes on when its terminal hangs up, and says so", async (t) => {
  const { worker } = await startBench(t);
  const life = live(t, ["start", "-c", worker("")]);
  await life.says("hears first");
  life.kill("SIGHUP");
  await life.says("worker.started");
  life.kill("SIGHUP");
  await life.says("SIGHUP: a worker goes on");
  life.kill("SIGTERM");
  await assertEnds(life, "after a hang-up");
});
