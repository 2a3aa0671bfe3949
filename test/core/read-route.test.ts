import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { type DecodeLimits, type RouteResult, defaultDecodeLimits, readRoute } from "../../runtime/core/read-route.ts";
import { cloudEvent, cloudEventHeaders, delivery, envelope, json, msgpack, routeHeaders, snake } from "../support/event-messages.ts";

const limits: DecodeLimits = defaultDecodeLimits;
const { eventId, eventType, version } = envelope;

function routeOf(result: RouteResult): unknown {
  assert.ok(result.ok, JSON.stringify(result));
  return result.route;
}

function refusal(result: RouteResult): string {
  assert.ok(!result.ok, "expected a refusal");
  return `${result.invalid.reason}: ${result.invalid.description}`;
}

test("routes every wire form, from headers or from the body", () => {
  const cases: readonly (readonly [ReturnType<typeof delivery>, form: string, codec: string])[] = [
    [delivery(json(envelope)), "canonical", "json"],
    [delivery(json(snake), {}, "application/json; charset=utf-8"), "snake", "json"],
    [delivery(json(cloudEvent), {}, "application/cloudevents+json; charset=utf-8"), "cloudevents-structured", "json"],
    [delivery(json(cloudEvent), {}, "application/json"), "cloudevents-structured", "json"],
    [delivery(json(envelope.payload), cloudEventHeaders, "application/json"), "cloudevents-binary", "json"],
    [delivery(msgpack(envelope), {}, "application/msgpack"), "canonical", "msgpack"],
    [delivery(msgpack(snake), {}), "snake", "msgpack"],
    [delivery(msgpack(cloudEvent), {}, "application/cloudevents+msgpack"), "cloudevents-structured", "msgpack"],
    [delivery(Buffer.from("\uFEFF" + JSON.stringify(envelope))), "canonical", "json"],
    [delivery(json({ first: { eventId: "inner", deep: [[[']}"']]] }, ...envelope })), "canonical", "json"],
  ];
  for (const [message, form, codec] of cases) {
    assert.deepEqual(routeOf(readRoute(message, limits)), { eventId, eventType, version, form, codec });
  }
});

test("does not look at the body when the headers say all", () => {
  const garbage = Buffer.from([0xff, 0x00, 0x22]);
  assert.deepEqual(routeOf(readRoute(delivery(garbage, routeHeaders, "application/json"), limits)), {
    eventId,
    eventType,
    version,
    form: "canonical",
    codec: "json",
  });
  const headers = { event_id: eventId, event_type: eventType, version };
  assert.deepEqual(routeOf(readRoute(delivery(garbage, headers), limits)), { eventId, eventType, version, form: "snake", codec: "json" });
});

test("the prefixes of binary CloudEvents are equal, and their headers go to the thread", () => {
  for (const prefix of ["cloudEvents_", "ce-", "cloudEvents:"]) {
    const headers = { [`${prefix}id`]: "e-1", [`${prefix}type`]: "T", [`${prefix}specversion`]: "1.0" };
    const result = readRoute(delivery(new Uint8Array(0), headers), limits);
    assert.deepEqual(routeOf(result), { eventId: "e-1", eventType: "T", version: "1.0", form: "cloudevents-binary", codec: "json" });
    assert.deepEqual(result.ok && result.headers, headers);
  }
});

test("a CloudEvent's version comes from its version attribute, its schema's URI, or is 1.0", () => {
  const route = (extra: object): unknown => {
    const result = readRoute(delivery(json({ specversion: "1.0", id: "e", type: "T", ...extra }), {}, "application/cloudevents+json"), limits);
    return (routeOf(result) as { version: string }).version;
  };
  assert.equal(route({}), "1.0");
  assert.equal(route({ version: "3.1" }), "3.1");
  assert.equal(route({ dataschema: "urn:order:v2.7" }), "2.7");
  assert.equal(route({ dataschema: "https://schemas.example/order/2.7.json#" }), "2.7");
  assert.equal(route({ dataschema: "https://schemas.example/order" }), "1.0");
});

test("a compressed body is routed by its headers alone", () => {
  const gzip = { contentEncoding: "gzip" };
  const result = readRoute(delivery(Buffer.from([0x1f, 0x8b]), { ...routeHeaders, ...gzip }), limits);
  assert.equal(result.ok && result.contentEncoding, "gzip");
  assert.match(refusal(readRoute(delivery(json(envelope), gzip), limits)), /^InvalidEnvelope: eventId: expected the application properties/);
  assert.match(refusal(readRoute(delivery(json(envelope), { "content-encoding": "zstd" }), limits)), /^InvalidEnvelope: content-encoding: expected gzip/);
  assert.match(refusal(readRoute(delivery(json(envelope), { eventId, contentEncoding: "br" }), limits)), /^InvalidEnvelope: eventType: .* got nothing/);
});

test("refuses ids that are missing, no strings, too long or outside the allowed characters, naming the field", () => {
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ eventType, version }, /^InvalidEnvelope: eventId: expected a string of 1 to 128 .* got nothing$/],
    [{ eventId: 7, eventType, version }, /^InvalidEnvelope: eventId: .* got a number$/],
    [{ eventId: ["a", "b"], eventType, version }, /^InvalidEnvelope: eventId: .* got a list$/],
    [{ eventId: null, eventType, version }, /^InvalidEnvelope: eventId: .* got null$/],
    [{ eventId: "x".repeat(129), eventType, version }, /^InvalidEnvelope: eventId: .* got a string of 129 characters$/],
    [{ eventId: "a b", eventType, version }, /^InvalidEnvelope: eventId: .* got a string with other characters$/],
    [{ eventId: "a\u0000b", eventType, version }, /^InvalidEnvelope: eventId: /],
    [{ eventId, eventType: {}, version }, /^InvalidEnvelope: eventType: .* got an object$/],
    [{ eventId, eventType, version: "1" }, /^InvalidEnvelope: version: expected a string 'major.minor'/],
    [{ event_id: true, event_type: eventType, version }, /^InvalidEnvelope: event_id: .* got a boolean$/],
  ];
  for (const [body, expected] of cases) {
    assert.match(refusal(readRoute(delivery(json(body)), limits)), expected);
    assert.match(refusal(readRoute(delivery(msgpack(body)), limits)), /^InvalidEnvelope: /);
  }
  assert.match(refusal(readRoute(delivery(json(envelope), { eventId: 7n, eventType, version }), limits)), /^InvalidEnvelope: eventId: .* got a bigint$/);
  for (const body of ["", "[]", "{", '{"a"', '{"a":1', '{"a":[}', "null", "\u0001"]) {
    assert.match(refusal(readRoute(delivery(Buffer.from(body)), limits)), /^InvalidEnvelope: /);
  }
});

test("an escaped id is read as it is meant", () => {
  const body = Buffer.from('{"eventId":"a\\/b","eventType":"T\\u0041","version":"1.0"}');
  assert.deepEqual(routeOf(readRoute(delivery(body), limits)), { eventId: "a/b", eventType: "TA", version: "1.0", form: "canonical", codec: "json" });
});

test("refuses a body over the size cap before it looks", () => {
  const small = { ...limits, bodyBytesMax: 10 };
  assert.match(refusal(readRoute(delivery(json(envelope), routeHeaders), small)), /^BodyTooLarge: body: expected at most 10 bytes, got \d+$/);
});

test("refuses a body that is too deep before its ids are found", () => {
  const deep = `{"payload":${"[".repeat(64)}${"]".repeat(64)},"eventId":"e","eventType":"T","version":"1.0"}`;
  assert.match(refusal(readRoute(delivery(Buffer.from(deep)), limits)), /^DecodeLimit: body: expected a depth of at most 64, got more$/);
  const fits = `{"payload":${"[".repeat(63)}${"]".repeat(63)},"eventId":"e","eventType":"T","version":"1.0"}`;
  assert.ok(readRoute(delivery(Buffer.from(fits)), limits).ok);
  const deepMsgpack = Buffer.concat([Buffer.from([0x81, 0xa1, 0x61]), Buffer.alloc(64, 0x91), Buffer.from([0x00])]);
  assert.match(refusal(readRoute(delivery(deepMsgpack), limits)), /^DecodeLimit: /);
});

test("control headers of a sender change nothing", () => {
  const forged = { ...routeHeaders, generation: 9, attempt: 99, replay: true, deadline: "0", "holdfast-generation": 9 };
  assert.deepEqual(readRoute(delivery(json(envelope), forged), limits), readRoute(delivery(json(envelope), routeHeaders), limits));
});

const headerValue = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.constant(null), fc.bigInt());
const headerName = fc.constantFrom("eventId", "eventType", "version", "event_id", "event_type", "cloudEvents:id", "ce-id", "ce-type", "contentEncoding", "x");
const contentType = fc.option(fc.constantFrom("application/json", "application/cloudevents+json", "application/msgpack", "text/plain", "\u0000"), {
  nil: undefined,
});

/** Bytes that nearly are an envelope. */
const nearly = fc
  .tuple(
    fc.constantFrom(json(envelope), json(snake), json(cloudEvent), msgpack(envelope), msgpack(cloudEvent)),
    fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
    fc.nat(),
  )
  .map(([bytes, changes, cut]) => {
    const copy = Uint8Array.from(bytes);
    for (const [at, byte] of changes) copy[at % copy.length] = byte;
    return cut % 3 === 0 ? copy.subarray(0, cut % copy.length) : copy;
  });

test("whatever is sent, reading its route never throws and gives a route that is well-formed", () => {
  const bodies = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    nearly,
    fc.json().map((text) => Uint8Array.from(Buffer.from(text))),
  );
  fc.assert(
    fc.property(bodies, fc.dictionary(headerName, headerValue), contentType, (body, headers, type) => {
      const result = readRoute(delivery(body, headers, type), limits);
      if (!result.ok) {
        assert.ok(result.invalid.description.length <= 1_000);
        return;
      }
      assert.match(result.route.eventId, /^[A-Za-z0-9._~:/+=@|-]{1,128}$/);
      assert.match(result.route.version, /^\d+\.\d+$/);
    }),
    { numRuns: 3_000 },
  );
});

test("hostile bodies of a mebibyte are looked at in well under a second of a core", () => {
  const size = limits.bodyBytesMax;
  const hostile: readonly Uint8Array[] = [
    Buffer.alloc(size, "["),
    Buffer.alloc(size, '{"a":'),
    Buffer.concat([Buffer.from('{"a":"'), Buffer.alloc(size - 6, "\\")]),
    Buffer.concat([Buffer.from("{"), Buffer.alloc(size - 1, '"a":1,')]),
    Buffer.concat([Buffer.from('{"eventId":"'), Buffer.alloc(size - 14, "x"), Buffer.from('"}')]),
    Buffer.concat([Buffer.from([0xdf, 0xff, 0xff, 0xff, 0xff]), Buffer.alloc(size - 5, 0xdd)]),
    Buffer.concat([Buffer.from([0xdf, 0x00, 0x07, 0xff, 0xff]), Buffer.alloc(size - 5, 0xa0)]),
    Buffer.alloc(size, 0x81),
  ];
  const before = process.threadCpuUsage();
  for (const body of hostile) assert.ok(!readRoute(delivery(body), limits).ok);
  const { user, system } = process.threadCpuUsage(before);
  assert.ok(user + system < 1_000_000, `took ${user + system} microseconds`);
});
