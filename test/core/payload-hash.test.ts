import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { createPayloadHash } from "#runtime/core/payload-hash.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import type { EnvelopeHook } from "#runtime/core/envelope-hook.ts";
import { cloudEvent, cloudEventHeaders, delivery, envelope, eventGridEvent, json, msgpack, routeHeaders, snake } from "../support/event-messages.ts";

const limits = defaultDecodeLimits;
const hashPayload = createPayloadHash(limits);
const fresh = "2031-01-01T00:00:00.000Z";

async function hashOf(message: ReturnType<typeof delivery>, hooks: readonly EnvelopeHook[] = []): Promise<string> {
  const routed = readRoute(message, limits, hooks);
  assert.ok(routed.ok, JSON.stringify(routed));
  return await hashPayload(message.body, routed);
}

type Fields = Readonly<Record<string, unknown>>;

interface Form {
  readonly name: string;
  /** A message of these fields. */
  readonly send: (fields: Fields) => ReturnType<typeof delivery>;
  readonly fields: Fields;
  /** The same event, sent again. */
  readonly again: Fields;
  /** Another payload under the event's id. */
  readonly other: Fields;
}

const headersOf = (fields: Fields): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).flatMap(([name, value]) => (typeof value === "string" ? [[`ce-${name}`, value]] : [])));
const later = { traceId: "trace-2", correlationId: "correlation-2", timestamp: fresh };
const snakeLater = { trace_id: "trace-2", correlation_id: "correlation-2", timestamp: fresh };

const forms: readonly Form[] = [
  ...(["payload last", "payload first"] as const).map((name): Form => {
    const { payload, ...rest } = envelope;
    const order = (fields: Fields): Fields => (name === "payload first" ? { payload, ...rest, ...fields } : { ...rest, payload, ...fields });
    return {
      name: `canonical, ${name}`,
      send: (fields) => delivery(json(order(fields))),
      fields: {},
      again: { ...later, more: { sentAt: 1 } },
      other: { payload: { orderId: "o-2" } },
    };
  }),
  {
    name: "canonical, routed by headers",
    send: (fields) => delivery(json({ ...envelope, ...fields }), routeHeaders, "application/json"),
    fields: {},
    again: later,
    other: { payload: 1 },
  },
  {
    name: "canonical in msgpack",
    send: (fields) => delivery(msgpack({ ...envelope, ...fields })),
    fields: {},
    again: later,
    other: { payload: { orderId: "o-2" } },
  },
  { name: "snake", send: (fields) => delivery(json({ ...snake, ...fields })), fields: {}, again: snakeLater, other: { orderId: "o-2" } },
  { name: "snake in msgpack", send: (fields) => delivery(msgpack({ ...snake, ...fields })), fields: {}, again: snakeLater, other: { note: "n" } },
  {
    name: "snake under canonical headers",
    send: (fields) => delivery(json({ ...snake, ...fields }), routeHeaders),
    fields: {},
    again: snakeLater,
    other: { more: 1 },
  },
  {
    name: "structured CloudEvent",
    send: (fields) => delivery(json({ ...cloudEvent, ...fields }), {}, "application/cloudevents+json"),
    fields: {},
    again: { time: fresh, traceid: "t2" },
    other: { data: 2 },
  },
  {
    name: "structured CloudEvent, by its keys alone",
    send: (fields) => delivery(json({ ...cloudEvent, ...fields })),
    fields: {},
    again: { time: fresh, traceid: "t2" },
    other: { data: 2 },
  },
  {
    name: "structured CloudEvent of bytes",
    send: (fields) => delivery(json({ ...cloudEvent, data: undefined, data_base64: "AAEC", ...fields })),
    fields: {},
    again: { time: fresh },
    other: { data_base64: "AAED" },
  },
  {
    name: "structured CloudEvent without data",
    send: (fields) => delivery(json({ ...cloudEvent, data: undefined, ...fields })),
    fields: {},
    again: { time: fresh },
    other: { data: 2 },
  },
  { name: "Event Grid", send: (fields) => delivery(json({ ...eventGridEvent, ...fields })), fields: {}, again: { eventTime: fresh }, other: { data: 2 } },
  {
    name: "Event Grid in a list of one",
    send: (fields) => delivery(json([{ ...eventGridEvent, ...fields }])),
    fields: {},
    again: { eventTime: fresh },
    other: { data: 2 },
  },
  {
    name: "binary CloudEvent",
    send: ({ body = envelope.payload, ...fields }) => delivery(json(body), { ...headersOf(cloudEvent), ...headersOf(fields) }, "application/json"),
    fields: {},
    again: { time: fresh, traceid: "t2" },
    other: { body: 1 },
  },
  ...(
    [
      ["gzip", gzipSync],
      ["deflate", deflateSync],
      ["br", brotliCompressSync],
    ] as const
  ).map(([contentEncoding, compress]): Form => ({
    name: `compressed by ${contentEncoding}`,
    send: (fields) => delivery(compress(json({ ...envelope, ...fields })), { ...routeHeaders, contentEncoding }),
    fields: {},
    again: later,
    other: { payload: 2 },
  })),
];

describe("an event sent again has the hash that it had, and another payload has another", () => {
  for (const { name, send, fields, again, other } of forms) {
    test(name, async () => {
      const first = await hashOf(send(fields));
      assert.equal(await hashOf(send(again)), first);
      assert.notEqual(await hashOf(send(other)), first);
      assert.equal(first.length, 28);
    });
  }
});

test("a compressed payload has the hash of the plain one", async () => {
  const zipped = delivery(gzipSync(json(envelope)), { ...routeHeaders, contentEncoding: "gzip" });
  assert.equal(await hashOf(zipped), await hashOf(delivery(json(envelope))));
});

test("what a hook names as the payload is hashed, else the whole body", async () => {
  const hook = (payload: string | undefined): EnvelopeHook => ({ name: "own", read: () => ({ eventId: "e", eventType: "T", payload }) });
  const message = (sentAt: number, value: number): ReturnType<typeof delivery> => delivery(json({ sentAt, value: { value } }));
  assert.equal(await hashOf(message(1, 1), [hook("value")]), await hashOf(message(2, 1), [hook("value")]));
  assert.notEqual(await hashOf(message(1, 1), [hook("value")]), await hashOf(message(1, 2), [hook("value")]));
  assert.notEqual(await hashOf(message(1, 1), [hook(undefined)]), await hashOf(message(2, 1), [hook(undefined)]));
  const packed = (sentAt: number): ReturnType<typeof delivery> => delivery(msgpack({ sentAt, value: { value: 1 } }));
  assert.equal(await hashOf(packed(1), [hook("value")]), await hashOf(packed(2), [hook("value")]));
});

test("a body in which no payload is found is hashed whole, also when it does not decompress", async () => {
  const hashes = new Set<string>();
  const bodies = [Buffer.from("{"), Buffer.from("nonsense"), Buffer.from([0x81]), json({ eventId: "e" }), json([1]), Buffer.alloc(0), cloudEventHeaders];
  for (const body of bodies) if (body instanceof Uint8Array) hashes.add(await hashOf(delivery(body, routeHeaders)));
  hashes.add(await hashOf(delivery(Buffer.from("no gzip"), { ...routeHeaders, contentEncoding: "gzip" })));
  const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024, " "));
  hashes.add(await hashOf(delivery(bomb, { ...routeHeaders, contentEncoding: "gzip" })));
  assert.equal(hashes.size, 8);
});

test("many compressed bodies at once are each hashed", async () => {
  const hashes = await Promise.all(
    Array.from({ length: 40 }, (_, payload) => hashOf(delivery(gzipSync(json({ ...envelope, payload })), { ...routeHeaders, contentEncoding: "gzip" }))),
  );
  assert.equal(new Set(hashes).size, 40);
});

test("the payload is found whatever it is and wherever it stands", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.jsonValue({ maxDepth: 5 }),
      fc.jsonValue({ maxDepth: 3 }),
      fc.boolean(),
      fc.constantFrom(undefined, 1, "\t"),
      async (payload, extra, isFirst, space) => {
        const { payload: _, ...rest } = envelope;
        const text = (timestamp: string): string =>
          JSON.stringify(isFirst ? { payload, extra, ...rest, timestamp } : { ...rest, extra, timestamp, payload, late: timestamp }, undefined, space);
        const first = await hashOf(delivery(Buffer.from(text("2024-05-01T12:00:00Z")), routeHeaders));
        assert.equal(await hashOf(delivery(Buffer.from(text(fresh)), routeHeaders)), first);
      },
    ),
    { numRuns: 300 },
  );
});
