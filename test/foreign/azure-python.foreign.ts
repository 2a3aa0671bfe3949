// The broker, used by Azure's SDK for Python: AMQP and administration over TLS, with the certificate that the broker made.
import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import { runPython, startForeignBroker } from "./clients.ts";
import { peerOf } from "./peers.ts";

const peer = await peerOf("azurePython");

const ofTheirOwn = ["stamped", "batches", "settled", "deferred", "deleted", "scheduled", "peeked", "large", "prefetched", "woken", "drained"];
const entities = {
  queues: [
    ...ofTheirOwn,
    { name: "renewed", lockDurationMs: 4_000 },
    { name: "lost", lockDurationMs: 1_000 },
    { name: "exhausted", deliveryCountMax: 3 },
    { name: "fleeting", deadLetterOnExpiry: true },
    { name: "once", requiresDuplicateDetection: true },
    { name: "sessions", requiresSession: true },
    { name: "no-sessions", requiresSession: true },
    { name: "brief-sessions", requiresSession: true, lockDurationMs: 4_000 },
  ],
  topics: [{ name: "news", subscriptions: ["all", { name: "sport", rules: [{ name: "sport", sql: "sys.Label = 'sport'", action: "SET seen = 'yes'" }] }] }],
};

async function runScript(t: TestContext, script: string): Promise<void> {
  const { broker, certificatePath, secureConnectionString, troubles } = await startForeignBroker(t, entities);
  await runPython(t, script, [secureConnectionString, String(broker.port), certificatePath], { REQUESTS_CA_BUNDLE: certificatePath });
  assert.deepEqual([broker.inspect().connections, troubles], [0, []]);
}

for (const [what, script] of [
  ["messages", "azure_messages.py"],
  ["sessions", "azure_sessions.py"],
  ["administration", "azure_administration.py"],
] as const) {
  test(`${peer.title}: ${what}`, { skip: peer.skip }, (t) => runScript(t, script));
}
