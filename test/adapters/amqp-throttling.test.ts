// How the fast transport keeps to the pause that a throttled namespace asks for, on a clock that the test turns.
import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { TransportError } from "#runtime/core/errors.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import type { Transport } from "#runtime/ports/transport.ts";
import { type BrokerBench, startBench } from "../support/broker.ts";
import { eventually, within } from "../support/eventually.ts";
import { ManualClock, runtimeClock } from "../support/manual-clock.ts";
import { Inbox, numbered } from "../support/transport-bench.ts";

const pauseMs = 10_000;

interface Throttled extends BrokerBench {
  readonly manual: ManualClock;
  throttle(): void;
  /** Requests that were refused since. */
  refusals(): number;
  /** Waits until this many were refused and the client has been notified: its own answers came before one to somebody else. */
  refused(count: number): Promise<void>;
}

async function start(t: TestContext): Promise<Throttled> {
  const bench = await startBench(t, { entities: { queues: ["input", "other", { name: "sessions", requiresSession: true }] }, record: true });
  const refusals = (): number => bench.broker.faults.list()[0]?.hits ?? 0;
  return {
    ...bench,
    manual: new ManualClock(),
    throttle: () => void bench.broker.faults.add({ kind: "throttle", target: "input" }),
    refusals,
    async refused(count) {
      await eventually(`${count} refusals`, () => refusals() === count);
      await bench.client.createReceiver("other").peekMessages(1);
    },
  };
}

async function startPublisher(t: TestContext, { broker, manual }: Throttled): Promise<Publisher> {
  const publisher = createAmqpPublisher({ connectionString: broker.connectionString, clock: runtimeClock(manual) });
  t.after(() => publisher.stop());
  await publisher.start();
  // The link is there before the trouble begins.
  await publisher.send("input", messages("first"));
  return publisher;
}

async function startTransport(t: TestContext, { broker, manual }: Throttled): Promise<Transport> {
  const transport = createAmqpTransport({ connectionString: broker.connectionString, entity: { queue: "input" }, clock: runtimeClock(manual) });
  t.after(() => transport.stop());
  await transport.start();
  return transport;
}

function messages(...ids: readonly string[]): OutgoingMessage[] {
  return ids.map((messageId) => ({ messageId, body: Buffer.alloc(1), headers: {} }));
}

/** A batch of its own, for it leaves no room for another message. */
function large(messageId: string): OutgoingMessage {
  return { messageId, body: Buffer.alloc(900_000), headers: {} };
}

test("sends nothing until the pause is over, then what was refused, once and in order", async (t) => {
  const bench = await start(t);
  const { manual, broker, account } = bench;
  const publisher = await startPublisher(t, bench);
  bench.throttle();
  const sends = [publisher.send("input", ["a", "b", "c"].map(large))];
  await bench.refused(3);
  sends.push(publisher.send("input", messages("d")));
  manual.advance(pauseMs - 1);
  await bench.refused(3);
  assert.equal(account("input").totals.accepted, 1);
  broker.faults.clear();
  manual.advance(1);
  await within("all to be sent", Promise.all(sends));
  assert.deepEqual(
    [...(broker.outcomes("input") ?? [])],
    ["first", "a", "b", "c", "d"].map((id) => [id, ["accepted"]]),
  );
});

test("says so to whoever sends when the namespace is throttled for longer", async (t) => {
  const bench = await start(t);
  const publisher = await startPublisher(t, bench);
  bench.throttle();
  const refused = assert.rejects(publisher.send("input", messages("a", "b")), (error) => {
    assert.ok(error instanceof TransportError);
    assert.equal(error.retryAfterMs, pauseMs);
    assert.match(error.message, /expected to send to input, found com\.microsoft:server-busy/);
    return true;
  });
  await bench.refused(1);
  bench.manual.advance(pauseMs);
  await within("the refusal to be told", refused);
  assert.equal(bench.refusals(), 2);
});

test("a sender that is refused its link is opened again after the pause", async (t) => {
  const bench = await start(t);
  const publisher = createAmqpPublisher({ connectionString: bench.broker.connectionString, clock: runtimeClock(bench.manual) });
  t.after(() => publisher.stop());
  await publisher.start();
  bench.throttle();
  const sent = publisher.send("input", messages("a"));
  await bench.refused(1);
  bench.broker.faults.clear();
  bench.manual.advance(pauseMs);
  await within("the message to be sent", sent);
  assert.equal(bench.account("input").totals.accepted, 1);
});

test("a publisher that stops does not wait for the pause", async (t) => {
  const bench = await start(t);
  const publisher = await startPublisher(t, bench);
  bench.throttle();
  const refused = assert.rejects(publisher.send("input", messages("a")), TransportError);
  await bench.refused(1);
  await within("the publisher to stop", Promise.all([publisher.stop(), refused]));
});

test("a receiver that is refused its link is opened again after the pause", async (t) => {
  const bench = await start(t);
  const { manual, broker } = bench;
  await bench.client.createSender("input").sendMessages(numbered(1));
  const transport = await startTransport(t, bench);
  bench.throttle();
  const inbox = new Inbox(transport);
  inbox.addCredit(1);
  const [error] = await eventually("the listener to hear of it", () => (inbox.disturbances.length > 0 ? inbox.disturbances : undefined));
  assert.equal(error?.retryAfterMs, pauseMs);
  manual.advance(pauseMs - 1);
  await assert.rejects(transport.hasBacklog(), TransportError);
  assert.equal(bench.refusals(), 2, "expected the link and the look to be refused, and nothing else");
  broker.faults.clear();
  manual.advance(1);
  assert.equal((await inbox.at(0)).messageId, "m0");
});

test("asks nothing of the entity until the pause is over", async (t) => {
  const bench = await start(t);
  const { manual, broker } = bench;
  await bench.client.createSender("input").sendMessages(numbered(2));
  const transport = await startTransport(t, bench);
  const inbox = new Inbox(transport);
  inbox.addCredit(2);
  const deliveries = await inbox.upTo(2);
  bench.throttle();
  assert.deepEqual(await transport.renew(deliveries), [{ kind: "unknown" }, { kind: "unknown" }]);
  assert.equal(bench.refusals(), 1);
  manual.advance(pauseMs - 1);
  assert.deepEqual(await transport.renew(deliveries), [{ kind: "unknown" }, { kind: "unknown" }]);
  await assert.rejects(transport.hasBacklog(), (error) => error instanceof TransportError && error.retryAfterMs === 1);
  assert.equal(bench.refusals(), 1);
  // Settling needs no request, and goes on.
  assert.deepEqual(await transport.settle([{ verb: "complete", delivery: deliveries[0]! }]), ["settled"]);
  broker.faults.clear();
  manual.advance(1);
  assert.deepEqual(
    (await transport.renew(deliveries.slice(1))).map(({ kind }) => kind),
    ["renewed"],
  );
});

test("a session's state is not refused by a namespace that is throttled: it is taken another time", async (t) => {
  const bench = await start(t);
  const { manual, broker } = bench;
  await bench.client.createSender("sessions").sendMessages({ sessionId: "a", body: Buffer.alloc(1) });
  const transport = createAmqpTransport({ connectionString: broker.connectionString, entity: { queue: "sessions" }, clock: runtimeClock(manual) });
  t.after(() => transport.stop());
  await transport.start();
  const session = await transport.acceptSession(10_000);
  assert.ok(session !== undefined);
  session.listen({ delivery: () => undefined, lost: () => undefined });
  broker.faults.add({ kind: "throttle", target: "sessions" });
  assert.equal(await session.setState(Buffer.from("1")), "unknown");
  broker.faults.clear();
  manual.advance(pauseMs);
  assert.equal(await session.setState(Buffer.from("1")), "settled");
});
