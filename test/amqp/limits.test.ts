// Every limit of limits.ts: what a peer hears that goes past it. The tables name each one, so a new limit needs a row.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { Decoder } from "#runtime/amqp/codec/decode.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encode, encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { ProtocolError, conditions } from "#runtime/amqp/codec/errors.ts";
import { frameType, protocolHeader, protocolId } from "#runtime/amqp/frame/frames.ts";
import { defaultLimits, elementsMax, nestingMax, resolveLimits, tagBytesMax, widthlessElementsMax } from "#runtime/amqp/codec/limits.ts";
import type { Limits } from "#runtime/amqp/codec/limits.ts";
import { encodeBegin, encodeOpen } from "#runtime/amqp/frame/performatives.ts";
import { array, symbol, uint } from "#runtime/amqp/codec/types.ts";
import type { Encodable } from "#runtime/amqp/codec/types.ts";
import { MapView } from "#runtime/amqp/codec/views.ts";
import { eventually } from "../support/eventually.ts";
import { BarePeer, bareFrame } from "./support/loopback.ts";
import { attach, disposition, ended, flow, grant, payload, startScene, transfer } from "./support/scene.ts";
import type { Scene } from "./support/scene.ts";
import { open, startServer } from "./support/server.ts";

const begin = encodeBegin({ nextOutgoingId: 0, incomingWindow: 10, outgoingWindow: 10, handleMax: 10 });

/** Past a limit on a connection with a session: what is sent, and the frame and the condition that come back. */
interface Breach {
  readonly limits: Partial<Limits>;
  readonly act: (scene: Scene) => unknown;
  readonly code: number;
  readonly condition: string;
}

const breaches: { readonly [Name in Exclude<keyof Limits, "outputBytesHigh" | "outputBytesMax" | "saslFrameBytesMax" | "idleTimeOutMsMin">]: Breach } = {
  frameBytesMax: {
    limits: { frameBytesMax: 600 },
    act: ({ peer }) => peer.frame(Buffer.alloc(593)),
    code: descriptor.close,
    condition: conditions.framingError,
  },
  sessionsMax: {
    limits: { sessionsMax: 2 },
    act: ({ peer }) => [1, 2].forEach((channel) => peer.frame(begin, channel)),
    code: descriptor.close,
    condition: conditions.framingError,
  },
  linksMax: {
    limits: { linksMax: 2 },
    act: ({ peer }) => [0, 1, 2].forEach((handle) => attach(peer, "sender", handle)),
    code: descriptor.close,
    condition: conditions.framingError,
  },
  incomingWindowFrames: {
    limits: { incomingWindowFrames: 4 },
    act: ({ peer }) => (peer.socket.cork(), attach(peer, "sender", 0), [0, 1, 2, 3, 4].forEach((id) => transfer(peer, { id })), peer.socket.uncork()),
    code: descriptor.end,
    condition: conditions.windowViolation,
  },
  unsettledMax: {
    limits: { unsettledMax: 3 },
    act: ({ peer }) => (attach(peer, "sender", 0), [0, 1, 2, 3].forEach((id) => transfer(peer, { id }))),
    code: descriptor.end,
    condition: conditions.resourceLimitExceeded,
  },
  messageBytesMax: {
    limits: { messageBytesMax: 30 },
    act: ({ peer }) => (attach(peer, "sender", 0), transfer(peer, { id: 0 }, Buffer.alloc(31))),
    code: descriptor.detach,
    condition: conditions.messageSizeExceeded,
  },
  partialBytesMax: {
    limits: { partialBytesMax: 100 },
    act: ({ peer }) => [0, 1].forEach((handle) => (attach(peer, "sender", handle), transfer(peer, { handle, id: handle, more: true }, Buffer.alloc(60)))),
    code: descriptor.close,
    condition: conditions.resourceLimitExceeded,
  },
  attachBytesMax: {
    limits: { attachBytesMax: 2_000 },
    act: ({ peer }) => [0, 1].forEach((handle) => attach(peer, "sender", handle, `${handle}`.repeat(1_000))),
    code: descriptor.close,
    condition: conditions.resourceLimitExceeded,
  },
};

describe("past a limit a peer is told so", () => {
  for (const [name, { limits, act, code, condition }] of Object.entries(breaches)) {
    test(`${name}: ${condition}`, async () => {
      await using scene = await startScene({ limits });
      act(scene);
      assert.equal(await ended(scene.peer, code), condition);
    });
  }

  test("saslFrameBytesMax: the socket ends, for SASL has no close", async () => {
    await using server = await startServer({ sasl: { mechanisms: ["PLAIN"], authenticate: () => assert.fail("expected the frame to be refused") } });
    await using peer = new BarePeer(server.listener.port);
    peer.socket.write(
      Buffer.concat([
        protocolHeader(protocolId.sasl),
        bareFrame(encodeComposite(descriptor.saslInit, [symbol("PLAIN"), Buffer.alloc(512)]), 0, frameType.sasl),
      ]),
    );
    assert.equal((await server.closed.wait()).error?.condition, conditions.framingError);
    await peer.ended.wait();
  });

  test("idleTimeOutMsMin: a peer that wants a flood of heartbeats", async () => {
    await using server = await startServer({ limits: { idleTimeOutMsMin: 50 } });
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    peer.frame(encodeOpen({ containerId: "bare", maxFrameSize: 512, channelMax: 0, idleTimeOutMs: 49 }));
    assert.equal(await ended(peer, descriptor.close), conditions.notAllowed);
  });

  test("outputBytesHigh: senders find no room while the peer does not read, and outputBytesMax: it is given up", async () => {
    await using scene = await startScene({ limits: { outputBytesHigh: 100_000, outputBytesMax: 400_000 } });
    const { peer, senders } = scene;
    attach(peer, "receiver", 0);
    grant(peer, 0, 1_000_000, { window: 0x7fff_ffff });
    await eventually("credit", () => senders[0]?.credit === 1_000_000);
    peer.socket.pause();
    const bytes = Buffer.alloc(30_000);
    await eventually("no room", () => {
      for (let i = 0; i < 10; i++) senders[0]!.sendSettled(bytes, i);
      return senders[0]!.capacity() === 0;
    });
    assert.equal(scene.closed.isSet, false);
    const echo = encodeComposite(descriptor.flow, [uint(0), uint(1_000), uint(0), uint(1_000), undefined, undefined, undefined, undefined, undefined, true]);
    const flood = Buffer.concat(
      Array.from({ length: 2_000 }, () => Buffer.concat([bareFrame(begin, 5), bareFrame(echo), bareFrame(encodeComposite(descriptor.end, []), 5)])),
    );
    const pour = (): void => {
      if (!scene.closed.isSet && !peer.socket.destroyed) peer.socket.write(flood, pour);
    };
    pour();
    assert.equal((await scene.closed.wait()).error?.condition, conditions.resourceLimitExceeded);
  });
});

describe("a limit on what we send", () => {
  test("unsettledMax: a sender has no more room until something is settled", async () => {
    await using scene = await startScene({ limits: { unsettledMax: 3 } });
    const { peer, senders } = scene;
    attach(peer, "receiver", 0);
    grant(peer, 0, 10);
    await eventually("credit", () => senders[0]?.credit === 10);
    for (let i = 0; i < 5; i++) senders[0]!.send(payload, i);
    assert.deepEqual([senders[0]!.credit, senders[0]!.capacity()], [7, 0]);
    disposition(peer, 0, 1);
    await eventually("room for two", () => senders[0]!.capacity() === 2);
  });
});

describe("limits that are the same for all", () => {
  const refused = (bytes: Buffer): void => {
    for (const read of ["plain", "typed"] as const) {
      assert.throws(
        () => new Decoder(bytes, 0, bytes.length)[read](),
        (error) => error instanceof ProtocolError && error.code === conditions.decodeError,
      );
    }
  };
  const nested = (depth: number): Encodable => (depth === 0 ? 1 : [nested(depth - 1)]);

  test("nesting", () => {
    new Decoder(encode(nested(nestingMax)), 0, 1_000).plain();
    refused(encode(nested(nestingMax + 1)));
  });

  test("elements of one value, and elements of an array that have no width", () => {
    const nulls = (count: number): Buffer =>
      encode(
        array(
          "null",
          Array.from({ length: count }, () => ({ type: "null", value: null })),
        ),
      );
    const most = nulls(widthlessElementsMax);
    assert.equal((new Decoder(most, 0, most.length).plain() as readonly null[]).length, widthlessElementsMax);
    refused(nulls(widthlessElementsMax + 1));
    // array32 of described true: the descriptor does not give the elements a width.
    refused(Buffer.from([0xf0, 0, 0, 0, 8, 0, 0, 4, 0, 0x00, 0x53, 0x01, 0x41]));
    refused(encode(Array.from({ length: elementsMax + 1 }, () => null)));
  });

  test("a map of arrays without width is read with one allowance, not one for each", () => {
    const wide = encode(
      array(
        "null",
        Array.from({ length: widthlessElementsMax }, () => ({ type: "null", value: null })),
      ),
    );
    const many = encode(Object.fromEntries(Array.from({ length: elementsMax / widthlessElementsMax + 1 }, (_, index) => [`k${index}`, 1])));
    assert.equal(new MapView(many, 0, many.length).toMap().size, elementsMax / widthlessElementsMax + 1);
    const entries = Array.from({ length: elementsMax / widthlessElementsMax + 1 }, (_, index) => [encode(`k${index}`), wide]).flat();
    const body = Buffer.concat(entries);
    const head = Buffer.alloc(9);
    head[0] = 0xd1;
    head.writeUInt32BE(body.length + 4, 1);
    head.writeUInt32BE(entries.length, 5);
    const bomb = Buffer.concat([head, body]);
    assert.throws(() => new MapView(bomb, 0, bomb.length).toMap(), /expected at most \d+ elements/);
  });

  test("delivery tags", async () => {
    await using scene = await startScene();
    attach(scene.peer, "sender", 0);
    scene.peer.frame(Buffer.concat([encodeComposite(descriptor.transfer, [uint(0), uint(0), Buffer.alloc(tagBytesMax + 1), uint(0)]), payload]));
    assert.equal(await ended(scene.peer, descriptor.close), conditions.invalidField);
  });
});

describe("what a peer makes us hold is let go", () => {
  test("attaches that are over do not count", async () => {
    await using scene = await startScene({ limits: { attachBytesMax: 3_000 } });
    const { peer } = scene;
    const over: [role: "sender" | "receiver", handle: number][] = Array.from({ length: 20 }, (_, index) => [index % 2 === 0 ? "sender" : "receiver", 0]);
    for (const [role, handle] of over) {
      attach(peer, role, handle, "n".repeat(1_000));
      peer.frame(encodeComposite(descriptor.detach, [uint(handle), true]));
      await peer.next(descriptor.detach);
    }
    for (let i = 0; i < 5; i++) {
      peer.frame(begin, 1);
      peer.frame(encodeComposite(descriptor.attach, [symbol("x".repeat(1_000)), uint(0), true, undefined, undefined, undefined, undefined]), 1);
      peer.frame(encodeComposite(descriptor.end, []), 1);
      await peer.next(descriptor.end);
    }
    flow(peer, [0, 10, 0, 10, undefined, undefined, undefined, undefined, undefined, true]);
    await peer.next(descriptor.flow);
    assert.equal(scene.closed.isSet, false);
  });

  test("attaches that wait for an answer count, and do not once they are given up", async () => {
    await using scene = await startScene({ limits: { attachBytesMax: 1_500 }, postpone: true });
    const { peer } = scene;
    for (let i = 0; i < 4; i++) {
      attach(peer, "sender", 0, "n".repeat(1_000));
      peer.frame(encodeComposite(descriptor.detach, [uint(0), true]));
      await peer.next(descriptor.detach);
    }
    [0, 1].forEach((handle) => attach(peer, "sender", handle, `${handle}`.repeat(1_000)));
    assert.equal(await ended(peer, descriptor.close), conditions.resourceLimitExceeded);
  });

  test("what partly came does not count once its link is over", async () => {
    await using scene = await startScene({ limits: { partialBytesMax: 100 } });
    const { peer } = scene;
    for (let i = 0; i < 5; i++) {
      attach(peer, "sender", 0);
      transfer(peer, { id: i, more: true }, Buffer.alloc(60));
      peer.frame(encodeComposite(descriptor.detach, [uint(0), true]));
      await peer.next(descriptor.detach);
    }
    assert.equal(scene.closed.isSet, false);
  });
});

describe("limits of an owner's own", () => {
  test("are checked", () => {
    assert.deepEqual(resolveLimits(undefined), defaultLimits);
    assert.deepEqual(resolveLimits({ linksMax: 1 }), { ...defaultLimits, linksMax: 1 });
    for (const [changes, name] of [
      [{ frameBytesMax: 511 }, "frameBytesMax"],
      [{ linksMax: 65_537 }, "linksMax"],
      [{ sessionsMax: 0 }, "sessionsMax"],
      [{ unsettledMax: 1.5 }, "unsettledMax"],
      [{ messageBytesMax: 2 ** 32 }, "messageBytesMax"],
    ] as const) {
      assert.throws(
        () => resolveLimits(changes),
        (error) => error instanceof RangeError && error.message.includes(name),
      );
    }
  });

  test("are announced", async () => {
    await using server = await startServer(
      { limits: { sessionsMax: 7, frameBytesMax: 1_234, linksMax: 9, incomingWindowFrames: 77 } },
      { onSession: () => ({}) },
    );
    await using peer = new BarePeer(server.listener.port);
    peer.header();
    peer.frame(open);
    peer.frame(begin);
    const { fields } = await peer.next(descriptor.open);
    fields.span();
    fields.span();
    assert.deepEqual([fields.uint(-1), fields.ushort(-1)], [1_234, 6]);
    const begun = (await peer.next(descriptor.begin)).fields;
    assert.deepEqual([begun.ushort(-1), begun.uint(-1), begun.uint(-1)], [0, 0, 77]);
    begun.uint(-1);
    assert.equal(begun.uint(-1), 8);
  });
});
