import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { accepted, modified, readDeliveryState, rejected, released } from "#runtime/amqp/message/delivery-state.ts";
import { describedValueAt, descriptor, descriptorAt } from "#runtime/amqp/codec/descriptors.ts";
import { encode, encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { ProtocolError, conditions } from "#runtime/amqp/codec/errors.ts";
import { FieldReader } from "#runtime/amqp/codec/fields.ts";
import {
  encodeAttach,
  encodeBegin,
  encodeClose,
  encodeDetach,
  encodeEnd,
  encodeOpen,
  readAttach,
  readBegin,
  readDetach,
  readOpen,
} from "#runtime/amqp/frame/performatives.ts";
import { Disposition, Flow, Transfer, writeContinuation, writeDisposition, writeFlow, writeTransfer } from "#runtime/amqp/frame/transfers.ts";
import { Described, Raw, Typed, described, int, symbol, symbols, ubyte, uint, ulong, ushort, uuid } from "#runtime/amqp/codec/types.ts";
import type { Encodable } from "#runtime/amqp/codec/types.ts";
import { MapView } from "#runtime/amqp/codec/views.ts";
import { Writer } from "#runtime/amqp/codec/writer.ts";
import { rheaFrameBody, rheaPerformative, rheaTerminus, rheaUnwrapTerminus, rheaValue } from "./support/rhea-codec.ts";

const uintArbitrary = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 0xffff_ffff }));
const ushortArbitrary = fc.integer({ min: 0, max: 0xffff });
const name = fc.string({ unit: "grapheme", maxLength: 30 });
const tag = fc.uint8Array({ maxLength: 32 }).map((array) => Buffer.from(array));
const symbolNames = fc.array(fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 10 }), { maxLength: 3 });
const maybe = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> => fc.option(arbitrary, { nil: undefined });

function reader(body: Buffer, code: number): FieldReader {
  assert.equal(descriptorAt(body, 0, body.length), code);
  return new FieldReader().open(body, describedValueAt(body, 0, body.length), body.length);
}

function written(write: (writer: Writer) => void): Buffer {
  const writer = new Writer();
  write(writer);
  return writer.take();
}

/** How many fields a composite says that it has. */
function fieldCount(body: Buffer): number {
  const at = describedValueAt(body, 0, body.length);
  const isWide = body[at] === 0xd0;
  return isWide ? body.readUInt32BE(at + 5) : (body[at + 2] ?? -1);
}

test("frames have all their fields, for clients that read them by their place", () => {
  const attach = { name: "l", handle: 0, role: "receiver", senderSettleMode: "mixed", receiverSettleMode: "first", source: null, target: null } as const;
  const window = { nextIncomingId: 0, incomingWindow: 1, nextOutgoingId: 0, outgoingWindow: 1 };
  const frames: readonly (readonly [fields: number, body: Buffer])[] = [
    [10, encodeOpen({ containerId: "c", maxFrameSize: 512, channelMax: 0 })],
    [8, encodeBegin({ nextOutgoingId: 0, incomingWindow: 1, outgoingWindow: 1, handleMax: 0 })],
    [14, encodeAttach(attach)],
    [11, written((writer) => writeFlow(writer, window, undefined))],
    [11, written((writer) => writeFlow(writer, window, { handle: 0, deliveryCount: 0, linkCredit: 1, drain: false }))],
    [11, written((writer) => writeTransfer(writer, 0, 0, Buffer.from("t"), 0, false, false))],
    [11, written((writer) => writeContinuation(writer, 0, false, false))],
    [6, written((writer) => writeDisposition(writer, true, 0, 0, true, undefined))],
    [3, encodeDetach({ handle: 0, closed: true, error: undefined })],
    [1, encodeEnd(undefined)],
    [1, encodeClose(undefined)],
  ];
  assert.deepEqual(
    frames.map(([, body]) => fieldCount(body)),
    frames.map(([fields]) => fields),
  );
  const { error } = readDetach(reader(encodeDetach({ handle: 0, closed: true, error: { condition: "x:y" } }), descriptor.detach));
  assert.equal(error?.condition, "x:y");
});

const orNull = (value: unknown): unknown => value ?? null;

describe("open and begin", () => {
  test("open comes back, here and in rhea", () => {
    fc.assert(
      fc.property(
        name,
        maybe(name),
        uintArbitrary,
        ushortArbitrary,
        maybe(uintArbitrary),
        symbolNames,
        (containerId, hostname, maxFrameSize, channelMax, idleTimeOutMs, capabilities) => {
          const body = encodeOpen({
            containerId,
            hostname,
            maxFrameSize,
            channelMax,
            idleTimeOutMs,
            offeredCapabilities: capabilities,
            properties: { product: "p", n: 1 },
          });
          const open = readOpen(reader(body, descriptor.open));
          assert.deepEqual(
            { ...open, properties: open.properties?.get("product") },
            {
              containerId,
              hostname,
              maxFrameSize,
              channelMax,
              idleTimeOutMs: idleTimeOutMs ?? 0,
              offeredCapabilities: capabilities,
              desiredCapabilities: [],
              properties: "p",
            },
          );
          const theirs = rheaPerformative(body);
          assert.equal(theirs["container_id"], containerId);
          assert.equal(orNull(theirs["hostname"]), orNull(hostname));
          assert.equal(theirs["max_frame_size"], maxFrameSize);
          assert.equal(theirs["channel_max"], channelMax);
          assert.equal(orNull(theirs["idle_time_out"]), orNull(idleTimeOutMs));
          assert.deepEqual(theirs["properties"], { product: "p", n: 1 });
        },
      ),
    );
  });

  test("rhea's open and its defaults are read", () => {
    const open = readOpen(
      reader(rheaFrameBody("open", { container_id: "them", idle_time_out: 7, offered_capabilities: ["a", "b"], desired_capabilities: "c" }), descriptor.open),
    );
    assert.deepEqual(open, {
      containerId: "them",
      hostname: undefined,
      maxFrameSize: 0xffff_ffff,
      channelMax: 0xffff,
      idleTimeOutMs: 7,
      offeredCapabilities: ["a", "b"],
      desiredCapabilities: ["c"],
      properties: undefined,
    });
  });

  test("begin comes back, here and in rhea", () => {
    fc.assert(
      fc.property(
        maybe(ushortArbitrary),
        uintArbitrary,
        uintArbitrary,
        uintArbitrary,
        uintArbitrary,
        (remoteChannel, nextOutgoingId, incomingWindow, outgoingWindow, handleMax) => {
          const body = encodeBegin({ remoteChannel, nextOutgoingId, incomingWindow, outgoingWindow, handleMax });
          assert.deepEqual(readBegin(reader(body, descriptor.begin)), {
            remoteChannel,
            nextOutgoingId,
            incomingWindow,
            outgoingWindow,
            handleMax,
            offeredCapabilities: [],
            desiredCapabilities: [],
            properties: undefined,
          });
          const theirs = rheaPerformative(body);
          assert.deepEqual(
            [orNull(theirs["remote_channel"]), theirs["next_outgoing_id"], theirs["incoming_window"], theirs["outgoing_window"], theirs["handle_max"]],
            [orNull(remoteChannel), nextOutgoingId, incomingWindow, outgoingWindow, handleMax],
          );
        },
      ),
    );
    const theirs = readBegin(
      reader(rheaFrameBody("begin", { remote_channel: 3, next_outgoing_id: 1, incoming_window: 2, outgoing_window: 300 }), descriptor.begin),
    );
    assert.deepEqual(
      [theirs.remoteChannel, theirs.nextOutgoingId, theirs.incomingWindow, theirs.outgoingWindow, theirs.handleMax],
      [3, 1, 2, 300, 0xffff_ffff],
    );
  });
});

describe("attach and detach", () => {
  test("attach comes back with both ends, here and in rhea", () => {
    fc.assert(
      fc.property(
        name,
        uintArbitrary,
        fc.constantFrom("sender" as const, "receiver" as const),
        fc.constantFrom("unsettled" as const, "settled" as const, "mixed" as const),
        fc.constantFrom("first" as const, "second" as const),
        maybe(name),
        uintArbitrary,
        fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
        (linkName, handle, role, senderSettleMode, receiverSettleMode, address, initialDeliveryCount, maxMessageSize) => {
          const body = encodeAttach({
            name: linkName,
            handle,
            role,
            senderSettleMode,
            receiverSettleMode,
            source: {
              address,
              filter: { selector: described(symbol("f"), symbol("x = 1")) },
              outcomes: ["amqp:accepted:list"],
              timeoutS: 5,
              distributionMode: "move",
            },
            target: { address, durable: 2, dynamic: true, capabilities: ["queue", "topic"], expiryPolicy: "never" },
            initialDeliveryCount,
            maxMessageSize,
            properties: { deep: { a: [1] } },
          });
          const attach = readAttach(reader(body, descriptor.attach));
          assert.deepEqual(
            [attach.name, attach.handle, attach.role, attach.senderSettleMode, attach.receiverSettleMode],
            [linkName, handle, role, senderSettleMode, receiverSettleMode],
          );
          assert.deepEqual([attach.initialDeliveryCount, attach.maxMessageSize], [initialDeliveryCount, maxMessageSize]);
          assert.deepEqual(attach.properties?.get("deep"), new Map([["a", [1]]]));
          assert.deepEqual(
            [attach.source?.address, attach.source?.timeoutS, attach.source?.distributionMode, attach.source?.outcomes, attach.source?.dynamic],
            [address, 5, "move", ["amqp:accepted:list"], false],
          );
          assert.deepEqual(attach.source?.filter?.get("selector"), new Described("f", "x = 1"));
          assert.deepEqual(
            [
              attach.target?.kind,
              attach.target?.address,
              attach.target?.durable,
              attach.target?.dynamic,
              attach.target?.capabilities,
              attach.target?.expiryPolicy,
            ],
            ["target", address, 2, true, ["queue", "topic"], "never"],
          );
          const echoed = readAttach(
            reader(encodeAttach({ ...attach, source: attach.source?.raw ?? null, target: attach.target?.raw ?? null }), descriptor.attach),
          );
          assert.deepEqual(echoed.source?.raw, attach.source?.raw);
          const theirs = rheaPerformative(body);
          assert.deepEqual(
            [theirs["name"], theirs["handle"], theirs["role"], theirs["max_message_size"]],
            [linkName, handle, role === "receiver", maxMessageSize],
          );
          assert.equal(orNull(rheaUnwrapTerminus(theirs["source"])["address"]), orNull(address));
          assert.deepEqual(rheaUnwrapTerminus(theirs["target"])["capabilities"], ["queue", "topic"]);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("rhea's attach is read", () => {
    const attach = readAttach(
      reader(
        rheaFrameBody("attach", {
          name: "l",
          handle: 0,
          role: true,
          source: rheaTerminus("source", { address: "q", capabilities: "c" }),
          target: rheaTerminus("target", {}),
        }),
        descriptor.attach,
      ),
    );
    assert.deepEqual([attach.name, attach.handle, attach.role, attach.senderSettleMode, attach.receiverSettleMode], ["l", 0, "receiver", "mixed", "first"]);
    assert.deepEqual(
      [attach.source?.address, attach.source?.capabilities, attach.target?.address, attach.source?.expiryPolicy],
      ["q", ["c"], undefined, "session-end"],
    );
  });

  test("a null terminus and a coordinator are told apart", () => {
    const fields = { name: "l", handle: 1, role: "sender", senderSettleMode: "mixed", receiverSettleMode: "first", initialDeliveryCount: 0 } as const;
    const refused = readAttach(reader(encodeAttach({ ...fields, source: null, target: null }), descriptor.attach));
    assert.deepEqual([refused.source, refused.target], [undefined, undefined]);
    const coordinator = new Raw(encodeComposite(descriptor.coordinator, [symbols(["amqp:local-transactions"])]));
    const transactional = readAttach(reader(encodeAttach({ ...fields, source: {}, target: coordinator }), descriptor.attach));
    assert.deepEqual([transactional.target?.kind, transactional.target?.capabilities], ["coordinator", ["amqp:local-transactions"]]);
  });

  test("detach, end and close carry an error", () => {
    const error = { condition: "amqp:not-found", description: "gone", info: { a: 1 } };
    const body = encodeDetach({ handle: 3, closed: true, error });
    const detach = readDetach(reader(body, descriptor.detach));
    assert.deepEqual([detach.handle, detach.closed, detach.error?.condition, detach.error?.description], [3, true, "amqp:not-found", "gone"]);
    assert.ok(detach.error?.info instanceof MapView);
    assert.equal(detach.error.info.get("a"), 1);
    assert.deepEqual(readDetach(reader(encodeDetach({ ...detach }), descriptor.detach)).error?.condition, "amqp:not-found");
    const theirs = rheaPerformative(body)["error"] as Record<string, unknown>;
    assert.deepEqual([theirs["condition"], theirs["description"], theirs["info"]], ["amqp:not-found", "gone", { a: 1 }]);
    for (const encoded of [encodeEnd(error), encodeClose(error)]) {
      assert.equal((rheaPerformative(encoded)["error"] as Record<string, unknown>)["description"], "gone");
    }
    assert.deepEqual(encodeClose(undefined), Buffer.from([0, 0x53, 0x18, 0xc0, 2, 1, 0x40]));
    const plain = readDetach(reader(rheaFrameBody("detach", { handle: 300 }), descriptor.detach));
    assert.deepEqual(plain, { handle: 300, closed: false, error: undefined });
  });
});

describe("the traffic", () => {
  test("transfer comes back, here and in rhea", () => {
    fc.assert(
      fc.property(
        uintArbitrary,
        uintArbitrary,
        tag,
        uintArbitrary,
        fc.boolean(),
        fc.boolean(),
        (handle, deliveryId, deliveryTag, messageFormat, settled, more) => {
          const body = written((writer) => writeTransfer(writer, handle, deliveryId, deliveryTag, messageFormat, settled, more));
          const transfer = new Transfer();
          transfer.read(reader(body, descriptor.transfer));
          assert.deepEqual(
            [transfer.handle, transfer.deliveryId, transfer.messageFormat, transfer.settled, transfer.more, transfer.aborted, transfer.resume],
            [handle, deliveryId, messageFormat, settled, more, false, false],
          );
          assert.deepEqual(body.subarray(transfer.tagStart, transfer.tagEnd), deliveryTag);
          const theirs = rheaPerformative(body);
          assert.deepEqual(
            [theirs["handle"], theirs["delivery_id"], theirs["message_format"], theirs["settled"], theirs["more"] ?? false],
            [handle, deliveryId, messageFormat, settled, more],
          );
          const back = rheaFrameBody("transfer", {
            handle,
            delivery_id: deliveryId,
            delivery_tag: deliveryTag,
            message_format: messageFormat,
            settled,
            more,
            aborted: true,
          });
          transfer.read(reader(back, descriptor.transfer));
          assert.deepEqual(
            [transfer.handle, transfer.deliveryId, transfer.messageFormat, transfer.settled, transfer.more, transfer.aborted],
            [handle, deliveryId, messageFormat, settled, more, true],
          );
          assert.deepEqual(back.subarray(transfer.tagStart, transfer.tagEnd), deliveryTag);
        },
      ),
    );
  });

  test("a continuation names its link only", () => {
    const transfer = new Transfer();
    transfer.read(
      reader(
        written((writer) => writeContinuation(writer, 7, true, true)),
        descriptor.transfer,
      ),
    );
    assert.deepEqual([transfer.handle, transfer.deliveryId, transfer.messageFormat, transfer.settled, transfer.more], [7, -1, -1, true, true]);
    assert.equal(transfer.tagEnd - transfer.tagStart, 0);
  });

  test("flow comes back, of a session alone and of a link", () => {
    const nullable = fc.oneof(fc.constant(-1), uintArbitrary);
    fc.assert(
      fc.property(
        nullable,
        uintArbitrary,
        uintArbitrary,
        uintArbitrary,
        maybe(fc.record({ handle: uintArbitrary, deliveryCount: nullable, linkCredit: uintArbitrary, drain: fc.boolean() })),
        (nextIncomingId, incomingWindow, nextOutgoingId, outgoingWindow, link) => {
          const session = { nextIncomingId, incomingWindow, nextOutgoingId, outgoingWindow };
          const body = written((writer) => writeFlow(writer, session, link));
          const flow = new Flow();
          flow.read(reader(body, descriptor.flow));
          assert.deepEqual(Object.fromEntries(Object.entries(flow)), {
            ...session,
            handle: -1,
            deliveryCount: -1,
            linkCredit: -1,
            drain: false,
            echo: false,
            ...link,
          });
          const theirs = rheaPerformative(body);
          assert.deepEqual(
            [orNull(theirs["next_incoming_id"]), theirs["incoming_window"], orNull(theirs["link_credit"]), theirs["drain"] ?? false],
            [nextIncomingId < 0 ? null : nextIncomingId, incomingWindow, orNull(link?.linkCredit), link?.drain ?? false],
          );
        },
      ),
    );
    const flow = new Flow();
    flow.read(
      reader(
        rheaFrameBody("flow", {
          incoming_window: 1,
          next_outgoing_id: 2,
          outgoing_window: 3,
          handle: 4,
          delivery_count: 5,
          link_credit: 600,
          drain: true,
          echo: true,
        }),
        descriptor.flow,
      ),
    );
    assert.deepEqual(Object.fromEntries(Object.entries(flow)), {
      nextIncomingId: -1,
      incomingWindow: 1,
      nextOutgoingId: 2,
      outgoingWindow: 3,
      handle: 4,
      deliveryCount: 5,
      linkCredit: 600,
      drain: true,
      echo: true,
    });
  });

  test("disposition comes back with its state", () => {
    const states = [undefined, accepted, released, rejected({ condition: "c", description: "d".repeat(300) }), modified({ deliveryFailed: true })];
    fc.assert(
      fc.property(fc.boolean(), uintArbitrary, uintArbitrary, fc.boolean(), fc.constantFrom(...states), (asReceiver, first, last, settled, state) => {
        const body = written((writer) => writeDisposition(writer, asReceiver, first, last, settled, state));
        const disposition = new Disposition();
        disposition.read(reader(body, descriptor.disposition));
        assert.deepEqual([disposition.fromReceiver, disposition.first, disposition.last, disposition.settled], [asReceiver, first, last, settled]);
        assert.deepEqual(body.subarray(disposition.stateStart, disposition.stateEnd), state?.bytes ?? Buffer.alloc(0));
        assert.deepEqual([rheaPerformative(body)["role"], rheaPerformative(body)["first"], rheaPerformative(body)["settled"]], [asReceiver, first, settled]);
      }),
    );
  });
});

describe("delivery states", () => {
  const reread = (bytes: Buffer): ReturnType<typeof readDeliveryState> => readDeliveryState(Buffer.concat([Buffer.from([0xff]), bytes]), 1, bytes.length + 1);

  test("accepted and released are the same object every time", () => {
    assert.equal(reread(accepted.bytes), accepted);
    assert.equal(reread(Buffer.from("005324c00100", "hex")), accepted);
    assert.equal(reread(released.bytes), released);
  });

  test("rejected gives its error, modified its fields", () => {
    const dead = reread(rejected({ condition: "com.microsoft:dead-letter", info: { DeadLetterReason: "why" } }).bytes);
    assert.equal(dead.kind, "rejected");
    assert.equal(dead.error?.condition, "com.microsoft:dead-letter");
    assert.ok(dead.error.info instanceof MapView);
    assert.equal(dead.error.info.get("DeadLetterReason"), "why");
    assert.equal(reread(rejected().bytes).error, undefined);
    const deferred = reread(modified({ undeliverableHere: true, messageAnnotations: { a: 1 } }).bytes);
    assert.deepEqual([deferred.kind, deferred.deliveryFailed, deferred.undeliverableHere, deferred.messageAnnotations?.get("a")], ["modified", false, true, 1]);
    assert.equal(deferred.isOutcome, true);
  });

  test("other states pass through", () => {
    const received = reread(encodeComposite(descriptor.received, [uint(1), ulong(2)]));
    assert.deepEqual([received.kind, received.isOutcome, received.error], ["received", false, undefined]);
    assert.equal(reread(encode(described(symbol("x:y"), int(1)))).kind, "other");
  });

  test("states have equal keys exactly when their bytes are equal", () => {
    assert.equal(rejected({ condition: "a" }).key, rejected({ condition: "a" }).key);
    assert.notEqual(rejected({ condition: "a" }).key, rejected({ condition: "b" }).key);
    assert.notEqual(accepted.key, released.key);
  });

  test("a state written by rhea is read", () => {
    const body = rheaFrameBody("disposition", {
      role: true,
      first: 1,
      settled: true,
      state: rheaValue("described_nc", rheaValue("wrap_ulong", 0x24), rheaValue("wrap_list", [])),
    });
    const disposition = new Disposition();
    disposition.read(reader(body, descriptor.disposition));
    assert.equal(readDeliveryState(body, disposition.stateStart, disposition.stateEnd), accepted);
  });
});

describe("what is refused", () => {
  const refused = (read: () => unknown, code: string): void => {
    assert.throws(read, (error) => error instanceof ProtocolError && error.code === code, code);
  };

  test("a missing mandatory field", () => {
    refused(() => readOpen(reader(encodeComposite(descriptor.open, []), descriptor.open)), conditions.invalidField);
    refused(() => readBegin(reader(encodeComposite(descriptor.begin, [ushort(1), uint(1)]), descriptor.begin)), conditions.invalidField);
    refused(() => readDetach(reader(encodeComposite(descriptor.detach, []), descriptor.detach)), conditions.invalidField);
    refused(() => new Transfer().read(reader(encodeComposite(descriptor.transfer, []), descriptor.transfer)), conditions.invalidField);
    refused(() => new Flow().read(reader(encodeComposite(descriptor.flow, [uint(1)]), descriptor.flow)), conditions.invalidField);
    refused(
      () => new Disposition().read(reader(encodeComposite(descriptor.disposition, [undefined, uint(1)]), descriptor.disposition)),
      conditions.invalidField,
    );
    const attach = ["n", uint(1), false, undefined, undefined, undefined, undefined, undefined, undefined, undefined];
    refused(() => readAttach(reader(encodeComposite(descriptor.attach, attach), descriptor.attach)), conditions.invalidField);
    refused(() => readAttach(reader(encodeComposite(descriptor.attach, ["n", uint(1), true, ubyte(3)]), descriptor.attach)), conditions.invalidField);
  });

  test("a field of another type, and a tag that is too long", () => {
    refused(() => readOpen(reader(encodeComposite(descriptor.open, [uint(1)]), descriptor.open)), conditions.decodeError);
    refused(() => new Transfer().read(reader(encodeComposite(descriptor.transfer, ["x"]), descriptor.transfer)), conditions.decodeError);
    refused(
      () => new Transfer().read(reader(encodeComposite(descriptor.transfer, [uint(1), uint(1), Buffer.alloc(33)]), descriptor.transfer)),
      conditions.invalidField,
    );
  });

  test("what is neither text nor symbols, where text and symbols belong; a uuid and a char are not", () => {
    const openWith = (index: number, value: Encodable): Buffer =>
      encodeComposite(
        descriptor.open,
        Array.from({ length: 9 }, (_, at) => (at === index ? value : at === 0 ? "c" : undefined)),
      );
    for (const value of [uuid(Buffer.alloc(16)), new Typed("char", "x"), Buffer.from("x"), 1]) {
      refused(() => readOpen(reader(openWith(0, value), descriptor.open)), conditions.decodeError);
      refused(() => readOpen(reader(openWith(7, value), descriptor.open)), conditions.decodeError);
      refused(() => readOpen(reader(openWith(7, [value]), descriptor.open)), conditions.decodeError);
    }
    for (const value of [
      symbols(["a", "b"]),
      [symbol("a"), "b"],
      new Typed("array", { of: "string", items: [new Typed("string", "a"), new Typed("string", "b")] }),
    ]) {
      assert.deepEqual(readOpen(reader(openWith(7, value), descriptor.open)).offeredCapabilities, ["a", "b"]);
    }
    for (const value of ["a", symbol("a")]) assert.deepEqual(readOpen(reader(openWith(7, value), descriptor.open)).offeredCapabilities, ["a"]);
    assert.equal(readOpen(reader(openWith(0, symbol("c")), descriptor.open)).containerId, "c");
    refused(
      () => new Disposition().read(reader(Buffer.from([0, 0x53, descriptor.disposition, 0xc0, 5, 2, 0x56, 2, 0x43, 0]), descriptor.disposition)),
      conditions.decodeError,
    );
  });

  test("a list that is cut anywhere", () => {
    const body = encodeAttach({
      name: "link",
      handle: 300,
      role: "receiver",
      senderSettleMode: "mixed",
      receiverSettleMode: "second",
      source: { address: "a", filter: { f: 1 } },
      target: {},
      properties: { p: "q" },
    });
    for (let length = 3; length < body.length; length++) {
      refused(() => readAttach(new FieldReader().open(body, 3, length)), conditions.decodeError);
    }
  });
});
