// The broker, used by Azure's SDK for JavaScript as the project pins it, and by newer ones, in plain TCP and over TLS.
import { strict as assert } from "node:assert";
import { join, resolve } from "node:path";
import { test, type TestContext } from "node:test";
import { accessKey, runChecks, startForeignBroker } from "./clients.ts";
import { peerOf, type PeerName } from "./peers.ts";

const plain = ["settled", "bodies", "fields", "large", "subscribed", "scheduled", "orders", "drained", "deleted", "peeked", "letters", "emptied"];
const entities = {
  queues: [...plain, { name: "brief", lockDurationMs: 2_000 }, { name: "sessions", requiresSession: true }, { name: "no-sessions", requiresSession: true }],
  topics: [{ name: "news", subscriptions: ["all", "few"] }],
};
const script = join(import.meta.dirname, "clients/azure_sdk.ts");
const pinned = resolve(import.meta.dirname, "../..");

async function run(t: TestContext, folder: string, transport: "plain" | "tls"): Promise<void> {
  const { broker, certificatePath, troubles } = await startForeignBroker(t, entities);
  const secure = `Endpoint=sb://localhost:${broker.port};SharedAccessKeyName=${accessKey.name};SharedAccessKey=${accessKey.key}`;
  await runChecks(t, process.execPath, [script, folder, transport === "tls" ? secure : broker.connectionString, transport], {
    NODE_EXTRA_CA_CERTS: certificatePath,
  });
  assert.deepEqual(troubles, []);
}

for (const name of ["azureJs", "azureJsNewest", "azureJsNext"] as const satisfies readonly PeerName[]) {
  const peer = await peerOf(name);
  for (const transport of ["plain", "tls"] as const) {
    test(`${peer.title}, ${transport === "tls" ? "over TLS" : "in plain TCP"}`, { skip: peer.skip }, (t) =>
      run(t, name === "azureJs" ? pinned : peer.folder, transport),
    );
  }
}
