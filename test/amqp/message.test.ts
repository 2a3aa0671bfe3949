import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import rhea from "rhea";
import { encode } from "#runtime/amqp/codec/encode.ts";
import { ProtocolError } from "#runtime/amqp/codec/errors.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { MessageParts } from "#runtime/amqp/message/message-writer.ts";
import { MessageView } from "#runtime/amqp/message/message.ts";
import { Typed, long, timestamp, ulong, uuid } from "#runtime/amqp/codec/types.ts";

const full: MessageParts = {
  header: { durable: true, priority: 7, ttlMs: 60_000, firstAcquirer: true, deliveryCount: 3 },
  deliveryAnnotations: { "x-opt-lock-token": uuid(Buffer.alloc(16, 1)) },
  messageAnnotations: { "x-opt-sequence-number": long(2n ** 60n), "x-opt-enqueued-time": timestamp(1_000) },
  properties: {
    messageId: "id",
    userId: "me",
    to: "queue",
    subject: "label",
    replyTo: "back",
    correlationId: ulong(7),
    contentType: "application/json",
    contentEncoding: "gzip",
    absoluteExpiryTime: new Date(5_000),
    creationTime: timestamp(4_000),
    groupId: "session",
    groupSequence: 9,
    replyToGroupId: "other",
  },
  applicationProperties: { eventId: "e-1", attempt: 2, flag: true },
  body: { data: Buffer.from("hello") },
  footer: { signature: Buffer.from("s") },
};

/** A view of a message that lies in the middle of other bytes. */
function view(parts: MessageParts | Buffer): MessageView {
  const bytes = Buffer.isBuffer(parts) ? parts : encodeMessage(parts);
  const buffer = Buffer.concat([Buffer.alloc(5, 0xff), bytes, Buffer.alloc(5, 0xff)]);
  return new MessageView(buffer, 5, 5 + bytes.length);
}

describe("a message view", () => {
  test("reads a footer that stands before the body, though it is no place for it", () => {
    const { footer, ...rest } = full;
    const whole = encodeMessage(rest);
    const bodyAt = whole.length - new MessageView(whole).section("body")!.length;
    const bytes = Buffer.concat([
      whole.subarray(0, bodyAt),
      new MessageView(encodeMessage({ footer, body: { data: [] } })).section("footer")!,
      whole.subarray(bodyAt),
    ]);
    const message = view(bytes);
    assert.equal(message.data.toString(), "hello");
    assert.deepEqual(message.footer?.get("signature"), Buffer.from("s"));
    assert.equal(message.text("subject"), "label");
    assert.throws(() => message.check(), /footer of a message after its body/);
    assert.throws(() => view(Buffer.concat([bytes, message.section("footer")!])).data, /each once/);
  });

  test("reads every part of a full message", () => {
    const message = view(full);
    message.check();
    assert.deepEqual([message.durable, message.priority, message.ttlMs, message.firstAcquirer, message.deliveryCount], [true, 7, 60_000, true, 3]);
    assert.equal(message.deliveryAnnotations?.get("x-opt-lock-token"), "01010101-0101-0101-0101-010101010101");
    assert.equal(message.messageAnnotations?.get("x-opt-sequence-number"), 2n ** 60n);
    assert.deepEqual(message.messageAnnotations?.get("x-opt-enqueued-time"), new Date(1_000));
    assert.equal(message.messageAnnotations?.timeMs("x-opt-enqueued-time"), 1_000);
    assert.equal(message.messageAnnotations?.timeMs("x-opt-sequence-number"), undefined);
    assert.equal(
      view({ messageAnnotations: { before: timestamp(-1_500_000_000_000) }, body: { data: [] } }).messageAnnotations?.timeMs("before"),
      -1_500_000_000_000,
    );
    assert.deepEqual(
      (
        [
          "messageId",
          "userId",
          "to",
          "subject",
          "replyTo",
          "correlationId",
          "contentType",
          "contentEncoding",
          "absoluteExpiryTime",
          "creationTime",
          "groupId",
          "groupSequence",
          "replyToGroupId",
        ] as const
      ).map((name) => message.property(name)),
      ["id", Buffer.from("me"), "queue", "label", "back", 7, "application/json", "gzip", new Date(5_000), new Date(4_000), "session", 9, "other"],
    );
    assert.equal(message.text("messageId"), "id");
    assert.equal(message.text("correlationId"), undefined);
    assert.deepEqual(message.propertyView("correlationId")?.typed(), ulong(7));
    assert.equal(message.applicationProperties?.string("eventId"), "e-1");
    assert.equal(message.applicationProperties?.size, 3);
    assert.equal(message.bodyKind, "data");
    assert.equal(message.data.toString(), "hello");
    assert.deepEqual(message.footer?.get("signature"), Buffer.from("s"));
  });

  test("has the specification's defaults where sections are missing", () => {
    const message = view(Buffer.alloc(0));
    assert.deepEqual([message.durable, message.priority, message.ttlMs, message.firstAcquirer, message.deliveryCount], [false, 4, undefined, false, 0]);
    assert.deepEqual(
      [message.property("to"), message.applicationProperties, message.bodyKind, message.section("body")],
      [undefined, undefined, "none", undefined],
    );
    assert.deepEqual([message.data.length, message.values().length, message.from("header").length], [0, 0, 0]);
    assert.equal(view({ header: {}, body: { value: null } }).priority, 4);
    assert.equal(view({ properties: { to: "x" }, body: { value: null } }).property("groupId"), undefined);
    assert.equal(view({ properties: { to: "x" }, body: { value: null } }).property("messageId"), undefined);
  });

  test("cuts sections and the bare message out untouched", () => {
    const message = view(full);
    const whole = message.bytes;
    const names = ["header", "deliveryAnnotations", "messageAnnotations", "properties", "applicationProperties", "body", "footer"] as const;
    assert.deepEqual(Buffer.concat(names.map((name) => message.section(name)!)), whole);
    assert.deepEqual(message.from("header"), whole);
    assert.deepEqual(message.from("properties"), Buffer.concat(names.slice(3).map((name) => message.section(name)!)));
    const bare = view({ applicationProperties: { a: 1 }, body: { data: Buffer.from("x") } });
    assert.deepEqual(bare.from("properties"), bare.bytes);
    assert.deepEqual(bare.from("footer").length, 0);
    assert.equal(message.data.buffer, message.buffer.buffer, "data is a slice");
  });

  test("reads bodies of several data sections, of sequences and of values", () => {
    const several = view({ body: { data: [Buffer.from("a"), Buffer.from("bc")] } });
    assert.deepEqual(several.dataSections().map(String), ["a", "bc"]);
    assert.equal(several.data.toString(), "abc");
    const sequences = view({ body: { sequences: [[1, "a"], []] }, footer: { f: 1 } });
    assert.equal(sequences.bodyKind, "sequence");
    assert.deepEqual(
      sequences.values().map((value) => value.plain()),
      [[1, "a"], []],
    );
    const value = view({ body: { value: { k: new Typed("ushort", 5) } } });
    assert.equal(value.bodyKind, "value");
    assert.deepEqual(value.values()[0]?.plain(), new Map([["k", 5]]));
    assert.equal(value.data.length, 0);
  });

  test("refuses sections out of order, twice, unknown, of two bodies, or cut", () => {
    const message = view(full);
    const [header, properties, body] = [message.section("header")!, message.section("properties")!, message.section("body")!];
    const sequence = view({ body: { sequences: [[1]] } }).bytes;
    for (const wrong of [
      [properties, header],
      [header, header],
      [body, sequence],
      [body, header],
      [Buffer.from("0053794500", "hex")],
      [encode("no section")],
      [Buffer.from([0])],
    ]) {
      assert.throws(() => view(Buffer.concat(wrong)).check(), ProtocolError);
    }
    for (let length = 1; length < message.bytes.length; length++) {
      try {
        view(message.bytes.subarray(0, length)).check();
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
      }
    }
  });

  test("sections named by symbol or by a long number are known", () => {
    const named = Buffer.concat([Buffer.from("00a31d", "hex"), Buffer.from("amqp:application-properties:map"), encode({ a: 1 })]);
    named[2] = "amqp:application-properties:map".length;
    assert.equal(view(named).applicationProperties?.get("a"), 1);
    const numbered = Buffer.concat([Buffer.from("00800000000000000074", "hex"), encode({ a: 1 })]);
    assert.equal(view(numbered).applicationProperties?.get("a"), 1);
  });

  test("random changes to a message give a value or a decode error, nothing else", () => {
    const bytes = encodeMessage(full);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), (changes) => {
        const changed = Buffer.from(bytes);
        for (const [at, value] of changes) changed[at] = value;
        const message = view(changed);
        const reads: readonly (() => unknown)[] = [
          () => message.check(),
          () => message.ttlMs,
          () => message.deliveryCount,
          () => message.property("replyToGroupId"),
          () => message.applicationProperties?.toMap(),
          () => message.messageAnnotations?.get("x-opt-enqueued-time"),
          () => message.data,
          () => message.values().map((value) => value.typed()),
          () => message.footer?.raw(),
          () => message.section("properties"),
        ];
        for (const read of reads) {
          try {
            read();
          } catch (error) {
            assert.ok(error instanceof ProtocolError, String(error));
          }
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("with rhea", () => {
  test("rhea reads what is written here", () => {
    const theirs = rhea.message.decode(encodeMessage(full));
    assert.deepEqual(
      [
        theirs.durable,
        theirs.priority,
        theirs.ttl,
        theirs.delivery_count,
        theirs.message_id,
        theirs.correlation_id,
        theirs.content_type,
        theirs.group_id,
        theirs.group_sequence,
      ],
      [true, 7, 60_000, 3, "id", 7, "application/json", "session", 9],
    );
    assert.deepEqual(theirs.application_properties, { eventId: "e-1", attempt: 2, flag: true });
    assert.deepEqual(theirs.creation_time, new Date(4_000));
    const body = theirs.body as { readonly content: Buffer };
    assert.equal(body.content.toString(), "hello");
  });

  test("what rhea writes is read here", () => {
    const bytes = rhea.message.encode({
      message_id: "m",
      subject: "s",
      ttl: 5,
      application_properties: { n: 5, text: "t" },
      message_annotations: { "x-opt-a": "b" },
      body: { key: ["value"] },
    });
    const message = view(bytes);
    assert.deepEqual(
      [message.text("messageId"), message.text("subject"), message.ttlMs, message.applicationProperties?.get("n"), message.messageAnnotations?.get("x-opt-a")],
      ["m", "s", 5, 5, "b"],
    );
    assert.deepEqual(message.values()[0]?.plain(), new Map([["key", ["value"]]]));
  });
});
