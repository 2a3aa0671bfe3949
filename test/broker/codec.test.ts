// Messages through the broker's codec, against rhea's as a second opinion.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import rhea from "rhea";
import { ProtocolError } from "#runtime/amqp/codec/errors.ts";
import { encode } from "#runtime/amqp/codec/encode.ts";
import { symbol, timestamp, Typed, type TypedValue } from "#runtime/amqp/codec/types.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { LockTokens } from "#load/broker/codec/lock-token.ts";
import { applicationPropertiesOf, type DeliveryView, encodeDelivery, parseMessage } from "#load/broker/codec/message.ts";
import { parseRequest, splitBatch } from "#load/broker/codec/request.ts";

const { message: codec, types } = rhea;

const noId = (): string => "stamped";

function viewOf(bytes: Buffer, changes: Partial<DeliveryView> = {}): DeliveryView {
  return {
    content: parseMessage(bytes, noId),
    sequenceNumber: 2 ** 40 + 7,
    enqueuedSequenceNumber: 5,
    enqueuedAtMs: 1_700_000_000_123,
    expiresAtMs: Infinity,
    deliveryCount: 3,
    lockedUntilMs: 1_700_000_060_123,
    state: "active",
    deadLetterSource: undefined,
    properties: undefined,
    ...changes,
  };
}

// rhea decodes into plain objects, which cannot hold this one name.
const name = fc.string({ minLength: 1, maxLength: 300 }).filter((text) => text !== "__proto__");
const value = fc.oneof(fc.string({ maxLength: 400 }), fc.integer(), fc.boolean(), fc.double({ noNaN: true, noDefaultInfinity: true, noInteger: true }));

const message = fc.record(
  {
    message_id: fc.string({ maxLength: 128 }),
    correlation_id: fc.string(),
    group_id: fc.string({ minLength: 1 }),
    subject: fc.string(),
    to: fc.string(),
    ttl: fc.nat(),
    priority: fc.nat(9),
    durable: fc.boolean(),
    application_properties: fc.dictionary(name, value),
    message_annotations: fc.dictionary(fc.stringMatching(/^[a-z-]{1,20}$/), value),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 500 }).map((bytes) => codec.data_section(Buffer.from(bytes))),
      fc.string({ maxLength: 500 }),
    ),
  },
  { requiredKeys: ["body"] },
);

test("keeps what the sender wrote and writes what the broker knows", () => {
  fc.assert(
    fc.property(message, (sent) => {
      const original = codec.decode(codec.encode(sent));
      const view = viewOf(codec.encode(sent));
      const received = codec.decode(encodeDelivery(view));
      for (const field of ["correlation_id", "group_id", "subject", "to", "body", "application_properties"] as const)
        assert.deepEqual(received[field], original[field], field);
      assert.equal(received.message_id, original.message_id ?? "stamped");
      assert.equal(view.content.sessionId, original.group_id);
      assert.equal(received.ttl, original.ttl);
      assert.equal(received.delivery_count, 3);
      assert.equal(received.priority, sent.priority ?? 4);
      assert.equal(received.durable, sent.durable ?? false);
      const annotations = received.message_annotations as Record<string, unknown>;
      for (const [key, annotation] of Object.entries((original.message_annotations ?? {}) as Record<string, unknown>))
        assert.deepEqual(annotations[key], annotation);
      assert.equal(annotations["x-opt-sequence-number"], 2 ** 40 + 7);
      assert.equal(annotations["x-opt-enqueue-sequence-number"], 5);
      assert.deepEqual(annotations["x-opt-enqueued-time"], new Date(1_700_000_000_123));
      assert.deepEqual(annotations["x-opt-locked-until"], new Date(1_700_000_060_123));
    }),
    { numRuns: 300 },
  );
});

test("changes application properties without touching the rest", () => {
  fc.assert(
    fc.property(message, fc.dictionary(name, fc.string()), (sent, changes) => {
      const bytes = codec.encode(sent);
      const original = codec.decode(bytes);
      const view = viewOf(bytes, { properties: new Map(Object.entries(changes)) });
      const received = codec.decode(encodeDelivery(view));
      const expected = { ...(original.application_properties as object | undefined), ...changes };
      assert.deepEqual({ ...(received.application_properties as object | undefined) }, expected);
      assert.deepEqual(received.body, original.body);
      assert.equal(received.message_id, original.message_id ?? "stamped");
      assert.deepEqual(Object.keys(applicationPropertiesOf(view)).sort(), Object.keys(expected).sort());
    }),
    { numRuns: 300 },
  );
});

test("shows a property whatever its name", () => {
  const view = viewOf(codec.encode({ body: "b" }), { properties: new Map([["__proto__", "p"]]) });
  assert.deepEqual(Object.entries(applicationPropertiesOf(view)), [["__proto__", "p"]]);
});

test("drops annotations that are the broker's own, and reads the schedule", () => {
  const bytes = codec.encode({
    message_annotations: {
      "x-opt-sequence-number": 1,
      "x-opt-deadletter-source": "forged",
      "x-opt-scheduled-enqueue-time": types.wrap_timestamp(5_000),
      "x-opt-partition-key": "p",
      mine: 1,
    },
    body: "b",
  });
  const view = viewOf(bytes, { lockedUntilMs: 0, deadLetterSource: "q" });
  assert.deepEqual([view.content.scheduledAtMs, view.content.partitionKey, view.content.annotationCount], [5000, "p", 3]);
  const annotations = codec.decode(encodeDelivery(view)).message_annotations as Record<string, unknown>;
  assert.deepEqual([annotations["x-opt-deadletter-source"], annotations["mine"], annotations["x-opt-locked-until"]], ["q", 1, undefined]);
});

test("refuses annotations that do not fill their map, though it counts none", () => {
  const rest = encodeMessage({ properties: { messageId: "m" }, body: { data: Buffer.from("b") } });
  const annotations = Buffer.from([0x00, 0x53, 0x72, 0xc1, 2, 0, 0x40]);
  assert.throws(() => parseMessage(Buffer.concat([annotations, rest]), noId), ProtocolError);
  assert.equal(parseMessage(Buffer.concat([Buffer.from([0x00, 0x53, 0x72, 0xc1, 1, 0]), rest]), noId).annotationCount, 0);
});

test("splits a batch into its messages", () => {
  const messages = [codec.encode({ body: "a" }), codec.encode({ body: "b".repeat(300) })];
  const envelope = codec.encode({ body: codec.data_sections(messages), message_annotations: { x: "y" } });
  assert.deepEqual(splitBatch(envelope), messages);
});

test("answers broken bytes with an error of its own, never with anything else", () => {
  const whole = codec.encode({
    message_id: "m",
    group_id: "g",
    application_properties: { a: 1 },
    message_annotations: { b: "c" },
    body: codec.data_section(Buffer.alloc(40)),
  });
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.tuple(fc.nat(whole.length - 1), fc.nat(255)).map(([at, byte]) => {
          const bytes = Buffer.from(whole);
          bytes[at] = byte;
          return bytes;
        }),
        fc.nat(whole.length - 1).map((length) => whole.subarray(0, length)),
      ),
      (input) => {
        const bytes = Buffer.from(input);
        for (const read of [(): unknown => viewAndBack(bytes), (): unknown => splitBatch(bytes), (): unknown => parseRequest(bytes)]) {
          try {
            read();
          } catch (error) {
            assert.ok(error instanceof ProtocolError, String(error));
          }
        }
      },
    ),
    { numRuns: 20000 },
  );
});

/** What was taken in must be deliverable. */
function viewAndBack(bytes: Buffer): void {
  const view = viewOf(bytes);
  assert.doesNotThrow(() => encodeDelivery(view));
  assert.doesNotThrow(() => encodeDelivery({ ...view, properties: new Map([["DeadLetterReason", "r"]]) }));
  assert.doesNotThrow(() => applicationPropertiesOf(view));
}

test("lock tokens go to the wire and back, and no foreign one is taken for ours", () => {
  const tokens = new LockTokens(Buffer.from("0123456789abcdef", "hex"));
  const others = new LockTokens(Buffer.from("0123456789abcdee", "hex"));
  for (const lockId of [1, 2 ** 31, 2 ** 32 + 1, 2 ** 50]) {
    assert.equal(tokens.lockOf(tokens.tokenOf(lockId)), lockId);
    assert.equal(others.lockOf(tokens.tokenOf(lockId)), undefined);
  }
  assert.equal(tokens.tagOf(1).toString("hex"), "0123456789abcdef0000000000000001");
  assert.equal(tokens.tokenOf(1).toString("hex"), "67452301ab89efcd0000000000000001");
  assert.equal(tokens.lockOf(Buffer.alloc(3)), undefined);
});

test("a time to be enqueued at is read the same alone and beside other annotations, and passed on as it came", () => {
  const timeName = "x-opt-scheduled-enqueue-time";
  const times = fc.oneof(
    fc.maxSafeInteger().map((ms) => timestamp(ms)),
    fc.constantFrom<TypedValue>(new Typed("long", 1_700_000_000_000n), new Typed("string", "soon"), new Typed("null", null)),
  );
  fc.assert(
    fc.property(times, (time) => {
      const read = (others: object): ReturnType<typeof parseMessage> =>
        parseMessage(
          encodeMessage({ messageAnnotations: { [timeName]: time, ...others }, properties: { messageId: "m" }, body: { data: Buffer.of(1) } }),
          noId,
        );
      const alone = read({});
      const beside = read({ "x-opt-sequence-number": 7n });
      assert.deepEqual(alone, beside);
      const pair = Buffer.concat([encode(symbol(timeName)), encode(time)]);
      assert.deepEqual([alone.annotations, alone.annotationCount], [pair, 1]);
    }),
  );
});
