// What is on its way to a receiver is held to the room that there is for its bytes, by a broker that knows of credit alone otherwise.
import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import type { ServiceBusMessage } from "@azure/service-bus";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { SharedConnection } from "#runtime/adapters/amqp/shared-connection.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import type { Transport } from "#runtime/ports/transport.ts";
import { startBroker } from "#load/broker/broker.ts";
import { flow, FrameCounter } from "../support/amqp-frames.ts";
import { eventually, within } from "../support/eventually.ts";
import { type Adapter, numbered, startTransportBench, type TransportBench } from "../support/transport-bench.ts";

const adapter: Adapter = {
  newTransport: (connectionString, entity) => createAmqpTransport({ connectionString, entity, clock: systemClock, answerTimeoutMs: 2_000 }),
  newPublisher: (connectionString) => createAmqpPublisher({ connectionString, clock: systemClock, answerTimeoutMs: 1_500 }),
};
const frameBytes = 65_536;
const largeBytes = 200_000;
const roomBytes = 1_200_000;

function large(count: number, prefix: string): ServiceBusMessage[] {
  return Array.from({ length: count }, (_, index) => ({ messageId: `${prefix}${index}`, body: Buffer.alloc(largeBytes) }));
}

async function sendEach(bench: TransportBench, messages: readonly ServiceBusMessage[], entity?: string): Promise<void> {
  for (const message of messages) await bench.send([message], entity);
}

async function complete(transport: Transport, deliveries: readonly Delivery[]): Promise<void> {
  const results = await transport.settle(deliveries.map((delivery) => ({ verb: "complete", delivery })));
  assert.ok(results.every((result) => result === "settled"));
}

function bytesOf(deliveries: readonly Delivery[]): number {
  return deliveries.reduce((sum, { body }) => sum + body.byteLength, 0);
}

/** A receiver that holds what comes until it is let go. */
function receiveWithin(transport: Transport, bytes: number) {
  const held: Delivery[] = [];
  let asked = 0;
  const receiver = transport.openReceiver({
    deliveries: (batch) => void held.push(...batch),
    disturbed: () => undefined,
    bytesRoom: (arrivingBytes) => {
      asked += 1;
      return Math.max(bytes - bytesOf(held), held.length === 0 ? arrivingBytes + frameBytes : 0);
    },
  });
  return { held, receiver, asked: () => asked };
}

async function scene(t: TestContext) {
  const frames = new FrameCounter();
  const bench = await startTransportBench(t, adapter, frames.look);
  return { bench, transport: await bench.startTransport(), frames };
}

test("messages that are far larger than those before them come only as there is room for their bytes, and each once", async (t) => {
  const { bench, transport } = await scene(t);
  await bench.send(numbered(200));
  await sendEach(bench, large(20, "large"));
  const { held, receiver, asked } = receiveWithin(transport, roomBytes);
  receiver.addCredit(500);
  await eventually("small ones", () => held.length >= 200);
  let served = 0;
  while (served < 220) {
    const isAll = (): boolean => served + held.length === 220;
    // As many as fit whole: of the next a part may have come.
    await eventually("the room to be used up", () => isAll() || bytesOf(held) > roomBytes - largeBytes - frameBytes);
    const before = asked();
    assert.ok(bytesOf(held) <= roomBytes, `expected at most ${roomBytes} bytes, got ${bytesOf(held)}`);
    const done = held.splice(0);
    served += done.length;
    await complete(transport, done);
    receiver.widen?.();
    if (served < 220) await eventually("room to be asked for again", () => asked() > before);
  }
  const { totals } = bench.account("input");
  assert.deepEqual([totals.completed, totals.delivered], [220, 220]);
});

test("a receiver that stops while the room is used up gives back what was still on its way, and counts none of it as a delivery", async (t) => {
  const { bench, transport } = await scene(t);
  await sendEach(bench, large(12, "large"));
  const { held, receiver } = receiveWithin(transport, roomBytes);
  receiver.addCredit(500);
  await eventually("the room to be used up", () => bytesOf(held) > roomBytes - largeBytes - frameBytes);
  await within("the receiver to stop", receiver.stop(), 2_000);
  await complete(transport, held);
  await eventually("the rest to be back", () => bench.account("input").states.active === 12 - held.length);
  const again = receiveWithin(transport, 12 * largeBytes);
  again.receiver.addCredit(500);
  await eventually("the rest", () => again.held.length === 12 - held.length);
  assert.ok(again.held.every(({ attempt }) => attempt === 1));
});

test("the message of a session waits for room for its bytes, and comes when there is some", async (t) => {
  const bench = await startTransportBench(t, adapter);
  const transport = await bench.startTransport({ queue: "sessions" });
  await sendEach(
    bench,
    large(1, "m").map((message) => ({ ...message, sessionId: "s" })),
    "sessions",
  );
  const session = await within("a session", transport.acceptSession(5_000));
  assert.ok(session !== undefined);
  const got: Delivery[] = [];
  let room = 0;
  const asked: number[] = [];
  session.listen({
    delivery: (delivery) => void got.push(delivery),
    lost: () => undefined,
    bytesRoom: (arrivingBytes) => {
      asked.push(arrivingBytes);
      return room;
    },
  });
  session.receive();
  await eventually("its room to be asked for", () => asked.length > 0);
  room = 2 * frameBytes;
  session.widen?.();
  await eventually("a part of it to come", () => asked.some((bytes) => bytes > frameBytes));
  assert.equal(got.length, 0);
  room = largeBytes + frameBytes;
  session.widen?.();
  await eventually("the message", () => got.length === 1);
  assert.equal(got[0]?.body.byteLength, largeBytes);
});

test("while there is room for all, no more flows are sent than without a bound", async (t) => {
  const flows: number[] = [];
  for (const isBound of [false, true]) {
    const { bench, transport, frames } = await scene(t);
    await bench.send(numbered(2_000));
    const got: Delivery[] = [];
    const receiver = transport.openReceiver({
      deliveries: (batch) => {
        got.push(...batch);
        void transport.settle(batch.map((delivery) => ({ verb: "complete", delivery }))).then((results) => receiver.addCredit(results.length));
      },
      disturbed: () => undefined,
      ...(isBound && { bytesRoom: () => 48 * 1024 * 1024 }),
    });
    const before = frames.of(flow);
    receiver.addCredit(200);
    await eventually("all of them", () => bench.account("input").totals.completed === 2_000);
    flows.push(frames.of(flow) - before);
  }
  t.diagnostic(`flows for 2 000 messages: ${flows.join(" without, ")} with a bound`);
  assert.ok(flows[1]! <= flows[0]! * 1.5 + 5, flows.join(" → "));
});

test("large messages of several sources may come together on the connection that they share", async (t) => {
  const largeBytesMax = 100 * 1024 * 1024;
  const queues = ["a", "b"].map((name) => ({ name, messageBytesMax: largeBytesMax }));
  const broker = await startBroker({ entities: { queues } });
  const { connectionString } = broker;
  const shared = new SharedConnection({ connectionString, clock: systemClock });
  const transports = queues.map(({ name }) => createAmqpTransport({ connectionString, clock: systemClock, entity: { queue: name } }, shared));
  const publisher = createAmqpPublisher({ connectionString, clock: systemClock });
  t.after(async () => {
    await Promise.all([publisher, ...transports].map((part) => part.stop()));
    await broker.stop();
  });
  await Promise.all([publisher, ...transports].map((part) => part.start()));
  const body = Buffer.alloc(0.55 * largeBytesMax);
  for (const { name } of queues) await publisher.send(name, [{ messageId: name, body, headers: {} }]);
  const trouble: unknown[] = [];
  const got: number[] = [];
  const come = transports.map(() => 0);
  // Each waits until nearly all of both has come.
  const nearlyAll = 0.52 * largeBytesMax;
  const receivers = transports.map((transport, index) =>
    transport.openReceiver({
      deliveries: (batch) => void got.push(...batch.map(({ body: { byteLength } }) => byteLength)),
      disturbed: (error) => void trouble.push(error),
      bytesRoom: (arrivingBytes) => {
        come[index] = Math.max(come[index] ?? 0, arrivingBytes);
        return Math.min(...come) > nearlyAll - 2 * frameBytes ? Number.POSITIVE_INFINITY : nearlyAll;
      },
    }),
  );
  for (const receiver of receivers) receiver.addCredit(1);
  await eventually(
    "both messages",
    () => {
      for (const receiver of receivers) receiver.widen?.();
      return got.length + trouble.length >= 2;
    },
    30_000,
  );
  assert.deepEqual([got, trouble], [[body.byteLength, body.byteLength], []]);
});
