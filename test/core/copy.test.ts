import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  type CopyOrder,
  copyOf,
  enqueuedFirstHeader,
  enqueuedFirstMs,
  expiresAtMs,
  originHeader,
  postponedHeader,
  postponementsOf,
  retriesInPlaceHeader,
  retriesInPlaceOf,
} from "#runtime/core/copy.ts";
import type { Delivery, HeaderValue, OutgoingMessage } from "#runtime/core/delivery.ts";

const enqueuedAtMs = 1_700_000_000_000;
const order: CopyOrder = { atMs: enqueuedAtMs + 60_000, secret: "secret", postponements: 0, retriesInPlace: 0 };
const particulars = { correlationId: 7n, to: "t", replyTo: "r", sessionId: "s", replyToSessionId: "rs", partitionKey: "p" };

function deliveryOf(messageId: string, sequenceNumber: bigint, headers: Readonly<Record<string, HeaderValue>> = {}, timeToLiveMs?: number): Delivery {
  return {
    messageId,
    sequenceNumber,
    attempt: 1,
    lockedUntilMs: 0,
    enqueuedAtMs,
    contentType: "application/json",
    correlationId: "7",
    subject: "s",
    body: Buffer.from("body"),
    bodySection: "data",
    header: (name) => headers[name],
    headers: () => headers,
    timeToLiveMs,
    particulars: () => particulars,
  };
}

/** The copy as it comes back, under a sequence number that the queue gave it. */
function comeBack({ messageId, headers }: OutgoingMessage, sequenceNumber: bigint): Delivery {
  return deliveryOf(messageId, sequenceNumber, headers);
}

test("a copy is the message itself, for later", () => {
  const original = deliveryOf("m", 7n, { eventId: "e", none: null });
  const copy: OutgoingMessage = copyOf(original, order);
  const expected: Omit<OutgoingMessage, "messageId"> = {
    ...particulars,
    userId: undefined,
    contentEncoding: undefined,
    body: original.body,
    contentType: "application/json",
    subject: "s",
    headers: { eventId: "e", none: null, [originHeader]: "m", [enqueuedFirstHeader]: enqueuedAtMs },
    scheduledAtMs: order.atMs,
    timeToLiveMs: undefined,
  };
  assert.match(copy.messageId, /^m~[\w-]{22}$/);
  assert.deepEqual(Object.fromEntries(Object.keys(expected).map((name) => [name, copy[name as keyof OutgoingMessage]])), expected);
});

test("a copy is as old as the message that its chain began with, and a dead letter that was sent again as new as it is", () => {
  const copy = copyOf(deliveryOf("m", 7n, { [enqueuedFirstHeader]: enqueuedAtMs - 5_000 }), order);
  assert.equal(copy.headers[enqueuedFirstHeader], enqueuedAtMs - 5_000);
  assert.equal(enqueuedFirstMs(deliveryOf("m", 7n, { [enqueuedFirstHeader]: enqueuedAtMs + 5_000 })), enqueuedAtMs);
  const resent = deliveryOf("m", 7n, { [enqueuedFirstHeader]: enqueuedAtMs - 5_000, DeadLetterReason: "RetriesExhausted" });
  assert.equal(enqueuedFirstMs(resent), enqueuedAtMs);
  const { headers } = copyOf(resent, order);
  assert.deepEqual([headers[enqueuedFirstHeader], "DeadLetterReason" in headers], [enqueuedAtMs, false]);
});

test("a copy has what its message has left to live, from when it is due", () => {
  const original = deliveryOf("m", 7n, {}, 90_000);
  assert.equal(expiresAtMs(original), enqueuedAtMs + 90_000);
  assert.equal(copyOf(original, order).timeToLiveMs, 30_000);
  assert.equal(copyOf(original, { ...order, atMs: enqueuedAtMs + 89_999.5 }).timeToLiveMs, 1);
  assert.equal(copyOf(original, { ...order, atMs: enqueuedAtMs + 95_000 }).timeToLiveMs, 1);
  assert.equal(copyOf(original, { ...order, outlivesItself: true }).timeToLiveMs, undefined);
});

test("the ids of copies all differ, and are named after the first message", () => {
  const first = copyOf(deliveryOf("m", 7n), order);
  const second = copyOf(comeBack(first, 8n), order);
  const third = copyOf(comeBack(second, 9n), order);
  // A retry queue of its own counts from the start: its first copy may well have the number of what it was made of.
  const sameNumber = copyOf(comeBack(first, 7n), order);
  const ids = [first, second, third, sameNumber].map(({ messageId }) => messageId);
  assert.equal(new Set(["m", ...ids]).size, 5);
  for (const [index, { messageId, headers }] of [first, second, third, sameNumber].entries()) {
    assert.match(messageId, /^m~[\w-]{22}$/, `${index}`);
    assert.equal(headers[originHeader], "m");
  }
});

test("a copy's id cannot be foretold without the secret, nor borrowed by naming another message as the origin", () => {
  const real = copyOf(deliveryOf("m", 7n), order).messageId;
  assert.notEqual(copyOf(deliveryOf("m", 7n), { ...order, secret: "another" }).messageId, real);
  assert.notEqual(copyOf(deliveryOf("x", 7n, { [originHeader]: "m" }), order).messageId, real);
  assert.notEqual(copyOf(deliveryOf("m", 8n), order).messageId, real);
});

test("the same copy made twice is one message for a broker that detects duplicates", () => {
  const original = deliveryOf("m", 7n);
  const again = copyOf(deliveryOf("m", 7n), { ...order, atMs: order.atMs + 1_000, postponements: 3, retriesInPlace: 1 });
  assert.equal(copyOf(original, order).messageId, again.messageId);
});

test("an id never grows past what the broker takes", () => {
  let delivery = deliveryOf("x".repeat(128), 2n ** 63n - 1n);
  for (let copies = 0; copies < 3; copies += 1) {
    const copy = copyOf(delivery, order);
    assert.equal(copy.messageId.length, 128);
    assert.equal(copy.headers[originHeader], "x".repeat(128));
    delivery = comeBack(copy, 2n ** 63n - 1n);
  }
});

test("what was spent is carried along, and read no further than the policy allows", () => {
  const copy = copyOf(deliveryOf("m", 1n), { ...order, postponements: 4, retriesInPlace: 2 });
  assert.deepEqual([copy.headers[postponedHeader], copy.headers[retriesInPlaceHeader]], [4, 2]);
  const back = comeBack(copy, 2n);
  assert.deepEqual([postponementsOf(back), retriesInPlaceOf(back, 5), retriesInPlaceOf(back, 1)], [4, 2, 1]);
  for (const forged of [-1, 1.5, Number.NaN, "7", true, null, 2n ** 70n])
    assert.equal(postponementsOf(deliveryOf("m", 1n, { [postponedHeader]: forged })), 0, String(forged));
  assert.equal(postponementsOf(deliveryOf("m", 1n, { [postponedHeader]: 3n })), 3);
});
