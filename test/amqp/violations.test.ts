// A peer of bare frames against the engine's server: what sessions and links do about what they did not expect.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { accepted } from "#runtime/amqp/delivery-state.ts";
import { descriptor } from "#runtime/amqp/descriptors.ts";
import { conditions } from "#runtime/amqp/errors.ts";
import { encodeAttach, encodeBegin, encodeClose, encodeDetach, encodeEnd, readAttach, readDetach } from "#runtime/amqp/performatives.ts";
import { Disposition, Flow, Transfer } from "#runtime/amqp/transfers.ts";
import { eventually } from "../support/eventually.ts";
import { Signal } from "./support/loopback.ts";
import type { BarePeer } from "./support/loopback.ts";
import { attach, disposition, ended, flow, grant, payload, startScene, transfer } from "./support/scene.ts";
import type { SceneOptions } from "./support/scene.ts";

describe("a session ends with the condition that names the violation", () => {
  const cases: readonly (readonly [what: string, options: SceneOptions, act: (peer: BarePeer) => void, condition: string])[] = [
    ["a handle that is in use", {}, (peer) => (attach(peer, "sender", 0), attach(peer, "sender", 0, "other")), conditions.handleInUse],
    ["a transfer on a handle without a link", {}, (peer) => transfer(peer, { handle: 7, id: 0 }), conditions.unattachedHandle],
    ["a flow on a handle without a link", {}, (peer) => grant(peer, 7, 1), conditions.unattachedHandle],
    ["a detach of a handle without a link", {}, (peer) => peer.frame(encodeDetach({ handle: 7, closed: true, error: undefined })), conditions.unattachedHandle],
    ["a transfer to a link that sends", {}, (peer) => (attach(peer, "receiver", 0), transfer(peer, { id: 0 })), conditions.notAllowed],
    ["a transfer on a link that was not answered", { postpone: true }, (peer) => (attach(peer, "sender", 0), transfer(peer, { id: 0 })), conditions.notAllowed],
    ["a second attach of a link that was not answered", { postpone: true }, (peer) => (attach(peer, "sender", 0, "n"), attach(peer, "sender", 1, "n")), conditions.notAllowed],
    ["a delivery-id that leaves a gap", {}, (peer) => (attach(peer, "sender", 0), transfer(peer, { id: 5 }), transfer(peer, { id: 7 })), conditions.invalidField],
    ["a delivery-id that comes twice", {}, (peer) => (attach(peer, "sender", 0), transfer(peer, { id: 5 }), transfer(peer, { id: 5 })), conditions.invalidField],
    ["another delivery before the last frame of one", {}, (peer) => (attach(peer, "sender", 0), transfer(peer, { id: 5, more: true }), transfer(peer, { id: 6 })), conditions.notAllowed],
    ["more transfers than the window", { limits: { incomingWindowFrames: 2 } }, (peer) => (peer.socket.cork(), attach(peer, "sender", 0), [0, 1, 2].forEach((id) => transfer(peer, { id })), peer.socket.uncork()), conditions.windowViolation],
    ["more unsettled deliveries than the limit", { limits: { unsettledMax: 2 } }, (peer) => (attach(peer, "sender", 0), [0, 1, 2].forEach((id) => transfer(peer, { id }))), conditions.resourceLimitExceeded],
    ["a range that ends before it begins", {}, (peer) => disposition(peer, 5, 4), conditions.invalidField],
    ["more links than the peer lets us answer", { limits: { linksMax: 100 } }, (peer) => Array.from({ length: 12 }, (_, handle) => attach(peer, "sender", handle)), conditions.notAllowed],
  ];
  for (const [what, options, act, condition] of cases) {
    test(`${what}: ${condition}`, async () => {
      await using scene = await startScene(options);
      const { peer } = scene;
      act(peer);
      assert.equal(await ended(peer, descriptor.end), condition);
      transfer(peer, { id: 100 });
      attach(peer, "sender", 9, "ignored while the session ends");
      peer.frame(encodeEnd(undefined));
      peer.frame(encodeBegin({ nextOutgoingId: 0, incomingWindow: 10, outgoingWindow: 10, handleMax: 10 }));
      await peer.next(descriptor.begin);
      assert.ok(!peer.frames.some((frame) => frame.code === descriptor.close), "the connection goes on");
    });
  }
});

describe("a link ends with the condition that names the violation, its session goes on", () => {
  const cases: readonly (readonly [what: string, options: SceneOptions, act: (peer: BarePeer) => void, condition: string])[] = [
    ["a transfer without credit", { credit: 1 }, (peer) => (transfer(peer, { id: 0 }), transfer(peer, { id: 1 })), conditions.transferLimitExceeded],
    ["a message beyond the link's maximum", { maxMessageSize: 20 }, (peer) => transfer(peer, { id: 0 }, Buffer.alloc(21)), conditions.messageSizeExceeded],
    ["a message beyond the maximum in frames", { limits: { messageBytesMax: 50 } }, (peer) => [0, 1, 2].forEach((part) => transfer(peer, { id: part === 0 ? 0 : undefined, more: true }, Buffer.alloc(20))), conditions.messageSizeExceeded],
    ["a delivery that is resumed", {}, (peer) => transfer(peer, { id: 0, resume: true }), conditions.notImplemented],
  ];
  for (const [what, options, act, condition] of cases) {
    test(`${what}: ${condition}`, async () => {
      await using scene = await startScene(options);
      const { peer, got } = scene;
      attach(peer, "sender", 0);
      await peer.next(descriptor.flow);
      act(peer);
      assert.equal(await ended(peer, descriptor.detach), condition);
      const before = got.length;
      transfer(peer, {}, Buffer.alloc(10));
      transfer(peer, { id: scene.got.length + 1 });
      peer.frame(encodeDetach({ handle: 0, closed: true, error: undefined }));
      await eventually("the link to be over", () => scene.ends.length === 1);
      assert.deepEqual([scene.ends[0]?.by, scene.ends[0]?.error?.condition, got.length], ["local", condition, before]);
      attach(peer, "sender", 0);
      await eventually("a new link on the same handle", () => scene.receivers.length === 2);
    });
  }

  test("a link of a name that is attached already takes it over", async () => {
    await using scene = await startScene();
    const { peer } = scene;
    attach(peer, "sender", 0, "n");
    attach(peer, "sender", 1, "n");
    assert.equal(await ended(peer, descriptor.detach), conditions.stolen);
    peer.frame(encodeDetach({ handle: 0, closed: true, error: undefined }));
    transfer(peer, { handle: 1, id: 0 });
    await eventually("a delivery on the second", () => scene.got.length === 1);
    assert.deepEqual(scene.ends.map((end) => end.error?.condition), [conditions.stolen]);
    assert.equal(scene.got[0]?.receiver, scene.receivers[1]);
  });
});

describe("the connection ends where a limit is its own", () => {
  test("more bytes of messages that are not whole than the limit", async () => {
    await using scene = await startScene({ limits: { partialBytesMax: 100 } });
    const { peer } = scene;
    attach(peer, "sender", 0);
    attach(peer, "sender", 1);
    transfer(peer, { handle: 0, id: 0, more: true }, Buffer.alloc(60));
    transfer(peer, { handle: 1, id: 1, more: true }, Buffer.alloc(60));
    assert.equal(await ended(peer, descriptor.close), conditions.resourceLimitExceeded);
    peer.frame(encodeClose(undefined));
    await peer.ended.wait();
  });
});

describe("what is allowed works", () => {
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
    assert.deepEqual(got.map((delivery) => [delivery.id, delivery.message.data.toString(), delivery.settled, delivery.tag.toString()]), [[0xffff_ffff, "payload", false, "tag"], [0, "payload", true, "tag"]]);
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
    assert.deepEqual(scene.outcomes.map((delivery) => delivery.context), [1, 2, 3, 0, 1, 2, 3, 4, 5]);
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
    const body = encodeAttach({ name: "n", handle: 0, role: "sender", senderSettleMode: "mixed", receiverSettleMode: "first", source: {}, target: {}, initialDeliveryCount: 0 });
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
});
