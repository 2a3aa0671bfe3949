// A peer of bare frames against the engine's server: the corners of what two ends may say to each other.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import { readErrorField } from "#runtime/amqp/message/condition.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { encodeTarget } from "#runtime/amqp/message/terminus.ts";
import { Raw, uint } from "#runtime/amqp/codec/types.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeAttach, encodeBegin, encodeDetach, encodeEnd, encodeOpen, readAttach, readDetach } from "#runtime/amqp/frame/performatives.ts";
import { Disposition, Flow, Transfer } from "#runtime/amqp/frame/transfers.ts";
import { eventually } from "../support/eventually.ts";
import { BarePeer, Signal } from "./support/loopback.ts";
import { attach, disposition, flow, grant, payload, startScene, transfer } from "./support/scene.ts";
import { startServer } from "./support/server.ts";

describe("what the specification allows works", () => {
  test("frames of several deliveries may interleave on different links", async () => {
    await using scene = await startScene();
    const { peer, got } = scene;
    attach(peer, "sender", 0);
    attach(peer, "sender", 1);
    transfer(peer, { handle: 0, id: 0xffff_ffff, more: true }, payload.subarray(0, 4));
    transfer(peer, { handle: 1, id: 0, more: true }, payload.subarray(0, 6));
    transfer(peer, { handle: 0, id: 0xffff_ffff, more: true }, payload.subarray(4, 4));
    transfer(peer, { handle: 0 }, payload.subarray(4));
    transfer(peer, { handle: 1, settled: true }, payload.subarray(6));
    await eventually("both", () => got.length === 2);
    assert.deepEqual(
      got.map((delivery) => [delivery.id, delivery.message.data.toString(), delivery.settled, delivery.tag.toString()]),
      [
        [0xffff_ffff, "payload", false, "tag"],
        [0, "payload", true, "tag"],
      ],
    );
  });

  test("an aborted delivery is forgotten, whole or in frames, and took its credit", async () => {
    await using scene = await startScene({ credit: 3 });
    const { peer, got } = scene;
    attach(peer, "sender", 0);
    transfer(peer, { id: 0, more: true });
    transfer(peer, { aborted: true });
    transfer(peer, { id: 1, aborted: true });
    transfer(peer, { id: 2 });
    await eventually("the third", () => got.length === 1);
    assert.deepEqual([got[0]?.id, scene.receivers[0]?.credit], [2, 0]);
  });

  test("a flow that asks for an echo gets one, of the session or of the link", async () => {
    await using scene = await startScene();
    const { peer } = scene;
    attach(peer, "receiver", 0);
    attach(peer, "sender", 1);
    const granted = new Flow();
    granted.read((await peer.next(descriptor.flow)).fields);
    assert.deepEqual([granted.handle, granted.linkCredit, granted.deliveryCount], [1, 10, 0]);
    flow(peer, [0, 1_000, 0, 1_000, undefined, undefined, undefined, undefined, undefined, true]);
    const echo = new Flow();
    echo.read((await peer.next(descriptor.flow)).fields);
    assert.deepEqual([echo.handle, echo.nextIncomingId, echo.incomingWindow], [-1, 0, 8_192]);
    grant(peer, 0, 5, { echo: true });
    echo.read((await peer.next(descriptor.flow)).fields);
    assert.deepEqual([echo.handle, echo.deliveryCount, echo.linkCredit], [0, 0, 5]);
    flow(peer, [0, 1_000, 0, 1_000, 1, 0, 0, undefined, undefined, true]);
    echo.read((await peer.next(descriptor.flow)).fields);
    assert.deepEqual([echo.handle, echo.linkCredit], [1, 10]);
  });

  test("credit that is taken back is gone, and credit is told by delivery-count", async () => {
    await using scene = await startScene();
    const { peer } = scene;
    attach(peer, "receiver", 0);
    await eventually("the link", () => scene.senders.length === 1);
    const sender = scene.senders[0]!;
    grant(peer, 0, 5);
    await eventually("the credit", () => sender.credit === 5);
    sender.send(payload, 1);
    sender.send(payload, 2);
    grant(peer, 0, 5);
    await eventually("the credit that the receiver meant before it saw two", () => sender.credit === 3);
    grant(peer, 0, 0, { count: 2, incomingId: 2 });
    await eventually("no credit", () => sender.credit === 0);
    assert.equal(sender.send(payload, 3), undefined);
    grant(peer, 0, 3, { count: 2, window: 0, incomingId: 2 });
    await eventually("credit without a window", () => sender.credit === 3);
    assert.equal(sender.capacity(), 0);
    const ids: number[] = [];
    for (let i = 0; i < 2; i++) {
      const seen = new Transfer();
      seen.read((await peer.next(descriptor.transfer)).fields);
      ids.push(seen.deliveryId);
    }
    assert.deepEqual(ids, [0, 1]);
  });

  test("credit granted before an answer that was postponed is kept", async () => {
    await using scene = await startScene({ postpone: true });
    const { peer } = scene;
    attach(peer, "receiver", 0);
    flow(peer, [0, 1_000, 0, 1_000, 0, undefined, 4]);
    peer.frame(encodeBegin({ nextOutgoingId: 0, incomingWindow: 1, outgoingWindow: 1, handleMax: 0 }), 5);
    await peer.next(descriptor.begin);
    const sendable = new Signal<number>("room");
    scene.requests[0]!.acceptAsSender({}, { onSendable: (sender) => sendable.set(sender.capacity()) });
    assert.equal(await sendable.wait(), 4);
  });

  test("dispositions reach what is unsettled in their range and nothing else", async () => {
    await using scene = await startScene();
    const { peer } = scene;
    attach(peer, "receiver", 0);
    grant(peer, 0, 10);
    await eventually("credit", () => scene.senders[0]?.credit === 10);
    for (let i = 0; i < 6; i++) scene.senders[0]!.send(payload, i);
    disposition(peer, 1, 3, { settled: false });
    await eventually("three told", () => scene.outcomes.length === 3);
    assert.ok(scene.outcomes.every((delivery) => !delivery.settled));
    disposition(peer, 0xffff_fff0, 4);
    await eventually("five settled", () => scene.outcomes.length === 8);
    disposition(peer, 0, 0x7fff_0000, { role: false });
    disposition(peer, 0, 0x7fff_0000);
    await eventually("the last", () => scene.outcomes.length === 9);
    assert.deepEqual(
      scene.outcomes.map((delivery) => delivery.context),
      [1, 2, 3, 0, 1, 2, 3, 4, 5],
    );
    assert.ok(scene.outcomes.slice(3).every((delivery) => delivery.settled));
  });

  test("dispositions of what is settled in one tick come before a detach of the same tick", async () => {
    await using scene = await startScene();
    const { peer, got } = scene;
    attach(peer, "sender", 0);
    for (const id of [0, 1, 2, 3]) transfer(peer, { id });
    await eventually("four", () => got.length === 4);
    for (const index of [2, 0, 1]) got[index]!.settle(accepted);
    scene.receivers[0]!.close();
    got[3]!.settle(accepted);
    const detach = await peer.next(descriptor.detach);
    assert.equal(readDetach(detach.fields).closed, true);
    const said = new Disposition();
    said.read((await peer.next(descriptor.disposition)).fields);
    assert.deepEqual([said.first, said.last, said.settled, said.fromReceiver], [0, 2, true, true]);
    assert.equal(peer.frames.filter((frame) => frame.code === descriptor.disposition).length, 0);
  });

  test("a settlement is told before a message that is sent after it, when it is flushed", async () => {
    await using scene = await startScene();
    const { peer, got } = scene;
    attach(peer, "sender", 0);
    attach(peer, "receiver", 1);
    grant(peer, 1, 1);
    transfer(peer, { id: 0 });
    await eventually("request and credit", () => got.length === 1 && scene.senders[0]?.credit === 1);
    got[0]!.settle(accepted);
    got[0]!.receiver.flushSettled();
    scene.senders[0]!.send(payload, 1);
    await eventually("both frames", () => peer.frames.some((frame) => frame.code === descriptor.transfer));
    const codes = peer.frames.map((frame) => frame.code);
    assert.ok(codes.indexOf(descriptor.disposition) < codes.indexOf(descriptor.transfer));
  });

  test("a link that the peer detaches without an answer of ours is answered in full", async () => {
    await using scene = await startScene({ postpone: true });
    const { peer } = scene;
    attach(peer, "receiver", 3, "gone");
    peer.frame(encodeDetach({ handle: 3, closed: true, error: undefined }));
    const answer = readAttach((await peer.next(descriptor.attach)).fields);
    assert.deepEqual([answer.name, answer.role, answer.source, answer.target], ["gone", "sender", undefined, undefined]);
    assert.equal(readDetach((await peer.next(descriptor.detach)).fields).handle, answer.handle);
    assert.equal(scene.requests[0]?.isPending, false);
  });

  test("performatives named by symbol are understood", async () => {
    await using scene = await startScene();
    const { peer } = scene;
    const body = encodeAttach({
      name: "n",
      handle: 0,
      role: "sender",
      senderSettleMode: "mixed",
      receiverSettleMode: "first",
      source: {},
      target: {},
      initialDeliveryCount: 0,
    });
    const name = Buffer.from("amqp:attach:list");
    peer.frame(Buffer.concat([Buffer.from([0, 0xa3, name.length]), name, body.subarray(3)]));
    assert.equal(readAttach((await peer.next(descriptor.attach)).fields).name, "n");
  });

  test("the largest message of a link is told to the peer", async () => {
    await using scene = await startScene({ maxMessageSize: 12_345 });
    attach(scene.peer, "sender", 0);
    const answer = readAttach((await scene.peer.next(descriptor.attach)).fields);
    assert.equal(answer.maxMessageSize, 12_345);
  });

  test("a delivery may be settled first on a link that settles second", async () => {
    await using scene = await startScene({ receiverSettleMode: "second" });
    const { peer, got } = scene;
    attach(peer, "sender", 0);
    transfer(peer, { id: 0 });
    transfer(peer, { id: 1, receiverSettleMode: 0 });
    transfer(peer, { id: 2, receiverSettleMode: 0, more: true });
    transfer(peer, {});
    transfer(peer, { id: 3, receiverSettleMode: 1 });
    await eventually("four", () => got.length === 4);
    for (const delivery of got) assert.equal(delivery.settle(accepted), true);
    assert.deepEqual(
      got.map((delivery) => delivery.settled),
      [false, true, true, false],
    );
    const told: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      const said = new Disposition();
      said.read((await peer.next(descriptor.disposition)).fields);
      told.push([said.first, said.last, said.settled]);
    }
    assert.deepEqual(told, [
      [0, 0, false],
      [3, 3, false],
      [1, 2, true],
    ]);
  });

  test("a disposition says nothing of deliveries that are sent in answer to it, however far it reaches", async () => {
    let answered = 0;
    await using scene = await startScene({ onOutcome: ({ sender, context }) => void (answered++ < 5 && sender.send(payload, context + 10)) });
    const { peer } = scene;
    attach(peer, "receiver", 0);
    grant(peer, 0, 10);
    await eventually("credit", () => scene.senders[0]?.credit === 10);
    for (const context of [0, 1]) scene.senders[0]!.send(payload, context);
    disposition(peer, 0, 0x7fff_fff0);
    for (let i = 0; i < 4; i++) await peer.next(descriptor.transfer);
    flow(peer, [4, 1_000, 0, 1_000, undefined, undefined, undefined, undefined, undefined, true]);
    await peer.next(descriptor.flow);
    assert.deepEqual(
      scene.outcomes.map(({ context }) => context),
      [0, 1],
    );
    disposition(peer, 2, undefined);
    await eventually("one that was sent in answer", () => scene.outcomes.length === 3);
    assert.deepEqual(
      scene.outcomes.map(({ context, settled }) => [context, settled]),
      [
        [0, true],
        [1, true],
        [10, true],
      ],
    );
  });

  test("a delivery that is settled is not told of again", async () => {
    await using scene = await startScene();
    const { peer } = scene;
    attach(peer, "receiver", 0);
    grant(peer, 0, 10);
    await eventually("credit", () => scene.senders[0]?.credit === 10);
    for (const context of [0, 1]) scene.senders[0]!.send(payload, context);
    disposition(peer, 0, undefined);
    disposition(peer, 0, undefined);
    disposition(peer, 0, 1);
    disposition(peer, 0, 1, { settled: false });
    disposition(peer, 5, 9);
    flow(peer, [2, 1_000, 0, 1_000, undefined, undefined, undefined, undefined, undefined, true]);
    await peer.next(descriptor.flow);
    assert.deepEqual(
      scene.outcomes.map(({ context }) => context),
      [0, 1],
    );
    assert.equal(scene.outcomes[0]!.settle(accepted), false);
  });

  test("a link that wants to be resumed is attached again: our end knows of no delivery", async () => {
    await using scene = await startScene();
    const { peer } = scene;
    const fields = [
      uint(0),
      false,
      undefined,
      undefined,
      encodeTarget({ address: "q" }),
      encodeTarget({ address: "q" }),
      new Map([[Buffer.from("tag"), new Raw(accepted.bytes)]]),
      true,
      uint(7),
    ];
    peer.frame(encodeComposite(descriptor.attach, ["again", ...fields]));
    const { fields: answer } = await peer.next(descriptor.attach);
    for (let left = 7; left > 0; left--) answer.span();
    assert.deepEqual([answer.span(), answer.boolean(false)], [false, false], "no unsettled map, and it is complete");
    const granted = new Flow();
    granted.read((await peer.next(descriptor.flow)).fields);
    assert.deepEqual([granted.deliveryCount, granted.linkCredit], [7, 10]);
  });

  test("a first transfer may leave its tag out, though it should not", async () => {
    await using scene = await startScene();
    const { peer, got } = scene;
    attach(peer, "sender", 0);
    peer.frame(Buffer.concat([encodeComposite(descriptor.transfer, [uint(0), uint(0)]), payload]));
    await eventually("the delivery", () => got.length === 1);
    assert.deepEqual([got[0]!.tag.length, got[0]!.messageFormat, got[0]!.settled], [0, 0, false]);
  });

  test("why a link, a session or a connection ended is shortened to what the peer's frames take", async () => {
    const error = { condition: "x:long", description: "é".repeat(2_000), info: { more: "m".repeat(2_000) } };
    const server = await startServer(
      {},
      {
        onSession: (session, connection) => ({
          onAttach: (request) =>
            request.attach.name === "link" ? request.refuse(error) : request.attach.name === "session" ? session.end(error) : connection.close(error),
        }),
      },
    );
    await using _server = server;
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    peer.frame(encodeOpen({ containerId: "bare", maxFrameSize: 512, channelMax: 10 }));
    const begin = encodeBegin({ nextOutgoingId: 0, incomingWindow: 10, outgoingWindow: 10, handleMax: 10 });
    peer.frame(begin);
    for (const [name, code, skipped] of [
      ["link", descriptor.detach, 2],
      ["session", descriptor.end, 0],
      ["connection", descriptor.close, 0],
    ] as const) {
      attach(peer, "sender", 0, name);
      const { body, fields } = await peer.next(code);
      assert.ok(body.length + 8 <= 512);
      for (let left = skipped; left > 0; left--) fields.span();
      assert.deepEqual(readErrorField(fields), { condition: "x:long", description: "é".repeat(100), info: undefined });
      if (name === "link") peer.frame(encodeDetach({ handle: 0, closed: true, error: undefined }));
      if (name === "session") {
        peer.frame(encodeEnd(undefined));
        peer.frame(begin);
      }
    }
  });
});
