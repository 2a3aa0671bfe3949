// What the built image does; run.ts builds it and says where it is.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, after, test } from "node:test";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { eventually, within } from "../support/eventually.ts";
import { type Mailer, startMailer, writeLocalConfig } from "../support/first-skill.ts";
import { freePort } from "../support/redis-server.ts";
import { type BuiltImage, Image } from "./container.ts";

const megabytesMax = 200;
const folder = mkdtempSync(join(tmpdir(), "holdfast-volume-"));
const image = new Image(JSON.parse(process.env["HOLDFAST_TEST_IMAGE"] ?? "") as BuiltImage, folder);
const event = ["send", "--event-type", "CustomerSignedUp", "--payload", '{"name":"Ada","email":"ada@example.com"}'];
const sigterm = 15;

after(() => rmSync(folder, { recursive: true, force: true }));

interface World {
  readonly broker: Broker;
  readonly mailer: Mailer;
  readonly env: Readonly<Record<string, string>>;
}

async function startWorld(t: TestContext): Promise<World> {
  const mailer = await startMailer();
  const broker = await startBroker({ entities: { queues: [{ name: "customers", deadLetterOnExpiry: true }, "agent-events"] } });
  t.after(async () => {
    await broker.stop();
    await mailer.stop();
  });
  const config = writeLocalConfig(image.path(image.config.WorkingDir), { connectionString: broker.connectionString, mailerUrl: mailer.url });
  t.after(() => rmSync(config));
  return { broker, mailer, env: { HOLDFAST_CONFIG: config.slice(image.path("").length) } };
}

test("what is added to the base is root's, closed to everybody else but for what the worker remembers, and small", (t) => {
  const isOpen = ["(", "!", "-user", "root", "-o", "!", "-type", "l", "-perm", "/022", ")"];
  const open = spawnSync("find", [image.path("opt/holdfast"), image.path("app"), ...isOpen], { encoding: "utf8" });
  assert.deepEqual(open.stdout.split("\n").filter(Boolean), [image.path("app/.holdfast")]);
  const size = spawnSync("du", ["-sm", image.path("opt/holdfast")], { encoding: "utf8" });
  const megabytes = Number.parseInt(size.stdout, 10);
  t.diagnostic(`${megabytes} MB beside the base`);
  assert.ok(megabytes < megabytesMax, `expected less than ${megabytesMax} MB, found ${megabytes}`);
  const packages = ["typescript", "@octokit/webhooks-schemas", "log-update", "selfsigned", "node"].filter((name) =>
    existsSync(image.path(`opt/holdfast/node_modules/${name}`)),
  );
  assert.deepEqual(packages, []);
  assert.match(image.config.User, /^[1-9]\d*:[1-9]\d*$/);
});

test("the README's first skill is registered as it is written there", async () => {
  const { code, said } = await image.run(["skills"]);
  assert.equal(code, 0, said);
  assert.match(said, /greeter +│ CustomerSignedUp 1\.x +│ mailer/);
});

test("the README's test of the first skill passes in the image, with the test kit that lies there", async () => {
  const { code, said } = await image.runInstead(["node", "--test", "--test-reporter=spec", "plugins/greeter/greeter.test.ts"]);
  assert.equal(code, 0, said);
  assert.match(said, /^ℹ pass 3$/m);
});

/** Of a container's start: when there is a worker, and when it has a handler, be it Node's or its own. */
const moments: Readonly<Record<string, (pid: number) => boolean>> = {
  "while node itself starts": (pid) => workerOf(pid) !== undefined,
  "as soon as JavaScript runs": (pid) => catchesSigterm(workerOf(pid)),
};

function catchesSigterm(pid: number | undefined): boolean {
  if (pid === undefined) return false;
  const digits = /^SigCgt:\s*(\w+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  return ((BigInt(`0x${digits}`) >> BigInt(sigterm - 1)) & 1n) === 1n;
}

/** Whether process 1 has become what the image says. */
function isEntered(pid: number): boolean {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(image.config.Entrypoint[0] ?? "");
}

/** The worker is the child of process 1. */
function workerOf(pid: number): number | undefined {
  return Number.parseInt(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"), 10) || undefined;
}

for (const [moment, isReached] of Object.entries(moments)) {
  test(`SIGTERM ${moment} ends the container with 0`, async (t) => {
    const { env } = await startWorld(t);
    const container = image.start(undefined, env);
    t.after(() => container.kill());
    const pid = await container.pid();
    await eventually("process 1 to be the image's own", () => isEntered(pid), 30_000);
    await eventually(moment, () => isReached(pid), 30_000);
    process.kill(pid, "SIGTERM");
    assert.equal(await within("the container to end", container.ended, 10_000), 0, container.said());
  });
}

test("the worker runs the first skill on a read-only tree, says that it is well, and finishes what it holds on SIGTERM", async (t) => {
  const { broker, mailer, env } = await startWorld(t);
  const worker = image.start(undefined, env);
  t.after(() => worker.kill());
  const pid = await worker.pid();
  await eventually("the worker to be well", () => worker.health() === 0, 30_000).catch((error: unknown) => assert.fail(`${String(error)}\n${worker.said()}`));
  assert.match(readFileSync(`/proc/${workerOf(pid)}/status`, "utf8"), new RegExp(`^Uid:\\s+${image.config.User.split(":")[0]}\\s`, "m"));
  assert.match(readFileSync(`/proc/${pid}/mountinfo`, "utf8"), / \/ ro[ ,]/);
  const store = statSync(join(image.volume, "runs.sqlite"));
  assert.equal(String(store.uid), image.config.User.split(":")[0]);
  mailer.hold();
  const sent = await image.run(event, env);
  assert.equal(sent.code, 0, sent.said);
  await eventually("the skill to call the mailer", () => mailer.received.length === 1, 30_000);
  process.kill(pid, "SIGTERM");
  await eventually("the worker to be stopping", () => worker.said().includes('"stopping"'));
  mailer.release();
  assert.equal(await within("the worker to end", worker.ended, 25_000), 0, worker.said());
  assert.match(worker.said(), /worker\.stopped/);
  const { customers } = broker.inspect().queues;
  assert.equal(customers?.totals.completed, 1, worker.said());
  assert.equal(customers.states.locked, 0);
  assert.deepEqual(mailer.received, [{ to: "ada@example.com", text: "Welcome, Ada!" }]);
  assert.equal(broker.inspect().queues["agent-events"]?.states.active, 1);
});

test("the live page, its libraries, probes and metrics are served from the image where the admin server is switched on", async (t) => {
  const { env } = await startWorld(t);
  const worker = image.start(undefined, { ...env, HOLDFAST_ADMIN__PORT: String(await freePort()) });
  t.after(() => worker.kill());
  const [, url = ""] = await eventually("the admin server to say where it is", () => /"url":"(http:[^"]+)"/.exec(worker.said()) ?? undefined, 30_000);
  await eventually("the worker to be ready", async () => (await fetch(`${url}/readyz`)).status === 200, 30_000);
  const served = new Set<string>();
  for (const open = ["/", "/metrics"]; open.length > 0;) {
    const path = open.pop() ?? "";
    if (served.has(path)) continue;
    const answer = await fetch(`${url}${path}`);
    const text = await answer.text();
    assert.equal(answer.status, 200, path);
    assert.notEqual(text, "", path);
    served.add(path);
    // What a document names, and what a module imports of its own.
    if (path === "/") open.push(...Array.from(text.matchAll(/"(\/page\/[^"]+)"/g), ([, named = ""]) => named));
    else open.push(...Array.from(text.matchAll(/from "\.(\/\w+\.js)"/g), ([, named = ""]) => `/page${named}`));
  }
  const expected = ["/page/preact.js", "/page/preact-hooks.js", "/page/uplot.js", "/page/uplot.css", "/page/style.css", "/page/main.js", "/page/chart.js"];
  assert.deepEqual(
    expected.filter((path) => !served.has(path)),
    [],
  );
});

test("a worker that does not work is not well", async (t) => {
  const { broker, env } = await startWorld(t);
  await broker.stop();
  const worker = image.start(undefined, env);
  t.after(() => worker.kill());
  const pid = await worker.pid();
  await eventually("the entry point to run", () => isEntered(pid), 30_000);
  assert.notEqual(worker.health(), 0);
});
