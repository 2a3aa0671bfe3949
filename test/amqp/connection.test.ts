import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { ConnectionEnd } from "#runtime/amqp/connection/connection-options.ts";
import type { Connection } from "#runtime/amqp/connection/connection.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { conditions } from "#runtime/amqp/codec/errors.ts";
import { frameType } from "#runtime/amqp/frame/frames.ts";
import { encodeAttach, encodeBegin, encodeClose, encodeOpen, readBegin, readOpen } from "#runtime/amqp/frame/performatives.ts";
import { IdleWatch } from "#runtime/amqp/connection/idle.ts";
import { dial, listen } from "#runtime/amqp/connection/sockets.ts";
import { MapView } from "#runtime/amqp/codec/views.ts";
import type { ErrorCondition } from "#runtime/amqp/message/condition.ts";
import { eventually } from "../support/eventually.ts";
import { BarePeer, ManualClock, Signal, bareFrame, startPair } from "./support/loopback.ts";
import { begin, errorOf, open, startServer } from "./support/server.ts";

/** A watch whose timer rings when asked to, however late; and how often it called silence. */
function watchOfOneSecond(): { readonly watch: IdleWatch; readonly ringAt: (nowMs: number) => void; readonly silences: () => number } {
  let nowMs = 0;
  let silences = 0;
  let ring: () => void = () => assert.fail("expected a timer to be set");
  const clock = { nowMs: () => nowMs, after: (_delayMs: number, callback: () => void) => ((ring = callback), () => undefined) };
  const watch = new IdleWatch(clock, { ownMs: 1_000, peerMs: 0, sendHeartbeat: () => undefined, onSilence: () => silences++ });
  return {
    watch,
    ringAt: (atMs) => {
      nowMs = atMs;
      ring();
    },
    silences: () => silences,
  };
}

describe("opening and closing", () => {
  test("both sides hear what the other says of itself, and an orderly close", async () => {
    await using pair = await startPair({
      client: { hostname: "example.org", properties: { product: "test" }, desiredCapabilities: ["a"], idleTimeOutMs: 60_000 },
      server: { offeredCapabilities: ["a", "b"], limits: { sessionsMax: 7, frameBytesMax: 1_000 } },
    });
    assert.equal(pair.server.remote?.containerId, "client");
    assert.equal(pair.server.remote.hostname, "example.org");
    assert.equal(pair.server.remote.properties?.get("product"), "test");
    assert.deepEqual(pair.server.remote.desiredCapabilities, ["a"]);
    assert.equal(pair.server.remote.idleTimeOutMs, 60_000);
    assert.deepEqual([pair.client.remote?.containerId, pair.client.remote?.channelMax, pair.client.remote?.maxFrameSize], ["server", 6, 1_000]);
    assert.deepEqual(pair.client.remote?.offeredCapabilities, ["a", "b"]);
    pair.client.close();
    assert.deepEqual(await pair.clientClosed.wait(), { by: "local", error: undefined });
    assert.deepEqual(await pair.serverClosed.wait(), { by: "peer", error: undefined });
  });

  test("a close with an error tells the other side why", async () => {
    await using pair = await startPair();
    pair.server.close({ condition: "amqp:connection:forced", description: "maintenance", info: { minutes: 5 } });
    const end = await pair.clientClosed.wait();
    assert.equal(end.by, "peer");
    assert.deepEqual([end.error?.condition, end.error?.description], ["amqp:connection:forced", "maintenance"]);
    assert.ok(end.error?.info instanceof MapView);
    assert.equal(end.error.info.get("minutes"), 5);
    assert.equal((await pair.serverClosed.wait()).by, "local");
  });

  test("a lost socket ends both sides at once", async () => {
    await using pair = await startPair();
    pair.client.abort();
    assert.equal((await pair.clientClosed.wait()).by, "local");
    assert.equal((await pair.serverClosed.wait()).by, "socket");
  });

  test("a port that nobody listens on is told by onClosed", async () => {
    const { listener } = await startServer();
    const { port } = listener;
    await listener.close();
    const closed = new Signal<ConnectionEnd>("the connection to be over");
    dial({ containerId: "c", host: "127.0.0.1", port }, { onClosed: (_connection, end) => closed.set(end) });
    const end = await closed.wait();
    assert.equal(end.by, "socket");
    assert.equal((end.cause as NodeJS.ErrnoException).code, "ECONNREFUSED");
  });

  test("a callback that throws ends the connection and is reported", async () => {
    const bug = new Error("bug");
    await using pair = await startPair({
      sessionEvents: {
        onAttach: () => {
          throw bug;
        },
      },
    });
    pair.client.begin({}).openReceiver({ name: "l" }, { onDelivery: () => undefined });
    const end = await pair.serverClosed.wait();
    assert.deepEqual([end.by, end.cause], ["fault", bug]);
    assert.equal((await pair.clientClosed.wait()).error?.condition, conditions.internalError);
  });

  test("a close that is not answered ends when its time is over", async () => {
    const clock = new ManualClock();
    const opened = new Signal<Connection>("the connection to open");
    await using server = await startServer({ clock, closeTimeOutMs: 1_000 }, { onOpen: opened.set });
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    peer.frame(open);
    (await opened.wait()).close();
    await peer.next(descriptor.close);
    assert.equal(server.closed.isSet, false);
    clock.advance(1_000);
    assert.equal((await server.closed.wait()).by, "local");
    clock.advance(1_000);
    await peer.ended.wait();
  });

  test("listening ends when its connections have ended", async () => {
    const opened = new Signal<Connection>("the connection to open");
    const { listener } = await startServer({}, { onOpen: opened.set });
    const closed = new Signal<ConnectionEnd>("the client to be over");
    dial({ containerId: "c", host: "127.0.0.1", port: listener.port }, { onClosed: (_connection, end) => closed.set(end) });
    await opened.wait();
    assert.equal(listener.connections.size, 1);
    await listener.close();
    assert.equal((await closed.wait()).by, "peer");
    assert.equal(listener.connections.size, 0);
  });
});

describe("an open", () => {
  test("of ours that does not fit into the 512 bytes that every peer takes is refused before it is sent", async () => {
    const properties = { text: "x".repeat(500) };
    assert.throws(() => dial({ containerId: "c", host: "127.0.0.1", port: 1, properties }, {}), /open: expected .* to fit into a frame of 512 bytes/);
    await assert.rejects(listen({ containerId: "c", port: 0, properties }, {}), RangeError);
    await assert.rejects(listen({ containerId: "c", port: 0, limits: { linksMax: 0 } }, {}), RangeError);
  });

  test("of a peer's may be longer, for some are", async () => {
    const opened = new Signal<string | undefined>("the open");
    await using server = await startServer({}, { onOpen: (_connection, remote) => opened.set(remote.properties?.string("text")) });
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    peer.frame(encodeOpen({ containerId: "bare", maxFrameSize: 512, channelMax: 0, properties: { text: "x".repeat(5_000) } }));
    assert.equal((await opened.wait())?.length, 5_000);
  });
});

describe("silence", () => {
  test("heartbeats go out at half of what the peer announced, and only when nothing else does", async () => {
    const clock = new ManualClock();
    const opened = new Signal<Connection>("the connection to open");
    await using server = await startServer({ clock }, { onOpen: opened.set });
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    peer.frame(encodeOpen({ containerId: "bare", maxFrameSize: 512, channelMax: 0, idleTimeOutMs: 1_000 }));
    await peer.next(descriptor.open);
    clock.advance(499);
    await opened.wait();
    clock.advance(1);
    await peer.next(-1);
    clock.advance(1_000);
    await eventually("two more heartbeats", () => peer.frames.length === 2);
    assert.ok(peer.frames.every((frame) => frame.code === -1));
  });

  test("a peer that is silent for twice the time-out is given up with a close that says so", async () => {
    const clock = new ManualClock();
    await using server = await startServer({ clock, idleTimeOutMs: 500, closeTimeOutMs: 50 });
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    peer.frame(open);
    assert.equal(readOpen((await peer.next(descriptor.open)).fields).idleTimeOutMs, 500);
    clock.advance(999);
    peer.frame(Buffer.alloc(0));
    peer.frame(begin);
    await peer.next(descriptor.begin);
    clock.advance(999);
    assert.equal(server.closed.isSet, false);
    clock.advance(1);
    assert.equal(errorOf(await peer.next(descriptor.close))?.condition, conditions.resourceLimitExceeded);
    clock.advance(50);
    assert.equal((await server.closed.wait()).by, "silence");
  });

  test("a process that stood still reads what came meanwhile before it calls it silence", () => {
    const { watch, ringAt, silences } = watchOfOneSecond();
    ringAt(60_000);
    assert.equal(silences(), 0, "a timer that late tells nothing of the peer");
    watch.noteRead();
    ringAt(60_001);
    ringAt(62_001);
    assert.equal(silences(), 1, "a timer in time does");
  });

  test("a process that stood still calls it silence when nothing came", () => {
    const { watch, ringAt, silences } = watchOfOneSecond();
    ringAt(60_000);
    ringAt(60_001);
    assert.equal(silences(), 1);
    watch.stop();
  });

  test("a time-out that no timer can be set for is waited for in pieces", () => {
    const delaysMs: number[] = [];
    const clock = { nowMs: () => 0, after: (delayMs: number) => (delaysMs.push(delayMs), () => undefined) };
    new IdleWatch(clock, { ownMs: 0, peerMs: 0xffff_ffff, sendHeartbeat: () => undefined, onSilence: () => undefined }).stop();
    assert.ok(delaysMs.length === 1 && delaysMs[0]! <= 0x7fff_ffff, `expected a delay that a timer takes, found ${delaysMs.join(", ")} ms`);
  });

  test("a peer that does not open in time is given up", async () => {
    const clock = new ManualClock();
    await using server = await startServer({ clock, openTimeOutMs: 1_000 });
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    await eventually("the server's header", () => peer.headers.length === 1);
    clock.advance(1_000);
    assert.equal((await server.closed.wait()).by, "silence");
    await peer.ended.wait();
  });
});

describe("violations get the condition that names them", () => {
  const sized = (size: number): Buffer => {
    const bytes = bareFrame(Buffer.alloc(0));
    bytes.writeUInt32BE(size);
    return bytes;
  };
  const opened: readonly (readonly [what: string, bytes: Buffer, condition: string])[] = [
    ["a frame beyond the size", sized(65_537), conditions.framingError],
    ["a frame below the size", sized(7), conditions.framingError],
    ["a frame type that is unknown", bareFrame(begin, 0, 7), conditions.framingError],
    ["a SASL frame", bareFrame(begin, 0, frameType.sasl), conditions.framingError],
    ["a second open", bareFrame(open), conditions.illegalState],
    ["a performative that is unknown", bareFrame(encodeComposite(0x1c, [])), conditions.notImplemented],
    ["bytes that are no value", bareFrame(Buffer.from([0, 0x53, 0x11, 0xff])), conditions.decodeError],
    ["bytes that are not described", bareFrame(Buffer.from([0x45, 0x45, 0x45])), conditions.decodeError],
    ["a begin without its fields", bareFrame(encodeComposite(descriptor.begin, [])), conditions.invalidField],
    ["a channel beyond channel-max", bareFrame(begin, 256), conditions.framingError],
    ["a begin on a channel in use", Buffer.concat([bareFrame(begin, 3), bareFrame(begin, 3)]), conditions.notAllowed],
    [
      "an answer to no begin",
      bareFrame(encodeBegin({ remoteChannel: 0, nextOutgoingId: 0, incomingWindow: 1, outgoingWindow: 1, handleMax: 0 })),
      conditions.notAllowed,
    ],
    ["a frame on a channel without a session", bareFrame(encodeComposite(descriptor.end, []), 9), conditions.notAllowed],
    [
      "a handle beyond handle-max",
      Buffer.concat([
        bareFrame(begin),
        bareFrame(encodeAttach({ name: "l", handle: 256, role: "receiver", senderSettleMode: "mixed", receiverSettleMode: "first", source: {}, target: {} })),
      ]),
      conditions.framingError,
    ],
  ];
  for (const [what, bytes, condition] of opened) {
    test(`${what}: ${condition}`, async () => {
      await using server = await startServer({}, { onSession: () => ({}) });
      await using peer = new BarePeer(server.listener.port);
      peer.header();
      peer.frame(open);
      await peer.next(descriptor.open);
      peer.socket.write(bytes);
      assert.equal(errorOf(await peer.next(descriptor.close))?.condition, condition);
      peer.frame(encodeClose(undefined));
      const end = await server.closed.wait();
      assert.deepEqual([end.by, end.error?.condition], ["violation", condition]);
    });
  }

  const first: readonly (readonly [what: string, body: Buffer, condition: string])[] = [
    ["a first frame other than open", begin, conditions.illegalState],
    ["a max-frame-size below 512", encodeOpen({ containerId: "bare", maxFrameSize: 511, channelMax: 1 }), conditions.invalidField],
    ["an idle time-out that floods", encodeOpen({ containerId: "bare", maxFrameSize: 512, channelMax: 1, idleTimeOutMs: 1 }), conditions.notAllowed],
  ];
  for (const [what, body, condition] of first) {
    test(`${what}: ${condition}, after an open`, async () => {
      await using server = await startServer();
      await using peer = new BarePeer(server.listener.port);
      peer.header();
      peer.frame(body);
      await peer.next(descriptor.open);
      assert.equal(errorOf(await peer.next(descriptor.close))?.condition, condition);
      peer.frame(encodeClose(undefined));
      assert.equal((await server.closed.wait()).by, "violation");
    });
  }

  test("another protocol is answered with the header that is spoken", async () => {
    for (const bytes of ["AMQP\u0000\u0000\u0009\u0001", "GET / HTTP/1.1\r\n\r\n", "AMQP\u0002\u0001\u0000\u0000"]) {
      await using server = await startServer();
      await using peer = new BarePeer(server.listener.port);
      peer.socket.write(Buffer.from(bytes, "latin1"));
      await peer.ended.wait();
      assert.deepEqual(peer.headers, [0]);
      assert.equal((await server.closed.wait()).by, "violation");
    }
  });

  test("a close is answered even before an open", async () => {
    await using server = await startServer();
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    peer.frame(encodeClose({ condition: "x:y" }));
    await peer.next(descriptor.open);
    await peer.next(descriptor.close);
    assert.equal((await server.closed.wait()).error?.condition, "x:y");
  });

  test("a peer that does not read is given up at the limit", async () => {
    await using server = await startServer({ limits: { outputBytesMax: 200_000, outputBytesHigh: 100_000 } }, { onSession: () => ({}) });
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    peer.frame(open);
    peer.frame(begin);
    await peer.next(descriptor.begin);
    peer.socket.pause();
    const beginEnd = Buffer.concat(
      Array.from({ length: 2_000 }, () => Buffer.concat([bareFrame(begin, 5), bareFrame(encodeComposite(descriptor.end, []), 5)])),
    );
    const flood = (): void => {
      if (!server.closed.isSet && !peer.socket.destroyed) peer.socket.write(beginEnd, flood);
    };
    flood();
    const end = await server.closed.wait();
    assert.deepEqual([end.by, end.error?.condition], ["violation", conditions.resourceLimitExceeded]);
  });
});

describe("sessions", () => {
  test("are begun by either side and end with what was said", async () => {
    const begun = new Signal("the session to be mapped");
    const ended = new Signal<unknown>("the session to be over");
    const serverEnded = new Signal<unknown>("the server's session to be over");
    await using pair = await startPair({ sessionEvents: { onEnd: (_session, end) => serverEnded.set(end) } });
    const session = pair.client.begin({ onBegin: () => begun.set(), onEnd: (_session, end) => ended.set(end) });
    await begun.wait();
    session.end({ condition: "x:enough", description: "done" });
    assert.deepEqual(await ended.wait(), { by: "local", error: { condition: "x:enough", description: "done" } });
    assert.deepEqual(await serverEnded.wait(), { by: "peer", error: { condition: "x:enough", description: "done", info: undefined } });
    const again = pair.client.begin({});
    assert.equal(again.channel, session.channel, "the channel is free again");
  });

  test("are refused where none are accepted", async () => {
    const ended = new Signal<{ readonly by: string; readonly error: ErrorCondition | undefined }>("the session to be over");
    await using pair = await startPair({ serverEvents: { onSession: undefined } as never });
    pair.client.begin({ onEnd: (_session, end) => ended.set(end) });
    const end = await ended.wait();
    assert.deepEqual([end.by, end.error?.condition], ["peer", conditions.notAllowed]);
  });

  test("end with their connection", async () => {
    const ended = new Signal<{ readonly by: string }>("the session to be over");
    await using pair = await startPair();
    pair.client.begin({ onEnd: (_session, end) => ended.set(end) });
    pair.client.abort();
    assert.equal((await ended.wait()).by, "connection");
    assert.throws(() => pair.client.begin({}), /expected it to be open/);
  });

  test("are no more than the peer allows", async () => {
    await using pair = await startPair({ server: { limits: { sessionsMax: 2 } } });
    pair.client.begin({});
    pair.client.begin({});
    assert.throws(() => pair.client.begin({}), /at most 2 sessions/);
    await using server = await startServer({}, { onSession: () => ({}) });
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    peer.frame(encodeOpen({ containerId: "bare", maxFrameSize: 512, channelMax: 0 }));
    peer.frame(begin, 0);
    assert.equal(readBegin((await peer.next(descriptor.begin)).fields).remoteChannel, 0);
    peer.frame(begin, 1);
    assert.equal(errorOf(await peer.next(descriptor.close))?.condition, conditions.notAllowed);
  });
});
