import { strict as assert } from "node:assert";
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { ServiceBusClient } from "@azure/service-bus";
import type { BrokerReady } from "#load/broker/command.ts";
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

test("says what is wrong with its configuration and ends with 1", async (t) => {
  const child = spawn(process.execPath, [main, "--port", "0", "--entities", '{ "queues": [{ "name": "a", "lockDuration": 5 }] }'], { stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  // Its streams are closed with it: whatever it said is there by then.
  const closed = once(child, "close");
  const [code] = (await within("the command to end", closed, startDeadlineMs)) as [number | null];
  assert.equal(code, 1, said);
  assert.match(said, /queues\[0\]\.lockDuration: expected one of name, .*lockDurationMs.*found 5/);
});
