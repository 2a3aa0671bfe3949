import { strict as assert } from "node:assert";
import { test } from "node:test";
import { copyOf, originHeader, postponedHeader, postponementsOf, retriesInPlaceHeader, retriesInPlaceOf } from "#runtime/core/copy.ts";
import type { Delivery, HeaderValue } from "#runtime/core/delivery.ts";

const atMs = 1_700_000_000_000;
const none = { postponements: 0, retriesInPlace: 0 };

function deliveryOf(messageId: string, sequenceNumber: bigint, headers: Readonly<Record<string, HeaderValue>> = {}): Delivery {
  return {
    messageId,
    sequenceNumber,
    attempt: 1,
    lockedUntilMs: 0,
    enqueuedAtMs: 0,
    contentType: "application/json",
    correlationId: "c",
    subject: "s",
    body: Buffer.from("body"),
    header: (name) => headers[name],
    headers: () => headers,
  };
}

/** The copy as it comes back, under a sequence number that the queue gave it. */
function comeBack({ messageId, headers }: ReturnType<typeof copyOf>, sequenceNumber: bigint): Delivery {
  return deliveryOf(messageId, sequenceNumber, headers);
}

test("a copy is the message itself, for later", () => {
  const original = deliveryOf("m", 7n, { eventId: "e", none: null });
  assert.deepEqual(copyOf(original, atMs, none), {
    messageId: "m~7",
    body: original.body,
    contentType: "application/json",
    correlationId: "c",
    subject: "s",
    headers: { eventId: "e", none: null, [originHeader]: "m" },
    scheduledAtMs: atMs,
  });
});

test("a copy of a copy is named after the first of them, and marked", () => {
  const first = copyOf(deliveryOf("m", 7n), atMs, none);
  const second = copyOf(comeBack(first, 8n), atMs, none);
  const third = copyOf(comeBack(second, 9n), atMs, none);
  assert.deepEqual([first.messageId, second.messageId, third.messageId], ["m~7", "m~c8", "m~c9"]);
  assert.deepEqual([first, second, third].map(({ headers }) => headers[originHeader]), ["m", "m", "m"]);
});

test("a copy that comes back under the number of what it was made of has another id than that", () => {
  // A retry queue of its own counts anew: its first copy may well have the original's number.
  const first = copyOf(deliveryOf("m", 1n), atMs, none);
  const second = copyOf(comeBack(first, 1n), atMs, none);
  assert.deepEqual([first.messageId, second.messageId], ["m~1", "m~c1"]);
});

test("the same copy made twice is one message for a broker that detects duplicates", () => {
  const original = deliveryOf("m", 7n);
  assert.equal(copyOf(original, atMs, none).messageId, copyOf(original, atMs + 1_000, { postponements: 3, retriesInPlace: 1 }).messageId);
});

test("an id never grows past what the broker takes", () => {
  let delivery = deliveryOf("x".repeat(128), 2n ** 63n - 1n);
  for (let copies = 0; copies < 3; copies += 1) {
    const copy = copyOf(delivery, atMs, none);
    assert.ok(copy.messageId.length <= 128, copy.messageId);
    assert.equal(copy.headers[originHeader], "x".repeat(128));
    delivery = comeBack(copy, 2n ** 63n - 1n);
  }
});

test("what was spent is carried along, and read no further than the policy allows", () => {
  const copy = copyOf(deliveryOf("m", 1n), atMs, { postponements: 4, retriesInPlace: 2 });
  assert.deepEqual([copy.headers[postponedHeader], copy.headers[retriesInPlaceHeader]], [4, 2]);
  const back = comeBack(copy, 2n);
  assert.deepEqual([postponementsOf(back), retriesInPlaceOf(back, 5), retriesInPlaceOf(back, 1)], [4, 2, 1]);
  for (const forged of [-1, 1.5, Number.NaN, "7", true, null, 2n ** 70n]) assert.equal(postponementsOf(deliveryOf("m", 1n, { [postponedHeader]: forged })), 0, String(forged));
  assert.equal(postponementsOf(deliveryOf("m", 1n, { [postponedHeader]: 3n })), 3);
});
