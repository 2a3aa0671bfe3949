import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import * as fc from "fast-check";
import type { BodySection } from "#runtime/core/delivery.ts";
import { defaultDecodeLimits, readRoute } from "#runtime/core/read-route.ts";
import { recogniseBody } from "#runtime/core/recognise-body.ts";
import { decodeEvent } from "#runtime/skills/host/decode-event.ts";
import { delivery, envelope, json, routeHeaders } from "../support/event-messages.ts";

const limits = defaultDecodeLimits;

/** What is said of a body, whether the route is to be read from it or stands in its headers. */
function refusals(body: Uint8Array, bodySection: BodySection = "data"): string[] {
  return [{}, routeHeaders].map((headers) => {
    const message = { ...delivery(body, headers, "application/json"), bodySection };
    const routed = readRoute(message, limits);
    const result = routed.ok ? decodeEvent({ ...routed, body, enqueuedAtMs: 0 }, limits) : routed;
    assert.ok(!result.ok, "expected a refusal");
    return `${result.invalid.reason}: ${result.invalid.description}`;
  });
}

const text = JSON.stringify(envelope);
const dataContract = "http://schemas.microsoft.com/2003/10/Serialization/";
const swapped = Buffer.from(text, "utf16le").swap16();
const protobuf = Buffer.concat([Buffer.from([0x0a, 0x05]), Buffer.from("hello"), Buffer.from([0x10, 0x96, 0x01, 0x1d, 1, 2, 3, 4])]);

const bodies: readonly (readonly [what: string, body: Uint8Array, said: RegExp])[] = [
  ["an empty body", Buffer.alloc(0), /found an empty body; send the envelope as its body/],
  ["UTF-16 with its mark", Buffer.from(`\uFEFF${text}`, "utf16le"), /found UTF-16 text with a byte order mark; encode it as UTF-8/],
  ["UTF-16, the other end first", Buffer.concat([Buffer.from([0xfe, 0xff]), swapped]), /found UTF-16 text with a byte order mark/],
  ["UTF-16 without a mark", Buffer.from(text, "utf16le"), /found UTF-16 text without a byte order mark; encode it as UTF-8/],
  ["UTF-16 without a mark, the other end first", swapped, /found UTF-16 text without a byte order mark/],
  [
    "the old .NET client's text",
    Buffer.concat([Buffer.from(`@\x06string\x083${dataContract}\x99\x05`), Buffer.from("hello")]),
    /found the DataContract envelope .* construct its BrokeredMessage from a Stream/,
  ],
  ["the old .NET client's bytes", Buffer.from(`@\x0cbase64Binary\x083${dataContract}\x9f\x01a`), /found the DataContract envelope/],
  ["XML", Buffer.from(`\uFEFF<?xml version="1.0"?><a/>`), /found XML or HTML; .*envelope hook with codec 'bytes'/],
  ["Avro", Buffer.from([0x4f, 0x62, 0x6a, 0x01, 0x04, 0x16]), /found an Avro object container; .*binary CloudEvent/],
  ["protobuf", protobuf, /found bytes that look like protobuf; /],
  ["gzip", gzipSync(text), /found gzip data; say so in the application property content-encoding: gzip/],
  ["deflate", deflateSync(text), /found deflate data; say so in the application property content-encoding: deflate/],
  ["zstd", zstdCompressSync(text), /found zstd data; compress it with gzip, deflate or br/],
  ["base64 of JSON", Buffer.from(Buffer.from(text).toString("base64")), /found JSON in base64; send the bytes/],
  ["JSON in JSON", json(text), /found a JSON string that holds JSON; encode it once/],
  ["something else", Buffer.from("just words"), /got something else$/],
];

describe("a body that cannot be read says what it is, and what would make it readable", () => {
  for (const [what, body, said] of bodies) {
    test(what, () => {
      for (const refusal of refusals(body)) {
        assert.match(refusal, /^InvalidEnvelope: body: expected /);
        assert.match(refusal, said);
        assert.ok(refusal.length < 500);
      }
    });
  }

  test("an AMQP sequence, even one whose items would make an event", () => {
    for (const refusal of [...refusals(json([1, "two"]), "sequence"), ...refusals(json([envelope]), "sequence")]) {
      assert.match(refusal, /^InvalidEnvelope: body: expected an? .*found an AMQP sequence; send the envelope's bytes in a data section/);
    }
  });

  test("an AMQP value that is no envelope, while a map of one is read", () => {
    assert.match(refusals(Buffer.from("7"), "value")[0] ?? "", /found an AMQP value that is neither text of an envelope nor a map; send/);
    assert.match(refusals(Buffer.from(text, "utf16le"), "value")[0] ?? "", /found UTF-16 text/);
    assert.ok(readRoute({ ...delivery(json(envelope)), bodySection: "value" }, limits).ok);
  });
});

test("UTF-8 with a byte order mark is read", () => {
  assert.ok(readRoute(delivery(Buffer.from(`\uFEFF${text}`)), limits).ok);
});

test("whatever the bytes are, they are looked at in no time and shown to nobody", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      assert.ok((recogniseBody(bytes) ?? "").length < 400);
    }),
    { numRuns: 3_000 },
  );
  const before = process.threadCpuUsage();
  for (const byte of [0x00, 0x08, 0x0a, 0x20, 0x22, 0x3c, 0x40, 0x7b, 0x80, 0xff]) recogniseBody(Buffer.alloc(1024 * 1024, byte));
  const { user, system } = process.threadCpuUsage(before);
  assert.ok(user + system < 1_000_000, `took ${user + system} microseconds`);
});
