// Which trace a message says that it belongs to, as W3C Trace Context writes it.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { isOfTrace, isTraceparent, joinTrace, readTraceparent, traceIdOf, writeTraceparent } from "#runtime/core/trace-context.ts";

const [traceId, spanId] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];
const [noTrace, noSpan] = ["0".repeat(32), "0".repeat(16)];

/** The grammar of version 00 and what is asked of those after it, in the words of a pattern. */
const pattern = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-)/;

test("what is written is read again, with its flag", () => {
  for (const isSampled of [true, false]) {
    const written = writeTraceparent({ traceId, spanId }, isSampled);
    assert.deepEqual(readTraceparent(written), { traceId, spanId, isSampled });
  }
  assert.equal(readTraceparent(`00-${traceId}-${spanId}-fe`)?.isSampled, false);
  assert.equal(readTraceparent(`00-${traceId}-${spanId}-ff`)?.isSampled, true);
});

test("what is no traceparent is none: another version's form, ids of zeros, letters in capitals, a text that is too long, no text at all", () => {
  const wrong = [
    `ff-${traceId}-${spanId}-01`,
    `00-${noTrace}-${spanId}-01`,
    `00-${traceId}-${noSpan}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId}-${spanId}-0`,
    `00-${traceId}-${spanId}-01x`,
    `00-${traceId}-${spanId}-01-${"x".repeat(100)}`,
    `00_${traceId}-${spanId}-01`,
    "",
    7,
    null,
    undefined,
  ];
  for (const value of wrong) assert.equal(readTraceparent(value), undefined, String(value));
  assert.ok(isTraceparent(`cc-${traceId}-${spanId}-01-what-comes-later`));
});

test("a traceparent that ends in anything but printable ASCII is none: it goes on in headers, and to threads byte by byte", () => {
  for (const character of ["é", "漢", "\n", "\r", "\0", "\u007f", "\ud800"]) assert.equal(isTraceparent(`cc-${traceId}-${spanId}-01-${character}`), false);
});

test("what is read character by character is what the pattern says", () => {
  const right = `00-${traceId}-${spanId}-01`;
  const near = fc
    .tuple(fc.nat(right.length - 1), fc.constantFrom("0", "f", "g", "-", "A", "_", ""))
    .map(([place, text]) => right.slice(0, place) + text + right.slice(place + 1));
  const texts = fc.oneof(near, fc.stringMatching(/^[0-9a-f]{2}-[0f]{32}-[0f]{16}-[0-9a-f]{2}(?:-x)?$/), fc.string({ maxLength: 128 }));
  fc.assert(
    fc.property(texts, (text) => assert.equal(isTraceparent(text), pattern.test(text), text)),
    { numRuns: 2_000 },
  );
});

test("an event's trace is its own where that is one of W3C's, else its message's, else one that is derived", () => {
  const creation = readTraceparent(`00-${traceId}-${spanId}-01`);
  const own = "0af7651916cd43dd8448eb211c80319c";
  assert.deepEqual(
    [own, "trace-1"].map((said) => joinTrace(said, creation).traceId),
    [own, traceId],
  );
  assert.match(traceIdOf("trace-1"), /^[0-9a-f]{32}$/);
  assert.equal(joinTrace("trace-1", undefined).traceId, traceIdOf("trace-1"));
  assert.deepEqual(
    [isOfTrace(`00-${traceId}-${spanId}-01`, traceId), isOfTrace(`00-${traceId}-${spanId}-01`, own), isOfTrace(`00-${traceId}-${spanId}-01`, "")],
    [true, false, false],
  );
});
