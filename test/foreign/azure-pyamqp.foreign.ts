// The broker, used by the AMQP under Azure's newer SDKs for Python: it reads the fields of frames by their place.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { accessKey, runPython, startForeignBroker } from "./clients.ts";
import { peerOf } from "./peers.ts";

const peer = await peerOf("azurePyamqp");
const entities = { queues: ["plain", "large", "settled", "outcomes", "managed"] };

test(peer.title, { skip: peer.skip }, async (t) => {
  const { broker, certificatePath, troubles } = await startForeignBroker(t, entities);
  await runPython(t, "azure_pyamqp.py", [String(broker.port), accessKey.name, accessKey.key, certificatePath]);
  assert.equal(broker.inspect().connections, 0);
  // It goes on in a session that it has ended, once a link in it was refused.
  assert.deepEqual(
    troubles.filter((trouble) => !trouble.endsWith("amqp:not-allowed expected the channel of a session, found 1")),
    [],
  );
});
