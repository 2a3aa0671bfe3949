// The world around the worker has worked before a trial, and nothing of it is left.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { warmUp, warmUpQueue } from "#load/dev/warm-up.ts";
import type { BrokerAccount } from "#load/dev/broker-account.ts";
import { startBroker } from "#load/broker/index.ts";
import { StandInControl } from "#load/stand-ins/client.ts";
import { startStandIns } from "#load/stand-ins/stand-ins.ts";
import { composePublisher } from "#runtime/compose/broker.ts";

test("a warm-up passes messages through its own queue alone and leaves none, and its calls are forgotten", async (t) => {
  const broker = await startBroker({ entities: { queues: ["agent-input", warmUpQueue] } });
  t.after(() => broker.stop());
  const standIns = await startStandIns();
  t.after(() => standIns.stop());
  const config = { serviceBus: { connectionString: broker.connectionString }, transport: "amqp" } as const;
  const publisher = await composePublisher(config);
  await publisher.start();
  t.after(() => publisher.stop());
  const control = new StandInControl(standIns.controlUrl);
  let looks = 0;
  const account = async (): Promise<BrokerAccount> => {
    looks += 1;
    return { accepted: 0, copies: 0, completed: 0, deadLettered: 0, ready: 0, queued: 0, expiredLocks: 0 };
  };
  await warmUp({ config, broker: { account }, publisher, standIns: control, standInUrls: standIns.urls });
  const queues = Object.values(broker.inspect().queues);
  const totalsOf = (path: string) => queues.find((queue) => queue.path === path)?.totals;
  assert.ok((totalsOf(warmUpQueue)?.completed ?? 0) > 500, JSON.stringify(totalsOf(warmUpQueue)));
  assert.equal(totalsOf(warmUpQueue)?.accepted, totalsOf(warmUpQueue)?.completed);
  assert.equal(totalsOf("agent-input")?.accepted, 0);
  assert.ok(looks > 0);
  for (const [name, { effects, hung }] of Object.entries(await control.summary())) assert.deepEqual({ name, effects, hung }, { name, effects: 0, hung: 0 });
});
