import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { dueTimes } from "#load/generator/arrivals.ts";
import { generate } from "#load/generator/generate.ts";
import { paced } from "#load/generator/paced.ts";
import { Sender, sendAll } from "#load/generator/send.ts";
import type { Timer } from "#runtime/core/clock.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { TransportError } from "#runtime/core/errors.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";

const small = { payloadBytesMax: 1_500 };

/** A clock that moves only to the next timer, at once. */
class FakeClock {
  nowMs = 0;
  readonly waitsMs: number[] = [];

  monotonicMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, action: () => void): Timer {
    this.waitsMs.push(delayMs);
    queueMicrotask(() => {
      this.nowMs += delayMs;
      action();
    });
    return { cancel: () => undefined };
  }
}

/** Keeps what it is sent; `before` may fail or hold a send. */
class FakePublisher implements Publisher {
  readonly sends: (readonly OutgoingMessage[])[] = [];
  inFlight = 0;
  inFlightSeen = 0;
  readonly #before: (number: number) => Promise<void> | void;
  #calls = 0;

  constructor(before: (number: number) => Promise<void> | void = () => undefined) {
    this.#before = before;
  }

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  async send(entity: string, messages: readonly OutgoingMessage[]): Promise<void> {
    assert.equal(entity, "events");
    this.inFlight++;
    this.inFlightSeen = Math.max(this.inFlightSeen, this.inFlight);
    try {
      await this.#before(this.#calls++);
      await Promise.resolve();
      this.sends.push(messages);
    } finally {
      this.inFlight--;
    }
  }
}

test("sends the whole stream in bounded batches, a bounded number at once, and counts each kind", async () => {
  const publisher = new FakePublisher(() => nextTurn());
  const options = { events: 1_000, duplicates: 0.1, poison: 0.05, bodyBytesMax: 20_000, ...small };
  const report = await sendAll(generate(options), {
    publisher,
    entity: "events",
    clock: new FakeClock(),
    batchMessagesMax: 30,
    batchBytesMax: 40_000,
    inFlightMax: 3,
  });
  const made = [...generate(options)];
  assert.deepEqual(
    publisher.sends
      .flat()
      .map(({ messageId }) => messageId)
      .sort(),
    made.map(({ message }) => message.messageId).sort(),
  );
  const ofKind = (kind: string): number => made.filter((generated) => generated.kind === kind).length;
  assert.deepEqual(report, {
    accepted: { first: 1_000, duplicate: ofKind("duplicate"), poison: ofKind("poison") },
    sendsRepeated: 0,
    unconfirmed: 0,
    failure: undefined,
  });
  assert.equal(publisher.inFlightSeen, 3);
  for (const batch of publisher.sends) {
    assert.ok(batch.length <= 30);
    assert.ok(batch.length === 1 || batch.reduce((bytes, { body }) => bytes + body.byteLength, 0) <= 40_000);
  }
});

test("reads no further into the stream than there is room for", async () => {
  const held = Promise.withResolvers<void>();
  const publisher = new FakePublisher(() => held.promise);
  let read = 0;
  function* counted(): Generator<ReturnType<typeof generate> extends Iterable<infer Item> ? Item : never> {
    for (const generated of generate({ events: 1_000, ...small })) {
      read++;
      yield generated;
    }
  }
  const sending = sendAll(counted(), { publisher, entity: "events", clock: new FakeClock(), batchMessagesMax: 10, inFlightMax: 2 });
  await Promise.resolve();
  assert.equal(publisher.inFlight, 2);
  assert.ok(read <= 31, `expected two batches in flight, one waiting and one message more, got ${read} read`);
  held.resolve();
  assert.equal((await sending).accepted.first, 1_000);
});

test("sends again what failed, with the same ids, after growing pauses", async () => {
  const clock = new FakeClock();
  const publisher = new FakePublisher((number) => {
    if (number < 2) throw new TransportError("expected the broker to answer, the link was closed");
  });
  const report = await sendAll(generate({ events: 50, ...small }), { publisher, entity: "events", clock, inFlightMax: 1 });
  assert.deepEqual(report, { accepted: { first: 50, duplicate: 0, poison: 0 }, sendsRepeated: 2, unconfirmed: 0, failure: undefined });
  assert.deepEqual(clock.waitsMs, [100, 200]);
  assert.deepEqual(
    publisher.sends.flat().map(({ messageId }) => messageId),
    Array.from(generate({ events: 50, ...small }), ({ message }) => message.messageId),
  );
});

test("stops when a send fails at every try, and says what is unconfirmed", async () => {
  const publisher = new FakePublisher((number) => {
    if (number > 0) throw new TransportError("expected the broker to answer, it is gone");
  });
  const sender = new Sender({ publisher, entity: "events", clock: new FakeClock(), inFlightMax: 1, batchMessagesMax: 10, attemptsMax: 3 });
  await sender.add(generate({ events: 1_000, ...small }));
  assert.equal(sender.isSending, false);
  const report = await sender.finish();
  assert.deepEqual(report.accepted, { first: 10, duplicate: 0, poison: 0 });
  assert.equal(report.unconfirmed, 10);
  assert.match(report.failure ?? "", /it is gone/);
});

test("a paced stream keeps its schedule whatever the consumer does", async () => {
  const clock = new FakeClock();
  const items = Array.from({ length: 100 }, (_, number) => number);
  const seen: { item: number; intendedAtMs: number; lateMs: number; batch: number }[] = [];
  for await (const batch of paced(items, { dueMs: dueTimes({ kind: "constant", perSecond: 100 }, Math.random), clock, batchMax: 20 })) {
    for (const { item, intendedAtMs } of batch) seen.push({ item, intendedAtMs, lateMs: clock.nowMs - intendedAtMs, batch: batch.length });
    // The consumer falls half a second behind once.
    if (seen.length === 11) clock.nowMs += 500;
  }
  assert.deepEqual(
    seen.map(({ item }) => item),
    items,
  );
  assert.deepEqual(
    seen.map(({ intendedAtMs }) => intendedAtMs),
    items.map((item) => item * 10),
  );
  assert.ok(
    seen.every(({ lateMs }) => lateMs >= 0),
    "expected nothing before its time",
  );
  assert.deepEqual(
    seen.slice(0, 11).map(({ batch }) => batch),
    Array.from({ length: 11 }, () => 1),
  );
  assert.equal(seen[11]?.batch, 20, "expected what had become due to come together");
  assert.equal(seen.at(-1)?.lateMs, 0, "expected the schedule to be caught up with");
});
