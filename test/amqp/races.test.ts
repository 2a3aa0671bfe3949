// What crosses on the wire: both ends begin, attach, detach, end or settle at one time.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { openClient } from "#runtime/amqp/connection/connection.ts";
import type { Connection } from "#runtime/amqp/connection/connection.ts";
import { accepted, released } from "#runtime/amqp/message/delivery-state.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { encodeAttach, encodeDetach, encodeEnd, readAttach, readDetach } from "#runtime/amqp/frame/performatives.ts";
import type { Role } from "#runtime/amqp/frame/performatives.ts";
import type { Delivery } from "#runtime/amqp/link/receiver.ts";
import type { Session } from "#runtime/amqp/session/session.ts";
import { Flow } from "#runtime/amqp/frame/transfers.ts";
import { Raw, uint } from "#runtime/amqp/codec/types.ts";
import { bareFrame } from "./support/loopback.ts";
import { payload } from "./support/scene.ts";
import { StubSocket, beginFrame, header, openFrame } from "./support/stub-socket.ts";

interface Ready {
  readonly socket: StubSocket;
  readonly connection: Connection;
  readonly session: Session;
  readonly ends: string[];
}

/** A client whose session the peer has answered, on its channel 0. */
async function ready(): Promise<Ready> {
  const socket = new StubSocket();
  const connection = openClient(socket, { containerId: "client" }, {});
  await socket.feed(header, openFrame);
  const ends: string[] = [];
  const session = connection.begin({ onEnd: (_session, end) => ends.push(`session ${end.by}`) });
  await socket.feed(beginFrame(0));
  socket.frames.length = 0;
  return { socket, connection, session, ends };
}

const attachFrame = (role: Role, name: string, handle: number): Buffer =>
  bareFrame(
    encodeAttach({
      name,
      handle,
      role,
      senderSettleMode: "mixed",
      receiverSettleMode: "second",
      source: {},
      target: {},
      initialDeliveryCount: role === "sender" ? 9 : undefined,
    }),
  );
const detachFrame = (handle: number, closed = true): Buffer => bareFrame(encodeDetach({ handle, closed, error: undefined }));
const transferFrame = (id: number): Buffer =>
  bareFrame(Buffer.concat([encodeComposite(descriptor.transfer, [uint(0), uint(id), Buffer.from("t"), uint(0)]), payload]));
const dispositionFrame = (isReceiver: boolean, first: number, settled: boolean): Buffer =>
  bareFrame(encodeComposite(descriptor.disposition, [isReceiver, uint(first), undefined, settled, new Raw(released.bytes)]));
const endFrame = bareFrame(encodeEnd(undefined));

describe("what is said before the peer has answered", () => {
  test("links are attached before the session is answered, and nothing is granted before they are", async () => {
    const socket = new StubSocket();
    const connection = openClient(socket, { containerId: "client" }, {});
    await socket.feed(header, openFrame);
    const receiver = connection.begin({}).openReceiver({ name: "l" }, { onDelivery: () => undefined });
    receiver.addCredit(5);
    receiver.drain();
    await socket.feed();
    assert.deepEqual(socket.codes(), [descriptor.open, descriptor.begin, descriptor.attach]);
    await socket.feed(beginFrame(0, 3));
    assert.equal(socket.frames.length, 3, "no flow without a link");
    await socket.feed(
      bareFrame(
        encodeAttach({
          name: "l",
          handle: 4,
          role: "sender",
          senderSettleMode: "mixed",
          receiverSettleMode: "first",
          source: {},
          target: {},
          initialDeliveryCount: 9,
        }),
        3,
      ),
    );
    const flow = new Flow();
    flow.read(socket.frames[3]!.fields);
    assert.deepEqual([flow.nextIncomingId, flow.handle, flow.deliveryCount, flow.linkCredit, flow.drain], [0, 0, 9, 5, true]);
  });

  test("a session that is ended before it is answered is over when the peer has begun and ended it", async () => {
    const socket = new StubSocket();
    const connection = openClient(socket, { containerId: "client" }, {});
    await socket.feed(header, openFrame);
    const ends: string[] = [];
    const session = connection.begin({ onBegin: () => assert.fail("it is ending"), onEnd: (_session, end) => ends.push(end.by) });
    session.end();
    assert.notEqual(connection.begin({}).channel, session.channel, "the channel is not free yet");
    await socket.feed(beginFrame(session.channel, 6), bareFrame(encodeEnd(undefined), 6));
    assert.deepEqual(ends, ["local"]);
    assert.equal(connection.begin({}).channel, session.channel);
  });

  test("a link that is closed before it is answered is over when the peer has attached and detached it", async () => {
    const { socket, session } = await ready();
    const ends: LinkEnd[] = [];
    const sender = session.openSender({ name: "l" }, { onAttach: () => assert.fail("it is detaching"), onDetach: (_sender, end) => ends.push(end) });
    sender.close();
    await socket.feed(attachFrame("receiver", "l", 0));
    assert.equal(ends.length, 0);
    await socket.feed(detachFrame(0));
    assert.deepEqual(
      ends.map(({ by }) => by),
      ["local"],
    );
    assert.deepEqual(socket.codes(), [descriptor.attach, descriptor.detach]);
    assert.equal(session.openSender({ name: "l" }, {}).handle, sender.handle);
  });
});

describe("what crosses", () => {
  test("two attaches of one name are one link", async () => {
    const { socket, session } = await ready();
    const attached: number[] = [];
    session.events = { onAttach: () => assert.fail("the peer's attach is the answer to ours") };
    session.openSender({ name: "l" }, { onAttach: (sender) => attached.push(sender.remoteHandle) });
    await socket.feed(attachFrame("receiver", "l", 7));
    assert.deepEqual(attached, [7]);
    assert.deepEqual(socket.codes(), [descriptor.attach]);
  });

  test("two detaches are one end, told by who was first here", async () => {
    const { socket, session } = await ready();
    const ends: LinkEnd[] = [];
    const receiver = session.openReceiver({ name: "l" }, { onDelivery: () => undefined, onDetach: (_receiver, end) => ends.push(end) });
    await socket.feed(attachFrame("sender", "l", 0));
    receiver.close({ condition: "x:ours" });
    await socket.feed(bareFrame(encodeDetach({ handle: 0, closed: true, error: { condition: "x:theirs" } })));
    assert.deepEqual(
      ends.map(({ by, error }) => [by, error?.condition]),
      [["local", "x:theirs"]],
    );
    assert.deepEqual(socket.codes(), [descriptor.attach, descriptor.detach]);
  });

  test("a detach that does not close is answered alike", async () => {
    const { socket, session } = await ready();
    session.openReceiver({ name: "l" }, { onDelivery: () => undefined });
    await socket.feed(attachFrame("sender", "l", 0), detachFrame(0, false));
    const answer = readDetach(socket.frames.at(-1)!.fields);
    assert.deepEqual([answer.handle, answer.closed, answer.error], [0, false, undefined]);
  });

  test("a handle and a name are used again in the same bytes that freed them", async () => {
    const { socket, session } = await ready();
    const names: string[] = [];
    session.events = { onAttach: (request) => (names.push(request.attach.name), void request.acceptAsReceiver({}, { onDelivery: () => undefined })) };
    await socket.feed(attachFrame("sender", "a", 0), detachFrame(0), attachFrame("sender", "a", 0), detachFrame(0), attachFrame("sender", "b", 0));
    assert.deepEqual(names, ["a", "a", "b"]);
    assert.deepEqual(
      socket.frames.filter(({ code }) => code === descriptor.attach).map(({ fields }) => readAttach(fields).handle),
      [0, 0, 0],
    );
  });

  test("two ends are one, and what comes between is dropped", async () => {
    const { socket, session, connection, ends } = await ready();
    const linkEnds: LinkEnd[] = [];
    session
      .openReceiver({ name: "l" }, { onDelivery: () => assert.fail("the session is ending"), onDetach: (_receiver, end) => linkEnds.push(end) })
      .addCredit(10);
    await socket.feed(attachFrame("sender", "l", 0));
    session.end({ condition: "x:ours" });
    session.end();
    await socket.feed(transferFrame(0), detachFrame(0), detachFrame(55), endFrame);
    assert.deepEqual(ends, ["session local"]);
    assert.deepEqual(
      linkEnds.map(({ by, error }) => [by, error?.condition]),
      [["session", "x:ours"]],
    );
    assert.deepEqual(
      socket.codes().filter((code) => code === descriptor.end || code === descriptor.detach),
      [descriptor.end],
    );
    await socket.feed(beginFrame(undefined, 0));
    assert.equal(connection.state.at, "open", "the peer's channel is free again");
  });

  test("two settlements of one delivery: the first that is heard counts, the other is nobody's", async () => {
    const { socket, session } = await ready();
    const got: Delivery[] = [];
    const told: string[] = [];
    session
      .openReceiver(
        { name: "l", receiverSettleMode: "second" },
        { onDelivery: (delivery) => got.push(delivery), onSettled: (delivery, state) => told.push(`${delivery.id} ${state?.kind}`) },
      )
      .addCredit(10);
    await socket.feed(attachFrame("sender", "l", 0), transferFrame(0), transferFrame(1));
    got[0]!.settle(accepted);
    await socket.feed(dispositionFrame(false, 0, true), dispositionFrame(false, 0, true), dispositionFrame(false, 1, false), dispositionFrame(false, 1, true));
    assert.equal(got[1]!.settle(accepted), false);
    await socket.feed();
    assert.deepEqual(told, ["0 released", "1 released"]);
    assert.equal(socket.codes().filter((code) => code === descriptor.disposition).length, 1);
  });

  test("a drain and what was sent before it was heard of add up", async () => {
    const { socket, session } = await ready();
    let drained = 0;
    const receiver = session.openReceiver({ name: "l" }, { onDelivery: () => undefined, onDrained: () => drained++ });
    receiver.addCredit(10);
    await socket.feed(attachFrame("sender", "l", 0));
    receiver.drain();
    const flow = (count: number): Buffer =>
      bareFrame(encodeComposite(descriptor.flow, [uint(0), uint(100), uint(2), uint(100), uint(0), uint(count), uint(0), undefined, true]));
    await socket.feed(transferFrame(0), transferFrame(1));
    assert.equal(drained, 0);
    await socket.feed(flow(19));
    assert.deepEqual([drained, receiver.credit, receiver.draining], [1, 0, false]);
    await socket.feed(flow(19), flow(12));
    assert.deepEqual([drained, receiver.credit], [1, 0]);
    receiver.addCredit(3);
    await socket.feed();
    const told = new Flow();
    told.read(socket.frames.at(-1)!.fields);
    assert.deepEqual([told.deliveryCount, told.linkCredit, told.drain], [19, 3, false]);
  });

  test("a drain that had nothing to wait for, and the end of its link: only the end is told", async () => {
    const { socket, session } = await ready();
    const told: string[] = [];
    const receiver = session.openReceiver(
      { name: "l" },
      { onDelivery: ({ receiver: link }) => link.drain(), onDrained: () => told.push("drained"), onDetach: () => told.push("detached") },
    );
    receiver.addCredit(1);
    await socket.feed(attachFrame("sender", "l", 0));
    receiver.drain();
    await socket.feed(bareFrame(encodeComposite(descriptor.flow, [uint(0), uint(100), uint(0), uint(100), uint(0), uint(10), uint(0), undefined, true])));
    assert.deepEqual(told, ["drained"]);
    receiver.drain();
    socket.push(detachFrame(0));
    await socket.feed();
    assert.deepEqual(told, ["drained", "detached"]);
  });
});

describe("credit", () => {
  test("of a receiver that has not heard our delivery-count counts from where it began, across the wrap", async () => {
    const { socket, session } = await ready();
    const sender = session.openSender({ name: "l", initialDeliveryCount: 0xffff_fffe }, {});
    const flow = (count: number | undefined, credit: number): Buffer =>
      bareFrame(
        encodeComposite(descriptor.flow, [uint(0), uint(100), uint(0), uint(100), uint(0), count === undefined ? undefined : uint(count), uint(credit)]),
      );
    await socket.feed(attachFrame("receiver", "l", 0), flow(undefined, 5));
    assert.equal(sender.credit, 5);
    for (let i = 0; i < 3; i++) sender.send(payload, i);
    await socket.feed(flow(undefined, 4));
    assert.equal(sender.credit, 1);
    await socket.feed(flow(0, 4));
    assert.equal(sender.credit, 3);
    await socket.feed(flow(0xffff_ffff, 1));
    assert.equal(sender.credit, 0, "less than what is used already");
  });

  test("stops where serial numbers do, and is a whole number", async () => {
    const { socket, session } = await ready();
    const receiver = session.openReceiver({ name: "l" }, { onDelivery: () => undefined });
    await socket.feed(attachFrame("sender", "l", 0));
    receiver.addCredit(0x7fff_ffff);
    receiver.addCredit(0x7fff_ffff);
    receiver.addCredit(-5);
    assert.equal(receiver.credit, 0x7fff_ffff);
    for (const wrong of [1.5, Number.NaN, Infinity]) assert.throws(() => receiver.addCredit(wrong), RangeError);
    await socket.feed();
    const told = new Flow();
    told.read(socket.frames.at(-1)!.fields);
    assert.equal(told.linkCredit, 0x7fff_ffff);
  });
});
