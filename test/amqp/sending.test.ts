import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import { accepted, rejected } from "#runtime/amqp/message/delivery-state.ts";
import type { DeliveryState } from "#runtime/amqp/message/delivery-state.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { ReceiverSettleMode } from "#runtime/amqp/frame/performatives.ts";
import type { Delivery } from "#runtime/amqp/link/receiver.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import { eventually } from "../support/eventually.ts";
import { Signal, attachedReceiver, attachedSender, startPair } from "./support/loopback.ts";
import { message, textOf } from "./support/source.ts";

describe("sending", () => {
  /** A server that takes messages and settles each as `outcome` says. */
  const sink = (
    got: Delivery[],
    outcome: (text: string) => DeliveryState,
    options: { readonly receiverSettleMode?: ReceiverSettleMode; readonly credit?: number; readonly maxMessageSize?: number } = {},
  ) => ({
    onAttach: (request: AttachRequest) => {
      const receiver = request.acceptAsReceiver(
        { receiverSettleMode: options.receiverSettleMode ?? "first", maxMessageSize: options.maxMessageSize },
        {
          onDelivery: (delivery) => {
            got.push(delivery);
            delivery.settle(outcome(textOf(delivery)));
          },
        },
      );
      receiver.addCredit(options.credit ?? 100);
    },
  });

  for (const receiverSettleMode of ["first", "second"] as const) {
    test(`outcomes come back, the receiver settling ${receiverSettleMode}`, async () => {
      const got: Delivery[] = [];
      await using pair = await startPair({
        sessionEvents: sink(got, (text) => (text === "bad" ? rejected({ condition: "x:bad" }) : accepted), { receiverSettleMode }),
      });
      const heard = new Map<string, string | undefined>();
      const sendable = new Signal("credit");
      const sender = await attachedSender<string>(
        pair.client.begin({}),
        { name: "s", target: { address: "q" }, receiverSettleMode },
        {
          onSendable: () => sendable.set(),
          onOutcome: ({ context }, state) => heard.set(context, state?.error?.condition ?? state?.kind),
        },
      );
      await sendable.wait();
      for (const text of ["one", "bad", "two"]) assert.ok(sender.send(message(text), text));
      assert.equal(sender.sendSettled(message("quiet"), "quiet")?.settled, true);
      await eventually("all outcomes", () => heard.size === 3 && got.length === 4);
      assert.deepEqual(
        heard,
        new Map<string, string>([
          ["one", "accepted"],
          ["bad", "x:bad"],
          ["two", "accepted"],
        ]),
      );
      assert.equal(got[3]?.settled, true);
      await eventually("the server to be told", () => got.every((delivery) => delivery.settled));
    });
  }

  test("messages of any size pass frames and windows of any size", async () => {
    const got: Delivery[] = [];
    const small = { frameBytesMax: 512, incomingWindowFrames: 3 };
    await using pair = await startPair({ server: { limits: small }, client: { limits: small }, sessionEvents: sink(got, () => accepted) });
    const sizes = [0, 1, 400, 439, 440, 441, 500, 5_000, 9_000, 70_000, 3];
    const outcomes: string[] = [];
    const queue = sizes.map((size, index) => encodeMessage({ body: { data: Buffer.alloc(size, index) } }));
    const pump = (sender: Sender<string>): void => {
      for (let next = queue[0]; next !== undefined && sender.capacity() > 0; next = queue[0]) {
        queue.shift();
        assert.ok(sender.send([next.subarray(0, 5), next.subarray(5, 300), next.subarray(300)], "x"));
      }
    };
    await attachedSender<string>(
      pair.client.begin({}),
      { name: "s" },
      { onSendable: pump, onOutcome: (_delivery, state) => outcomes.push(state?.kind ?? "none") },
    );
    await eventually("all outcomes", () => outcomes.length === sizes.length);
    assert.deepEqual(
      got.map((delivery) => [delivery.message.data.length, new Set(delivery.message.data).size]),
      sizes.map((size) => [size, Math.min(size, 1)]),
    );
    assert.deepEqual(
      got.map((delivery) => delivery.message.data[0]),
      sizes.map((size, index) => (size === 0 ? undefined : index)),
    );
  });

  test("a delivery that has begun goes on where no other may begin", async () => {
    const got: Delivery[] = [];
    const narrow = { frameBytesMax: 512, incomingWindowFrames: 2 };
    await using pair = await startPair({ server: { limits: narrow }, client: { limits: { unsettledMax: 1 } }, sessionEvents: sink(got, () => accepted) });
    const payload = encodeMessage({ body: { data: Buffer.alloc(5_000) } });
    let left = 3;
    await attachedSender(
      pair.client.begin({}),
      { name: "s" },
      {
        onSendable: (sender) => {
          while (left > 0 && sender.send(payload, undefined) !== undefined) left--;
        },
      },
    );
    await eventually("three deliveries, one by one", () => got.length === 3);
  });

  test("links of one session take turns in a narrow window, and a blocked one does not stop the others", async () => {
    const got: string[] = [];
    await using pair = await startPair({
      server: { limits: { incomingWindowFrames: 2, frameBytesMax: 512 } },
      sessionEvents: {
        onAttach: (request) => {
          const receiver = request.acceptAsReceiver({}, { onDelivery: (delivery) => got.push(`${request.attach.name} ${delivery.message.data.length}`) });
          if (request.attach.name !== "starved") receiver.addCredit(50);
        },
      },
    });
    const session = pair.client.begin({});
    const payload = encodeMessage({ body: { data: Buffer.alloc(3_000) } });
    const left = new Map([
      ["a", 5],
      ["b", 5],
      ["starved", 5],
    ]);
    const pump = (sender: Sender): void => {
      while (left.get(sender.name)! > 0 && sender.capacity() > 0) {
        left.set(sender.name, left.get(sender.name)! - 1);
        sender.send(payload, undefined);
      }
    };
    for (const name of left.keys()) session.openSender({ name }, { onSendable: pump });
    await eventually("what had credit", () => got.length === 10);
    assert.equal(got.filter((line) => line === "a 3000").length, 5);
    assert.equal(left.get("starved"), 5);
  });

  test("a message that is larger than what may wait for the socket goes out as the socket takes it", async () => {
    const got: Delivery[] = [];
    await using pair = await startPair({
      client: { limits: { outputBytesHigh: 100_000, outputBytesMax: 300_000 } },
      server: { limits: { messageBytesMax: 5_000_000 } },
      sessionEvents: sink(got, () => accepted),
    });
    const sendable = new Signal("credit");
    const sender = await attachedSender<string>(pair.client.begin({}), { name: "s" }, { onSendable: () => sendable.set() });
    await sendable.wait();
    assert.ok(sender.send(encodeMessage({ body: { data: Buffer.alloc(4_000_000) } }), "large"));
    await eventually("the message, or the end", () => got.length === 1 || pair.clientClosed.isSet);
    assert.deepEqual([got[0]?.message.data.length, pair.clientClosed.value], [4_000_000, undefined]);
  });

  test("a peer that does not read holds senders back, not messages in memory", async () => {
    const payload = encodeMessage({ body: { data: Buffer.alloc(60_000) } });
    let sent = 0;
    const senders: Sender[] = [];
    const source: { onAttach: (request: AttachRequest) => void } = {
      onAttach: (request) => {
        senders.push(
          request.acceptAsSender(
            {},
            {
              onSendable: (sender) => {
                while (sent < 1_000 && sender.sendSettled(payload, undefined) !== undefined) sent++;
              },
            },
          ),
        );
      },
    };
    await using pair = await startPair({ sessionEvents: source, server: { limits: { outputBytesHigh: 200_000 } } });
    let got = 0;
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l" }, { onDelivery: () => got++ });
    receiver.addCredit(1_000);
    await eventually("the sender to be held back", () => sent > 0 && sent < 1_000 && senders[0]!.capacity() === 0);
    await eventually("all deliveries after all", () => got === 1_000);
  });

  test("a tag or a message that is too long and a settled delivery on an unsettled link are refused before they are sent", async () => {
    const got: Delivery[] = [];
    await using pair = await startPair({ sessionEvents: sink(got, () => accepted) });
    const sendable = new Signal("credit");
    const sender = await attachedSender(pair.client.begin({}), { name: "s", senderSettleMode: "unsettled" }, { onSendable: () => sendable.set() });
    await sendable.wait();
    assert.throws(() => sender.send(message("x"), undefined, Buffer.alloc(33)), RangeError);
    assert.throws(() => sender.sendSettled(message("x"), undefined), TypeError);
    assert.equal(sender.remote?.maxMessageSize, 1_048_576);
    assert.throws(() => sender.send(Buffer.alloc(1_048_577), undefined), RangeError);
    assert.ok(sender.send(message("ok"), undefined));
    await eventually("the one that was sent", () => got.length === 1);
  });
});
