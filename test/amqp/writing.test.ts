// What reaches the socket, and how often: one write a tick, few dispositions, nothing at all from a connection that is idle.
import { strict as assert } from "node:assert";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { describe, test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { openServer } from "#runtime/amqp/connection/connection.ts";
import type { Connection } from "#runtime/amqp/connection/connection.ts";
import { accepted, rejected } from "#runtime/amqp/message/delivery-state.ts";
import type { DeliveryState } from "#runtime/amqp/message/delivery-state.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { encodeAttach, encodeOpen } from "#runtime/amqp/frame/performatives.ts";
import type { ReceiverSettleMode } from "#runtime/amqp/frame/performatives.ts";
import type { Delivery, Receiver } from "#runtime/amqp/link/receiver.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import { Disposition } from "#runtime/amqp/frame/transfers.ts";
import { uint } from "#runtime/amqp/codec/types.ts";
import { eventually } from "../support/eventually.ts";
import { certificate, key } from "./support/certificate.ts";
import { ManualClock, bareFrame, startPair } from "./support/loopback.ts";
import { payload } from "./support/scene.ts";
import { StubSocket, beginFrame, header, openFrame } from "./support/stub-socket.ts";

const count = 1_000;

interface Ready {
  readonly socket: StubSocket;
  readonly clock: ManualClock;
  readonly connection: Connection;
  readonly receivers: Receiver[];
  readonly senders: Sender[];
  readonly got: Delivery[];
  onDelivery: (delivery: Delivery) => void;
}

/** A server with a session that takes any link, whose peer has ten receivers and ten senders attached. */
async function ready(receiverSettleMode: ReceiverSettleMode, open: Buffer = openFrame): Promise<Ready> {
  const made: { -readonly [Name in keyof Ready]: Ready[Name] } = {
    socket: new StubSocket(),
    clock: new ManualClock(),
    receivers: [],
    senders: [],
    got: [],
    onDelivery: (delivery) => void made.got.push(delivery),
    connection: undefined as never,
  };
  made.connection = openServer(
    made.socket,
    { containerId: "server", clock: made.clock },
    {
      onSession: () => ({
        onAttach: (request) => {
          if (request.attach.role === "sender")
            made.receivers.push(request.acceptAsReceiver({ receiverSettleMode }, { onDelivery: (delivery) => made.onDelivery(delivery) }));
          else made.senders.push(request.acceptAsSender({}, {}));
        },
      }),
    },
  );
  const attaches = Array.from({ length: 20 }, (_, handle) => {
    const role = handle < 10 ? "sender" : "receiver";
    return bareFrame(
      encodeAttach({
        name: `${handle}`,
        handle,
        role,
        senderSettleMode: "mixed",
        receiverSettleMode,
        source: {},
        target: {},
        initialDeliveryCount: role === "sender" ? 0 : undefined,
      }),
    );
  });
  await made.socket.feed(header, open, beginFrame(), ...attaches);
  return made;
}

/** `total` deliveries, spread over the links. */
async function deliver({ socket, receivers, got }: Ready, total: number): Promise<void> {
  for (const receiver of receivers) receiver.addCredit(total);
  await socket.feed();
  for (let from = 0; from < total; from += 200) {
    await socket.feed(
      ...Array.from({ length: Math.min(200, total - from) }, (_, index) =>
        bareFrame(Buffer.concat([encodeComposite(descriptor.transfer, [uint(index % 10), uint(from + index), Buffer.from("t"), uint(0)]), payload])),
      ),
    );
  }
  assert.equal(got.length, total);
}

function shuffled<Item>(items: readonly Item[], seed: number): Item[] {
  const mixed = [...items];
  for (let i = mixed.length - 1, state = seed; i > 0; i--) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    const at = (state >>> 8) % (i + 1);
    [mixed[i], mixed[at]] = [mixed[at]!, mixed[i]!];
  }
  return mixed;
}

interface Told {
  readonly first: number;
  readonly last: number;
  readonly settled: boolean;
}

function dispositions({ frames }: StubSocket): Told[] {
  const told = new Disposition();
  return frames
    .filter((frame) => frame.code === descriptor.disposition)
    .map(({ fields }) => {
      told.read(fields);
      return { first: told.first, last: told.last, settled: told.settled };
    });
}

describe("one tick is one write", () => {
  test("whatever was settled, granted, sent, attached and begun in it", async () => {
    const made = await ready("second");
    await deliver(made, 100);
    await made.socket.feed(
      ...made.senders.map((_, index) =>
        bareFrame(encodeComposite(descriptor.flow, [uint(0), uint(1_000), uint(0), uint(1_000), uint(10 + index), uint(0), uint(100)])),
      ),
    );
    made.socket.frames.length = 0;
    made.socket.writes = 0;
    for (const delivery of made.got) delivery.settle(accepted);
    for (const receiver of made.receivers) receiver.addCredit(5);
    for (const sender of made.senders) {
      sender.send(payload, undefined);
      sender.send([Buffer.alloc(20_000), Buffer.alloc(20_000)], undefined);
    }
    made.connection.begin({}).openReceiver({ name: "another" }, { onDelivery: () => undefined });
    assert.equal(made.socket.writes, 0, "nothing before the tick ends");
    await nextTurn();
    await nextTurn();
    assert.equal(made.socket.writes, 1);
    const tally = new Map<number, number>();
    for (const code of made.socket.codes()) tally.set(code, (tally.get(code) ?? 0) + 1);
    assert.deepEqual(
      [...tally].sort(([a], [b]) => a - b),
      [
        [descriptor.begin, 1],
        [descriptor.attach, 1],
        [descriptor.flow, 10],
        [descriptor.transfer, 20],
        [descriptor.disposition, 1],
      ],
    );
  });

  test("messages that come in one piece and are settled as they come are answered in one write", async () => {
    const made = await ready("first");
    for (const receiver of made.receivers) receiver.addCredit(100);
    await made.socket.feed();
    made.socket.writes = 0;
    made.onDelivery = (delivery) => delivery.settle(accepted);
    await made.socket.feed(
      ...Array.from({ length: 500 }, (_, id) =>
        bareFrame(Buffer.concat([encodeComposite(descriptor.transfer, [uint(id % 10), uint(id), Buffer.from("t"), uint(0)]), payload])),
      ),
    );
    assert.equal(made.socket.writes, 1);
    assert.deepEqual(dispositions(made.socket), [{ first: 0, last: 499, settled: true }]);
  });
});

describe(`dispositions of ${count} deliveries of ten links`, () => {
  for (const receiverSettleMode of ["first", "second"] as const) {
    test(`that finish in random order in one tick, all accepted, settling ${receiverSettleMode}: one`, async () => {
      const made = await ready(receiverSettleMode);
      await deliver(made, count);
      for (const delivery of shuffled(made.got, 7)) assert.ok(delivery.settle(accepted));
      await made.socket.feed();
      assert.deepEqual(dispositions(made.socket), [{ first: 0, last: count - 1, settled: receiverSettleMode === "first" }]);
    });
  }

  test("of which one is rejected and one is held: as many as there are runs", async () => {
    const made = await ready("second");
    await deliver(made, count);
    const states = new Map<number, DeliveryState>([[300, rejected({ condition: "x:y" })]]);
    for (const delivery of shuffled(made.got, 9)) if (delivery.id !== 700) assert.ok(delivery.settle(states.get(delivery.id) ?? accepted));
    await made.socket.feed();
    const told = dispositions(made.socket)
      .map(({ first, last }) => [first, last])
      .sort(([a], [b]) => a! - b!);
    assert.deepEqual(told, [
      [0, 299],
      [300, 300],
      [301, 699],
      [701, 999],
    ]);
  });

  test("that finish in random order, a quarter in each of four ticks: never more than there are runs", async () => {
    const made = await ready("second");
    await deliver(made, count);
    const order = shuffled(made.got, 11);
    const told = new Map<number, number>();
    for (let tick = 0; tick < 4; tick++) {
      const now = order.slice(tick * 250, tick * 250 + 250);
      made.socket.frames.length = 0;
      for (const delivery of now) delivery.settle(accepted);
      await made.socket.feed();
      const ids = new Set(now.map(({ id }) => id));
      const runs = [...ids].filter((id) => !ids.has(id - 1)).length;
      const said = dispositions(made.socket);
      assert.equal(said.length, runs);
      for (const { first, last } of said) for (let id = first; id <= last; id++) told.set(id, (told.get(id) ?? 0) + 1);
    }
    assert.equal(told.size, count);
    assert.ok([...told.values()].every((times) => times === 1));
  });
});

describe("a peer that is slow", () => {
  test("holds senders back from the high mark on, and lets them go on however low it lies", async () => {
    const socket = new StubSocket();
    socket.isSlow = true;
    let sent = 0;
    openServer(
      socket,
      { containerId: "server", limits: { outputBytesHigh: 1 } },
      {
        onSession: () => ({
          onAttach: (request) => {
            request.acceptAsSender(
              {},
              {
                onSendable: (sender) => {
                  while (sender.send(payload, sent) !== undefined) sent++;
                },
              },
            );
          },
        }),
      },
    );
    const attach = bareFrame(
      encodeAttach({ name: "l", handle: 0, role: "receiver", senderSettleMode: "mixed", receiverSettleMode: "first", source: {}, target: {} }),
    );
    await socket.feed(
      header,
      openFrame,
      beginFrame(),
      attach,
      bareFrame(encodeComposite(descriptor.flow, [uint(0), uint(1_000), uint(0), uint(1_000), uint(0), uint(0), uint(20)])),
    );
    await eventually("all that there is credit for", () => sent === 20);
  });
});

describe("an idle connection", () => {
  test("without time-outs has no timer and writes nothing", async () => {
    const made = await ready("second");
    assert.equal(made.clock.timersLeft, 0);
    made.socket.writes = 0;
    for (let turn = 0; turn < 50; turn++) {
      made.clock.advance(60_000);
      await nextTurn();
    }
    assert.equal(made.socket.writes, 0);
  });

  test("has one timer for both time-outs, which is not set again for what comes and goes", async () => {
    const made = await ready("second", bareFrame(encodeOpen({ containerId: "far", maxFrameSize: 65_536, channelMax: 10, idleTimeOutMs: 30_000 })));
    assert.equal(made.clock.timersLeft, 1);
    made.socket.writes = 0;
    const set = made.clock.timersSet;
    await deliver(made, 100);
    for (const delivery of made.got) delivery.settle(accepted);
    await made.socket.feed();
    assert.deepEqual([made.clock.timersSet - set, made.clock.timersLeft], [0, 1]);
    made.socket.writes = 0;
    made.clock.advance(15_000);
    await nextTurn();
    assert.equal(made.socket.writes, 1, "a heartbeat");
    assert.equal(made.socket.frames.at(-1)?.code, -1);
  });
});

describe("a socket", () => {
  for (const tls of [false, true]) {
    test(`of ${tls ? "TLS" : "TCP"} does not wait to fill packets, at either end`, async () => {
      const sockets: Socket[] = [];
      const note = (message: unknown): void => void sockets.push((message as { readonly socket: Socket }).socket);
      const channels = ["net.client.socket", "net.server.socket"];
      for (const channel of channels) subscribe(channel, note);
      try {
        await using _pair = await startPair(
          tls ? { server: { tls: { key, cert: certificate } }, client: { host: "localhost", tls: { ca: certificate, host: "127.0.0.1" } } } : {},
        );
        assert.equal(sockets.length, 2);
        for (const socket of sockets) {
          const noDelay = Object.getOwnPropertySymbols(socket).find((symbol) => symbol.description === "kSetNoDelay");
          assert.ok(noDelay !== undefined, "expected sockets to tell whether they wait");
          assert.equal((socket as unknown as { readonly [property: symbol]: unknown })[noDelay], true);
        }
      } finally {
        for (const channel of channels) unsubscribe(channel, note);
      }
    });
  }
});
