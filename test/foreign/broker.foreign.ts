// The broker, used by clients of others: Qpid Proton, and Azure's own SDK for Python over TLS. The JavaScript SDK and rhea
// use it in test/broker.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createServer } from "node:tls";
import { generate } from "selfsigned";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { python } from "./packages.ts";

const entities = { queues: ["orders", "plain", "many", { name: "sessions", requiresSession: true }], topics: [{ name: "news", subscriptions: ["readers"] }] };

async function start(t: TestContext): Promise<{ readonly broker: Broker; readonly troubles: string[] }> {
  const troubles: string[] = [];
  const broker = await startBroker({ entities, log: (message) => troubles.push(message) });
  t.after(() => broker.stop());
  return { broker, troubles };
}

/** Runs a client and returns what it found. */
async function run(script: string, ...args: readonly string[]): Promise<Record<string, unknown>> {
  const child = spawn(python, [join(import.meta.dirname, "clients", script), ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) child[name].on("data", (text: Buffer) => (output[name] += text.toString()));
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 0, output.stderr);
  return JSON.parse(output.stdout) as Record<string, unknown>;
}

test("Qpid Proton sends, receives, settles and is refused", async (t) => {
  const { broker, troubles } = await start(t);
  const found = await run("proton_client.py", `amqp://user:password@${broker.host}:${broker.port}`);
  assert.deepEqual(found, {
    mechanisms: { ANONYMOUS: "open", PLAIN: "open" },
    sent: [true, true, true, true, true],
    received: [["m0", "foreign", 0, 6, 0], ["m1", "foreign", 1, 7, 0], ["m2", "foreign", 2, 6, 0], ["m3", "foreign", 3, 6, 0], ["m4", "foreign", 4, 200_000, 0]],
    again: [["m1", 0], ["m3", 1]],
    settledAsSent: ["0", "1", "2"],
    manyInOrder: true,
    refused: ["amqp:not-found", "amqp:not-found"],
  });
  const { queues, connections } = broker.inspect();
  assert.deepEqual([queues["orders"]?.totals.completed, queues["orders"]?.totals.deadLettered, queues["many"]?.totals.completed, connections], [4, 1, 2000, 0]);
  assert.deepEqual(troubles, []);
});

/** Takes TLS on a port of its own and passes what is inside on to the broker. */
async function startTls(t: TestContext, broker: Broker): Promise<{ readonly port: number; readonly certificatePath: string }> {
  const { cert, private: key } = await generate([{ name: "commonName", value: "localhost" }], { extensions: [{ name: "basicConstraints", cA: true }, { name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] }] });
  const server = createServer({ cert, key, noDelay: true }, (outside) => {
    const inside = connect({ port: broker.port, host: broker.host, noDelay: true });
    outside.pipe(inside).pipe(outside);
    for (const socket of [outside, inside]) socket.on("error", () => [outside, inside].forEach((each) => each.destroy()));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const folder = await mkdtemp(join(tmpdir(), "holdfast-tls-"));
  const certificatePath = join(folder, "certificate.pem");
  await writeFile(certificatePath, cert);
  t.after(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { port: (server.address() as AddressInfo).port, certificatePath };
}

test("Azure's Python SDK does what it can do to queues, sessions and topics", async (t) => {
  const { broker, troubles } = await start(t);
  const { port, certificatePath } = await startTls(t, broker);
  const found = await run("azure_client.py", broker.connectionString.replace(/sb:\/\/[^;]+/, "sb://localhost"), String(port), certificatePath);
  assert.deepEqual(found, {
    received: [["complete", "foreign", 0], ["abandon", "foreign", 0], ["dead", "foreign", 0], ["defer", "foreign", 0], ["batched", null, 0]],
    again: [["abandon", 1]],
    renewed: true,
    deferred: ["defer"],
    deadLetters: [["dead", "bad", "very bad"]],
    peeked: ["later"],
    receivedAndDeleted: ["0", "1", "2"],
    large: 200_000,
    sessionState: "half way",
    session: ["b", ["b0", "b1", "b2"]],
    nextSession: ["a", ["a0", "a1", "a2"]],
    subscription: ["told"],
    refused: [true, true],
  });
  assert.deepEqual(troubles, []);
});
