import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { accepted, modified, rejected, released } from "#runtime/amqp/message/delivery-state.ts";
import type { DeliveryState } from "#runtime/amqp/message/delivery-state.ts";
import type { Delivery, Receiver } from "#runtime/amqp/link/receiver.ts";
import type { OutgoingDelivery } from "#runtime/amqp/link/sender.ts";
import { eventually } from "../support/eventually.ts";
import { Signal, attachedReceiver, startPair } from "./support/loopback.ts";
import { Source, message, pairWith, textOf } from "./support/source.ts";

describe("receiving", () => {
  for (const [senderSettleMode, receiverSettleMode] of [
    ["unsettled", "first"],
    ["unsettled", "second"],
    ["settled", "first"],
    ["mixed", "second"],
  ] as const) {
    test(`${senderSettleMode} deliveries, the receiver settling ${receiverSettleMode}: every outcome arrives once`, async () => {
      const states: readonly DeliveryState[] = [accepted, released, modified({ deliveryFailed: true }), rejected({ condition: "x:bad", description: "why" })];
      const source = new Source(["a", "b", "c", "d"]);
      await using pair = await pairWith(source);
      const got: Delivery[] = [];
      const settled: [string, DeliveryState | undefined][] = [];
      const receiver = await attachedReceiver(
        pair.client.begin({}),
        { name: "l", source: { address: "q" }, senderSettleMode, receiverSettleMode },
        {
          onDelivery: (delivery) => {
            got.push(delivery);
            assert.equal(delivery.settle(states[got.length - 1]!), senderSettleMode !== "settled");
            assert.equal(delivery.settle(accepted), false, "only once");
          },
          onSettled: (delivery, state) => settled.push([textOf(delivery), state]),
        },
      );
      receiver.addCredit(4);
      if (senderSettleMode === "settled") {
        await eventually("all deliveries", () => got.length === 4);
        assert.ok(got.every((delivery) => delivery.settled));
        return;
      }
      await eventually("all outcomes", () => source.heard.length === 4 && (receiverSettleMode === "first" || settled.length === 4));
      const byText = new Map(source.heard.map(({ delivery, state, settled: final }) => [delivery.context, [state?.key, final]]));
      for (const [index, text] of ["a", "b", "c", "d"].entries()) assert.deepEqual(byText.get(text), [states[index]!.key, receiverSettleMode === "first"]);
      assert.deepEqual(source.heard.find(({ delivery }) => delivery.context === "d")?.state?.error, {
        condition: "x:bad",
        description: "why",
        info: undefined,
      });
      if (receiverSettleMode === "second") {
        assert.deepEqual(
          new Map(settled.map(([text, state]) => [text, state?.key])),
          new Map(["a", "b", "c", "d"].map((text, index) => [text, states[index]!.key])),
        );
        assert.ok(got.every((delivery) => delivery.settled));
      }
    });
  }

  test("the peer's answer may tell another state than was asked for", async () => {
    const source = new Source(["a"]);
    source.answer = () => rejected({ condition: "com.microsoft:message-lock-lost" });
    await using pair = await pairWith(source);
    const answered = new Signal<DeliveryState | undefined>("the answer");
    const receiver = await attachedReceiver(
      pair.client.begin({}),
      { name: "l", receiverSettleMode: "second" },
      { onDelivery: (delivery) => delivery.settle(accepted), onSettled: (_delivery, state) => answered.set(state) },
    );
    receiver.addCredit(1);
    assert.equal((await answered.wait())?.error?.condition, "com.microsoft:message-lock-lost");
  });

  test("a settlement that the sender makes by itself is reported", async () => {
    const source = new Source(["a"]);
    await using pair = await pairWith(source);
    const told = new Signal<Delivery>("the settlement");
    const delivered = new Signal<Delivery>("the delivery");
    const sent: OutgoingDelivery<string>[] = [];
    source.pump = (sender) => {
      const delivery = sender.send(message("a"), "a");
      if (delivery !== undefined) sent.push(delivery);
    };
    const receiver = await attachedReceiver(
      pair.client.begin({}),
      { name: "l", receiverSettleMode: "second" },
      { onDelivery: delivered.set, onSettled: told.set },
    );
    receiver.addCredit(1);
    const delivery = await delivered.wait();
    assert.equal(sent[0]?.settle(released), true);
    assert.equal(sent[0].settle(released), false);
    assert.equal(await told.wait(), delivery);
    assert.equal(delivery.settle(accepted), false, "it is too late to settle");
  });

  test("a delivery carries its tag, format and bytes as slices, in batches", async () => {
    const source = new Source();
    source.pump = (sender) => {
      sender.send([message("a").subarray(0, 3), message("a").subarray(3)], "a", Buffer.from("0123456789abcdef"), 0x80013700);
      sender.send(message("b"), "b");
    };
    await using pair = await pairWith(source);
    const batches: string[][] = [[]];
    const got: Delivery[] = [];
    const receiver = await attachedReceiver(
      pair.client.begin({}),
      { name: "l" },
      {
        onDelivery: (delivery) => {
          got.push(delivery);
          batches.at(-1)!.push(textOf(delivery));
        },
        onDeliveriesEnd: () => batches.push([]),
      },
    );
    receiver.addCredit(2);
    await eventually("both deliveries", () => got.length === 2);
    assert.deepEqual(
      [got[0]!.tag.toString(), got[0]!.messageFormat, textOf(got[0]!), got[1]!.messageFormat, got[1]!.tag.length],
      ["0123456789abcdef", 0x80013700, "a", 0, 4],
    );
    assert.deepEqual(batches, [["a", "b"], []]);
  });
});

describe("credit", () => {
  test("is never exceeded, and what is asked for in one tick goes out together", async () => {
    const source = new Source(Array.from({ length: 50 }, (_, index) => String(index)));
    await using pair = await pairWith(source);
    const got: string[] = [];
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l" }, { onDelivery: (delivery) => got.push(textOf(delivery)) });
    for (let i = 0; i < 7; i++) receiver.addCredit(1);
    assert.equal(receiver.credit, 7);
    await eventually("seven deliveries", () => got.length === 7);
    assert.equal(receiver.credit, 0);
    assert.equal(source.sender?.credit, 0);
    assert.equal(source.sender.send(message("x"), "x"), undefined, "no credit, no delivery");
    receiver.addCredit(3);
    await eventually("three more", () => got.length === 10);
    assert.deepEqual(
      got,
      Array.from({ length: 10 }, (_, index) => String(index)),
    );
  });

  test("is told whenever the receiver sets it, used or not", async () => {
    const told: number[] = [];
    await using pair = await startPair({
      sessionEvents: { onAttach: (request) => request.acceptAsSender({}, { onCredit: ({ credit }) => told.push(credit) }) },
    });
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l" }, { onDelivery: () => undefined });
    receiver.addCredit(5);
    await eventually("the first credit", () => told.length === 1);
    receiver.addCredit(3);
    await eventually("the second credit", () => told.length === 2);
    assert.deepEqual(told, [5, 8]);
  });

  test("given before the attach is answered is there when it is", async () => {
    const source = new Source(["a", "b", "c"]);
    await using pair = await pairWith(source);
    const got: string[] = [];
    const receiver = pair.client.begin({}).openReceiver({ name: "l" }, { onDelivery: (delivery) => got.push(textOf(delivery)) });
    receiver.addCredit(2);
    await eventually("two deliveries", () => got.length === 2);
  });

  test("a drain gives back what is not used, and everything adds up afterwards", async () => {
    const source = new Source(["a", "b"]);
    await using pair = await pairWith(source);
    const got: string[] = [];
    let drained = 0;
    const receiver = await attachedReceiver(
      pair.client.begin({}),
      { name: "l" },
      { onDelivery: (delivery) => got.push(textOf(delivery)), onDrained: () => drained++ },
    );
    receiver.addCredit(10);
    receiver.drain();
    assert.equal(receiver.draining, true);
    await eventually("the drain", () => drained === 1);
    assert.deepEqual([got, receiver.credit, receiver.draining, source.sender?.credit, source.sender?.draining], [["a", "b"], 0, false, 0, false]);
    source.queue.push("c", "d", "e");
    receiver.addCredit(2);
    await eventually("two more", () => got.length === 4);
    receiver.drain();
    await eventually("a drain without credit", () => drained === 2);
    source.queue.length = 0;
    receiver.addCredit(5);
    await eventually("the credit to arrive", () => source.sender?.credit === 5);
    receiver.drain();
    await eventually("a drain of credit that waits", () => drained === 3);
    assert.equal(source.sender?.credit, 0);
  });

  test("a drain ends too when the credit is used up", async () => {
    const source = new Source(["a", "b", "c"]);
    await using pair = await pairWith(source);
    const order: string[] = [];
    const receiver = await attachedReceiver(
      pair.client.begin({}),
      { name: "l" },
      { onDelivery: (delivery) => order.push(textOf(delivery)), onDrained: () => order.push("drained") },
    );
    receiver.addCredit(2);
    receiver.drain();
    await eventually("the drain", () => order.length === 3);
    assert.deepEqual(order, ["a", "b", "drained"]);
  });

  test("a sender without a drain callback gives the credit back by itself", async () => {
    await using pair = await startPair({ sessionEvents: { onAttach: (request) => void request.acceptAsSender({}, {}) } });
    const drained = new Signal<Receiver>("the drain");
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l" }, { onDelivery: () => undefined, onDrained: drained.set });
    receiver.addCredit(10);
    receiver.drain();
    assert.equal((await drained.wait()).credit, 0);
  });
});
