// What each outcome of a delivery does to its delivery count and its place, on clients of the engine: the SDK has no word for
// some of them.
import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import { accepted, type DeliveryState, modified, released } from "#runtime/amqp/message/delivery-state.ts";
import type { Delivery, Receiver } from "#runtime/amqp/link/receiver.ts";
import { inspectionTable, entityTable, messagesTable } from "#load/broker/control/tables.ts";
import { attachedReceiver } from "../amqp/support/loopback.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { connectWire } from "../support/broker-wire.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";

const lockDurationMs = 30_000;
const entities = {
  queues: [
    { name: "orders", lockDurationMs, deliveryCountMax: 2 },
    { name: "steps", lockDurationMs, deliveryCountMax: 2, requiresSession: true },
  ],
};
const kinds = [
  ["a queue", "orders", undefined],
  ["a session", "steps", "a"],
] as const;

interface Bench extends BrokerBench {
  readonly clock: ManualClock;
  readonly send: (count: number) => Promise<void>;
  /** A receiver with a connection of its own. */
  readonly open: () => Promise<Inbox>;
}

/** A receiver, and what it has got. */
interface Inbox {
  readonly receiver: Receiver;
  readonly got: Delivery[];
  readonly cut: () => void;
  /** Takes some more, and waits for them. */
  readonly take: (count: number) => Promise<Delivery[]>;
}

async function start(t: TestContext, queue: string, sessionId: string | undefined): Promise<Bench> {
  const clock = new ManualClock();
  const bench = await startBench(t, { entities, clock });
  const filter = sessionId === undefined ? {} : { filter: { "com.microsoft:session-filter": sessionId } };
  return {
    ...bench,
    clock,
    send: (count) =>
      bench.client
        .createSender(queue)
        .sendMessages(Array.from({ length: count }, (_, i) => ({ body: i, messageId: `m${i}`, ...(sessionId !== undefined && { sessionId }) }))),
    async open() {
      const { connection, socket } = await connectWire(t, bench.broker);
      const got: Delivery[] = [];
      const receiver = await attachedReceiver(
        connection.begin({}),
        { name: "taker", source: { address: queue, ...filter }, receiverSettleMode: "second" },
        { onDelivery: (delivery) => got.push(delivery) },
      );
      return {
        receiver,
        got,
        cut: () => socket.destroy(),
        async take(count) {
          const before = got.length;
          receiver.addCredit(count);
          await eventually(`${count} deliveries`, () => got.length === before + count);
          return got.slice(before);
        },
      };
    },
  };
}

const told = (deliveries: readonly Delivery[]): (readonly [string | undefined, number | undefined])[] =>
  deliveries.map(({ message }) => [message.text("messageId"), message.deliveryCount] as const);

for (const [kind, queue, sessionId] of kinds) {
  test(`counts no delivery that is released, however often, and has it back at its place in ${kind} at once`, async (t) => {
    const { send, open, account } = await start(t, queue, sessionId);
    await send(3);
    const inbox = await open();
    for (let round = 0; round < 5; round++) {
      const taken = await inbox.take(3);
      assert.deepEqual(told(taken), [
        ["m0", 0],
        ["m1", 0],
        ["m2", 0],
      ]);
      // Whatever the order in which they are let go.
      for (const delivery of taken.toReversed()) delivery.settle(released);
      await eventually("them to be back", () => account(queue).states.active === 3);
    }
    assert.deepEqual([account(queue).totals.released, account(queue).totals.delivered, account(queue).states.deadLettered], [15, 15, 0]);
  });

  const counted: readonly (readonly [what: string, state: DeliveryState])[] = [
    ["modified", modified({ deliveryFailed: true })],
    ["modified without a failure", modified({})],
  ];
  for (const [what, state] of counted) {
    test(`counts a delivery that is ${what} in ${kind}, and dead-letters it after the last`, async (t) => {
      const { send, open, account } = await start(t, queue, sessionId);
      await send(1);
      const inbox = await open();
      for (const tries of [0, 1]) {
        const [delivery] = await inbox.take(1);
        assert.equal(delivery?.message.deliveryCount, tries);
        delivery?.settle(state);
      }
      await eventually("it to be dead-lettered", () => account(queue).states.deadLettered === 1);
      assert.equal(account(queue).totals.abandoned, 2);
    });
  }

  test(`counts a delivery in ${kind} whose lock ends, and not one that was released before`, async (t) => {
    const { send, open, account, clock } = await start(t, queue, sessionId);
    await send(2);
    const inbox = await open();
    const [first] = await inbox.take(2);
    first?.settle(released);
    await eventually("the first to be back", () => account(queue).states.active === 1);
    clock.advance(lockDurationMs);
    await eventually("the other lock to end", () => account(queue).states.active === 2);
    assert.deepEqual(told(await (await open()).take(2)), [
      ["m0", 0],
      ["m1", 1],
    ]);
  });
}

for (const how of ["link", "connection"] as const) {
  test(`keeps what a closed ${how} left unsettled locked until its lock ends, then counts it; what it released comes back at once, uncounted`, async (t) => {
    const { send, open, account, clock } = await start(t, "orders", undefined);
    await send(3);
    const inbox = await open();
    const [first] = await inbox.take(2);
    first?.settle(released);
    await eventually("the first to be back", () => account("orders").states.active === 2);
    if (how === "link") inbox.receiver.close();
    else inbox.cut();
    await eventually("the receiver to be gone", () => account("orders").receivers === 0);
    assert.deepEqual([account("orders").states.locked, account("orders").states.active], [1, 2]);
    const other = await open();
    const others = await other.take(2);
    assert.deepEqual(told(others), [
      ["m0", 0],
      ["m2", 0],
    ]);
    for (const delivery of others) delivery.settle(accepted);
    await eventually("them to be completed", () => account("orders").totals.completed === 2);
    clock.advance(lockDurationMs - 1);
    assert.equal(account("orders").states.locked, 1);
    clock.advance(1);
    assert.deepEqual(told(await other.take(1)), [["m1", 1]]);
  });

  test(`gives up the session of a closed ${how}: what was unsettled is back at its place, and no delivery is counted`, async (t) => {
    const { send, open, account } = await start(t, "steps", "a");
    await send(3);
    const inbox = await open();
    const [, second] = await inbox.take(3);
    second?.settle(released);
    await eventually("the second to be back", () => account("steps").states.active === 1);
    if (how === "link") inbox.receiver.close();
    else inbox.cut();
    await eventually("all to be back", () => account("steps").states.active === 3);
    assert.deepEqual(told(await (await open()).take(3)), [
      ["m0", 0],
      ["m1", 0],
      ["m2", 0],
    ]);
  });
}

test("inspection shows how many deliveries were released and abandoned, and how many tries of each message count", async (t) => {
  const { send, open, account, broker } = await start(t, "orders", undefined);
  await send(2);
  const inbox = await open();
  const [first, second] = await inbox.take(2);
  first?.settle(released);
  second?.settle(modified({ deliveryFailed: true }));
  await eventually("both to be back", () => account("orders").states.active === 2);
  const page = broker.inspectMessages("orders");
  assert.ok(page);
  assert.deepEqual(
    page.messages.map(({ messageId, deliveryCount }) => [messageId, deliveryCount]),
    [
      ["m0", 0],
      ["m1", 1],
    ],
  );
  const none = { messages: [], next: null };
  assert.match(entityTable(account("orders"), none, none, 120), /2 delivered, 1 abandoned, 1 released/);
  assert.match(messagesTable(page.messages, undefined, 120), /tries[\s\S]*m1\s+active\s+1/);
  const { queues } = broker.inspect();
  assert.match(inspectionTable({ connections: undefined, queues, topics: {} }, 120), /released/);
});
