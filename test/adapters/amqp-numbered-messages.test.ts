import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { BrokerConnection } from "#runtime/adapters/amqp/broker-connection.ts";
import { Management } from "#runtime/adapters/amqp/management.ts";
import { parseNamespace } from "#runtime/adapters/amqp/namespace.ts";
import { cancelScheduled, receiveDeferred, scheduleMessages } from "#runtime/adapters/amqp/numbered-messages.ts";
import { SettleGroup } from "#runtime/adapters/amqp/settle-group.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { TransportError } from "#runtime/core/errors.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { numbered } from "../support/transport-bench.ts";

async function start(t: TestContext): Promise<BrokerBench & { readonly management: Management }> {
  const bench = await startBench(t, { entities: { queues: ["input"] }, record: true });
  const broker = new BrokerConnection({
    namespace: parseNamespace({ connectionString: bench.broker.connectionString }),
    clock: systemClock,
    answerTimeoutMs: 2_000,
  });
  const management = new Management({ broker, address: "input", clock: systemClock, answerTimeoutMs: 2_000 });
  t.after(async () => {
    management.stop();
    await broker.stop();
  });
  await management.start();
  return { ...bench, management };
}

test("schedules messages, says their numbers and cancels them by these", async (t) => {
  const { management, account, client } = await start(t);
  const atMs = Date.now() + 3_600_000;
  const messages = ["a", "b", "c"].map((messageId) => ({ messageId, body: Buffer.from(messageId), headers: { kind: "late" }, scheduledAtMs: atMs }));
  const numbers = await scheduleMessages(management, messages);
  assert.equal(numbers.length, 3);
  assert.equal(account("input").states.scheduled, 3);
  await cancelScheduled(management, numbers.slice(0, 2));
  const [left, none] = await client.createReceiver("input").peekMessages(3);
  assert.deepEqual(
    [left?.messageId, left?.applicationProperties, left?.state, left?.sequenceNumber?.toString(), none],
    ["c", { kind: "late" }, "scheduled", String(numbers[2]), undefined],
  );
  await assert.rejects(
    cancelScheduled(management, [987_654n]),
    (error) => error instanceof TransportError && /expected cancel-scheduled-message to be carried out, found/.test(error.message),
  );
});

test("receives what was deferred, and settles and renews it", async (t) => {
  const { management, account, client } = await start(t);
  await client.createSender("input").sendMessages(numbered(3));
  const receiver = client.createReceiver("input");
  const numbers: bigint[] = [];
  for (const message of await receiver.receiveMessages(3)) {
    numbers.push(BigInt(String(message.sequenceNumber)));
    await receiver.deferMessage(message);
  }
  const deliveries = await receiveDeferred(management, numbers);
  assert.deepEqual(
    deliveries.map(({ messageId, sequenceNumber }) => [messageId, sequenceNumber]),
    numbers.map((number, index) => [`m${index}`, number]),
  );
  assert.equal(Buffer.from(deliveries[1]!.body).toString(), "body 1");
  const renewed = await management.renew(deliveries);
  assert.deepEqual(
    [...renewed.values()].map(({ kind }) => kind),
    ["renewed", "renewed", "renewed"],
  );
  const group = new SettleGroup(3, 0);
  (["complete", "defer", "abandon"] as const).forEach((verb, index) => {
    const delivery = deliveries[index]!;
    Object.assign(delivery, { group, index, order: { verb, delivery } });
    delivery.home.settle(delivery, { verb, delivery });
  });
  assert.deepEqual(await group.whenAll, ["settled", "settled", "settled"]);
  assert.equal(account("input").totals.completed, 1);
  await assert.rejects(receiveDeferred(management, [numbers[0]!]), TransportError);
});

test("refuses more messages than fit into one request", async (t) => {
  const { management } = await start(t);
  await assert.rejects(
    cancelScheduled(management, Array<bigint>(251).fill(1n)),
    /expected at most 250 messages to cancel in one request, found 251; make several/,
  );
});
