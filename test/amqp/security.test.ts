import { strict as assert } from "node:assert";
import { once } from "node:events";
import { describe, test } from "node:test";
import type { Connection } from "#runtime/amqp/connection/connection.ts";
import type { ConnectionEnd, ServerOptions } from "#runtime/amqp/connection/connection-options.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { frameType, protocolHeader, protocolId } from "#runtime/amqp/frame/frames.ts";
import { encodeClose, readOpen } from "#runtime/amqp/frame/performatives.ts";
import { parsePlain } from "#runtime/amqp/security/sasl.ts";
import type { SaslCredentials, SaslInit } from "#runtime/amqp/security/sasl.ts";
import { dial } from "#runtime/amqp/connection/sockets.ts";
import { symbol } from "#runtime/amqp/codec/types.ts";
import { within } from "../support/eventually.ts";
import { certificate, key } from "./support/certificate.ts";
import { BarePeer, Signal, bareFrame, startPair } from "./support/loopback.ts";
import { allow, open, startServer } from "./support/server.ts";

describe("SASL", () => {
  const clients: readonly (readonly [SaslCredentials, string])[] = [
    [{ mechanism: "ANONYMOUS", trace: "key-name" }, "key-name"],
    [{ mechanism: "ANONYMOUS" }, ""],
    [{ mechanism: "PLAIN", username: "user", password: "päss" }, "\0user\0päss"],
    [{ mechanism: "EXTERNAL" }, ""],
    [{ mechanism: "MSSBCBS" }, ""],
  ];
  for (const [sasl, response] of clients) {
    test(`${sasl.mechanism} is accepted, its response ${JSON.stringify(response)}`, async () => {
      const asked: SaslInit[] = [];
      await using _pair = await startPair({
        client: { sasl, hostname: "host" },
        server: {
          sasl: {
            mechanisms: ["ANONYMOUS", "PLAIN", "EXTERNAL", "MSSBCBS"],
            authenticate: (init, decide) => {
              asked.push(init);
              setImmediate(() => decide(true));
            },
          },
        },
      });
      assert.deepEqual(
        asked.map((init) => [init.mechanism, init.response.toString(), init.hostname]),
        [[sasl.mechanism, response, "host"]],
      );
    });
  }

  test("a password that is wrong is refused on both sides", async () => {
    await using server = await startServer({
      sasl: { mechanisms: ["PLAIN"], authenticate: ({ response }, decide) => decide(parsePlain(response)?.password === "right") },
    });
    for (const [password, by] of [
      ["wrong", "sasl"],
      ["right", "local"],
    ] as const) {
      const closed = new Signal<ConnectionEnd>("the client to be over");
      dial(
        { containerId: "c", host: "127.0.0.1", port: server.listener.port, sasl: { mechanism: "PLAIN", username: "u", password } },
        { onOpen: (connection) => connection.close(), onClosed: (_connection, end) => closed.set(end) },
      );
      const end = await closed.wait();
      assert.equal(end.by, by);
      if (by === "sasl") assert.match(end.error?.description ?? "", /credentials were refused/);
    }
  });

  test("a mechanism that is not offered is not tried", async () => {
    await using server = await startServer({ sasl: { mechanisms: ["PLAIN", "EXTERNAL"], authenticate: allow } });
    const closed = new Signal<ConnectionEnd>("the client to be over");
    dial(
      { containerId: "c", host: "127.0.0.1", port: server.listener.port, sasl: { mechanism: "ANONYMOUS" } },
      { onClosed: (_connection, end) => closed.set(end) },
    );
    assert.match((await closed.wait()).error?.description ?? "", /expected the peer to offer ANONYMOUS, it offers PLAIN, EXTERNAL/);
    await using peer = new BarePeer(server.listener.port);
    peer.header(protocolId.sasl);
    peer.frame(encodeComposite(descriptor.saslInit, [symbol("ANONYMOUS")]), 0, frameType.sasl);
    assert.equal((await peer.next(descriptor.saslOutcome)).fields.ubyte(-1), 1);
    await peer.ended.wait();
  });

  test("a peer that sends everything ahead is served when it was let in", async () => {
    const decision = new Signal<(allowed: boolean) => void>("the server to be asked");
    await using server = await startServer({ sasl: { mechanisms: ["ANONYMOUS"], authenticate: (_init, decide) => decision.set(decide) } });
    await using peer = new BarePeer(server.listener.port);
    const init = bareFrame(encodeComposite(descriptor.saslInit, [symbol("ANONYMOUS")]), 0, frameType.sasl);
    peer.socket.write(Buffer.concat([protocolHeader(protocolId.sasl), init, protocolHeader(protocolId.amqp), bareFrame(open)]));
    peer.socket.write(bareFrame(encodeClose(undefined)));
    const decide = await decision.wait();
    await peer.next(descriptor.saslMechanisms);
    assert.equal(peer.frames.length, 0);
    decide(true);
    decide(false);
    await peer.next(descriptor.close);
    assert.deepEqual(peer.headers, [3, 0]);
    assert.equal((await server.closed.wait()).by, "peer");
  });

  test("a client may leave SASL out only where that is allowed", async () => {
    await using lenient = await startServer({ sasl: { mechanisms: ["ANONYMOUS"], authenticate: allow, optional: true } });
    await using peer = new BarePeer(lenient.listener.port);
    peer.header();
    peer.frame(open);
    assert.equal(readOpen((await peer.next(descriptor.open)).fields).containerId, "server");
    await using strict = await startServer({ sasl: { mechanisms: ["ANONYMOUS"], authenticate: allow } });
    await using refused = new BarePeer(strict.listener.port);
    refused.header();
    await refused.ended.wait();
    assert.deepEqual(refused.headers, [3]);
  });

  test("credentials that do not fit into the one frame of 512 bytes are refused before they are sent", () => {
    assert.throws(
      () => dial({ containerId: "c", host: "127.0.0.1", port: 1, sasl: { mechanism: "PLAIN", username: "u", password: "x".repeat(500) } }, {}),
      RangeError,
    );
  });
});

describe("TLS", () => {
  test("carries a connection, with the name checked", async () => {
    await using pair = await startPair({
      server: { tls: { key, cert: certificate } },
      client: { host: "localhost", tls: { ca: certificate, host: "127.0.0.1" } },
    });
    assert.equal(pair.client.remote?.containerId, "server");
  });

  test("a certificate that is not trusted ends the connection", async () => {
    await using server = await startServer({ tls: { key, cert: certificate } } as Partial<ServerOptions>);
    const closed = new Signal<ConnectionEnd>("the client to be over");
    dial({ containerId: "c", host: "127.0.0.1", port: server.listener.port, tls: {} }, { onClosed: (_connection, end) => closed.set(end) });
    assert.match(String((await closed.wait()).cause), /self-signed/);
  });

  test("a listener that closes does not wait for a peer that does not go on with TLS", async () => {
    const { listener } = await startServer({ tls: { key, cert: certificate } } as Partial<ServerOptions>);
    await using peer = new BarePeer(listener.port);
    await within("the socket to connect", once(peer.socket, "connect"));
    const opened = new Signal<Connection>("a client to open");
    const closed = new Signal<ConnectionEnd>("the client to be over");
    dial(
      { containerId: "c", host: "127.0.0.1", port: listener.port, tls: { ca: certificate } },
      { onOpen: opened.set, onClosed: (_connection, end) => closed.set(end) },
    );
    await opened.wait();
    await within("the listener to close", listener.close());
    assert.equal((await closed.wait()).by, "peer", "a connection that is open is closed in order");
    await peer.ended.wait();
  });

  test("a peer that does not go on with TLS is given up in time", async () => {
    await using server = await startServer({ tls: { key, cert: certificate }, openTimeOutMs: 50 } as Partial<ServerOptions>);
    await using peer = new BarePeer(server.listener.port);
    await peer.ended.wait();
    assert.equal(server.listener.connections.size, 0);
  });
});
