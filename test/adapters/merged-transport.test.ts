import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { mergeTransports, readBesideSessions } from "#runtime/adapters/merged/transport.ts";
import { createServiceBusTransport } from "#runtime/adapters/service-bus/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { Clock } from "#runtime/core/clock.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import { TransportError } from "#runtime/core/errors.ts";
import type { Receiver, ReceiverListener, SettleOrder, Transport } from "#runtime/ports/transport.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";
import { type Entity, Inbox, numbered } from "../support/transport-bench.ts";
import { testOnEach } from "../support/transports.ts";

const entities = { queues: ["retry"], topics: [{ name: "news", subscriptions: ["reader"] }] };
const subscription = "news/Subscriptions/reader";

const makers: Readonly<Record<TransportKind, (options: { readonly connectionString: string; readonly entity: Entity; readonly clock: Clock }) => Transport>> = {
  sdk: createServiceBusTransport,
  amqp: createAmqpTransport,
};

interface Bench extends BrokerBench {
  readonly transport: Transport;
  send(entity: "news" | "retry", count: number): Promise<void>;
}

/** `clock`: the merged transport's own; those it is made of have the system's. */
async function start(t: TestContext, kind: TransportKind, clock: Clock = systemClock): Promise<Bench> {
  const bench = await startBench(t, { entities, record: true });
  const { connectionString } = bench.broker;
  const make = makers[kind];
  const transport = mergeTransports(
    make({ connectionString, entity: { topic: "news", subscription: "reader" }, clock: systemClock }),
    make({ connectionString, entity: { queue: "retry" }, clock: systemClock }),
    clock,
  );
  t.after(() => transport.stop());
  await transport.start();
  return {
    ...bench,
    transport,
    async send(entity, count) {
      await bench.client.createSender(entity).sendMessages(numbered(count, entity));
    },
  };
}

function completions(deliveries: readonly Delivery[]): SettleOrder[] {
  return deliveries.map((delivery) => ({ verb: "complete", delivery }));
}

function fromRetry(deliveries: readonly Delivery[]): readonly Delivery[] {
  return deliveries.filter(({ messageId }) => messageId.startsWith("retry"));
}

/** Takes all of `counts`, and returns the deliveries of both sources in turn. */
async function takeMixed(bench: Bench, count: number): Promise<readonly Delivery[]> {
  await bench.send("news", count);
  await bench.send("retry", count);
  const inbox = new Inbox(bench.transport);
  inbox.addCredit(count * 20);
  const all = await inbox.upTo(count * 2);
  const retried = fromRetry(all);
  assert.equal(retried.length, count);
  const others = all.filter((delivery) => !retried.includes(delivery));
  return others.flatMap((delivery, index) => [delivery, retried[index]!]);
}

testOnEach("settles each delivery where it came from, and answers in the order that was asked", async (t, kind) => {
  const bench = await start(t, kind);
  const mixed = await takeMixed(bench, 3);
  assert.deepEqual(await bench.transport.settle(completions(mixed.slice(0, 4))), Array(4).fill("settled"));
  assert.equal(bench.account(subscription).totals.completed, 2);
  assert.equal(bench.account("retry").totals.completed, 2);
  // A second order is refused, so that each answer tells which order it belongs to.
  const [fresh, retried] = [mixed[4]!, mixed[5]!];
  assert.deepEqual(await bench.transport.settle(completions([mixed[1]!, fresh, mixed[0]!, retried])), ["unknown", "settled", "unknown", "settled"]);
  assert.equal(bench.account(subscription).totals.completed, 3);
  assert.equal(bench.account("retry").totals.completed, 3);
});

testOnEach("renews each lock where it was given, and answers in the order that was asked", async (t, kind) => {
  const bench = await start(t, kind);
  const mixed = await takeMixed(bench, 2);
  await bench.transport.settle(completions([mixed[1]!, mixed[2]!]));
  const results = await bench.transport.renew(mixed);
  assert.deepEqual(
    results.map(({ kind }) => kind === "renewed"),
    [true, false, false, true],
  );
});

testOnEach("never takes more than was granted, and leaves the retry source a tenth at most", async (t, kind) => {
  const bench = await start(t, kind);
  await bench.send("news", 200);
  await bench.send("retry", 200);
  const inbox = new Inbox(bench.transport);
  inbox.addCredit(100);
  await inbox.upTo(100);
  assert.equal(fromRetry(inbox.deliveries).length, 10);
  // The broker has let go of no more than that: what is locked is what was handed over.
  assert.equal(bench.account(subscription).states.locked, 90);
  assert.equal(bench.account("retry").states.locked, 10);
  await inbox.receiver.stop();
  assert.equal(inbox.deliveries.length, 100);
});

testOnEach("the retry source never holds more than 32 credits", async (t, kind) => {
  const bench = await start(t, kind);
  await bench.send("retry", 100);
  const inbox = new Inbox(bench.transport);
  inbox.addCredit(900);
  inbox.addCredit(100);
  await inbox.upTo(32);
  assert.deepEqual([inbox.deliveries.length, bench.account("retry").states.locked], [32, 32]);
});

testOnEach("one credit at a time goes to the main source, save for about every tenth when the retry source has something", async (t, kind) => {
  const bench = await start(t, kind);
  await bench.send("news", 100);
  await bench.send("retry", 100);
  const inbox = new Inbox(bench.transport);
  for (let granted = 1; granted <= 60; granted++) {
    inbox.addCredit(1);
    await inbox.upTo(granted);
  }
  const retried = fromRetry(inbox.deliveries).length;
  assert.ok(retried >= 3 && retried <= 6, `expected about 5 of 60, found ${retried}`);
});

testOnEach("one credit at a time never waits with a retry source that is empty", async (t, kind) => {
  // It stands still: a pause would have no end.
  const bench = await start(t, kind, runtimeClock(new ManualClock()));
  await bench.send("news", 60);
  const inbox = new Inbox(bench.transport);
  for (let granted = 1; granted <= 60; granted++) {
    inbox.addCredit(1);
    await inbox.upTo(granted);
  }
});

testOnEach("a single credit that lies idle goes where there is something to bring, again and again", async (t, kind) => {
  const bench = await start(t, kind);
  const inbox = new Inbox(bench.transport);
  let count = 0;
  for (const source of ["retry", "news", "retry", "retry", "news"] as const) {
    inbox.addCredit(1);
    await bench.send(source, 1);
    const delivery = await inbox.at(count);
    count += 1;
    assert.ok(delivery.messageId.startsWith(source));
    assert.deepEqual(await bench.transport.settle(completions([delivery])), ["settled"]);
  }
  await inbox.receiver.stop();
  assert.deepEqual([bench.account(subscription).totals.completed, bench.account("retry").totals.completed, inbox.deliveries.length], [2, 3, 5]);
});

testOnEach("a single credit is not spent twice while it moves, and what is granted meanwhile is not lost", async (t, kind) => {
  const bench = await start(t, kind);
  const inbox = new Inbox(bench.transport);
  inbox.addCredit(1);
  await eventually("the credit to be with the main source", () => bench.account(subscription).receivers === 1);
  await bench.send("retry", 5);
  await eventually("the credit to be taken back", () => bench.account(subscription).receivers === 0);
  inbox.addCredit(99);
  await bench.send("news", 5);
  await inbox.upTo(10);
  assert.equal(bench.account("retry").totals.delivered + bench.account(subscription).totals.delivered, 10);
});

testOnEach("an empty retry source keeps nothing from the main one but its own part", async (t, kind) => {
  const bench = await start(t, kind);
  await bench.send("news", 50);
  const inbox = new Inbox(bench.transport);
  inbox.addCredit(2);
  for (let taken = 1; taken <= 50; taken++) {
    await inbox.upTo(taken);
    inbox.addCredit(1);
  }
  assert.equal(fromRetry(inbox.deliveries).length, 0);
});

testOnEach("says that there is a backlog when either source has one", async (t, kind) => {
  const bench = await start(t, kind);
  assert.equal(await bench.transport.hasBacklog(), false);
  await bench.send("retry", 1);
  assert.equal(await bench.transport.hasBacklog(), true);
  const inbox = new Inbox(bench.transport);
  inbox.addCredit(20);
  await bench.transport.settle(completions(await inbox.upTo(1)));
  assert.equal(await bench.transport.hasBacklog(), false);
  await inbox.receiver.stop();
  await bench.send("news", 1);
  assert.equal(await bench.transport.hasBacklog(), true);
});

testOnEach("makes both connections again when it is told to", async (t, kind) => {
  const bench = await start(t, kind);
  const held = await takeMixed(bench, 1);
  const before = bench.broker.inspect().connections;
  await bench.transport.reconnect();
  assert.deepEqual(await bench.transport.settle(completions(held)), ["settled", "settled"]);
  assert.equal(await bench.transport.hasBacklog(), false);
  await eventually("as many connections as before", () => bench.broker.inspect().connections === before);
});

testOnEach("passes on that either source is disturbed", async (t, kind) => {
  const bench = await start(t, kind);
  const inbox = new Inbox(bench.transport);
  inbox.addCredit(20);
  await eventually("both receivers", () => bench.account("retry").receivers > 0 && bench.account(subscription).receivers > 0);
  await bench.broker.stop();
  await eventually("two disturbances", () => inbox.disturbances.length >= 2);
});

testOnEach("does not start when the retry source does not exist, and leaves nothing open once it is stopped", async (t, kind) => {
  const { broker } = await startBench(t, { entities });
  const { connectionString } = broker;
  const transport = mergeTransports(
    makers[kind]({ connectionString, entity: { topic: "news", subscription: "reader" }, clock: systemClock }),
    makers[kind]({ connectionString, entity: { queue: "nowhere" }, clock: systemClock }),
    systemClock,
  );
  await assert.rejects(transport.start(), (error) => error instanceof TransportError && error.message.includes("nowhere"));
  await transport.stop();
  await eventually("no connection", () => broker.inspect().connections === 0);
});

/** What the two sources are told, of a reader that bounds the bytes that may come. */
function listenersOf(bytesRoom: (arrivingBytes: number) => number): readonly ReceiverListener[] {
  const listeners: ReceiverListener[] = [];
  const receiver: Receiver = { addCredit: () => undefined, stop: async () => undefined };
  const part = {
    openReceiver: (listener: ReceiverListener): Receiver => {
      listeners.push(listener);
      return receiver;
    },
  } as Transport;
  mergeTransports(part, part, systemClock).openReceiver({ deliveries: () => undefined, disturbed: () => undefined, bytesRoom });
  return listeners;
}

test("a message that has come is not counted any more as one that comes in part", () => {
  const arriving: number[] = [];
  const bytesRoom = (bytes: number): number => {
    arriving.push(bytes);
    return 1_000_000;
  };
  const [main, retry] = listenersOf(bytesRoom);
  main?.bytesRoom?.(5_000);
  main?.deliveries([{} as Delivery]);
  retry?.bytesRoom?.(0);
  assert.deepEqual(arriving, [5_000, 0]);
});

test("the two sources together have no more bytes on their way than there is room for, and each enough for frames to come", () => {
  const frameBytes = 65_536;
  for (const room of [4 * frameBytes, 100 * frameBytes, Number.POSITIVE_INFINITY]) {
    for (const [ofMain, ofRetry] of [
      [0, 0],
      [frameBytes, 0],
      [frameBytes, frameBytes],
    ] as const) {
      // A message that comes in part is let come on.
      const listeners = listenersOf((arrivingBytes) => Math.max(room, arrivingBytes + 4 * frameBytes));
      const granted = (): number[] => [ofMain, ofRetry].map((bytes, index) => listeners[index]?.bytesRoom?.(bytes) ?? Number.NaN);
      granted();
      const [main = 0, retry = 0] = granted();
      assert.ok(main - ofMain >= 2 * frameBytes && retry - ofRetry >= 2 * frameBytes, `room ${room}: ${main} and ${retry}`);
      assert.ok(main + retry <= Math.max(room, ofMain + ofRetry + 4 * frameBytes), `room ${room}: ${main} and ${retry}`);
    }
  }
});

test("what waits in sessions is no backlog of the retry queue that is read beside them", async () => {
  const holding = (hasBacklog: boolean): Transport => ({ hasBacklog: async () => hasBacklog }) as Transport;
  assert.equal(await readBesideSessions(holding(true), holding(false), systemClock).hasBacklog(), false);
  assert.equal(await readBesideSessions(holding(false), holding(true), systemClock).hasBacklog(), true);
});
