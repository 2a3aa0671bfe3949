// What every transport must do. An adapter's test calls `transportContract` with a way to make a fresh bench.
import { strict as assert } from "node:assert";
import { describe, type TestContext, test } from "node:test";
import { copyOf, enqueuedFirstHeader, originHeader, postponedHeader, waitsForHeader } from "#runtime/core/copy.ts";
import type { Delivery, HeaderValue, Particulars } from "#runtime/core/delivery.ts";
import { skillMessageOf } from "#runtime/core/skill-message.ts";
import { TransportError } from "#runtime/core/errors.ts";
import type { SettleOrder, Transport } from "#runtime/ports/transport.ts";
import { startAwakeTime } from "../support/awake-time.ts";
import { eventually, within } from "../support/eventually.ts";
import { deliveryCountMax, Inbox, lockDurationMs, numbered, type TransportBench } from "../support/transport-bench.ts";

/** A message to an idle receiver must come much sooner than the second that a client might wait for more. */
const idleLatencyMaxMs = 700;

function completeAll(deliveries: readonly Delivery[]): SettleOrder[] {
  return deliveries.map((delivery) => ({ verb: "complete", delivery }));
}

function withoutUndefined(particulars: Particulars): Particulars {
  return Object.fromEntries(Object.entries(particulars).filter(([, value]) => value !== undefined));
}

/** Completes every batch as it comes and grants its credit again. */
function completeOn(inbox: Inbox, transport: Transport, keep: (delivery: Delivery) => boolean = () => false): { settled: number } {
  const progress = { settled: 0 };
  inbox.onBatch = (batch) => {
    void transport.settle(completeAll(batch.filter((delivery) => !keep(delivery)))).then((results) => {
      progress.settled += results.filter((result) => result === "settled").length;
      if (results.length > 0) inbox.addCredit(results.length);
    });
  };
  return progress;
}

/** A repeatable sequence of numbers in [0, 1). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export function transportContract(name: string, makeBench: (t: TestContext) => Promise<TransportBench>): void {
  describe(`transport: ${name}`, () => {
    describeReceiving(makeBench);
    describeDeliveries(makeBench);
    describeSettling(makeBench);
    describeTrouble(makeBench);
  });
}

function describeReceiving(makeBench: (t: TestContext) => Promise<TransportBench>): void {
  test("refuses to start on an entity that does not exist, and says what to do", async (t) => {
    const bench = await makeBench(t);
    await assert.rejects(bench.newTransport({ queue: "nowhere" }).start(), (error) => {
      assert.ok(error instanceof TransportError);
      assert.match(error.message, /^expected .*nowhere.*, found .*; create it/s);
      return true;
    });
  });

  test("hands out exactly the credit that was granted", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(300));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    for (const grant of [1, 9, 40, 2, 150]) {
      inbox.addCredit(grant);
      await inbox.upTo(inbox.granted);
      // Two round trips: had the broker been given more credit, it would have used it by now.
      await transport.hasBacklog();
      await transport.hasBacklog();
      assert.equal(inbox.deliveries.length, inbox.granted);
      assert.equal(bench.account("input").totals.delivered, inbox.granted);
    }
  });

  test("keeps to the credit through a flood", async (t) => {
    const bench = await makeBench(t);
    const count = 15_000;
    await bench.send(numbered(count));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    const random = randomFrom(7);
    let out = 0;
    let settled = 0;
    // Each batch is completed in two parts at different times, and its credit comes back in two other parts.
    inbox.onBatch = (batch) => {
      out += batch.length;
      const cut = Math.floor(random() * batch.length);
      for (const part of [batch.slice(0, cut), batch.slice(cut)]) {
        if (part.length === 0) continue;
        void transport.settle(completeAll(part)).then((results) => {
          settled += results.filter((result) => result === "settled").length;
          inbox.addCredit(part.length);
        });
      }
    };
    inbox.addCredit(400);
    await eventually("all messages settled", () => settled === count, 40_000);
    assert.equal(out, count);
    const { totals, states } = bench.account("input");
    assert.deepEqual([totals.delivered, totals.completed, states.locked, states.active], [count, count, 0, 0]);
  });

  test("hands messages out in the order of arrival", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(4_000));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    completeOn(inbox, transport);
    inbox.addCredit(500);
    const deliveries = await inbox.upTo(4_000);
    assert.deepEqual(
      deliveries.map(({ messageId }) => messageId),
      Array.from({ length: 4_000 }, (_, index) => `m${index}`),
    );
    deliveries.reduce((last, { sequenceNumber }) => {
      assert.ok(sequenceNumber > last, `expected rising sequence numbers, found ${sequenceNumber} after ${last}`);
      return sequenceNumber;
    }, 0n);
  });

  test("hands over what arrives together in one batch", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(200));
    const inbox = new Inbox(await bench.startTransport());
    inbox.addCredit(200);
    await inbox.upTo(200);
    assert.ok(inbox.batches.length <= 50, `expected 200 messages in few batches, found ${inbox.batches.length}`);
  });

  test("brings a message to an idle receiver at once, also after a flood", async (t) => {
    const bench = await makeBench(t);
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    completeOn(inbox, transport);
    inbox.addCredit(500);
    const awakeMs = startAwakeTime(t);
    const arrives = async (messageId: string): Promise<void> => {
      const index = inbox.deliveries.length;
      const fromMs = awakeMs();
      await bench.send([{ messageId, body: Buffer.alloc(1) }]);
      assert.equal((await inbox.at(index)).messageId, messageId);
      const tookMs = awakeMs() - fromMs;
      assert.ok(tookMs < idleLatencyMaxMs, `expected ${messageId} within ${idleLatencyMaxMs} ms, found ${Math.round(tookMs)} ms`);
    };
    await arrives("first");
    await arrives("second");
    await bench.send(numbered(6_000));
    await inbox.upTo(6_002);
    await arrives("after the flood");
    await arrives("last");
  });

  test("reads a subscription of a topic", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(3), "news");
    const transport = await bench.startTransport({ topic: "news", subscription: "reader" });
    const inbox = new Inbox(transport);
    inbox.addCredit(3);
    assert.deepEqual(await transport.settle(completeAll(await inbox.upTo(3))), ["settled", "settled", "settled"]);
    assert.equal(bench.account("news/Subscriptions/reader").totals.completed, 3);
  });

  test("reads what an entity has dead-lettered, with the reason and what else is said of it", async (t) => {
    const bench = await makeBench(t);
    for (const entity of [{ queue: "input" }, { topic: "news", subscription: "reader" }]) {
      const [sentTo, path] = "queue" in entity ? ["input", "input"] : ["news", "news/Subscriptions/reader"];
      await bench.send(numbered(3), sentTo);
      const transport = await bench.startTransport(entity);
      const inbox = new Inbox(transport);
      inbox.addCredit(3);
      const orders = (await inbox.upTo(3)).map((delivery): SettleOrder => ({
        verb: "dead-letter",
        delivery,
        reason: "Broken",
        description: delivery.messageId,
        properties: { "holdfast-dead-code": "REFUSED", "holdfast-dead-attempt": 3 },
      }));
      await transport.settle(orders);
      const dead = await bench.startTransport({ ...entity, subQueue: "dead-letter" });
      assert.equal(await dead.hasBacklog(), true);
      const deadInbox = new Inbox(dead);
      deadInbox.addCredit(3);
      const deliveries = await deadInbox.upTo(3);
      assert.deepEqual(
        deliveries.map((delivery) => [delivery.messageId, delivery.header("DeadLetterReason"), delivery.header("DeadLetterErrorDescription")]),
        ["m0", "m1", "m2"].map((id) => [id, "Broken", id]),
      );
      for (const delivery of deliveries)
        assert.deepEqual([delivery.header("holdfast-dead-code"), Number(delivery.header("holdfast-dead-attempt"))], ["REFUSED", 3]);
      assert.deepEqual(
        (await dead.renew(deliveries)).map(({ kind }) => kind),
        ["renewed", "renewed", "renewed"],
      );
      assert.deepEqual(await dead.settle(completeAll(deliveries)), ["settled", "settled", "settled"]);
      assert.equal(bench.account(`${path}/$DeadLetterQueue`).states.active, 0);
    }
  });

  test("tells a backlog from messages that are held, deferred or scheduled", async (t) => {
    const bench = await makeBench(t);
    const transport = await bench.startTransport();
    assert.equal(await transport.hasBacklog(), false);
    await bench.send([{ messageId: "later", body: Buffer.alloc(1), scheduledEnqueueTimeUtc: new Date(Date.now() + 3_600_000) }]);
    assert.equal(await transport.hasBacklog(), false);
    await bench.send(numbered(2));
    assert.equal(await transport.hasBacklog(), true);
    const inbox = new Inbox(transport);
    inbox.addCredit(2);
    const [first] = await inbox.upTo(2);
    assert.ok(first);
    assert.equal(await transport.hasBacklog(), false);
    await transport.settle([{ verb: "defer", delivery: first }]);
    assert.equal(await transport.hasBacklog(), false);
  });
}

function describeDeliveries(makeBench: (t: TestContext) => Promise<TransportBench>): void {
  test("tells all of a message, its body as the bytes that were sent", async (t) => {
    const bench = await makeBench(t);
    const beforeMs = Date.now();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    await bench.send([
      { messageId: "binary", body: bytes, contentType: "application/octet-stream", correlationId: "c-1", subject: "a subject" },
      { messageId: "json", body: Buffer.from('{"a": 1}') },
      { messageId: "empty", body: Buffer.alloc(0) },
      { messageId: "large", body: Buffer.alloc(300_000, 0x62) },
    ]);
    const inbox = new Inbox(await bench.startTransport());
    inbox.addCredit(4);
    const [binary, json, empty, large] = await inbox.upTo(4);
    assert.ok(binary && json && empty && large);
    assert.deepEqual([binary.messageId, binary.sequenceNumber, binary.attempt], ["binary", 1n, 1]);
    assert.deepEqual([binary.contentType, binary.correlationId, binary.subject], ["application/octet-stream", "c-1", "a subject"]);
    assert.ok(binary.enqueuedAtMs >= beforeMs && binary.enqueuedAtMs <= Date.now());
    assert.ok(binary.lockedUntilMs >= beforeMs + lockDurationMs && binary.lockedUntilMs <= Date.now() + lockDurationMs);
    assert.deepEqual(Buffer.from(binary.body), bytes);
    assert.deepEqual([json.contentType, json.correlationId, json.subject], [undefined, undefined, undefined]);
    assert.equal(Buffer.from(json.body).toString(), '{"a": 1}');
    assert.equal(empty.body.length, 0);
    assert.deepEqual([empty.bodySection, json.bodySection], ["data", "data"]);
    assert.equal(large.body.length, 300_000);
    assert.deepEqual(json.headers(), {});
  });

  test("tells application properties one by one and together, with their types", async (t) => {
    const bench = await makeBench(t);
    const at = new Date(1_700_000_000_123);
    await bench.send([
      {
        messageId: "m",
        body: Buffer.alloc(1),
        applicationProperties: { text: "größer", whole: 7, negative: -3, share: 0.25, large: 2 ** 40, yes: true, no: false, at, nothing: null },
      },
    ]);
    const inbox = new Inbox(await bench.startTransport());
    inbox.addCredit(1);
    const delivery = await inbox.at(0);
    assert.deepEqual(delivery.headers(), { text: "größer", whole: 7, negative: -3, share: 0.25, large: 2 ** 40, yes: true, no: false, at, nothing: null });
    assert.equal(delivery.header("text"), "größer");
    assert.equal(delivery.header("nothing"), null);
    assert.equal(delivery.header("missing"), undefined);
    assert.equal(delivery.header("toString"), undefined);
  });

  test("tells what a copy has to carry, and a publisher sends it", async (t) => {
    const bench = await makeBench(t);
    const uuid = Buffer.from("00112233445566778899aabbccddeeff", "hex");
    const rich = { to: "somewhere", replyTo: "answers", sessionId: "s", replyToSessionId: "rs", partitionKey: "s", timeToLive: 90_000 };
    await bench.send([{ messageId: "m", body: Buffer.alloc(1), correlationId: uuid, ...rich }]);
    await bench.send([{ messageId: "n", body: Buffer.alloc(1), correlationId: 7 }]);
    const inbox = new Inbox(await bench.startTransport());
    inbox.addCredit(2);
    const [first, second] = await inbox.upTo(2);
    assert.ok(first !== undefined && second !== undefined);
    assert.equal(first.timeToLiveMs, 90_000);
    const { correlationId, ...others } = withoutUndefined(first.particulars());
    assert.ok(typeof correlationId === "object" && "uuid" in correlationId);
    assert.deepEqual(Buffer.from(correlationId.uuid), uuid);
    assert.deepEqual(others, { to: "somewhere", replyTo: "answers", sessionId: "s", replyToSessionId: "rs", partitionKey: "s" });
    assert.equal(second.timeToLiveMs, undefined);
    assert.deepEqual(withoutUndefined(second.particulars()), { correlationId: 7n });
    const publisher = await bench.startPublisher();
    const copies = [first, second].map((delivery) => ({
      ...delivery.particulars(),
      messageId: `${delivery.messageId}-copy`,
      body: delivery.body,
      headers: {},
      timeToLiveMs: delivery.timeToLiveMs,
    }));
    await publisher.send("other", copies);
    const [one, two] = await bench.take("other", 2);
    assert.ok(one !== undefined && two !== undefined);
    const { to, replyTo, sessionId, replyToSessionId, partitionKey, timeToLive } = one;
    assert.deepEqual({ to, replyTo, sessionId, replyToSessionId, partitionKey, timeToLive }, rich);
    assert.deepEqual([one.correlationId, two.correlationId, two.timeToLive], [uuid, 7, undefined]);
  });

  test("has a publisher send a message again as it is, but for what its copy says", async (t) => {
    const bench = await makeBench(t);
    const at = new Date(1_700_000_000_123);
    const body = Buffer.from(JSON.stringify("x".repeat(300)));
    const rich = { to: "somewhere", replyTo: "answers", sessionId: "s", replyToSessionId: "rs", partitionKey: "s", subject: "a subject" };
    const properties: Readonly<Record<string, HeaderValue>> = {
      text: "größer",
      whole: 7,
      share: 0.25,
      large: 2 ** 40,
      yes: true,
      at,
      nothing: null,
      last: "l",
    };
    const applicationProperties = { DeadLetterReason: "r", ...properties, [postponedHeader]: 1, "holdfast-dead-code": "c" } as unknown as Record<
      string,
      string
    >;
    await bench.send([
      { messageId: "m", body, contentType: "application/json", timeToLive: 90_000, applicationProperties, correlationId: Buffer.alloc(16, 7), ...rich },
    ]);
    await bench.send([{ messageId: "n", body: Buffer.alloc(1), correlationId: 7 }]);
    const inbox = new Inbox(await bench.startTransport());
    inbox.addCredit(2);
    const deliveries = await inbox.upTo(2);
    const publisher = await bench.startPublisher();
    const copies = deliveries.map((of) => copyOf(of, { atMs: of.enqueuedAtMs + 30_000, secret: "s", postponements: 2, retriesInPlace: 0, waitsFor: "held" }));
    await publisher.send("other", copies);
    assert.equal(bench.account("other").states.scheduled, 2);
    bench.advance(31_000);
    const others = new Inbox(await bench.startTransport({ queue: "other" }));
    others.addCredit(2);
    const [first, second] = await others.upTo(2);
    assert.ok(first !== undefined && second !== undefined);
    const added = { [enqueuedFirstHeader]: deliveries[0]!.enqueuedAtMs, [postponedHeader]: 2, [waitsForHeader]: "held" };
    assert.deepEqual(first.headers(), { ...properties, [originHeader]: "m", ...added });
    assert.deepEqual(second.headers(), { [originHeader]: "n", ...added, [enqueuedFirstHeader]: deliveries[1]!.enqueuedAtMs });
    assert.deepEqual([first.contentType, first.subject, first.timeToLiveMs], ["application/json", "a subject", 60_000]);
    const particulars = [first, second, ...deliveries].map((delivery) => withoutUndefined(delivery.particulars()));
    assert.deepEqual(particulars.slice(0, 2), particulars.slice(2));
    assert.deepEqual([Buffer.from(first.body), Buffer.from(second.body), second.timeToLiveMs], [body, Buffer.alloc(1), undefined]);
    assert.deepEqual([first.messageId, second.messageId], [copies[0]!.messageId, copies[1]!.messageId]);
  });

  test("tells what a skill sees of its message, types kept", async (t) => {
    const bench = await makeBench(t);
    const at = new Date(1_700_000_000_123);
    const said = { correlationId: "c-1", replyTo: "answers", replyToSessionId: "rs", subject: "a subject", contentType: "application/json" };
    const properties = { text: "north", whole: 7, share: 0.25, yes: true, at, nothing: null };
    const applicationProperties = { ...properties, "holdfast-attempt": 3 } as unknown as Record<string, string>;
    await bench.send([{ messageId: "m", body: Buffer.from("{}"), applicationProperties, ...said }]);
    const inbox = new Inbox(await bench.startTransport());
    inbox.addCredit(1);
    const { sequenceNumber, enqueuedAtMs, ...message } = skillMessageOf(await inbox.at(0));
    assert.equal(typeof sequenceNumber, "bigint");
    assert.ok(Math.abs(Date.now() - enqueuedAtMs) < 60_000);
    assert.deepEqual(message, { messageId: "m", deliveryAttempt: 1, sessionId: undefined, properties, ...said });
  });

  test("gives bodies that are AMQP values as text or JSON text", async (t) => {
    const bench = await makeBench(t);
    const annotated = [
      { bodyType: "value", body: "plain text" },
      { bodyType: "value", body: { a: 1, b: "two" } },
      { bodyType: "sequence", body: [1, "two"] },
    ];
    for (const message of annotated) await bench.send([message]);
    const inbox = new Inbox(await bench.startTransport());
    inbox.addCredit(3);
    const deliveries = await inbox.upTo(3);
    assert.deepEqual(
      deliveries.map(({ bodySection }) => bodySection),
      ["value", "value", "sequence"],
    );
    const bodies = deliveries.map(({ body }) => Buffer.from(body).toString());
    assert.equal(bodies[0], "plain text");
    assert.deepEqual(JSON.parse(bodies[1] ?? ""), { a: 1, b: "two" });
    assert.deepEqual(JSON.parse(bodies[2] ?? ""), [1, "two"]);
  });

  test("brings an abandoned message again as attempt 2", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(1));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(1);
    assert.deepEqual(await transport.settle([{ verb: "abandon", delivery: await inbox.at(0) }]), ["settled"]);
    inbox.addCredit(1);
    const again = await inbox.at(1);
    assert.deepEqual([again.messageId, again.attempt], ["m0", 2]);
  });

  test("returns released messages to their places, as often as it takes, with no delivery counted where that is free", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(6));
    const transport = await bench.startTransport();
    const rounds = 3;
    for (let round = 0; round <= rounds; round += 1) {
      const inbox = new Inbox(transport);
      inbox.addCredit(4);
      const taken = (await inbox.upTo(4)).slice();
      const attempt = transport.releaseIsFree ? 1 : round + 1;
      assert.deepEqual(
        taken.map(({ messageId, attempt: found }) => [messageId, found]),
        [0, 1, 2, 3].map((index) => [`m${index}`, attempt]),
      );
      await inbox.receiver.stop();
      assert.deepEqual(new Set(await transport.settle(taken.toReversed().map((delivery) => ({ verb: "release", delivery })))), new Set(["settled"]));
    }
    const { states, totals } = bench.account("input");
    assert.deepEqual([states.active, states.locked, transport.releaseIsFree ? totals.released : totals.abandoned], [6, 0, 4 * (rounds + 1)]);
  });
}

function describeSettling(makeBench: (t: TestContext) => Promise<TransportBench>): void {
  test("never confuses outcomes that are ordered together", async (t) => {
    const bench = await makeBench(t);
    const count = 5_000;
    await bench.send(numbered(count));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    const random = randomFrom(11);
    const wanted = new Map<string, { verb: SettleOrder["verb"]; reason: string }>();
    let settled = 0;
    inbox.onBatch = (batch) => {
      const orders = batch.map((delivery): SettleOrder => {
        const again = wanted.get(delivery.messageId);
        const verb =
          again === undefined
            ? ((["complete", "complete", "complete", "abandon", "release", "defer", "dead-letter"] as const)[Math.floor(random() * 7)] ?? "complete")
            : "complete";
        const reason = `reason ${delivery.messageId}`;
        if (again === undefined) wanted.set(delivery.messageId, { verb, reason });
        return verb === "dead-letter" ? { verb, delivery, reason, description: `description ${delivery.messageId}` } : { verb, delivery };
      });
      // Neighbours of different kinds stay neighbours in one half of the calls.
      if (random() < 0.5) orders.sort(() => random() - 0.5);
      void transport.settle(orders).then((results) => {
        assert.ok(results.every((result) => result === "settled"));
        settled += results.length;
        inbox.addCredit(results.length);
      });
    };
    inbox.addCredit(500);
    const returned = (): number => [...wanted.values()].filter(({ verb }) => verb === "abandon" || verb === "release").length;
    await eventually("all messages settled", () => wanted.size === count && settled === count + returned(), 40_000);
    const release = [transport.releaseIsFree ? "released" : "abandoned", "delivered", "completed"];
    const words = { complete: ["completed"], abandon: ["abandoned", "delivered", "completed"], release, defer: ["deferred"], "dead-letter": ["deadLettered"] };
    const wrong = [...bench.outcomes("input")].filter(([id, outcomes]) => {
      const expected = ["accepted", "delivered", ...words[wanted.get(id)?.verb ?? "complete"]];
      return outcomes.join() !== expected.join();
    });
    assert.deepEqual(wrong, []);
    const dead = bench.deadLetters("input");
    const expectedDead = [...wanted].filter(([, { verb }]) => verb === "dead-letter").length;
    assert.ok(dead.length === Math.min(1_000, expectedDead) && dead.every(({ messageId, reason }) => reason === wanted.get(messageId)?.reason));
  });

  test("settles neighbours of different kinds in one call", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(4));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(4);
    const [first, second, third, fourth] = await inbox.upTo(4);
    assert.ok(first && second && third && fourth);
    const results = await transport.settle([
      { verb: "complete", delivery: first },
      { verb: "dead-letter", delivery: second, reason: "Broken", description: "it is broken" },
      { verb: "defer", delivery: third },
      { verb: "complete", delivery: fourth },
    ]);
    assert.deepEqual(results, ["settled", "settled", "settled", "settled"]);
    assert.deepEqual(bench.account("input").states, { active: 0, locked: 0, scheduled: 0, deferred: 1, deadLettered: 1 });
    assert.deepEqual(bench.deadLetters("input"), [{ messageId: "m1", reason: "Broken", description: "it is broken" }]);
  });

  test("an order that cannot be given keeps no other of its group", async (t) => {
    const bench = await makeBench(t);
    const transport = await bench.startTransport();
    await bench.send(numbered(5));
    const inbox = new Inbox(transport);
    inbox.addCredit(5);
    const deliveries = await inbox.upTo(5);
    const odd = { verb: "dead-letter", reason: undefined as unknown as string, description: "" } as const;
    const results = await within(
      "the results",
      transport.settle(deliveries.map((delivery, index) => (index === 2 ? { ...odd, delivery } : { verb: "complete", delivery }))),
    );
    assert.deepEqual(results, ["settled", "settled", "unknown", "settled", "settled"]);
  });

  test("keeps its pace behind one message that is held", async (t) => {
    const bench = await makeBench(t);
    const count = 8_000;
    await bench.send(numbered(count));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    const progress = completeOn(inbox, transport, ({ messageId }) => messageId === "m0");
    inbox.addCredit(500);
    await eventually("all but the held message settled", () => progress.settled === count - 1, 40_000);
    assert.deepEqual(await transport.settle(completeAll([await inbox.at(0)])), ["settled"]);
    assert.equal(bench.account("input").totals.completed, count);
    assert.equal(bench.account("input").totals.delivered, count);
  });

  test("says when a lock was lost, and the message comes again", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(2));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(2);
    const [first, second] = await inbox.upTo(2);
    assert.ok(first && second);
    bench.advance(lockDurationMs + 1_000);
    assert.deepEqual(
      await transport.settle([
        { verb: "complete", delivery: first },
        { verb: "abandon", delivery: second },
      ]),
      ["lock-lost", "lock-lost"],
    );
    inbox.addCredit(2);
    const [, , again, other] = await inbox.upTo(4);
    assert.deepEqual([again?.attempt, other?.attempt], [2, 2]);
  });

  test("renews locks, many at once", async (t) => {
    const bench = await makeBench(t);
    const count = 300;
    await bench.send(numbered(count));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(count);
    const deliveries = await inbox.upTo(count);
    const until = deliveries.map(({ lockedUntilMs }) => lockedUntilMs);
    bench.advance(lockDurationMs - 10_000);
    const results = await transport.renew(deliveries);
    results.forEach((result, index) => {
      assert.ok(result.kind === "renewed" && result.lockedUntilMs > (until[index] ?? Infinity) + 10_000, JSON.stringify(result));
      assert.equal(deliveries[index]?.lockedUntilMs, result.lockedUntilMs);
    });
    bench.advance(lockDurationMs - 10_000);
    assert.ok((await transport.settle(completeAll(deliveries))).every((result) => result === "settled"));
    assert.equal(bench.account("input").totals.completed, count);
  });

  test("says which locks could not be renewed", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(2));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(2);
    const [first, second] = await inbox.upTo(2);
    assert.ok(first && second);
    bench.advance(lockDurationMs / 2);
    assert.deepEqual(
      (await transport.renew([second])).map(({ kind }) => kind),
      ["renewed"],
    );
    bench.advance(lockDurationMs / 2 + 1_000);
    assert.deepEqual(
      (await transport.renew([first, second])).map(({ kind }) => kind),
      ["lock-lost", "renewed"],
    );
  });
}

function describeTrouble(makeBench: (t: TestContext) => Promise<TransportBench>): void {
  test("settles what it handed out after the receiver has stopped", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(50));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(20);
    const deliveries = await inbox.upTo(20);
    await inbox.receiver.stop();
    await inbox.receiver.stop();
    inbox.addCredit(10);
    assert.ok((await transport.settle(completeAll(deliveries))).every((result) => result === "settled"));
    assert.deepEqual(bench.account("input").states, { active: 30, locked: 0, scheduled: 0, deferred: 0, deadLettered: 0 });
    assert.equal(inbox.deliveries.length, 20);
  });

  test("gives back what it had taken and not handed out when it stops", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(2_000));
    const transport = await bench.startTransport();
    // Stops at moments that differ: before the link is open, while messages are on their way, after some were handed out.
    for (let turns = 0; turns < 12; turns += 1) {
      const inbox = new Inbox(transport);
      inbox.addCredit(100);
      const delivered = bench.account("input").totals.delivered;
      if (turns % 3 === 1) await eventually("the broker to deliver", () => bench.account("input").totals.delivered > delivered);
      if (turns % 3 === 2) await inbox.upTo(1);
      await inbox.receiver.stop();
      const handedOut = inbox.deliveries.length;
      assert.deepEqual([bench.account("input").states.locked, handedOut <= 100], [handedOut, true]);
      assert.ok((await transport.settle(inbox.deliveries.map((delivery) => ({ verb: "release", delivery })))).every((result) => result === "settled"));
      if (transport.releaseIsFree)
        assert.ok(
          inbox.deliveries.every(({ attempt }) => attempt === 1),
          "nothing was counted, whenever it came",
        );
      assert.equal(bench.account("input").states.locked, 0);
      assert.equal(inbox.deliveries.length, handedOut);
    }
    assert.equal(bench.account("input").states.deadLettered, 0, `no message was tried ${deliveryCountMax} times`);
  });

  test("settles and goes on receiving after the connection was cut", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(100));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(40);
    const held = (await inbox.upTo(40)).slice();
    bench.cut();
    inbox.addCredit(60);
    await inbox.upTo(100);
    assert.ok(inbox.disturbances.length > 0, "the listener heard of it");
    assert.deepEqual(new Set(await transport.settle(completeAll(held))), new Set(["settled"]));
    assert.deepEqual(new Set(await transport.settle(completeAll(inbox.deliveries.slice(40)))), new Set(["settled"]));
    assert.equal(bench.account("input").totals.completed, 100);
    assert.equal(bench.account("input").totals.delivered, 100);
  });

  test("takes nothing beyond its credit when it connects again", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(100));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(40);
    await inbox.upTo(40);
    bench.cut();
    await eventually("the listener to hear of it", () => inbox.disturbances.length > 0);
    inbox.addCredit(1);
    await inbox.upTo(41);
    await transport.hasBacklog();
    await transport.hasBacklog();
    assert.equal(bench.account("input").totals.delivered, 41);
  });

  test("answers soon what was being settled when the connection was cut", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(200));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(200);
    const deliveries = await inbox.upTo(200);
    const answered = transport.settle(deliveries.map((delivery, index) => ({ verb: index % 2 === 0 ? "complete" : "defer", delivery })));
    setImmediate(() => bench.cut());
    const results = await within("the answers", answered, 5_000);
    const outcomes = bench.outcomes("input");
    results.forEach((result, index) => {
      const last = outcomes.get(`m${index}`)?.at(-1);
      if (result === "settled") assert.equal(last, index % 2 === 0 ? "completed" : "deferred");
      else assert.equal(result, "unknown");
    });
  });

  test("keeps to the credit when the connection is cut again and again", async (t) => {
    const bench = await makeBench(t);
    const count = 3_000;
    await bench.send(numbered(count));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    const done = new Set<string>();
    inbox.onBatch = (batch) => {
      void transport.settle(completeAll(batch)).then((results) => {
        results.forEach((result, index) => {
          const id = batch[index]?.messageId;
          if (result === "settled" && id !== undefined) done.add(id);
        });
        inbox.addCredit(batch.length);
      });
    };
    inbox.addCredit(100);
    for (const part of [300, 900, 1_500]) {
      await eventually(`${part} settled`, () => done.size >= part, 30_000);
      bench.cut();
    }
    // What was on its way when the connection broke is locked until its lock ends, or completed without an answer.
    await eventually(
      "all that can be had",
      () => {
        const { states, totals } = bench.account("input");
        return totals.completed + states.locked >= count;
      },
      30_000,
    );
    bench.advance(lockDurationMs + 1_000);
    await eventually("the rest", () => bench.account("input").totals.completed === count, 30_000);
  });

  test("receives, settles and renews over another connection when it is told that the one it has is of no use", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(20));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(10);
    const held = (await inbox.upTo(10)).slice();
    bench.mute();
    const stopped = inbox.receiver.stop();
    await within("another connection", transport.reconnect());
    await within("the receiver to stop", stopped);
    assert.deepEqual(new Set((await transport.renew(held)).map(({ kind }) => kind)), new Set(["renewed"]));
    assert.deepEqual(new Set(await transport.settle(completeAll(held))), new Set(["settled"]));
    const another = new Inbox(transport);
    another.addCredit(10);
    assert.deepEqual(new Set(await transport.settle(completeAll(await another.upTo(10)))), new Set(["settled"]));
    assert.deepEqual([bench.account("input").totals.completed, bench.account("input").totals.delivered], [20, 20]);
  });

  test("makes another connection for nothing, and loses nothing by it", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(2));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(1);
    const held = await inbox.at(0);
    await inbox.receiver.stop();
    await transport.reconnect();
    await transport.reconnect();
    assert.deepEqual(await transport.settle([{ verb: "complete", delivery: held }]), ["settled"]);
    assert.equal(await transport.hasBacklog(), true);
    await transport.stop();
    await transport.reconnect();
    assert.equal(bench.account("input").totals.completed, 1);
  });

  test("does not hang when it is stopped while the broker is gone", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(10));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(20);
    const deliveries = await inbox.upTo(10);
    bench.refuse(true);
    bench.cut();
    await eventually("the listener to hear of it", () => inbox.disturbances.length > 0);
    const answered = transport.settle(completeAll(deliveries.slice(0, 1)));
    await within("the transport to stop", transport.stop());
    assert.deepEqual(await within("an answer", answered), ["unknown"]);
  });

  test("answers unknown, and does not throw, once it has stopped", async (t) => {
    const bench = await makeBench(t);
    await bench.send(numbered(1));
    const transport = await bench.startTransport();
    const inbox = new Inbox(transport);
    inbox.addCredit(1);
    const delivery = await inbox.at(0);
    await transport.stop();
    await transport.stop();
    assert.deepEqual(await transport.settle([{ verb: "complete", delivery }]), ["unknown"]);
    assert.deepEqual(await transport.renew([delivery]), [{ kind: "unknown" }]);
  });
}
