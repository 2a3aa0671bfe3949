// The engine's client against RabbitMQ and its AMQP 1.0 plugin.
import { strict as assert } from "node:assert";
import { after, before, describe, test } from "node:test";
import { generate } from "selfsigned";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { modified } from "#runtime/amqp/message/delivery-state.ts";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { attachedReceiver, Signal } from "../amqp/support/loopback.ts";
import { eventually } from "../support/eventually.ts";
import { connectTo, engineChecks, type EngineServer, plainLogin, sendAll } from "./engine-checks.ts";
import { peerOf } from "./peers.ts";
import { type RabbitMq, startRabbitMq } from "./rabbitmq-server.ts";

const peer = await peerOf("rabbitmq");

describe(`${peer.title}, used by our engine`, { skip: peer.skip }, () => {
  let rabbit: RabbitMq;
  let shown: { readonly ca: string; readonly cert: string; readonly key: string; readonly servername: string };
  before(async () => {
    const algorithms = { keyType: "ec", algorithm: "sha256" } as const;
    const authority = await generate([{ name: "commonName", value: "authority" }], {
      ...algorithms,
      extensions: [
        { name: "basicConstraints", cA: true },
        { name: "keyUsage", keyCertSign: true },
      ],
    });
    // The server and the client show the same certificate: RabbitMQ takes its name for the user's.
    const { cert, private: key } = await generate([{ name: "commonName", value: "guest" }], {
      ...algorithms,
      extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] }],
      ca: { key: authority.private, cert: authority.cert },
    });
    shown = { ca: authority.cert, cert, key, servername: "localhost" };
    rabbit = await startRabbitMq({ authority: authority.cert, certificate: cert, key });
  });
  after(() => rabbit[Symbol.asyncDispose]());

  const server: EngineServer = {
    dialOptions: () => ({ host: "127.0.0.1", port: rabbit.port, hostname: "vhost:/", sasl: plainLogin("guest", "guest") }),
    ways: () => ({
      ANONYMOUS: { sasl: { mechanism: "ANONYMOUS" } },
      "PLAIN over TLS": { port: rabbit.securePort, tls: { ...shown, cert: undefined, key: undefined } },
      "EXTERNAL over TLS": { port: rabbit.securePort, tls: shown, sasl: { mechanism: "EXTERNAL" } },
    }),
    wrongWays: () => ({
      "a wrong password": { sasl: plainLogin("guest", "wrong") },
      "EXTERNAL without a certificate": { port: rabbit.securePort, tls: { ...shown, cert: undefined, key: undefined }, sasl: { mechanism: "EXTERNAL" } },
      "TLS that is not trusted": { port: rabbit.securePort, tls: { servername: "localhost" } },
    }),
    addressOf: (queue) => `/queue/${queue}`,
    // RabbitMQ 3.10 ends the session over a drain, with an error of its own.
    drains: false,
    redelivers: true,
  };
  engineChecks(server);

  test("takes settled messages, in the measure of credit", async () => {
    await using client = await connectTo(server);
    const address = server.addressOf("settled");
    const got: boolean[] = [];
    const receiver = await attachedReceiver(
      client.connection.begin({}),
      { name: "settled", source: { address }, senderSettleMode: "settled" },
      { onDelivery: ({ settled }) => got.push(settled) },
    );
    await sendAll(client.connection, address, [10, 20, 30], true);
    receiver.addCredit(2);
    await eventually("two messages", () => got.length === 2);
    receiver.addCredit(50);
    await eventually("the third", () => got.length === 3);
    assert.deepEqual([got, receiver.credit], [[true, true, true], 49]);
    receiver.close();
  });

  test("outlives a session that RabbitMQ gives up", async () => {
    await using client = await connectTo(server);
    const address = server.addressOf("given-up");
    const ended = new Signal<LinkEnd>("the link to be over");
    const receiver = await attachedReceiver(
      client.connection.begin({}),
      { name: "modified", source: { address } },
      {
        // RabbitMQ does not know `modified` before version 4, and ends the session over one.
        onDelivery: (delivery) => delivery.settle(modified({ deliveryFailed: true })),
        onDetach: (_receiver, end) => ended.set(end),
      },
    );
    await sendAll(client.connection, address, [10]);
    receiver.addCredit(1);
    const { by, error } = await ended.wait();
    assert.deepEqual([by, error?.condition], ["session", "amqp:invalid-field"]);
    assert.deepEqual(await sendAll(client.connection, address, [10]), ["accepted"]);
  });

  test("refuses a link to what is not there, and says why", async () => {
    await using client = await connectTo(server);
    const ended = new Signal<string | undefined>("the refusal");
    client.connection.begin({ onEnd: (_session, end) => ended.set(end.error?.condition) }).openReceiver(
      { name: "none", source: { address: "/amq/queue/missing" } },
      {
        onDelivery: () => undefined,
        onDetach: (_receiver, end) => ended.set(end.error?.condition),
      },
    );
    assert.equal(await ended.wait(), "amqp:not-found");
  });

  test("is no Service Bus, which our transport says when it starts there", async () => {
    const transport = createAmqpTransport({
      connectionString: `Endpoint=sb://127.0.0.1:${rabbit.port};SharedAccessKeyName=k;SharedAccessKey=s;UseDevelopmentEmulator=true`,
      clock: systemClock,
      entity: { queue: "plain" },
      answerTimeoutMs: 3_000,
    });
    await assert.rejects(transport.start(), { name: "TransportError", message: /^expected to reach the entity plain of 127\.0\.0\.1, found / });
    await transport.stop();
  });

  test("tells a connection's end when the server goes", async () => {
    const client = await connectTo(server);
    await rabbit.control("stop_app");
    const { by } = await client.closed.wait();
    assert.ok(by === "peer" || by === "socket", by);
  });
});
