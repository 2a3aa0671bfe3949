// A peer of bare frames against the engine's server: what sessions and links do about what they did not expect.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { conditions } from "#runtime/amqp/codec/errors.ts";
import { encodeBegin, encodeClose, encodeDetach, encodeEnd } from "#runtime/amqp/frame/performatives.ts";
import { eventually } from "../support/eventually.ts";
import type { BarePeer } from "./support/loopback.ts";
import { attach, disposition, ended, grant, startScene, transfer } from "./support/scene.ts";
import type { SceneOptions } from "./support/scene.ts";

describe("a session ends with the condition that names the violation", () => {
  const cases: readonly (readonly [what: string, options: SceneOptions, act: (peer: BarePeer) => void, condition: string])[] = [
    ["a handle that is in use", {}, (peer) => (attach(peer, "sender", 0), attach(peer, "sender", 0, "other")), conditions.handleInUse],
    ["a transfer on a handle without a link", {}, (peer) => transfer(peer, { handle: 7, id: 0 }), conditions.unattachedHandle],
    ["a flow on a handle without a link", {}, (peer) => grant(peer, 7, 1), conditions.unattachedHandle],
    ["a detach of a handle without a link", {}, (peer) => peer.frame(encodeDetach({ handle: 7, closed: true, error: undefined })), conditions.unattachedHandle],
    ["a transfer to a link that sends", {}, (peer) => (attach(peer, "receiver", 0), transfer(peer, { id: 0 })), conditions.notAllowed],
    ["a transfer on a link that was not answered", { postpone: true }, (peer) => (attach(peer, "sender", 0), transfer(peer, { id: 0 })), conditions.notAllowed],
    [
      "a second attach of a link that was not answered",
      { postpone: true },
      (peer) => (attach(peer, "sender", 0, "n"), attach(peer, "sender", 1, "n")),
      conditions.notAllowed,
    ],
    [
      "a delivery-id that leaves a gap",
      {},
      (peer) => (attach(peer, "sender", 0), transfer(peer, { id: 5 }), transfer(peer, { id: 7 })),
      conditions.invalidField,
    ],
    [
      "a delivery-id that comes twice",
      {},
      (peer) => (attach(peer, "sender", 0), transfer(peer, { id: 5 }), transfer(peer, { id: 5 })),
      conditions.invalidField,
    ],
    [
      "another delivery before the last frame of one",
      {},
      (peer) => (attach(peer, "sender", 0), transfer(peer, { id: 5, more: true }), transfer(peer, { id: 6 })),
      conditions.notAllowed,
    ],
    ["a first transfer without a delivery-id", {}, (peer) => (attach(peer, "sender", 0), transfer(peer, {})), conditions.invalidField],
    [
      "more transfers than the window",
      { limits: { incomingWindowFrames: 2 } },
      (peer) => (peer.socket.cork(), attach(peer, "sender", 0), [0, 1, 2].forEach((id) => transfer(peer, { id })), peer.socket.uncork()),
      conditions.windowViolation,
    ],
    [
      "more unsettled deliveries than the limit",
      { limits: { unsettledMax: 2 } },
      (peer) => (attach(peer, "sender", 0), [0, 1, 2].forEach((id) => transfer(peer, { id }))),
      conditions.resourceLimitExceeded,
    ],
    ["a range that ends before it begins", {}, (peer) => disposition(peer, 5, 4), conditions.invalidField],
    [
      "more links than the peer lets us answer",
      { limits: { linksMax: 100 } },
      (peer) => Array.from({ length: 12 }, (_, handle) => attach(peer, "sender", handle)),
      conditions.notAllowed,
    ],
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
    [
      "a message beyond the maximum in frames",
      { limits: { messageBytesMax: 50 } },
      (peer) => [0, 1, 2].forEach((part) => transfer(peer, { id: part === 0 ? 0 : undefined, more: true }, Buffer.alloc(20))),
      conditions.messageSizeExceeded,
    ],
    ["a delivery to be settled second on a link that settles first", {}, (peer) => transfer(peer, { id: 0, receiverSettleMode: 1 }), conditions.invalidField],
    ["a settle mode that there is not", {}, (peer) => transfer(peer, { id: 0, receiverSettleMode: 2 }), conditions.invalidField],
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
    assert.deepEqual(
      scene.ends.map((end) => end.error?.condition),
      [conditions.stolen],
    );
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
