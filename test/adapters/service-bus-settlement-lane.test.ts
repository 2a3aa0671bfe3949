import { strict as assert } from "node:assert";
import { test } from "node:test";
import { array, assert as check, asyncProperty, constantFrom, integer } from "fast-check";
import { ServiceBusDelivery } from "#runtime/adapters/service-bus/delivery.ts";
import { ManagementLane } from "#runtime/adapters/service-bus/management-lane.ts";
import { SettlementLane } from "#runtime/adapters/service-bus/settlement-lane.ts";
import { SettleGroup, Settling } from "#runtime/adapters/service-bus/settling.ts";
import type { SettleResult } from "#runtime/ports/transport.ts";
import { FakeSettler, type Given, receivedMessage, type Verb } from "../support/fake-sdk.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

interface Bench {
  readonly clock: SimClock;
  readonly client: FakeSettler;
  readonly management: FakeSettler;
  readonly lane: SettlementLane;
  readonly results: Map<number, SettleResult>;
  readonly give: (ordinal: number, verb?: Verb) => void;
}

function makeBench(isStarvedBy: (held: number) => boolean = () => false): Bench {
  const clock = new SimClock();
  const client = new FakeSettler();
  const management = new FakeSettler();
  const results = new Map<number, SettleResult>();
  const lane = new SettlementLane({
    receiver: client.receiver,
    management: new ManagementLane(management.receiver, clock, 10_000),
    clock,
    settled: () => {},
    isStarvedBy,
  });
  const home = { settle: () => assert.fail("the lane is called directly") };
  return {
    clock,
    client,
    management,
    lane,
    results,
    give(ordinal, verb = "complete") {
      const delivery = new ServiceBusDelivery(receivedMessage(String(ordinal)), home, ordinal, 0);
      const group = new SettleGroup(1);
      void group.whenAll.then(([result]) => results.set(ordinal, result ?? "unknown"));
      lane.add(new Settling(verb === "dead-letter" ? { verb, delivery, reason: "r", description: "d" } : { verb, delivery }, delivery, group, 0));
    },
  };
}

function ordinals(given: readonly Given[]): number[] {
  return given.map(({ messageId }) => Number(messageId));
}

test("gives completes of one turn as one run in arrival order", async () => {
  const { clock, client, give, results } = makeBench();
  for (const ordinal of [3, 1, 0, 4, 2]) give(ordinal);
  await clock.settle();
  assert.deepEqual(client.ticks.map(ordinals), [[0, 1, 2, 3, 4]]);
  assert.deepEqual(
    [...results.values()],
    Array.from({ length: 5 }, () => "settled"),
  );
});

test("never lets two kinds, two runs or two other settlements leave together", async () => {
  await check(
    asyncProperty(
      array(constantFrom<Verb>("complete", "complete", "complete", "abandon", "defer", "dead-letter"), { minLength: 1, maxLength: 60 }),
      integer(),
      integer({ min: 1, max: 40 }),
      async (verbs, seed, chunk) => {
        const { clock, client, give, results } = makeBench();
        const random = seededRandom(seed);
        const order = verbs.map((_, ordinal) => ordinal).sort(() => random() - 0.5);
        while (order.length > 0) {
          for (const ordinal of order.splice(0, 1 + Math.floor(random() * chunk))) give(ordinal, verbs[ordinal]);
          await clock.advance(Math.floor(random() * 4));
        }
        await clock.advance(50);
        for (const tick of client.ticks) {
          const [first, ...rest] = tick;
          assert.ok(first);
          if (first.verb !== "complete") assert.equal(rest.length, 0);
          rest.forEach(({ verb, messageId }, index) => assert.deepEqual([verb, Number(messageId)], ["complete", Number(first.messageId) + index + 1]));
        }
        const given = client.ticks.flat();
        assert.equal(given.length, verbs.length);
        assert.deepEqual(new Map(given.map(({ verb, messageId }) => [Number(messageId), verb])), new Map(verbs.map((verb, ordinal) => [ordinal, verb])));
        assert.equal(results.size, verbs.length);
      },
    ),
    { numRuns: 60 },
  );
});

test("completes a thousand messages that finish in random order with few frames", async () => {
  const { clock, client, give, results } = makeBench();
  const random = seededRandom(3);
  const order = Array.from({ length: 1_000 }, (_, ordinal) => ordinal).sort(() => random() - 0.5);
  // Fifty finish each half millisecond.
  while (order.length > 0) {
    for (const ordinal of order.splice(0, 50)) give(ordinal);
    await clock.advance(0.5);
  }
  await clock.advance(50);
  assert.equal(results.size, 1_000);
  assert.ok(client.ticks.length <= 50, `expected at most 50 frames, found ${client.ticks.length}`);
});

test("holds nothing when few come", async () => {
  const { clock, client, give } = makeBench();
  for (const ordinal of [5, 3, 9]) {
    give(ordinal);
    await clock.settle();
    await clock.advance(10);
  }
  assert.deepEqual(client.ticks.map(ordinals), [[5], [3], [9]]);
  give(7);
  await clock.settle();
  assert.deepEqual(client.ticks.map(ordinals).at(-1), [7]);
});

test("waits once for a message that is missing, and then no more", async () => {
  const { clock, client, give } = makeBench();
  // Ordinal 0 is held by its skill.
  for (let ordinal = 1; ordinal <= 40; ordinal += 1) give(ordinal);
  await clock.settle();
  assert.equal(client.ticks.length, 0);
  await clock.advance(11);
  assert.deepEqual(
    client.ticks.map(({ length }) => length),
    [40],
  );
  for (let ordinal = 41; ordinal <= 80; ordinal += 1) give(ordinal);
  await clock.settle();
  assert.deepEqual(
    client.ticks.map(({ length }) => length),
    [40, 40],
  );
});

test("does not wait for a message that was settled in another way", async () => {
  const { clock, client, give } = makeBench();
  for (let ordinal = 0; ordinal < 40; ordinal += 1) give(ordinal, ordinal === 20 ? "abandon" : "complete");
  await clock.settle();
  assert.deepEqual(
    client.ticks.map(({ length }) => length),
    [1, 20, 19],
  );
});

test("holds nothing when that would keep more from coming", async () => {
  const { clock, client, give } = makeBench((held) => held >= 20);
  for (let ordinal = 1; ordinal <= 19; ordinal += 1) give(ordinal);
  await clock.settle();
  assert.equal(client.ticks.length, 0);
  give(20);
  await clock.settle();
  assert.deepEqual(
    client.ticks.map(({ length }) => length),
    [20],
  );
});

test("tells a lost lock from a settlement whose fate is unknown", async () => {
  const { clock, client, give, results } = makeBench();
  const failures = [
    Object.assign(new Error("gone"), { code: "MessageLockLost" }),
    new Error("The message has either been deleted or already settled"),
    Object.assign(new Error("slow"), { code: "ServiceTimeout" }),
  ];
  client.answer = ({ messageId }) => failures[Number(messageId)];
  for (const ordinal of [0, 1, 2]) give(ordinal);
  await clock.settle();
  assert.deepEqual([...results.values()], ["lock-lost", "lock-lost", "unknown"]);
});

test("gives everything unanswered again over management when the link is lost", async () => {
  const { clock, client, management, lane, give, results } = makeBench();
  client.answer = () => "never";
  management.answer = ({ messageId }) => (["1", "4"].includes(messageId) ? Object.assign(new Error("gone"), { code: "MessageLockLost" }) : undefined);
  give(0);
  give(1);
  await clock.settle();
  // Not yet given when the link goes, and after it has gone.
  give(3, "abandon");
  give(4);
  lane.sever();
  lane.sever();
  give(5, "dead-letter");
  await clock.settle();
  assert.deepEqual(Object.fromEntries(results), { 0: "settled", 1: "unknown", 3: "settled", 4: "lock-lost", 5: "settled" });
  assert.deepEqual(
    management.ticks
      .flat()
      .map(({ verb, messageId }) => `${verb} ${messageId}`)
      .sort(),
    ["abandon 3", "complete 0", "complete 1", "complete 4", "dead-letter 5"],
  );
});

test("answers unknown when management does not answer in time", async () => {
  const { clock, management, lane, give, results } = makeBench();
  management.answer = () => "never";
  lane.sever();
  for (let ordinal = 0; ordinal < 40; ordinal += 1) give(ordinal);
  await clock.settle();
  assert.equal(management.ticks.flat().length, 16);
  await clock.advance(30_000);
  assert.deepEqual(new Set(results.values()), new Set(["unknown"]));
  assert.equal(results.size, 40);
});
