// The broker, used by amqp10, a client for Node that shares nothing with rhea.
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { test } from "node:test";
import { accessKey, runChecks, startForeignBroker } from "./clients.ts";
import { peerOf } from "./peers.ts";

const peer = await peerOf("amqp10");

test(peer.title, { skip: peer.skip }, async (t) => {
  const { broker, troubles } = await startForeignBroker(t, { queues: ["plain", "large"] });
  const url = `amqp://${accessKey.name}:${accessKey.key}@${broker.host}:${broker.port}`;
  await runChecks(t, process.execPath, [join(import.meta.dirname, "clients/amqp10.ts"), peer.folder, url]);
  const { completed, deadLettered } = broker.inspect().queues["plain"]?.totals ?? {};
  assert.deepEqual([completed, deadLettered, troubles], [20, 10, []]);
});
