import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Outlet } from "#runtime/adapters/service-bus/outlet.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import { TransportError } from "#runtime/core/errors.ts";
import { FakeSender } from "../support/fake-sdk.ts";
import { SimClock } from "#runtime/testing/world/sim-clock.ts";

function makeBench(): { clock: SimClock; sender: FakeSender; outlet: Outlet } {
  const clock = new SimClock();
  const sender = new FakeSender();
  return { clock, sender, outlet: new Outlet(sender.asSender(), "orders", clock) };
}

function outgoing(...ids: readonly string[]): OutgoingMessage[] {
  return ids.map((messageId) => ({ messageId, body: Buffer.alloc(1), headers: {} }));
}

function numbered(count: number, prefix: string): OutgoingMessage[] {
  return outgoing(...Array.from({ length: count }, (_, index) => `${prefix}${index}`));
}

test("puts the messages of all calls of one turn into one batch", async () => {
  const { clock, sender, outlet } = makeBench();
  const sent = [outlet.send(outgoing("a", "b")), outlet.send(outgoing("c")), outlet.send(outgoing("d"))];
  await clock.settle();
  assert.deepEqual(
    sender.sends.map(({ ids }) => ids),
    [["a", "b", "c", "d"]],
  );
  sender.sends[0]?.accept();
  await Promise.all(sent);
  await outlet.whenIdle();
});

test("never puts messages for later into a batch with messages for now", async () => {
  const { clock, sender, outlet } = makeBench();
  const [now] = outgoing("now");
  const [later] = outgoing("later");
  assert.ok(now && later);
  void outlet.send([{ ...later, scheduledAtMs: 5 }, now]);
  await clock.settle();
  assert.deepEqual(
    sender.sends.map(({ ids }) => ids),
    [["now"], ["later"]],
  );
});

test("keeps four batches on their way at most", async () => {
  const { clock, sender, outlet } = makeBench();
  sender.countMax = 10;
  const sent = outlet.send(numbered(65, "m"));
  await clock.settle();
  assert.equal(sender.sends.length, 4);
  for (let answered = 0; answered < 7; answered += 1) {
    sender.sends[answered]?.accept();
    await clock.settle();
  }
  assert.deepEqual(
    sender.sends.map(({ ids }) => ids.length),
    [10, 10, 10, 10, 10, 10, 5],
  );
  await sent;
});

test("fails the calls whose messages were in a batch that failed, and no others", async () => {
  const { clock, sender, outlet } = makeBench();
  sender.countMax = 3;
  const first = assert.rejects(outlet.send(outgoing("a", "b")), (error) => error instanceof TransportError && error.retryAfterMs === 10_000);
  const both = assert.rejects(outlet.send(outgoing("c", "d")), TransportError);
  const last = outlet.send(outgoing("e", "f"));
  await clock.settle();
  sender.sends[0]?.refuse(Object.assign(new Error("throttled"), { code: "ServiceBusy" }));
  sender.sends[1]?.accept();
  await Promise.all([first, both, last]);
});

test("fails a message that cannot be encoded alone, and sends what is around it", async () => {
  const { clock, sender, outlet } = makeBench();
  const before = outlet.send(outgoing("a"));
  const odd = assert.rejects(outlet.send(outgoing("odd")), /found an odd message/);
  const after = outlet.send(outgoing("b"));
  await clock.settle();
  assert.deepEqual(
    sender.sends.map(({ ids }) => ids),
    [["a", "b"]],
  );
  sender.sends[0]?.accept();
  await Promise.all([before, odd, after]);
});

test("sends a message that fits no batch alone", async () => {
  const { clock, sender, outlet } = makeBench();
  sender.countMax = 0;
  const sent = outlet.send(outgoing("large", "larger"));
  await clock.settle();
  assert.deepEqual(
    sender.sends.map(({ ids }) => ids),
    [["large"], ["larger"]],
  );
  for (const send of sender.sends) send.accept();
  await sent;
});

test("refuses more messages than may wait, and says what to do", async () => {
  const { sender, outlet } = makeBench();
  void outlet.send(numbered(90_000, "m"));
  await assert.rejects(
    outlet.send(numbered(10_001, "n")),
    /^TransportError: expected at most 100000 messages waiting to be sent to orders, found 90000 and 10001 more; await earlier sends first/,
  );
  assert.equal(sender.sends.length, 0);
});

test("fails everything that waits when the entity cannot be reached", async () => {
  const { clock, sender, outlet } = makeBench();
  sender.createMessageBatch = () => Promise.reject(Object.assign(new Error("no such entity"), { code: "MessagingEntityNotFound" }));
  const calls = [outlet.send(outgoing("a")), outlet.send(outgoing("b"))].map((sent) =>
    assert.rejects(sent, /orders, found no entity of that name \(MessagingEntityNotFound\); create it/),
  );
  await clock.settle();
  await Promise.all(calls);
  await outlet.whenIdle();
});

test("sends each message of a batch alone that was refused for what may be the fault of one", async () => {
  const { clock, sender, outlet } = makeBench();
  const sent = [outlet.send(outgoing("a", "b")), outlet.send(outgoing("guilty")), outlet.send(outgoing("c"))];
  const results = Promise.allSettled(sent);
  await clock.settle();
  const trouble = Object.assign(new Error("InvalidOperationError: no such message here"), { code: "GeneralError" });
  sender.sends[0]?.refuse(trouble);
  await clock.settle();
  assert.deepEqual(
    sender.sends.slice(1).map(({ ids }) => ids),
    [["a"], ["b"], ["guilty"], ["c"]],
  );
  for (const send of sender.sends.slice(1)) {
    if (send.ids[0] === "guilty") send.refuse(trouble);
    else send.accept();
  }
  const [both, guilty, last] = await results;
  assert.deepEqual([both?.status, last?.status], ["fulfilled", "fulfilled"]);
  assert.ok(guilty?.status === "rejected" && guilty.reason instanceof TransportError && guilty.reason.isPermanent);
  await outlet.whenIdle();
});
