import { strict as assert } from "node:assert";
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { ServiceBusClient } from "@azure/service-bus";
import type { BrokerReady } from "#load/broker/flags.ts";
import { within } from "../support/eventually.ts";

const main = join(import.meta.dirname, "../../load/broker/main.ts");

/** A process starts within this, on a machine that has much else to do. */
const startDeadlineMs = 60_000;

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

test("tells its parent when it listens, and ends when it is told to", async (t) => {
  const child = fork(main, ["--port", "0", "--control-port", "0", "--entities", '{ "queues": ["orders"] }'], { stdio: "inherit" });
  t.after(() => child.kill("SIGKILL"));
  const [ready] = (await within("the broker to be ready", once(child, "message"), startDeadlineMs)) as [BrokerReady];
  assert.equal(ready.type, "ready");
  assert.notEqual(ready.controlPort, ready.port);
  const client = new ServiceBusClient(ready.connectionString);
  await client.createSender("orders").sendMessages({ body: "hello" });
  await client.close();
  const response = await fetch(`http://127.0.0.1:${ready.controlPort}/inspect/orders`);
  assert.equal(((await response.json()) as { states: { active: number } }).states.active, 1);
  child.kill("SIGTERM");
  assert.equal(await within("the broker to end", ended(child), startDeadlineMs), 0);
});

test("reads entities from the vendor's file and prints them", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-broker-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "Config.json");
  await writeFile(
    file,
    `{ // the emulator's
      "UserConfig": { "Namespaces": [{ "Name": "sbemulatorns",
        "Queues": [{ "Name": "queue.1", "Properties": { "LockDuration": "PT1M", "MaxDeliveryCount": 3, "ForwardTo": "" } }],
        "Topics": [{ "Name": "topic.1", "Properties": { "DefaultMessageTimeToLive": "PT1H" },
          "Subscriptions": [{ "Name": "subscription.1", "Properties": {}, "Rules": [] }] }] }],
        "Logging": { "Type": "File" } } }`,
  );
  const child = spawn(process.execPath, [main, "--port", "0", "--config", file], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const lines: string[] = [];
  const printed = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    if (lines.length === 7) printed.resolve();
  });
  await within("the entities to be printed", printed.promise, startDeadlineMs);
  child.kill("SIGINT");
  assert.equal(await within("the broker to end", ended(child), startDeadlineMs), 0);
  assert.match(lines[0] ?? "", /^Endpoint=sb:\/\/127\.0\.0\.1:\d+;.*UseDevelopmentEmulator=true$/);
  assert.deepEqual(lines.slice(4), ["queue: queue.1", "subscription: topic.1/Subscriptions/subscription.1", "topic: topic.1"]);
});

test("says what is wrong with its configuration and ends with 2", async (t) => {
  const child = spawn(process.execPath, [main, "--port", "0", "--entities", '{ "queues": [{ "name": "a", "lockDuration": 5 }] }'], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  // Its streams are closed with it: whatever it said is there by then.
  const closed = once(child, "close");
  const [code] = (await within("the command to end", closed, startDeadlineMs)) as [number | null];
  assert.equal(code, 2, said);
  assert.match(said, /queues\[0\]\.lockDuration: expected one of name, .*lockDurationMs.*found 5/);
});

const longLock = JSON.stringify({ queues: [{ name: "a", lockDurationMs: 300_001 }] });
const longLockOfVendor = JSON.stringify({ UserConfig: { Namespaces: [{ Name: "n", Queues: [{ Name: "a", Properties: { LockDuration: "PT5M0.001S" } }] }] } });

test("refuses settings beyond Azure's bounds by --entities and --config, names what lifts them, and takes them with it", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-broker-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "Config.json");
  await writeFile(file, `\uFEFF${longLockOfVendor.replace("}]}]", "},]},]")}`);
  for (const way of [
    ["--entities", longLock],
    ["--config", file],
  ]) {
    const refused = await runUntil(t, /queue: a/, "--port", "0", ...way);
    assert.equal(refused.code, 2, refused.out);
    assert.match(refused.err, /a\.lockDurationMs: expected at most 300000 .*--relaxed.*found 300001/);
    assert.equal((await runUntil(t, /queue: a/, "--port", "0", "--relaxed", ...way)).code, 0);
  }
  assert.match((await runUntil(t, /./, "--port", "0", "--relaxed", "--strict")).err, /strict and relaxed: expected one of them/);
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs until it ends, or until it has said `until` and is asked to end. */
async function runUntil(t: TestContext, until: RegExp, ...args: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  const text = { out: "", err: "" };
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (text.err += chunk));
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    text.out += chunk;
    if (until.test(text.out)) child.kill("SIGTERM");
  });
  await within("the broker to end", once(child, "close"), 20_000);
  return { ...text, code: child.exitCode };
}

test("takes entities by name, and tells where messages are kept", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-broker-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const data = join(folder, "made", "here");
  const { out, code } = await runUntil(
    t,
    /topic: empty/,
    "--port",
    "0",
    "--queue",
    "orders",
    "--queue",
    "a/b",
    "--topic",
    "news/audit",
    "--topic",
    "news/all",
    "--topic",
    "empty",
    "--data",
    data,
    "--sync",
  );
  assert.equal(code, 0);
  assert.match(out, new RegExp(`messages: kept in ${data}, synced\\ncertificate for TLS: http://127.0.0.1:\\d+/certificate`));
  const entities = out.split("\n").filter((line) => /^(queue|topic|subscription): /.test(line));
  assert.deepEqual(entities, [
    "queue: orders",
    "queue: a/b",
    "subscription: news/Subscriptions/audit",
    "subscription: news/Subscriptions/all",
    "topic: news",
    "topic: empty",
  ]);
});

test("shows no configured key, and none on the way", async (t) => {
  const { out, err } = await runUntil(t, /queue: orders/, "--port", "0", "--queue", "orders", "--key", "worker=verysecret;rights=Listen");
  assert.match(out, /SharedAccessKeyName=worker;SharedAccessKey=…;/);
  assert.ok(!`${out}${err}`.includes("verysecret"));
});

test("says what to do when it cannot start", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  t.after(() => taken.close());
  await once(taken, "listening");
  const port = String((taken.address() as AddressInfo).port);
  for (const [args, message, expected = 2] of [
    [["--port", port], new RegExp(`expected port ${port} to be free, found somebody listening there.*choose another with --port`), 1],
    [["--port", "x"], /--port: expected a port from 0 to 65535, found x/],
    [["--queue", "a", "--entities", "{}"], /expected one way to say which entities there are, found --entities beside --queue and --topic/],
    [["--config", "/nowhere.json"], /--config: expected a file that can be read, found ENOENT/],
    [["--sync"], /expected --data with --sync, found none/],
    [["--host", "0.0.0.0"], /expected keys with the address 0\.0\.0\.0/],
    [["--data", main], /expected a folder that can be written to, found E.*; name another one, or mend that/],
    [["--tls-cert", main, "--tls-key", main], /expected a certificate and its key, both PEM, found/],
  ] as const) {
    const { code, err } = await runUntil(t, /nothing/, "--port", "0", ...args);
    assert.equal(code, expected, args.join(" "));
    assert.match(err, message);
  }
});
