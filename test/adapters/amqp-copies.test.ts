import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { AmqpDelivery } from "#runtime/adapters/amqp/delivery.ts";
import { aloneOf, encodeOutgoing } from "#runtime/adapters/amqp/outgoing.ts";
import { Typed, timestamp } from "#runtime/amqp/codec/types.ts";
import type { TypedValue } from "#runtime/amqp/codec/types.ts";
import { encodeMessage, type MessageParts } from "#runtime/amqp/message/message-writer.ts";
import { MessageView } from "#runtime/amqp/message/message.ts";
import { copyOf, enqueuedFirstHeader, originHeader, postponedHeader, waitsForHeader } from "#runtime/core/copy.ts";
import { typedValue } from "../amqp/support/arbitraries.ts";

const enqueuedAtMs = 1_700_000_000_000;
const atMs = enqueuedAtMs + 30_000;
const order = { atMs, secret: "s", postponements: 3, retriesInPlace: 0, waitsFor: "window-full" };

function received(bytes: Buffer): AmqpDelivery {
  const home = { settle: () => undefined };
  return new AmqpDelivery({ message: new MessageView(bytes), tag: Buffer.alloc(16), settled: false, settle: () => undefined } as never, home);
}

function deliveryOf(parts: Partial<MessageParts>, partition: { readonly "x-opt-partition-key"?: string } = {}): AmqpDelivery {
  const annotations = { "x-opt-enqueued-time": timestamp(enqueuedAtMs), "x-opt-sequence-number": 7n, "x-opt-locked-until": timestamp(atMs) };
  const bytes = encodeMessage({ body: { data: Buffer.from("{}") }, messageAnnotations: { ...annotations, ...partition }, ...parts });
  // It lies in the middle of a socket's chunk.
  return received(Buffer.concat([Buffer.alloc(5, 0xff), bytes, Buffer.alloc(5, 0xff)]).subarray(5, 5 + bytes.length));
}

function copied(delivery: AmqpDelivery, changed: Partial<typeof order> = {}): MessageView {
  const view = new MessageView(aloneOf(encodeOutgoing(copyOf(delivery, { ...order, ...changed }))));
  view.check();
  return view;
}

const applicationProperties = (view: MessageView): [unknown, TypedValue][] => {
  const found: [unknown, TypedValue][] = [];
  view.applicationProperties?.checkEntries("strings");
  view.applicationProperties?.forEach((key, value) => found.push([key, value.typed()]));
  return found;
};

const own = new Set([originHeader, enqueuedFirstHeader, postponedHeader, waitsForHeader]);
const ofDeath = ["DeadLetterReason", "DeadLetterErrorDescription", "holdfast-dead-code"];
const names = fc.oneof({ weight: 3, arbitrary: fc.string({ maxLength: 12 }) }, { weight: 1, arbitrary: fc.constantFrom(...ofDeath, ...own) });
const properties = fc.uniqueArray(fc.tuple(names, typedValue), { selector: ([name]) => name, maxLength: 40 });

test("a copy keeps each application property with its type, but for the worker's own and those of a death", () => {
  fc.assert(
    fc.property(properties, (sent) => {
      const delivery = deliveryOf({
        properties: { messageId: "m" },
        applicationProperties: new Map(sent) as never,
      });
      const found = applicationProperties(copied(delivery));
      const kept = sent.filter(([name]) => !own.has(name) && !ofDeath.includes(name));
      assert.deepEqual(found.slice(0, kept.length), kept);
      const added = new Map(found.slice(kept.length));
      assert.deepEqual(new Set(added.keys()), own);
      assert.deepEqual(added.get(postponedHeader), new Typed("int", 3));
      assert.deepEqual(added.get(waitsForHeader), new Typed("string", "window-full"));
    }),
  );
});

const id = fc.constantFrom<TypedValue>(
  new Typed("string", "c"),
  new Typed("ulong", 2n ** 60n),
  new Typed("uuid", Buffer.alloc(16, 9)),
  new Typed("binary", Buffer.of(1, 2)),
);
const texts = { to: fc.string(), subject: fc.string(), replyTo: fc.string(), groupId: fc.string(), replyToGroupId: fc.string() };
const fields = fc.record(
  {
    userId: fc.uint8Array({ maxLength: 300 }),
    correlationId: id,
    contentType: fc.constant("application/json"),
    contentEncoding: fc.constant("gzip"),
    ...texts,
  },
  { requiredKeys: [] },
);
const times = fc.constantFrom({}, { absoluteExpiryTime: timestamp(enqueuedAtMs), creationTime: timestamp(enqueuedAtMs) });

test("a copy keeps what its message says of itself, but for its id and the times of its life", () => {
  fc.assert(
    fc.property(fields, times, fc.boolean(), (said, lived, hasId) => {
      const delivery = deliveryOf({ properties: { ...(hasId ? { messageId: "m" } : {}), ...said, ...lived } });
      const view = copied(delivery);
      assert.match(view.text("messageId") ?? "", hasId ? /^m~/ : /^~/);
      const read = (name: keyof typeof said): unknown => view.propertyView(name)?.typed();
      const expected = (name: keyof typeof said): unknown => delivery.engine.message.propertyView(name)?.typed();
      for (const name of ["userId", "to", "subject", "replyTo", "correlationId", "contentType", "contentEncoding", "groupId", "replyToGroupId"] as const)
        assert.deepEqual(read(name), expected(name), name);
      assert.deepEqual([view.property("absoluteExpiryTime"), view.property("creationTime")], [undefined, undefined]);
      view.fields("properties")?.checkRest();
    }),
  );
});

test("a copy has its body in the section that it came in, and of what the broker noted only the partition", () => {
  const body = { value: new Typed("map", [[new Typed("string", "a"), new Typed("uint", 1)]]) };
  const view = copied(deliveryOf({ header: { ttlMs: 90_000, deliveryCount: 4 }, body }, { "x-opt-partition-key": "p" }));
  assert.deepEqual([view.bodyKind, view.values()[0]?.typed()], ["value", body.value]);
  assert.deepEqual(
    [...(view.messageAnnotations?.toMap() ?? [])],
    [
      ["x-opt-scheduled-enqueue-time", new Date(atMs)],
      ["x-opt-partition-key", "p"],
    ],
  );
  assert.deepEqual([view.ttlMs, view.deliveryCount], [60_000, 0]);
  const twice = copied(deliveryOf({ body: { data: [Buffer.from("a"), Buffer.from("b")] } }));
  assert.deepEqual(
    twice.dataSections().map((section) => String(section)),
    ["a", "b"],
  );
});

test("a message with more application properties than are indexed, or without a body, is copied all the same", () => {
  const many = Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`n${index}`, `v${index}`]));
  const view = copied(deliveryOf({ properties: { messageId: "m", subject: "s" }, applicationProperties: many }));
  assert.deepEqual([view.text("subject"), view.applicationProperties?.size, view.applicationProperties?.get("n64")], ["s", 69, "v64"]);
  const whole = deliveryOf({ properties: { messageId: "m" } }).engine.message;
  const bodiless = received(whole.bytes.subarray(0, whole.bytes.length - whole.section("body")!.length));
  assert.deepEqual([copied(bodiless).bodyKind, copied(bodiless).data.length], ["data", 0]);
});

test("of a message whose bytes are broken goes on what can be read, and the next one is whole", () => {
  const sound = deliveryOf({ properties: { messageId: "m", subject: "s" }, applicationProperties: { a: "b" } });
  const bytes = Buffer.from(sound.engine.message.bytes);
  // The text in the last section but one claims to be longer than its map.
  bytes[bytes.indexOf("\u00a1\u0001b", 0, "latin1") + 1] = 0xf0;
  const view = copied(received(bytes));
  assert.equal(view.text("subject"), "s");
  assert.equal(view.applicationProperties?.get(waitsForHeader), "window-full");
  assert.equal(copied(sound).applicationProperties?.get("a"), "b");
});

test("of properties that claim more fields than there are no broken copy is made", () => {
  const sound = deliveryOf({ properties: { messageId: "m", subject: "s", groupId: "g" } });
  const bytes = Buffer.from(sound.engine.message.bytes);
  // The section's descriptor (0x73), its list's code, size, and then its count.
  const at = bytes.indexOf(Buffer.from([0x00, 0x53, 0x73]));
  assert.equal(bytes[at + 3], 0xc0);
  bytes[at + 5] = 40;
  const view = copied(received(bytes));
  assert.equal(view.applicationProperties?.get(waitsForHeader), "window-full");
  view.fields("properties")?.checkRest();
});
