// The SASL exchange from both sides, frame by frame (part 5, 5.3).
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { ConnectionEnd } from "#runtime/amqp/connection/connection-options.ts";
import { openClient, openServer } from "#runtime/amqp/connection/connection.ts";
import type { Connection } from "#runtime/amqp/connection/connection.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { conditions } from "#runtime/amqp/codec/errors.ts";
import { frameType, protocolHeader, protocolId } from "#runtime/amqp/frame/frames.ts";
import { encodeBegin } from "#runtime/amqp/frame/performatives.ts";
import { parsePlain } from "#runtime/amqp/security/sasl.ts";
import type { SaslCredentials, SaslInit } from "#runtime/amqp/security/sasl.ts";
import { symbol, symbols, ubyte } from "#runtime/amqp/codec/types.ts";
import type { Encodable } from "#runtime/amqp/codec/types.ts";
import { bareFrame } from "./support/loopback.ts";
import { StubSocket, header, openFrame } from "./support/stub-socket.ts";

const saslHeader = protocolHeader(protocolId.sasl);
const sasl = (code: number, fields: readonly Encodable[], channel = 0): Buffer => bareFrame(encodeComposite(code, fields), channel, frameType.sasl);
const init = (mechanism: string, response?: Buffer): Buffer => sasl(descriptor.saslInit, [symbol(mechanism), response]);
const offer = sasl(descriptor.saslMechanisms, [symbols(["EXTERNAL", "ANONYMOUS"])]);
const amqpFrame = bareFrame(encodeBegin({ nextOutgoingId: 0, incomingWindow: 1, outgoingWindow: 1, handleMax: 0 }));

interface Ready {
  readonly socket: StubSocket;
  readonly connection: Connection;
  readonly inits: SaslInit[];
  readonly ends: ConnectionEnd[];
}

function client(credentials: SaslCredentials = { mechanism: "ANONYMOUS" }): Ready {
  const [socket, ends] = [new StubSocket(), [] as ConnectionEnd[]];
  return {
    socket,
    ends,
    inits: [],
    connection: openClient(socket, { containerId: "c", sasl: credentials }, { onClosed: (_connection, end) => ends.push(end) }),
  };
}

function server(mechanisms: readonly string[] = ["PLAIN", "ANONYMOUS"]): Ready {
  const [socket, ends, inits] = [new StubSocket(), [] as ConnectionEnd[], [] as SaslInit[]];
  const authenticate = (asked: SaslInit, decide: (allowed: boolean) => void): void => {
    inits.push(asked);
    decide(true);
  };
  return {
    socket,
    ends,
    inits,
    connection: openServer(socket, { containerId: "s", sasl: { mechanisms, authenticate } }, { onClosed: (_connection, end) => ends.push(end) }),
  };
}

const lastOf = ({ socket }: Ready): number => socket.frames.at(-1)?.code ?? -2;

describe("a client", () => {
  test("speaks first, waits for the offer, and opens behind its second header", async () => {
    const ready = client();
    await ready.socket.feed();
    assert.deepEqual([ready.socket.headers, ready.socket.frames.length], [[protocolId.sasl], 0]);
    await ready.socket.feed(saslHeader);
    assert.equal(ready.socket.frames.length, 0);
    await ready.socket.feed(offer);
    assert.equal(lastOf(ready), descriptor.saslInit);
    await ready.socket.feed(sasl(descriptor.saslOutcome, [ubyte(0), Buffer.from("more")]));
    assert.deepEqual([ready.socket.headers, lastOf(ready)], [[protocolId.sasl, protocolId.amqp], descriptor.open]);
    await ready.socket.feed(header, openFrame);
    assert.equal(ready.connection.state.at, "open");
  });

  test("takes an offer of one mechanism that is no array, and all of it in one piece", async () => {
    const ready = client();
    await ready.socket.feed(saslHeader, sasl(descriptor.saslMechanisms, [symbol("ANONYMOUS")]), sasl(descriptor.saslOutcome, [ubyte(0)]), header, openFrame);
    assert.equal(ready.connection.state.at, "open");
  });

  for (const [code, reason] of [
    [1, "the credentials were refused"],
    [2, "the peer failed"],
    [3, "the peer failed for good"],
    [4, "the peer failed for now"],
    [9, "the peer answered with code 9"],
  ] as const) {
    test(`is over by outcome ${code}, which says why`, async () => {
      const ready = client();
      await ready.socket.feed(saslHeader, offer, sasl(descriptor.saslOutcome, [ubyte(code)]));
      assert.deepEqual(
        ready.ends.map(({ by, error }) => [by, error?.condition, error?.description]),
        [["sasl", "amqp:unauthorized-access", reason]],
      );
      assert.deepEqual(ready.socket.headers, [protocolId.sasl], "nothing goes out behind it");
    });
  }

  const wrong: readonly (readonly [what: string, frames: readonly Buffer[], condition: string])[] = [
    ["an outcome before the offer", [sasl(descriptor.saslOutcome, [ubyte(0)])], conditions.notAllowed],
    ["a second offer", [offer, offer], conditions.notAllowed],
    ["a challenge", [offer, sasl(descriptor.saslChallenge, [Buffer.from("?")])], conditions.notAllowed],
    ["an init of the server's", [init("ANONYMOUS")], conditions.notAllowed],
    ["an AMQP frame", [amqpFrame], conditions.framingError],
    ["an empty frame", [bareFrame(Buffer.alloc(0), 0, frameType.sasl)], conditions.decodeError],
    [
      "a second outcome, where a header belongs",
      [offer, sasl(descriptor.saslOutcome, [ubyte(0)]), sasl(descriptor.saslOutcome, [ubyte(0)])],
      conditions.framingError,
    ],
  ];
  for (const [what, frames, condition] of wrong) {
    test(`gives up on ${what}`, async () => {
      const ready = client();
      await ready.socket.feed(saslHeader, ...frames);
      assert.deepEqual(
        ready.ends.map(({ by, error }) => [by, error?.condition]),
        [["violation", condition]],
      );
    });
  }
});

describe("a server", () => {
  test("offers, judges and answers, whatever the channel bytes of a SASL frame say", async () => {
    const ready = server();
    assert.equal(ready.socket.headers.length, 0, "the client speaks first");
    await ready.socket.feed(saslHeader);
    assert.deepEqual(ready.socket.codes(), [descriptor.saslMechanisms]);
    assert.deepEqual(ready.socket.frames[0]!.fields.symbols(), ["PLAIN", "ANONYMOUS"]);
    await ready.socket.feed(sasl(descriptor.saslInit, [symbol("PLAIN"), Buffer.from("\0u\0p"), "host"], 0xbeef));
    assert.equal(lastOf(ready), descriptor.saslOutcome);
    assert.deepEqual(
      ready.inits.map(({ mechanism, response, hostname }) => [mechanism, parsePlain(response), hostname]),
      [["PLAIN", { username: "u", password: "p" }, "host"]],
    );
    await ready.socket.feed(header, openFrame);
    assert.equal(ready.connection.state.at, "open");
  });

  const wrong: readonly (readonly [what: string, frames: readonly Buffer[], condition: string])[] = [
    ["a second init", [init("PLAIN"), init("PLAIN")], conditions.framingError],
    ["a response nobody asked for", [sasl(descriptor.saslResponse, [Buffer.from("!")])], conditions.notAllowed],
    ["an offer of the client's", [offer], conditions.notAllowed],
    ["an init without a mechanism", [sasl(descriptor.saslInit, [undefined, Buffer.from("x")])], conditions.invalidField],
    ["an AMQP frame", [amqpFrame], conditions.framingError],
    ["AMQP's header before the exchange is over", [header], conditions.framingError],
  ];
  for (const [what, frames, condition] of wrong) {
    test(`gives up on ${what}`, async () => {
      const ready = server();
      await ready.socket.feed(saslHeader, ...frames);
      await ready.socket.feed();
      assert.deepEqual(
        ready.ends.map(({ by, error }) => [by, error?.condition]),
        [["violation", condition]],
      );
    });
  }

  test("does not ask its owner about a mechanism that it does not offer", async () => {
    const ready = server(["EXTERNAL"]);
    await ready.socket.feed(saslHeader, init("PLAIN", Buffer.from("\0u\0p")));
    assert.deepEqual([ready.inits.length, ready.socket.frames.at(-1)!.fields.ubyte(-1), ready.ends[0]?.by], [0, 1, "sasl"]);
  });

  test("reads a PLAIN response of three parts, and no other", () => {
    const read = (text: string): unknown => parsePlain(Buffer.from(text));
    assert.deepEqual(read("\0user\0pass"), { username: "user", password: "pass" });
    assert.deepEqual(read("on behalf\0user\0"), { username: "user", password: "" });
    for (const text of ["", "user", "user\0pass", "\0\0pass", "\0a\0b\0c"]) assert.equal(read(text), undefined);
  });
});
