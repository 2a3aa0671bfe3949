// The engine's client against a server on rhea, and our transport against a Service Bus made of one.
import { strict as assert } from "node:assert";
import { after, before, describe, test } from "node:test";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import type { SettleOrder } from "#runtime/ports/transport.ts";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { attachedReceiver, attachedSender, Signal } from "../amqp/support/loopback.ts";
import { certificate, key } from "../amqp/support/certificate.ts";
import { eventually } from "../support/eventually.ts";
import { connectTo, engineChecks, type EngineServer, plainLogin, sendAll } from "./engine-checks.ts";
import { peerOf } from "./peers.ts";
import { type RheaServer, rheaUser, startRheaServer } from "./rhea-server.ts";
import { startRheaServiceBus } from "./rhea-service-bus.ts";

const peer = await peerOf("rhea");

describe(`${peer.title} as a server, used by our engine`, () => {
  let plain: RheaServer;
  let secure: RheaServer;
  before(async () => {
    plain = await startRheaServer();
    secure = await startRheaServer({ transport: "tls", key, cert: certificate, ca: [certificate], requestCert: true, rejectUnauthorized: true });
  });
  after(async () => {
    await plain[Symbol.asyncDispose]();
    await secure[Symbol.asyncDispose]();
  });

  const login = plainLogin(rheaUser.username, rheaUser.password);
  const shown = { ca: certificate, key, cert: certificate, servername: "localhost" };
  const server: EngineServer = {
    dialOptions: () => ({ host: "127.0.0.1", port: plain.port, sasl: login }),
    ways: () => ({
      ANONYMOUS: { sasl: { mechanism: "ANONYMOUS" } },
      "no SASL": { sasl: undefined },
      "EXTERNAL over TLS": { port: secure.port, tls: shown, sasl: { mechanism: "EXTERNAL" } },
      "PLAIN over TLS": { port: secure.port, tls: shown },
    }),
    wrongWays: () => ({
      "a wrong password": { sasl: plainLogin(rheaUser.username, "wrong") },
      "TLS without a certificate": { port: secure.port, tls: { ca: certificate, servername: "localhost" } },
      "TLS that is not trusted": { port: secure.port, tls: { ...shown, ca: undefined } },
      "no TLS where it is wanted": { port: secure.port },
    }),
    addressOf: (queue) => queue,
    drains: true,
    redelivers: true,
  };
  engineChecks(server);

  test("tells a link's end with its error, and the session and others go on", async () => {
    await using client = await connectTo(server);
    const session = client.connection.begin({});
    const ends = { sender: new Signal<LinkEnd>("the sender's end"), receiver: new Signal<LinkEnd>("the receiver's end") };
    await attachedSender(session, { name: "out", target: { address: "ended" } }, { onDetach: (_sender, end) => ends.sender.set(end) });
    const receiver = await attachedReceiver(
      session,
      { name: "in", source: { address: "ended" } },
      { onDelivery: () => undefined, onDetach: (_receiver, end) => ends.receiver.set(end) },
    );
    receiver.addCredit(10);
    await eventually("rhea to know the connection", () => plain.connections.size > 0);
    plain.detach("ended", "amqp:link:detach-forced");
    for (const end of [await ends.sender.wait(), await ends.receiver.wait()])
      assert.deepEqual([end.by, end.error?.condition, end.error?.description], ["peer", "amqp:link:detach-forced", "as the test wants it"]);
    assert.deepEqual(await sendAll(client.connection, "others", [10]), ["accepted"]);
  });

  test("refuses a link to what is not there, and says why", async () => {
    await using client = await connectTo(server);
    const ended = new Signal<LinkEnd>("the refusal");
    client.connection.begin({}).openSender({ name: "none", target: { address: "missing" } }, { onDetach: (_sender, end) => ended.set(end) });
    assert.equal((await ended.wait()).error?.condition, "amqp:not-found");
  });

  test("tells a connection's end with its error", async () => {
    const client = await connectTo(server);
    await eventually("rhea to know the connection", () => plain.connections.size > 0);
    for (const connection of plain.connections) connection.close({ condition: "amqp:connection:forced", description: "maintenance" });
    const end = await client.closed.wait();
    assert.deepEqual([end.by, end.error?.condition, end.error?.description], ["peer", "amqp:connection:forced", "maintenance"]);
  });
});

async function endBoth(ours: { stop(): Promise<void> }, theirs: AsyncDisposable): Promise<void> {
  await ours.stop();
  await theirs[Symbol.asyncDispose]();
}

describe(`${peer.title} as a Service Bus, used by our transport`, () => {
  test("receives, renews and settles with every outcome in one tick", async (t) => {
    const bus = await startRheaServiceBus();
    const transport = createAmqpTransport({ connectionString: bus.connectionString, clock: systemClock, entity: { queue: "orders" } });
    t.after(() => endBoth(transport, bus));
    await transport.start();
    const got: Delivery[] = [];
    const receiver = transport.openReceiver({ deliveries: (batch) => got.push(...batch), disturbed: (error) => assert.fail(error) });
    const count = 600;
    bus.put(count);
    receiver.addCredit(count);
    await eventually("all messages", () => got.length === count);
    assert.deepEqual(
      got.map(({ messageId, attempt, sequenceNumber }) => [messageId, attempt, sequenceNumber]),
      got.map((_, index) => [`m${index}`, 1, BigInt(index + 1)]),
    );
    const renewed = await transport.renew(got);
    assert.ok(renewed.every((result) => result.kind === "renewed" && result.lockedUntilMs === Date.UTC(2100, 0, 1)));
    const orderOf = (delivery: Delivery, index: number): SettleOrder =>
      index % 3 === 0
        ? { verb: "complete", delivery }
        : index % 3 === 1
          ? { verb: "dead-letter", delivery, reason: "r", description: "d" }
          : { verb: "defer", delivery };
    const results = await transport.settle(got.map(orderOf));
    assert.ok(results.every((result) => result === "settled"));
    const expected = ["accepted", "rejected", "modified"];
    for (let index = 0; index < count; index++) assert.equal(bus.outcomes.get(`m${index}`)?.[0], expected[index % 3], `m${index}`);
    assert.ok(bus.asked.includes(`renew-lock ${count}`), bus.asked.join());
  });

  test("opens a lost link again, and settles over management what came by the old one", async (t) => {
    const bus = await startRheaServiceBus();
    const transport = createAmqpTransport({ connectionString: bus.connectionString, clock: systemClock, entity: { queue: "orders" } });
    t.after(() => endBoth(transport, bus));
    await transport.start();
    const got: Delivery[] = [];
    const troubles: string[] = [];
    const receiver = transport.openReceiver({ deliveries: (batch) => got.push(...batch), disturbed: (error) => troubles.push(error.message) });
    receiver.addCredit(10);
    bus.put(3);
    await eventually("three messages", () => got.length === 3);
    bus.detach();
    await eventually("the link's loss", () => troubles.length === 1);
    assert.deepEqual(await transport.settle(got.map((delivery) => ({ verb: "complete", delivery }))), ["settled", "settled", "settled"]);
    assert.equal(bus.asked.filter((operation) => operation === "update-disposition 1").length, 3);
    bus.put(2);
    await eventually("two more, by another link", () => got.length === 5);
  });

  test("sends messages one by one and in batches", async (t) => {
    const bus = await startRheaServiceBus();
    const publisher = createAmqpPublisher({ connectionString: bus.connectionString, clock: systemClock });
    t.after(() => endBoth(publisher, bus));
    await publisher.start();
    const bodies = Array.from({ length: 500 }, (_, index) => `${index}`);
    const messages = bodies.map((text) => ({ messageId: text, body: Buffer.from(text), headers: { eventId: text } }));
    await publisher.send("orders", messages.slice(0, 1));
    await publisher.send("orders", messages.slice(1));
    assert.deepEqual(bus.taken, bodies);
  });
});
