import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { timestamp } from "#runtime/amqp/codec/types.ts";
import { BrokerConnection, type OpenConnection } from "#runtime/adapters/amqp/broker-connection.ts";
import type { AmqpDelivery } from "#runtime/adapters/amqp/delivery.ts";
import { Management } from "#runtime/adapters/amqp/management.ts";
import { parseNamespace } from "#runtime/adapters/amqp/namespace.ts";
import { ReceivingLink } from "#runtime/adapters/amqp/receiving-link.ts";
import { SettleGroup } from "#runtime/adapters/amqp/settle-group.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { Clock } from "#runtime/core/clock.ts";
import { eventually, within } from "../support/eventually.ts";
import { startScriptedService } from "../support/scripted-service.ts";

const lockMs = 60_000;
const hourMs = 3_600_000;

interface Bench {
  readonly link: ReceivingLink;
  readonly deliveries: AmqpDelivery[];
  readonly ended: () => boolean;
  /** Turns the monotonic clock on. */
  readonly pass: (ms: number) => void;
  /** What the link waits for is over. */
  readonly ring: () => void;
}

/** A link with two messages, from a service that never answers what is done to them. */
async function start(t: TestContext): Promise<Bench> {
  const service = await startScriptedService(t, {
    onReceiver(request) {
      let sent = 0;
      const message = encodeMessage({ messageAnnotations: { "x-opt-locked-until": timestamp(Date.now() + lockMs) }, body: { data: Buffer.from("body") } });
      request.acceptAsSender(
        { settles: "owner" },
        {
          // A drain is not answered either.
          onDrain() {},
          onSendable(sender) {
            while (sent < 2 && sender.send(message, undefined, Buffer.alloc(16, sent)) !== undefined) sent += 1;
          },
        },
      );
    },
  });
  let passedMs = 0;
  // What the clock on the wall shows is of no account.
  const clock: Clock = { ...systemClock, wallMs: () => Date.now() + 2 * hourMs, monotonicMs: () => systemClock.monotonicMs() + passedMs };
  const broker = new BrokerConnection({ namespace: parseNamespace({ connectionString: service.connectionString }), clock, answerTimeoutMs: 500 });
  t.after(() => broker.stop());
  const connection = await new Promise<OpenConnection>((opened) => {
    broker.join({ wantsConnection: () => true, opened, closed() {} });
    broker.want();
  });
  const deliveries: AmqpDelivery[] = [];
  const timers = new Set<() => void>();
  let isEnded = false;
  const link = new ReceivingLink({
    connection: connection.engine,
    address: "input",
    name: "link",
    clock: { ...clock, after: (_delayMs, action) => ({ cancel: timers.add(action).delete.bind(timers, action) }) },
    management: new Management({ broker, address: "input", clock, answerTimeoutMs: 500 }),
    attached() {},
    bytesRoom: () => Number.POSITIVE_INFINITY,
    arrived: (batch) => void deliveries.push(...batch),
    ended() {
      isEnded = true;
    },
  });
  link.addCredit(2);
  await eventually("both messages", () => deliveries.length === 2);
  return { link, deliveries, ended: () => isEnded, pass: (ms) => void (passedMs += ms), ring: () => timers.forEach((action) => action()) };
}

function unsettled(link: ReceivingLink): number {
  let count = 0;
  link.forEachUnsettled(() => (count += 1));
  return count;
}

test("a sweep leaves alone what may still be settled", async (t) => {
  const { link, deliveries, ended, pass } = await start(t);
  link.sweep();
  pass(lockMs + 200_000);
  link.sweep();
  assert.deepEqual([unsettled(link), ended(), deliveries.some(({ isLost }) => isLost)], [2, false, false]);
});

test("a sweep gives back what was never settled, and ends a link that does not answer even that", async (t) => {
  const { link, deliveries, ended, pass } = await start(t);
  pass(hourMs);
  link.sweep();
  assert.deepEqual([deliveries.every(({ isLost }) => isLost), ended()], [true, false]);
  link.sweep();
  await eventually("the link to be over", ended);
});

test("a sweep ends a link on which settlements were never answered, once nobody waits for them", async (t) => {
  const { link, deliveries, ended, pass } = await start(t);
  const group = new SettleGroup(1, 0);
  const delivery = deliveries[0]!;
  Object.assign(delivery, { group, order: { verb: "complete", delivery }, index: 0 });
  link.settle(delivery, { verb: "complete", delivery });
  pass(hourMs);
  link.sweep();
  assert.equal(ended(), false, "expected an order that is waited for to keep the link");
  group.giveUp();
  link.sweep();
  await eventually("the link to be over", ended);
});

test("a link whose drain gets no answer is ended, so that it is given nothing more", async (t) => {
  const { link, ended, ring } = await start(t);
  link.addCredit(3);
  const retired = link.retire();
  ring();
  await within("its end", retired);
  assert.equal(ended(), true);
});
