// How a connection ends from every state it can be in, and what it leaves behind: no timer, no owner that did not hear.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { ClientOptions, ConnectionEnd, ServerOptions } from "#runtime/amqp/connection/connection-options.ts";
import { openClient, openServer } from "#runtime/amqp/connection/connection.ts";
import type { Connection, ConnectionEvents } from "#runtime/amqp/connection/connection.ts";
import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { conditions } from "#runtime/amqp/codec/errors.ts";
import { frameType, protocolHeader, protocolId } from "#runtime/amqp/frame/frames.ts";
import { encodeAttach, encodeClose, encodeDetach, encodeEnd } from "#runtime/amqp/frame/performatives.ts";
import type { SessionEvents } from "#runtime/amqp/session/session.ts";
import { Raw, symbol, symbols, ubyte, uint } from "#runtime/amqp/codec/types.ts";
import { readErrorField } from "#runtime/amqp/message/condition.ts";
import { ManualClock, bareFrame } from "./support/loopback.ts";
import { payload } from "./support/scene.ts";
import { StubSocket, beginFrame, header, openFrame } from "./support/stub-socket.ts";

interface Stage {
  readonly socket: StubSocket;
  readonly clock: ManualClock;
  readonly connection: Connection;
  readonly ends: ConnectionEnd[];
}

const idle = { idleTimeOutMs: 60_000 };

function stage(role: "client" | "server", options: Partial<ClientOptions> | Partial<ServerOptions> = idle, events: ConnectionEvents = {}): Stage {
  const socket = new StubSocket();
  const clock = new ManualClock();
  const ends: ConnectionEnd[] = [];
  const heard: ConnectionEvents = { onSession: () => ({}), ...events, onClosed: (_connection, end) => ends.push(end) };
  const own = { containerId: role, clock, ...options };
  const connection = role === "client" ? openClient(socket, own as ClientOptions, heard) : openServer(socket, own as ServerOptions, heard);
  return { socket, clock, connection, ends };
}

const sasl = (fields: readonly Parameters<typeof encodeComposite>[1][number][], code: number): Buffer =>
  bareFrame(encodeComposite(code, fields), 0, frameType.sasl);
const saslHeader = protocolHeader(protocolId.sasl);
const attachFrame = (role: "sender" | "receiver", name: string, handle: number): Buffer =>
  bareFrame(
    encodeAttach({
      name,
      handle,
      role,
      senderSettleMode: "mixed",
      receiverSettleMode: "first",
      source: {},
      target: {},
      initialDeliveryCount: role === "sender" ? 0 : undefined,
    }),
  );
const transferFrame = (handle: number, id: number, more = false): Buffer =>
  bareFrame(Buffer.concat([encodeComposite(descriptor.transfer, [uint(handle), uint(id), Buffer.from("t"), uint(0), false, more]), payload]));
const flowFrame = (handle: number, credit: number): Buffer =>
  bareFrame(encodeComposite(descriptor.flow, [uint(0), uint(1_000), uint(0), uint(1_000), uint(handle), uint(0), uint(credit)]));
const dispositionFrame = (first: number, last: number): Buffer =>
  bareFrame(encodeComposite(descriptor.disposition, [true, uint(first), uint(last), true, new Raw(accepted.bytes)]));

/** Each state, and the way there. */
const states: readonly (readonly [state: string, reach: () => Promise<Stage>])[] = [
  ["before a client's header is answered", async () => stage("client")],
  ["before a server heard anything", async () => stage("server")],
  ["in the middle of a header", async () => reached(stage("server"), header.subarray(0, 5))],
  [
    "a client in SASL",
    async () => reached(stage("client", { ...idle, sasl: { mechanism: "ANONYMOUS" } }), saslHeader, sasl([symbols(["ANONYMOUS"])], descriptor.saslMechanisms)),
  ],
  [
    "a client past SASL",
    async () =>
      reached(
        stage("client", { ...idle, sasl: { mechanism: "ANONYMOUS" } }),
        saslHeader,
        sasl([symbols(["ANONYMOUS"])], descriptor.saslMechanisms),
        sasl([ubyte(0)], descriptor.saslOutcome),
      ),
  ],
  [
    "a server that judges",
    async () =>
      reached(
        stage("server", { ...idle, sasl: { mechanisms: ["ANONYMOUS"], authenticate: () => undefined } }),
        saslHeader,
        sasl([symbol("ANONYMOUS")], descriptor.saslInit),
      ),
  ],
  ["a client that waits for open", async () => reached(stage("client"), header)],
  ["a server that waits for open", async () => reached(stage("server"), header)],
  ["open", async () => reached(stage("client"), header, openFrame)],
  ["in the middle of a frame", async () => reached(stage("client"), header, openFrame, beginFrame().subarray(0, 11))],
  ["with a session", async () => reached(stage("server"), header, openFrame, beginFrame())],
  [
    "in the middle of a delivery, with credit and settlements that were not written",
    async () => {
      const ready = stage("server", idle, {
        onSession: () => ({
          onAttach: (request) =>
            request.acceptAsReceiver({ receiverSettleMode: "second" }, { onDelivery: (delivery) => delivery.settle(accepted) }).addCredit(10),
        }),
      });
      return reached(ready, header, openFrame, beginFrame(), attachFrame("sender", "l", 0), transferFrame(0, 0), transferFrame(0, 1, true));
    },
  ],
  ["closing", async () => closing(await reached(stage("client"), header, openFrame))],
  ["closing before the peer's header", async () => closing(stage("client"))],
];

async function reached(ready: Stage, ...bytes: readonly Buffer[]): Promise<Stage> {
  await ready.socket.feed(...bytes);
  assert.equal(ready.ends.length, 0);
  return ready;
}

function closing(ready: Stage): Stage {
  ready.connection.close();
  assert.equal(ready.connection.state.at, "closing");
  return ready;
}

/** Nothing is left: `onClosed` was called once, nothing is due, and nothing that comes or is asked for later changes that. */
async function over({ socket, clock, connection, ends }: Stage): Promise<ConnectionEnd> {
  await nextTurn();
  await nextTurn();
  assert.equal(connection.state.at, "closed");
  assert.equal(ends.length, 1);
  clock.advance(10_000);
  socket.destroy();
  await nextTurn();
  assert.equal(clock.timersLeft, 0);
  connection.close();
  connection.abort();
  clock.advance(1_000_000);
  await nextTurn();
  assert.equal(ends.length, 1);
  assert.throws(() => connection.begin({}), /expected it to be open/);
  return ends[0]!;
}

describe("from every state", () => {
  for (const [state, reach] of states) {
    test(`${state}: a socket that fails`, async () => {
      const ready = await reach();
      const cause = new Error("ECONNRESET");
      ready.socket.destroy(cause);
      const end = await over(ready);
      if (!state.startsWith("closing")) assert.deepEqual([end.by, end.cause], ["socket", cause]);
    });

    test(`${state}: a peer that ends its half`, async () => {
      const ready = await reach();
      ready.socket.push(null);
      // While credentials are judged nothing is read; time runs out all the same.
      if (state === "a server that judges") {
        ready.clock.advance(30_000);
        assert.equal((await over(ready)).by, "silence");
        return;
      }
      assert.equal((await over(ready)).by, state.startsWith("closing") ? "local" : "socket");
    });

    test(`${state}: an abort`, async () => {
      const ready = await reach();
      ready.connection.abort();
      assert.equal((await over(ready)).by, "local");
    });

    test(`${state}: a close, twice, to a peer that says nothing`, async () => {
      const ready = await reach();
      ready.connection.close();
      ready.connection.close({ condition: "x:again" });
      await nextTurn();
      ready.clock.advance(5_000);
      const end = await over(ready);
      assert.deepEqual([end.by, end.error], ["local", undefined]);
      assert.ok(ready.socket.codes().filter((code) => code === descriptor.close).length <= 1);
    });

    test(`${state}: time`, async () => {
      const ready = await reach();
      ready.clock.advance(30_000);
      ready.clock.advance(120_000);
      ready.clock.advance(5_000);
      assert.equal((await over(ready)).by, state.startsWith("closing") ? "local" : "silence");
    });
  }

  test("a client that closes before the peer's header takes the peer's close all the same", async () => {
    const ready = closing(stage("client"));
    await ready.socket.feed(header, openFrame, bareFrame(encodeClose(undefined)));
    assert.equal((await over(ready)).by, "local");
    assert.deepEqual(ready.socket.codes(), [descriptor.open, descriptor.close]);
  });

  test("two closes that cross each other end the connection once", async () => {
    const ready = await reached(stage("client"), header, openFrame);
    ready.connection.close({ condition: "x:ours" });
    await ready.socket.feed(bareFrame(encodeClose({ condition: "x:theirs" })), bareFrame(encodeClose(undefined)), beginFrame());
    const end = await over(ready);
    assert.deepEqual([end.by, end.error?.condition], ["local", "x:ours"]);
    assert.deepEqual(ready.socket.codes(), [descriptor.open, descriptor.close]);
  });

  test("what comes behind a violation in the same bytes is dropped, but for the close", async () => {
    const ready = await reached(stage("server"), header, openFrame);
    await ready.socket.feed(bareFrame(encodeEnd(undefined), 9), beginFrame(), bareFrame(encodeClose(undefined)));
    const end = await over(ready);
    assert.deepEqual([end.by, end.error?.condition], ["violation", conditions.notAllowed]);
    assert.deepEqual(ready.socket.codes(), [descriptor.open, descriptor.close]);
  });
});

describe("a callback that throws", () => {
  const bug = new Error("bug");
  const throws = (): never => {
    throw bug;
  };
  /** Frames that lead to the callback, behind the header and the open. */
  const begun = [beginFrame()];
  const receiving = [...begun, attachFrame("sender", "thrower", 0)];
  const sending = [...begun, attachFrame("receiver", "thrower", 0)];
  const receiver = (events: object): SessionEvents => ({
    onAttach: (request) => {
      const link = request.acceptAsReceiver({}, { onDelivery: (delivery) => void delivery.settle(accepted), ...events });
      link.addCredit(1);
      if ("onDrained" in events) link.drain();
    },
  });
  const sender = (events: object): SessionEvents => ({
    onAttach: (request) => void request.acceptAsSender<undefined>({}, { onSendable: (link) => void link.send(payload, undefined), ...events }),
  });
  const cases: readonly (readonly [callback: string, session: SessionEvents, frames: readonly Buffer[]])[] = [
    ["onAttach", { onAttach: throws }, receiving],
    ["onDelivery", receiver({ onDelivery: throws }), [...receiving, transferFrame(0, 0)]],
    ["onDeliveriesEnd", receiver({ onDeliveriesEnd: throws }), [...receiving, transferFrame(0, 0)]],
    ["onDrained", receiver({ onDrained: throws }), [...receiving, transferFrame(0, 0)]],
    [
      "onSettled",
      receiver({ onDelivery: () => undefined, onSettled: throws }),
      [...receiving, transferFrame(0, 0), bareFrame(encodeComposite(descriptor.disposition, [false, uint(0), uint(0), true]))],
    ],
    ["onCredit", sender({ onCredit: throws }), [...sending, flowFrame(0, 1)]],
    ["onSendable", sender({ onSendable: throws }), [...sending, flowFrame(0, 1)]],
    ["onOutcome", sender({ onOutcome: throws }), [...sending, flowFrame(0, 1), dispositionFrame(0, 0)]],
    ["onDetach", receiver({ onDetach: throws }), [...receiving, bareFrame(encodeDetach({ handle: 0, closed: true, error: undefined }))]],
    ["onEnd", { onEnd: throws }, [...begun, bareFrame(encodeEnd(undefined))]],
  ];
  for (const [callback, thrower, frames] of cases) {
    test(`${callback}: the connection ends, and every other owner hears of it`, async () => {
      const told: string[] = [];
      const others: SessionEvents = {
        onAttach: (request) => void request.acceptAsReceiver({}, { onDelivery: () => undefined, onDetach: () => told.push("link") }),
        onEnd: () => told.push("session"),
      };
      let sessions = 0;
      const ready = stage("server", idle, { onSession: () => (sessions++ === 0 ? others : thrower) });
      const other = bareFrame(
        encodeAttach({
          name: "other",
          handle: 0,
          role: "sender",
          senderSettleMode: "mixed",
          receiverSettleMode: "first",
          source: {},
          target: {},
          initialDeliveryCount: 0,
        }),
        5,
      );
      await ready.socket.feed(header, openFrame, beginFrame(undefined, 5), other);
      for (const frame of frames) await ready.socket.feed(frame);
      const close = ready.socket.frames.find((frame) => frame.code === descriptor.close);
      assert.ok(close !== undefined, "expected a close");
      assert.equal(readErrorField(close.fields)?.condition, conditions.internalError);
      assert.deepEqual(told, ["link", "session"]);
      await ready.socket.feed(bareFrame(encodeClose(undefined)));
      const end = await over(ready);
      assert.deepEqual([end.by, end.cause], ["fault", bug]);
    });
  }

  /** Every way in which a connection ends, with the error that its owner gets. */
  const endings: readonly (readonly [how: string, end: (ready: Stage) => Promise<void> | void, error: string | undefined])[] = [
    ["a close by the peer", ({ socket }) => socket.feed(bareFrame(encodeClose({ condition: "x:theirs" }))), "x:theirs"],
    [
      "a close of ours that is answered",
      ({ connection, socket }) => (connection.close({ condition: "x:ours" }), socket.feed(bareFrame(encodeClose(undefined)))),
      "x:ours",
    ],
    ["a close of ours that is not answered in time", async ({ connection, clock }) => (connection.close(), await nextTurn(), clock.advance(5_000)), undefined],
    ["an abort", ({ connection }) => connection.abort(), undefined],
    ["a socket that fails", ({ socket }) => void socket.destroy(new Error("ECONNRESET")), undefined],
    ["a peer that ends its half", ({ socket }) => void socket.push(null), undefined],
    ["silence", async ({ clock }) => (clock.advance(120_000), await nextTurn(), clock.advance(5_000)), undefined],
    ["a violation", async ({ socket, clock }) => (await socket.feed(bareFrame(encodeEnd(undefined), 9)), clock.advance(5_000)), conditions.notAllowed],
    ["bytes that are no frame", ({ socket }) => socket.feed(Buffer.alloc(8)), conditions.framingError],
  ];
  for (const [how, end, error] of endings) {
    test(`that hears of an end by ${how}: each owner hears, and the connection's of what was thrown`, async () => {
      const told: string[] = [];
      const tells = (what: string) => (): never => (told.push(what), throws());
      const events: SessionEvents = {
        onAttach: (request) => {
          const { name, role } = request.attach;
          request.onAbandoned = tells(name);
          if (name === "waits") return;
          if (role === "receiver") request.acceptAsSender({}, { onDetach: tells(name) });
          else request.acceptAsReceiver({}, { onDelivery: () => undefined, onDetach: tells(name) });
        },
        onEnd: tells("session"),
      };
      const ready = await reached(
        stage("server", idle, { onSession: () => events }),
        header,
        openFrame,
        beginFrame(),
        attachFrame("sender", "a", 0),
        attachFrame("sender", "waits", 1),
        attachFrame("receiver", "b", 2),
        beginFrame(undefined, 1),
      );
      await end(ready);
      const found = await over(ready);
      assert.deepEqual([found.by, found.cause, found.error?.condition], ["fault", bug, error]);
      assert.deepEqual(told, ["waits", "a", "b", "session", "session"]);
    });
  }

  test("behind another that closed the connection in the same bytes: its owner hears of it", async () => {
    let sessions = 0;
    const closer: SessionEvents = receiver({ onDeliveriesEnd: () => ready.connection.close() });
    const ready = stage("server", idle, { onSession: () => (sessions++ === 0 ? closer : receiver({ onDeliveriesEnd: throws })) });
    const on5 = (body: Buffer): Buffer => {
      const frame = Buffer.from(body);
      frame.writeUInt16BE(5, 6);
      return frame;
    };
    await ready.socket.feed(
      header,
      openFrame,
      beginFrame(),
      attachFrame("sender", "closer", 0),
      beginFrame(undefined, 5),
      on5(attachFrame("sender", "thrower", 0)),
    );
    await ready.socket.feed(Buffer.concat([transferFrame(0, 0), on5(transferFrame(0, 0))]));
    await ready.socket.feed(bareFrame(encodeClose(undefined)));
    const end = await over(ready);
    assert.deepEqual([end.by, end.cause], ["fault", bug]);
  });

  test("at a close that ends the connection from within another callback: the end is told once", async () => {
    const ready = stage("server", idle, { onSession: () => ({ onEnd: () => (ready.connection.abort(), throws()) }) });
    await ready.socket.feed(header, openFrame, beginFrame());
    assert.throws(() => ready.connection.close(), bug);
    assert.equal((await over(ready)).by, "local");
  });

  test("as the last one, onClosed: whoever closed or aborted gets what it throws", async () => {
    for (const end of [(connection: Connection) => connection.abort(), (connection: Connection) => connection.close()]) {
      const socket = new StubSocket();
      // Before a server has sent its header there is nothing to close in order.
      const connection = openServer(socket, { containerId: "server", clock: new ManualClock() }, { onClosed: throws });
      assert.throws(() => end(connection), bug);
      assert.equal(connection.state.at, "closed");
      socket.destroy();
      await nextTurn();
    }
  });
});
