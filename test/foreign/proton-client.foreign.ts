// The broker, used by Qpid Proton: the binding for Python, and the programs in C and C++ that come with the library.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { accessKey, runPython, startForeignBroker } from "./clients.ts";
import { peerOf } from "./peers.ts";

const inPython = await peerOf("protonPython");
const programs = await peerOf("protonPrograms");

const plainQueues = ["plain", "orders", "settled", "many", "small", "drained", "quiet", "names", "left", "large", "mixed"];
const entities = { queues: [...plainQueues, { name: "sessions", requiresSession: true }], topics: [{ name: "news", subscriptions: ["readers"] }] };

test(inPython.title, { skip: inPython.skip }, async (t) => {
  const { broker, certificatePath, troubles } = await startForeignBroker(t, entities);
  await runPython(t, "proton_client.py", [broker.host, String(broker.port), accessKey.name, accessKey.key, certificatePath]);
  const { queues, connections } = broker.inspect();
  const { completed, deadLettered } = queues["mixed"]?.totals ?? {};
  assert.deepEqual([completed, deadLettered, connections], [666, 334, 0]);
  // What the client did wrong on purpose, and nothing else.
  assert.deepEqual(
    troubles.filter((trouble) => !/^TLS: |ended by sasl: .* the credentials were refused$/.test(trouble)),
    [],
  );
});

const programMsMax = 120_000;

/** Runs one of the programs and returns what it said. */
async function run(t: TestContext, name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const child = spawn(join(programs.folder, name), args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
    signal: t.signal,
    timeout: programMsMax,
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text: Buffer) => (said += text.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  assert.equal(code, 0, said);
  return said;
}

describe(programs.title, { skip: programs.skip }, () => {
  test("send.c and receive.c", async (t) => {
    const { broker } = await startForeignBroker(t, entities, "open");
    const where = [broker.host, String(broker.port), "plain", "100"];
    assert.match(await run(t, "send", where), /100 messages sent and acknowledged/);
    const said = await run(t, "receive", where);
    assert.deepEqual([said.match(/"sequence"=\d+/g)?.length ?? 0, broker.inspect().queues["plain"]?.totals.completed], [100, 100]);
  });

  test("send-abort.c, whose messages end before they are whole", async (t) => {
    const { broker, troubles } = await startForeignBroker(t, entities, "open");
    const where = [broker.host, String(broker.port), "plain", "20"];
    assert.match(await run(t, "send-abort", where), /aborted/);
    await run(t, "send", where);
    const said = await run(t, "receive", where);
    assert.deepEqual([said.match(/"sequence"=\d+/g)?.length, broker.inspect().queues["plain"]?.totals.completed, troubles], [20, 20, []]);
  });

  test("simple_send.cpp and simple_recv.cpp", async (t) => {
    const { broker } = await startForeignBroker(t, entities, "open");
    const where = ["-a", `${broker.host}:${broker.port}/plain`, "-m", "100"];
    assert.match(await run(t, "simple_send", where), /all messages confirmed/);
    const said = await run(t, "simple_recv", where);
    assert.deepEqual([said.match(/sequence/g)?.length, broker.inspect().queues["plain"]?.totals.completed], [100, 100]);
  });

  test("service_bus.cpp, with sessions by name and as the next, over TLS", async (t) => {
    const { broker, certificatePath } = await startForeignBroker(t, entities);
    const said = await run(t, "service_bus", ["-n", `localhost:${broker.port}`, "-p", accessKey.name, "-k", accessKey.key, "-e", "sessions"], {
      SSL_CERT_FILE: certificatePath,
    });
    const granted = [...said.matchAll(/receiving messages with session identifier "?(\w+)"?/g)].map(([, name = ""]) => name);
    assert.deepEqual(
      [granted.slice(0, 2), granted.slice(2).toSorted()],
      [
        ["green", "red"],
        ["black", "blue", "yellow"],
      ],
      said,
    );
    assert.deepEqual(said.match(/ {3}received message: /g)?.length, 7, said);
  });
});
