import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { ServiceBusReceivedMessage } from "@azure/service-bus";
import { ServiceBusDelivery } from "#runtime/adapters/service-bus/delivery.ts";
import { Link } from "#runtime/adapters/service-bus/link.ts";
import { ManagementLane } from "#runtime/adapters/service-bus/management-lane.ts";
import { LinkReceiver } from "#runtime/adapters/service-bus/receiver.ts";
import { SettleGroup } from "#runtime/adapters/service-bus/settling.ts";
import { type Delivery, lockMaxMs } from "#runtime/core/delivery.ts";
import type { TransportError } from "#runtime/core/errors.ts";
import { FakeLinkReceiver, FakeSettler, receivedMessage } from "../support/fake-sdk.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

interface Bench {
  readonly clock: SimClock;
  readonly receiver: LinkReceiver;
  /** One for each link, in the order in which they were opened. */
  readonly links: FakeLinkReceiver[];
  readonly settler: FakeSettler;
  readonly deliveries: Delivery[];
  readonly disturbances: TransportError[];
  readonly link: (index: number) => FakeLinkReceiver;
  /** Settles deliveries that were handed out. */
  readonly complete: (deliveries: readonly Delivery[]) => Promise<void>;
}

function makeBench(creditMax = 500): Bench {
  const clock = new SimClock();
  const settler = new FakeSettler();
  const management = new ManagementLane(settler.receiver, clock, 10_000);
  const links: FakeLinkReceiver[] = [];
  const deliveries: Delivery[] = [];
  const disturbances: TransportError[] = [];
  const receiver = new LinkReceiver({
    listener: { deliveries: (batch) => deliveries.push(...batch), disturbed: (error) => disturbances.push(error) },
    creditMax,
    clock,
    stopped: () => {},
    newLink(isStarved, closed) {
      const link = new FakeLinkReceiver();
      links.push(link);
      return new Link({ receiver: link.asReceiver(), settler: settler.receiver, management, clock, deliveriesMax: 1_000_000, isStarved, closed });
    },
  });
  return {
    clock,
    receiver,
    links,
    settler,
    deliveries,
    disturbances,
    link(index) {
      const link = links[index];
      assert.ok(link, `expected a link at ${index}, found ${links.length}`);
      return link;
    },
    async complete(chosen) {
      const group = new SettleGroup(chosen.length);
      chosen.forEach((delivery, index) => {
        assert.ok(delivery instanceof ServiceBusDelivery);
        delivery.home.settle({ verb: "complete", delivery }, delivery, group, index);
      });
      await clock.advance(50);
      await group.whenAll;
    },
  };
}

let made = 0;

function messages(count: number, lockedUntilMs?: number): ServiceBusReceivedMessage[] {
  return Array.from({ length: count }, () => receivedMessage(`m${(made += 1)}`, lockedUntilMs));
}

const serverBusy = Object.assign(new Error("the namespace is throttled"), { code: "ServiceBusy" });
const gone = Object.assign(new Error("the link was detached"), { code: "GeneralError" });

test("opens a link with the credit there is, and lets a handler end only for credit that replaces its own", async () => {
  const { clock, receiver, link, deliveries } = makeBench();
  receiver.addCredit(3);
  await clock.settle();
  assert.equal(link(0).window, 3);
  const progress = await link(0).deliver(messages(3));
  await clock.settle();
  assert.deepEqual([deliveries.length, progress.ended], [3, 0]);
  receiver.addCredit(2);
  await clock.settle();
  assert.equal(progress.ended, 2);
});

test("pauses for ten seconds when the namespace is throttled, then receives again by itself", async () => {
  const { clock, receiver, links, link, disturbances, deliveries } = makeBench();
  receiver.addCredit(10);
  await clock.settle();
  await link(0).fail(serverBusy);
  await clock.settle();
  assert.deepEqual(
    disturbances.map(({ retryAfterMs }) => retryAfterMs),
    [10_000],
  );
  assert.ok(link(0).isClosed);
  await clock.advance(9_900);
  receiver.addCredit(1);
  await clock.settle();
  assert.equal(links.length, 1);
  await clock.advance(200);
  assert.equal(link(1).window, 11);
  await link(1).deliver(messages(1));
  await clock.settle();
  assert.equal(deliveries.length, 1);
});

/** How long a link that cannot be opened is left alone, each time. */
async function pausesOf({ clock, receiver, links, link }: Bench, turns: number, error: Error): Promise<number[]> {
  receiver.addCredit(1);
  await clock.settle();
  const pauses: number[] = [];
  for (let turn = 0; turn < turns; turn += 1) {
    const opened = links.length;
    const fromMs = clock.monotonicMs();
    await link(opened - 1).fail(error);
    await clock.until("another link", () => links.length > opened);
    pauses.push(clock.monotonicMs() - fromMs);
  }
  return pauses;
}

test("waits longer each time that a link is refused for the entity's sake, thirty seconds at most", async () => {
  const missing = Object.assign(new Error("no such entity"), { code: "MessagingEntityNotFound" });
  assert.deepEqual(await pausesOf(makeBench(), 11, missing), [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000]);
});

test("waits longer each time that a link cannot be opened, until one can", async () => {
  const bench = makeBench();
  const { clock, links, link, disturbances } = bench;
  const pauses = await pausesOf(bench, 9, gone);
  assert.deepEqual(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
  assert.ok(disturbances.every(({ message }) => message.startsWith("expected to receive, found GeneralError: the link was detached; ")));
  await link(9).handlers?.postInitialize();
  await link(9).fail(gone);
  await clock.advance(100);
  assert.equal(links.length, 11);
});

test("ends a subscription that the client attaches again by itself, and opens a link of its own", async () => {
  const { clock, receiver, link, disturbances } = makeBench();
  receiver.addCredit(5);
  await clock.settle();
  await link(0).handlers?.postInitialize();
  await link(0).deliver(messages(2));
  await link(0).handlers?.preInitialize();
  assert.equal(link(0).isSubscribed, false);
  await clock.advance(100);
  assert.equal(disturbances.length, 1);
  assert.equal(link(1).window, 3);
});

test("gives back a message that came without credit", async () => {
  const { clock, receiver, link, deliveries, settler } = makeBench();
  receiver.addCredit(1);
  await clock.settle();
  const [first, second] = messages(2);
  assert.ok(first && second);
  const progress = await link(0).deliver([first, second]);
  await clock.settle();
  assert.equal(progress.ended, 0);
  assert.deepEqual(
    deliveries.map(({ messageId }) => messageId),
    [first.messageId],
  );
  assert.deepEqual(settler.ticks.flat(), [{ verb: "abandon", messageId: second.messageId }]);
});

test("gives idle credit to the link once it can be reached", async () => {
  const { clock, receiver, link, links } = makeBench(50);
  receiver.addCredit(10);
  await clock.settle();
  receiver.addCredit(9);
  const given: number[] = [];
  const [message] = messages(1);
  assert.ok(message);
  const amqpLink = { add_credit: (count: number) => given.push(count) };
  const progress = await link(0).deliver([Object.assign(message, { delivery: { link: amqpLink } })]);
  await clock.settle();
  // One replaces what the message spent, the rest widens the window.
  assert.deepEqual([progress.ended, given], [1, [8]]);
  receiver.addCredit(1_000);
  await clock.settle();
  assert.deepEqual([links.length, given], [1, [8, 32]]);
});

test("opens a wider link when as much credit lies idle as the link can have", async () => {
  const { clock, receiver, link, links } = makeBench(50);
  receiver.addCredit(4);
  await clock.settle();
  receiver.addCredit(3);
  await clock.settle();
  assert.equal(links.length, 1);
  receiver.addCredit(100);
  await clock.settle();
  assert.ok(link(0).isClosed && !link(0).isSubscribed);
  assert.equal(link(1).window, 50);
  receiver.addCredit(1_000);
  await clock.settle();
  assert.equal(links.length, 2);
});

test("takes a fresh link behind a held message, and closes the old one when it is settled", async () => {
  const { clock, receiver, link, links, deliveries, complete } = makeBench(100);
  receiver.addCredit(1_000_000);
  await clock.settle();
  while (links.length === 1) {
    await link(0).deliver(messages(50));
    await clock.settle();
  }
  assert.equal(deliveries.length, 1_500);
  assert.equal(link(1).window, 100);
  await complete(deliveries.slice(1));
  assert.equal(link(0).isClosed, false);
  await complete(deliveries.slice(0, 1));
  assert.equal(link(0).isClosed, true);
});

test("closes an old link whose last messages were dropped, once their locks have ended", async () => {
  const { clock, receiver, link, links, deliveries, complete } = makeBench(100);
  receiver.addCredit(1_000_000);
  await clock.settle();
  // What a clock on the wall makes of the lock's end is of no account.
  const lockedUntilMs = clock.wallMs() - 3_600_000;
  while (links.length === 1) {
    await link(0).deliver(messages(50, lockedUntilMs));
    await clock.settle();
  }
  await complete(deliveries.slice(2));
  await clock.advance(lockMaxMs);
  assert.equal(link(0).isClosed, false);
  await clock.advance(10_000);
  assert.equal(link(0).isClosed, true);
});

test("opens no more links than it may, and goes on when one closes", async () => {
  const { clock, receiver, link, links, deliveries, complete } = makeBench(100);
  receiver.addCredit(1_000_000);
  await clock.settle();
  for (let index = 0; index < 16; index += 1) {
    while (link(index).isSubscribed) {
      await link(index).deliver(messages(50));
      await clock.advance(50);
    }
  }
  assert.equal(links.length, 16);
  await complete(deliveries.slice(0, 1_500));
  assert.deepEqual([links.length, link(0).isClosed], [17, true]);
});

test("changes to batches when much comes, and back when little does", async () => {
  const { clock, receiver, link, deliveries, complete } = makeBench();
  receiver.addCredit(1_000);
  await clock.settle();
  const flood = async (index: number): Promise<void> => {
    for (let from = deliveries.length; link(index).isSubscribed; from = deliveries.length) {
      await link(index).deliver(messages(200));
      await clock.advance(10);
      await complete(deliveries.slice(from));
      receiver.addCredit(200);
    }
  };
  await flood(0);
  assert.deepEqual(
    link(1).calls.map(({ count }) => count),
    [500],
  );
  link(1).calls[0]?.resolve(messages(500));
  await clock.settle();
  receiver.addCredit(500);
  await clock.settle();
  assert.equal(link(1).calls[1]?.count, 500);
  const before = deliveries.length;
  link(1).calls[1]?.resolve([]);
  await clock.settle();
  assert.equal(deliveries.length, before);
  assert.ok(link(2).isSubscribed);
  // Another flood just after does not pay at once.
  const turnedMs = clock.monotonicMs();
  await flood(2);
  // The 2 000 messages that must have come at this pace take 600 ms; they are counted after half a second has passed.
  const streamedMs = clock.monotonicMs() - turnedMs;
  assert.ok(streamedMs >= 1_000 && streamedMs < 1_300, `expected about 1 100 ms of streaming, found ${streamedMs} ms`);
  assert.equal(link(3).calls.length, 1);
});

test("waits for a batch that is on its way when it stops, and hands it out: given back, it would count as a delivery", async () => {
  const { clock, receiver, link, deliveries, complete, settler } = makeBench();
  receiver.addCredit(1_000);
  await clock.settle();
  for (let from = 0; link(0).isSubscribed; from = deliveries.length) {
    await link(0).deliver(messages(200));
    await clock.advance(10);
    await complete(deliveries.slice(from));
    receiver.addCredit(200);
  }
  const handedOut = deliveries.length;
  let isStopped = false;
  const stopped = receiver.stop().then(() => {
    isStopped = true;
  });
  await clock.advance(100);
  assert.equal(isStopped, false);
  const late = messages(3);
  link(1).calls[0]?.resolve(late);
  await clock.advance(100);
  await stopped;
  assert.deepEqual(
    deliveries.slice(handedOut).map(({ messageId }) => messageId),
    late.map(({ messageId }) => messageId),
  );
  assert.deepEqual(
    settler.ticks.flat().filter(({ verb }) => verb === "abandon"),
    [],
  );
  receiver.addCredit(5);
  await clock.settle();
  assert.equal(link(1).calls.length, 1);
});

test("says that a batch failed, and streams on over a new link", async () => {
  const { clock, receiver, link, deliveries, complete, disturbances } = makeBench();
  receiver.addCredit(1_000);
  await clock.settle();
  for (let from = 0; link(0).isSubscribed; from = deliveries.length) {
    await link(0).deliver(messages(200));
    await clock.advance(10);
    await complete(deliveries.slice(from));
    receiver.addCredit(200);
  }
  link(1).calls[0]?.reject(gone);
  await clock.advance(100);
  assert.equal(disturbances.length, 1);
  assert.ok(link(1).isClosed);
  assert.equal(link(2).calls[0]?.count, 500);
});

test("stops all the same when a batch never comes back", async () => {
  const { clock, receiver, link, deliveries, complete } = makeBench();
  receiver.addCredit(1_000);
  await clock.settle();
  for (let from = 0; link(0).isSubscribed; from = deliveries.length) {
    await link(0).deliver(messages(200));
    await clock.advance(10);
    await complete(deliveries.slice(from));
    receiver.addCredit(200);
  }
  assert.equal(link(1).calls.length, 1);
  await clock.finish("the receiver to stop", receiver.stop(), 10_000);
});
