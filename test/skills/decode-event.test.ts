import { strict as assert } from "node:assert";
import { test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { defaultDecodeLimits, readRoute } from "../../runtime/core/read-route.ts";
import { type EncodedEvent, decodeEvent } from "../../runtime/skills/host/decode-event.ts";
import { cloudEvent, cloudEventHeaders, delivery, envelope, json, msgpack, routeHeaders, snake } from "../support/event-messages.ts";

const limits = defaultDecodeLimits;

function decode(message: ReturnType<typeof delivery>): ReturnType<typeof decodeEvent> {
  const routed = readRoute(message, limits);
  if (!routed.ok) return routed;
  return decodeEvent({ ...routed, body: message.body, enqueuedAtMs: message.enqueuedAtMs }, limits);
}

function refusal(message: ReturnType<typeof delivery>): string {
  const result = decode(message);
  assert.ok(!result.ok, "expected a refusal");
  return `${result.invalid.reason}: ${result.invalid.description}`;
}

function withHeaders(body: Uint8Array, contentType?: string): ReturnType<typeof delivery> {
  return delivery(body, routeHeaders, contentType);
}

test("every wire form and codec yields the same envelope", () => {
  for (const message of [
    delivery(json(envelope)),
    withHeaders(json(envelope), "application/json"),
    delivery(Buffer.from("\uFEFF" + JSON.stringify(envelope))),
    delivery(json(snake)),
    delivery(json(cloudEvent), {}, "application/cloudevents+json"),
    delivery(json(cloudEvent)),
    delivery(json({ ...cloudEvent, data: undefined, data_base64: Buffer.from(json(envelope.payload)).toString("base64") })),
    delivery(json(envelope.payload), cloudEventHeaders, "application/json"),
    delivery(msgpack(envelope)),
    delivery(msgpack(snake), {}, "application/x-msgpack"),
    delivery(msgpack(cloudEvent), {}, "application/cloudevents+msgpack"),
    delivery(msgpack(envelope.payload), cloudEventHeaders, "application/msgpack"),
    delivery(gzipSync(json(envelope)), { ...routeHeaders, contentEncoding: "gzip" }),
    delivery(deflateSync(json(envelope)), { ...routeHeaders, contentEncoding: "deflate" }),
    delivery(brotliCompressSync(json(cloudEvent)), { ...routeHeaders, "content-encoding": "br" }, "application/cloudevents+json"),
  ]) {
    assert.deepEqual(decode(message), { ok: true, value: envelope });
  }
});

test("a plain CloudEvent takes what it lacks from what it must have", () => {
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const plain = { specversion: "1.0", id: "e-1", type: "T", source: "/shop", time: "2024-05-01T12:00:00+02:00", projectid: "p", traceparent };
  const result = decode(delivery(json(plain)));
  assert.deepEqual(result.ok && result.value, {
    eventId: "e-1",
    eventType: "T",
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    correlationId: "e-1",
    projectId: "p",
    originatingAgent: "/shop",
    version: "1.0",
    timestamp: "2024-05-01T10:00:00.000Z",
    payload: null,
  });
});

test("optional fields come along, null counts as absent, unknown fields are left behind", () => {
  const result = decode(delivery(json({ ...envelope, tenantId: "t", causationId: null, artifactUri: "git:x", generation: 9, attempt: 3 })));
  assert.deepEqual(result.ok && result.value, { ...envelope, tenantId: "t", artifactUri: "git:x" });
});

test("refuses envelopes that lack a field or hold another type, naming the field", () => {
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ ...envelope, traceId: undefined }, /^InvalidEnvelope: traceId: expected a string of 1 to 256 characters, got nothing$/],
    [{ ...envelope, projectId: "" }, /^InvalidEnvelope: projectId: .* got another string$/],
    [{ ...envelope, correlationId: 1 }, /^InvalidEnvelope: correlationId: .* got a number$/],
    [{ ...envelope, timestamp: "yesterday" }, /^InvalidEnvelope: timestamp: expected an ISO 8601 time/],
    [{ ...envelope, timestamp: "2024-13-01T00:00:00Z" }, /^InvalidEnvelope: timestamp: expected an ISO 8601 time that exists/],
    [{ ...envelope, payload: undefined }, /^InvalidEnvelope: payload: expected a value, got nothing$/],
    [{ ...snake, trace_id: undefined }, /^InvalidEnvelope: trace_id: /],
    [{ ...cloudEvent, data_base64: 1 }, /^InvalidEnvelope: data_base64: expected a string, got a number$/],
  ];
  for (const [body, expected] of cases) assert.match(refusal(delivery(json(body))), expected);
  assert.match(refusal(withHeaders(json([1]))), /^InvalidEnvelope: body: expected an object, got a list$/);
  assert.match(refusal(withHeaders(json({}))), /^InvalidEnvelope: eventId: expected a string, got nothing$/);
});

test("ids in the properties must be those in the body", () => {
  for (const [field, name] of [
    ["eventId", "eventId"],
    ["eventType", "eventType"],
    ["version", "version"],
  ] as const) {
    const other = field === "version" ? "9.9" : "other";
    assert.match(
      refusal(withHeaders(json({ ...envelope, [field]: other }))),
      new RegExp(`^InvalidEnvelope: ${name}: expected the same in the message's properties and its body`),
    );
  }
  assert.match(refusal(withHeaders(json({ ...cloudEvent, id: "other" }), "application/cloudevents+json")), /^InvalidEnvelope: id: expected the same/);
});

test("a repeated key cannot route one event and run another", () => {
  const body = JSON.stringify(envelope).replace(/\}$/, ',"eventId":"second"}');
  assert.match(refusal(delivery(Buffer.from(body))), /^InvalidEnvelope: eventId: expected the same/);
});

test("refuses what is too deep before it is parsed", () => {
  const nested = (depth: number): Uint8Array =>
    Buffer.from(JSON.stringify(envelope).replace('{"orderId"', `{"deep":${"[".repeat(depth)}${"]".repeat(depth)},"orderId"`));
  assert.equal(decode(withHeaders(nested(62))).ok, true);
  assert.match(refusal(withHeaders(nested(63))), /^DecodeLimit: body: expected a depth of at most 64, got more$/);
  assert.match(refusal(withHeaders(Buffer.alloc(limits.bodyBytesMax, "["))), /^DecodeLimit: /);
});

test("refuses msgpack bombs without allocating for them", () => {
  const array32 = Buffer.from([0xdd, 0x00, 0x0f, 0xff, 0xff]);
  const bombs = [
    Buffer.concat(Array.from({ length: 60 }, () => array32)),
    Buffer.concat([...Array.from({ length: 60 }, () => array32), Buffer.alloc(900_000, 0xc0)]),
    Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]),
    Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff]),
    Buffer.alloc(limits.bodyBytesMax, 0x91),
    Buffer.alloc(limits.bodyBytesMax, 0xdd),
  ];
  const beforeBytes = process.memoryUsage().rss;
  for (const bomb of bombs) assert.match(refusal(withHeaders(bomb, "application/msgpack")), /^DecodeLimit: /);
  const grownBytes = process.memoryUsage().rss - beforeBytes;
  assert.ok(grownBytes < 64 * 1024 * 1024, `expected no memory spike, got ${grownBytes} bytes`);
});

test("refuses msgpack extension types other than the timestamp", () => {
  const record = Buffer.concat([msgpack(envelope).subarray(0, 0), Buffer.from([0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61])]);
  assert.match(refusal(withHeaders(record, "application/msgpack")), /^InvalidEnvelope: body: expected no msgpack extension/);
  const dated = decode(delivery(msgpack({ ...envelope, timestamp: new Date(envelope.timestamp) })));
  assert.deepEqual(dated, { ok: true, value: envelope });
});

test("refuses prototype keys in any disguise, at any depth", () => {
  const bodies = [
    '{"__proto__":{"admin":true}}',
    '{"a":[{"\\u005f_proto__":1}]}',
    '{"a":{"__prot\\u006F__":1}}',
    '{"constructor":{"prototype":{"admin":true}}}',
  ];
  for (const payload of bodies) {
    const body = Buffer.from(JSON.stringify({ ...envelope, payload: 0 }).replace('"payload":0', `"payload":${payload}`));
    assert.match(refusal(withHeaders(body)), /^InvalidEnvelope: body: expected no key '__proto__'/);
  }
  const map = (key: string): Buffer => Buffer.concat([Buffer.from([0x81, 0xa0 + key.length]), Buffer.from(key), Buffer.from([0x81, 0xa1, 0x61, 0xc3])]);
  assert.match(refusal(withHeaders(map("__proto__"), "application/msgpack")), /^InvalidEnvelope: body: expected no key '__proto__'/);
  assert.equal(({} as Record<string, unknown>)["admin"], undefined);
  const harmless = { ...envelope, payload: { constructor: "acme", prototype: 1, text: "the __proto__ key" } };
  assert.deepEqual(decode(withHeaders(json(harmless))), { ok: true, value: harmless });
});

test("refuses a body that decompresses past the cap or the ratio", () => {
  const compressed = (bytes: Uint8Array, contentEncoding: string): ReturnType<typeof delivery> => delivery(bytes, { ...routeHeaders, contentEncoding });
  const spaces = Buffer.alloc(8 * 1024 * 1024, " ");
  for (const [bytes, encoding] of [
    [gzipSync(spaces), "gzip"],
    [deflateSync(spaces), "deflate"],
    [brotliCompressSync(spaces), "br"],
  ] as const) {
    assert.match(refusal(compressed(bytes, encoding)), /^BodyTooLarge: body: expected at most \d+ bytes when decompressed from \d+, got more$/);
  }
  const ratio = gzipSync(Buffer.alloc(512 * 1024, " "));
  assert.match(refusal(compressed(ratio, "gzip")), /^BodyTooLarge: /);
  assert.match(refusal(compressed(Buffer.from("no gzip"), "gzip")), /^InvalidEnvelope: body: expected gzip data, got something else$/);
});

test("refuses bytes that are no text, no JSON or no msgpack", () => {
  assert.match(refusal(withHeaders(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]))), /^InvalidEnvelope: body: expected UTF-8, got other bytes$/);
  assert.match(refusal(withHeaders(Buffer.from("{nope}"))), /^InvalidEnvelope: body: expected JSON, got something else$/);
  assert.match(refusal(withHeaders(Buffer.from([0x81, 0xa2, 0x61, 0x62]), "application/msgpack")), /^InvalidEnvelope: body: expected one whole msgpack value/);
  assert.match(refusal(withHeaders(Buffer.from([0xc0, 0xc0]), "application/msgpack")), /^InvalidEnvelope: body: expected one whole msgpack value/);
});

test("what decodes, and how, does not depend on how the payload is made", () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (payload) => {
      const text = JSON.stringify(payload);
      fc.pre(!text.includes("__proto__"));
      const expected = { ...envelope, payload: JSON.parse(text) as unknown };
      assert.deepEqual(decode(delivery(json({ ...envelope, payload }))), { ok: true, value: expected });
      assert.deepEqual(decode(delivery(json({ ...cloudEvent, data: payload }), {}, "application/cloudevents+json")), { ok: true, value: expected });
      assert.deepEqual(decode(delivery(msgpack({ ...envelope, payload: JSON.parse(text) as unknown }))), { ok: true, value: expected });
    }),
    { numRuns: 300 },
  );
});

test("whatever is sent, decoding never throws and takes no time to speak of", () => {
  const route = { eventId: envelope.eventId, eventType: envelope.eventType, version: envelope.version };
  const near = fc
    .tuple(
      fc.constantFrom(json(envelope), json(snake), json(cloudEvent), msgpack(envelope), gzipSync(json(envelope))),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
    )
    .map(([bytes, changes]) => {
      const copy = Uint8Array.from(bytes);
      for (const [at, byte] of changes) copy[at % copy.length] = byte;
      return copy;
    });
  const event = fc.record({
    body: fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      near,
      fc.jsonValue().map((value) => json(value)),
    ),
    form: fc.constantFrom(
      "canonical" as const,
      "snake" as const,
      "cloudevents-structured" as const,
      "cloudevents-binary" as const,
      "event-grid" as const,
      "hooked" as const,
    ),
    codec: fc.constantFrom("json" as const, "msgpack" as const, "bytes" as const),
    contentEncoding: fc.constantFrom(undefined, "gzip", "deflate", "br", "toString"),
    headers: fc.option(fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.integer(), fc.constant(null))), { nil: undefined }),
  });
  const startMs = performance.now();
  fc.assert(
    fc.property(event, ({ body, form, codec, contentEncoding, headers }) => {
      const encoded: EncodedEvent = { route: { ...route, form, codec }, body, contentEncoding, headers, enqueuedAtMs: 0 };
      const result = decodeEvent(encoded, limits);
      if (!result.ok) assert.ok(result.invalid.description.length <= 1_000);
    }),
    { numRuns: 3_000 },
  );
  assert.ok(performance.now() - startMs < 20_000);
});
