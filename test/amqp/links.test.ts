import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { AttachRequest } from "#runtime/amqp/attach-request.ts";
import { accepted, modified, rejected, released } from "#runtime/amqp/delivery-state.ts";
import type { DeliveryState } from "#runtime/amqp/delivery-state.ts";
import { conditions } from "#runtime/amqp/errors.ts";
import type { LinkEnd } from "#runtime/amqp/link.ts";
import { encodeMessage } from "#runtime/amqp/message-writer.ts";
import type { ReceiverSettleMode, SenderSettleMode } from "#runtime/amqp/performatives.ts";
import type { Delivery, Receiver } from "#runtime/amqp/receiver.ts";
import type { OutgoingDelivery, Sender } from "#runtime/amqp/sender.ts";
import type { Session } from "#runtime/amqp/session.ts";
import type { MapView } from "#runtime/amqp/views.ts";
import { eventually } from "../support/eventually.ts";
import { Signal, attachedReceiver, attachedSender, startPair } from "./support/loopback.ts";
import type { Pair, PairOptions } from "./support/loopback.ts";

const message = (text: string): Buffer => encodeMessage({ body: { data: Buffer.from(text) } });
const textOf = (delivery: Delivery): string => delivery.message.data.toString();

interface Heard {
  readonly delivery: OutgoingDelivery<string>;
  readonly state: DeliveryState | undefined;
  readonly settled: boolean;
}

/** A server that sends `queue` to a client's receiver, as far as credit and window go, and records the outcomes. */
class Source {
  readonly heard: Heard[] = [];
  readonly queue: string[];
  sender: Sender<string> | undefined;
  readonly ended = new Signal<LinkEnd>("the server's sender to be over");
  /** What to answer an outcome that is not settled with. */
  answer: (state: DeliveryState | undefined) => DeliveryState | undefined = (state) => state;

  constructor(queue: string[] = []) {
    this.queue = queue;
  }

  accept(request: AttachRequest, settles: "itself" | "owner" = "owner"): Sender<string> {
    this.sender = request.acceptAsSender<string>(
      { settles },
      {
        onSendable: (sender) => this.pump(sender),
        onDrain: (sender) => {
          this.pump(sender);
          if (this.queue.length === 0 || sender.credit === 0) sender.drained();
        },
        onOutcome: (delivery, state, settled) => {
          this.heard.push({ delivery, state, settled });
          if (!settled && settles === "owner") delivery.settle(this.answer(state));
        },
        onDetach: (_sender, end) => this.ended.set(end),
      },
    );
    return this.sender;
  }

  pump(sender: Sender<string>): void {
    while (this.queue.length > 0 && sender.capacity() > 0) {
      const text = this.queue.shift()!;
      sender.send(message(text), text);
    }
  }
}

/** A pair whose server accepts receivers from `source`. */
function pairWith(source: Source, options: PairOptions = {}): Promise<Pair> {
  return startPair({ ...options, sessionEvents: { onAttach: (request) => void source.accept(request) } });
}

describe("receiving", () => {
  for (const [senderSettleMode, receiverSettleMode] of [["unsettled", "first"], ["unsettled", "second"], ["settled", "first"], ["mixed", "second"]] as const) {
    test(`${senderSettleMode} deliveries, the receiver settling ${receiverSettleMode}: every outcome arrives once`, async () => {
      const states: readonly DeliveryState[] = [accepted, released, modified({ deliveryFailed: true }), rejected({ condition: "x:bad", description: "why" })];
      const source = new Source(["a", "b", "c", "d"]);
      await using pair = await pairWith(source);
      const got: Delivery[] = [];
      const settled: [string, DeliveryState | undefined][] = [];
      const receiver = await attachedReceiver(pair.client.begin({}), { name: "l", source: { address: "q" }, senderSettleMode, receiverSettleMode }, {
        onDelivery: (delivery) => {
          got.push(delivery);
          assert.equal(delivery.settle(states[got.length - 1]!), senderSettleMode !== "settled");
          assert.equal(delivery.settle(accepted), false, "only once");
        },
        onSettled: (delivery, state) => settled.push([textOf(delivery), state]),
      });
      receiver.addCredit(4);
      if (senderSettleMode === "settled") {
        await eventually("all deliveries", () => got.length === 4);
        assert.ok(got.every((delivery) => delivery.settled));
        return;
      }
      await eventually("all outcomes", () => source.heard.length === 4 && (receiverSettleMode === "first" || settled.length === 4));
      const byText = new Map(source.heard.map(({ delivery, state, settled: final }) => [delivery.context, [state?.key, final]]));
      for (const [index, text] of ["a", "b", "c", "d"].entries()) assert.deepEqual(byText.get(text), [states[index]!.key, receiverSettleMode === "first"]);
      assert.deepEqual(source.heard.find(({ delivery }) => delivery.context === "d")?.state?.error, { condition: "x:bad", description: "why", info: undefined });
      if (receiverSettleMode === "second") {
        assert.deepEqual(new Map(settled.map(([text, state]) => [text, state?.key])), new Map(["a", "b", "c", "d"].map((text, index) => [text, states[index]!.key])));
        assert.ok(got.every((delivery) => delivery.settled));
      }
    });
  }

  test("the peer's answer may tell another state than was asked for", async () => {
    const source = new Source(["a"]);
    source.answer = () => rejected({ condition: "com.microsoft:message-lock-lost" });
    await using pair = await pairWith(source);
    const answered = new Signal<DeliveryState | undefined>("the answer");
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l", receiverSettleMode: "second" }, { onDelivery: (delivery) => delivery.settle(accepted), onSettled: (_delivery, state) => answered.set(state) });
    receiver.addCredit(1);
    assert.equal((await answered.wait())?.error?.condition, "com.microsoft:message-lock-lost");
  });

  test("a settlement that the sender makes unasked is told", async () => {
    const source = new Source(["a"]);
    await using pair = await pairWith(source);
    const told = new Signal<Delivery>("the settlement");
    const delivered = new Signal<Delivery>("the delivery");
    const sent: OutgoingDelivery<string>[] = [];
    source.pump = (sender) => {
      const delivery = sender.send(message("a"), "a");
      if (delivery !== undefined) sent.push(delivery);
    };
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l", receiverSettleMode: "second" }, { onDelivery: delivered.set, onSettled: told.set });
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
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l" }, {
      onDelivery: (delivery) => {
        got.push(delivery);
        batches.at(-1)!.push(textOf(delivery));
      },
      onDeliveriesEnd: () => batches.push([]),
    });
    receiver.addCredit(2);
    await eventually("both deliveries", () => got.length === 2);
    assert.deepEqual([got[0]!.tag.toString(), got[0]!.messageFormat, textOf(got[0]!), got[1]!.messageFormat, got[1]!.tag.length], ["0123456789abcdef", 0x80013700, "a", 0, 4]);
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
    assert.deepEqual(got, Array.from({ length: 10 }, (_, index) => String(index)));
  });

  test("is told whenever the receiver sets it, used or not", async () => {
    const told: number[] = [];
    await using pair = await startPair({ sessionEvents: { onAttach: (request) => request.acceptAsSender({}, { onCredit: ({ credit }) => told.push(credit) }) } });
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
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l" }, { onDelivery: (delivery) => got.push(textOf(delivery)), onDrained: () => drained++ });
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
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l" }, { onDelivery: (delivery) => order.push(textOf(delivery)), onDrained: () => order.push("drained") });
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

describe("sending", () => {
  /** A server that takes messages and settles each as `outcome` says. */
  const sink = (got: Delivery[], outcome: (text: string) => DeliveryState, options: { readonly receiverSettleMode?: ReceiverSettleMode; readonly credit?: number; readonly maxMessageSize?: number } = {}) => ({
    onAttach: (request: AttachRequest) => {
      const receiver = request.acceptAsReceiver({ receiverSettleMode: options.receiverSettleMode ?? "first", maxMessageSize: options.maxMessageSize }, {
        onDelivery: (delivery) => {
          got.push(delivery);
          delivery.settle(outcome(textOf(delivery)));
        },
      });
      receiver.addCredit(options.credit ?? 100);
    },
  });

  for (const receiverSettleMode of ["first", "second"] as const) {
    test(`outcomes come back, the receiver settling ${receiverSettleMode}`, async () => {
      const got: Delivery[] = [];
      await using pair = await startPair({ sessionEvents: sink(got, (text) => (text === "bad" ? rejected({ condition: "x:bad" }) : accepted), { receiverSettleMode }) });
      const heard = new Map<string, string | undefined>();
      const sendable = new Signal("credit");
      const sender = await attachedSender<string>(pair.client.begin({}), { name: "s", target: { address: "q" }, receiverSettleMode }, {
        onSendable: () => sendable.set(),
        onOutcome: ({ context }, state) => heard.set(context, state?.error?.condition ?? state?.kind),
      });
      await sendable.wait();
      for (const text of ["one", "bad", "two"]) assert.ok(sender.send(message(text), text));
      assert.equal(sender.sendSettled(message("quiet"), "quiet")?.settled, true);
      await eventually("all outcomes", () => heard.size === 3 && got.length === 4);
      assert.deepEqual(heard, new Map<string, string>([["one", "accepted"], ["bad", "x:bad"], ["two", "accepted"]]));
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
    await attachedSender<string>(pair.client.begin({}), { name: "s" }, { onSendable: pump, onOutcome: (_delivery, state) => outcomes.push(state?.kind ?? "none") });
    await eventually("all outcomes", () => outcomes.length === sizes.length);
    assert.deepEqual(got.map((delivery) => [delivery.message.data.length, new Set(delivery.message.data).size]), sizes.map((size) => [size, Math.min(size, 1)]));
    assert.deepEqual(got.map((delivery) => delivery.message.data[0]), sizes.map((size, index) => (size === 0 ? undefined : index)));
  });

  test("a delivery that has begun goes on where no other may begin", async () => {
    const got: Delivery[] = [];
    const narrow = { frameBytesMax: 512, incomingWindowFrames: 2 };
    await using pair = await startPair({ server: { limits: narrow }, client: { limits: { unsettledMax: 1 } }, sessionEvents: sink(got, () => accepted) });
    const payload = encodeMessage({ body: { data: Buffer.alloc(5_000) } });
    let left = 3;
    await attachedSender(pair.client.begin({}), { name: "s" }, {
      onSendable: (sender) => {
        while (left > 0 && sender.send(payload, undefined) !== undefined) left--;
      },
    });
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
    const left = new Map([["a", 5], ["b", 5], ["starved", 5]]);
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

  test("a peer that does not read holds senders back, not messages in memory", async () => {
    const payload = encodeMessage({ body: { data: Buffer.alloc(60_000) } });
    let sent = 0;
    const senders: Sender[] = [];
    const source: { onAttach: (request: AttachRequest) => void } = {
      onAttach: (request) => {
        senders.push(
          request.acceptAsSender({}, {
            onSendable: (sender) => {
              while (sent < 1_000 && sender.sendSettled(payload, undefined) !== undefined) sent++;
            },
          }),
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

describe("attaching and detaching", () => {
  test("both sides hear what the other asked for", async () => {
    const requests: AttachRequest[] = [];
    const source = new Source();
    await using pair = await startPair({
      sessionEvents: {
        onAttach: (request) => {
          requests.push(request);
          source.accept(request);
        },
      },
    });
    const remote = new Signal<MapView | undefined>("the attach");
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l", source: { address: "queue", filter: { f: "x" } }, receiverSettleMode: "second", properties: { "x:timeout": 5 }, maxMessageSize: 1_000 }, {
      onDelivery: () => undefined,
      onAttach: (_receiver, attach) => remote.set(attach.source?.filter),
    });
    assert.deepEqual([requests[0]?.attach.role, requests[0]?.attach.source?.address, requests[0]?.attach.properties?.get("x:timeout"), requests[0]?.attach.maxMessageSize], ["receiver", "queue", 5, 1_000]);
    assert.equal((await remote.wait())?.get("f"), "x", "the source is echoed as it came");
    assert.deepEqual([receiver.remote?.receiverSettleMode, receiver.remote?.source?.address, receiver.isAttached], ["second", "queue", true]);
  });

  test("a refusal is an attach without a terminus and a detach with the error", async () => {
    await using pair = await startPair({ sessionEvents: { onAttach: (request) => request.refuse({ condition: "amqp:not-found", description: "no such queue" }) } });
    const session = pair.client.begin({});
    for (const role of ["sender", "receiver"] as const) {
      const ended = new Signal<LinkEnd>("the link to be over");
      const onAttach = (): void => assert.fail("a refused link is not attached");
      if (role === "sender") session.openSender({ name: "l" }, { onAttach, onDetach: (_link, end) => ended.set(end) });
      else session.openReceiver({ name: "l" }, { onAttach, onDelivery: () => undefined, onDetach: (_link, end) => ended.set(end) });
      const end = await ended.wait();
      assert.deepEqual([end.by, end.closed, end.error?.condition, end.error?.description], ["peer", true, "amqp:not-found", "no such queue"]);
    }
    const again = session.openSender({ name: "l" }, {});
    assert.equal(again.handle, 0, "handles and names are free again");
  });

  test("without a callback every link is refused", async () => {
    await using pair = await startPair();
    const ended = new Signal<LinkEnd>("the link to be over");
    pair.client.begin({}).openSender({ name: "l" }, { onDetach: (_link, end) => ended.set(end) });
    assert.equal((await ended.wait()).error?.condition, conditions.notAllowed);
  });

  test("an answer may be postponed; a peer that gives up meanwhile is told from one that waits", async () => {
    const requests = new Map<string, AttachRequest>();
    await using pair = await startPair({ sessionEvents: { onAttach: (request) => requests.set(request.attach.name, request) } });
    const session = pair.client.begin({});
    const got: string[] = [];
    const events = { onDelivery: (delivery: Delivery) => got.push(textOf(delivery)) };
    const waiting = session.openReceiver({ name: "waits" }, events);
    const leaving = session.openReceiver({ name: "leaves" }, { ...events, onDetach: (_link, end) => left.set(end) });
    const left = new Signal<LinkEnd>("the link to be over");
    const abandoned = new Signal("the request to be abandoned");
    await eventually("both requests", () => requests.size === 2);
    requests.get("leaves")!.onAbandoned = () => abandoned.set();
    leaving.close();
    await abandoned.wait();
    assert.equal((await left.wait()).by, "local");
    assert.equal(requests.get("leaves")!.isPending, false);
    assert.throws(() => requests.get("leaves")!.acceptAsSender({}, {}), /expected it to be pending, found it abandoned/);
    waiting.addCredit(1);
    assert.throws(() => requests.get("waits")!.acceptAsReceiver({}, events), TypeError);
    new Source(["late"]).accept(requests.get("waits")!);
    await eventually("the delivery", () => got.length === 1);
    const again = session.openReceiver({ name: "leaves" }, events);
    await eventually("the new request", () => requests.get("leaves")!.isPending);
    assert.equal(again.state.at, "attaching");
  });

  test("requests are abandoned with their connection", async () => {
    const requested = new Signal<AttachRequest>("the request");
    const abandoned = new Signal("the request to be abandoned");
    await using pair = await startPair({
      sessionEvents: {
        onAttach: (request) => {
          request.onAbandoned = () => abandoned.set();
          requested.set(request);
        },
      },
    });
    pair.client.begin({}).openSender({ name: "l" }, {});
    await requested.wait();
    pair.client.abort();
    await abandoned.wait();
  });

  for (const by of ["client", "server"] as const) {
    test(`a link that the ${by} closes with an error ends on both sides, and what was settled before still counts`, async () => {
      const source = new Source(["a"]);
      await using pair = await pairWith(source);
      const ended = new Signal<LinkEnd>("the receiver to be over");
      const delivered = new Signal<Delivery>("the delivery");
      const receiver = await attachedReceiver(pair.client.begin({}), { name: "l" }, { onDelivery: delivered.set, onDetach: (_link, end) => ended.set(end) });
      receiver.addCredit(1);
      const delivery = await delivered.wait();
      const error = { condition: "x:gone", description: "bye" };
      if (by === "client") {
        assert.equal(delivery.settle(accepted), true);
        receiver.close(error);
        receiver.close(error);
        await eventually("the outcome", () => source.heard.length === 1);
      } else source.sender?.close(error);
      const [near, far] = by === "client" ? [await ended.wait(), await source.ended.wait()] : [await source.ended.wait(), await ended.wait()];
      assert.deepEqual([near.by, near.error?.condition, far.by, far.error?.condition, far.closed], ["local", "x:gone", "peer", "x:gone", true]);
      assert.equal(delivery.settle(accepted), false);
      assert.equal(source.sender?.send(message("x"), "x"), undefined);
    });
  }

  test("a detach that does not close is told apart", async () => {
    const source = new Source();
    await using pair = await pairWith(source);
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l" }, { onDelivery: () => undefined });
    receiver.detach();
    assert.deepEqual([(await source.ended.wait()).closed, (await source.ended.wait()).by], [false, "peer"]);
  });

  for (const [how, by] of [["close", "local"], ["end", "session"], ["abort", "connection"]] as const) {
    test(`what a link leaves unsettled is told when it ends by ${by}`, async () => {
      const source = new Source(["a", "b", "c"]);
      const sourceUnsettled: string[] = [];
      await using pair = await startPair({
        sessionEvents: {
          onAttach: (request) => {
            request.acceptAsSender<string>({ settles: "owner" }, {
              onSendable: (sender) => source.pump(sender),
              onDetach: (_sender, end, unsettled) => {
                sourceUnsettled.push(...unsettled.map((delivery) => delivery.context));
                source.ended.set(end);
              },
            });
          },
        },
      });
      const got: Delivery[] = [];
      const ended = new Signal<LinkEnd>("the receiver to be over");
      let left: readonly Delivery[] = [];
      const session = pair.client.begin({});
      const receiver = await attachedReceiver(session, { name: "l", receiverSettleMode: "second" }, {
        onDelivery: (delivery) => got.push(delivery),
        onDetach: (_link, end, unsettled) => {
          left = unsettled;
          ended.set(end);
        },
      });
      receiver.addCredit(3);
      await eventually("all deliveries", () => got.length === 3);
      got[1]!.settle(accepted);
      if (how === "close") receiver.close();
      else if (how === "end") session.end();
      else pair.client.abort();
      assert.equal((await ended.wait()).by, by);
      assert.deepEqual(left.map((delivery) => [textOf(delivery), delivery.state?.kind]), [["a", undefined], ["b", "accepted"], ["c", undefined]]);
      assert.equal((await source.ended.wait()).by, by === "local" ? "peer" : by);
      assert.deepEqual(sourceUnsettled, ["a", "b", "c"]);
      assert.equal(got[0]!.settle(accepted), false);
    });
  }

  test("a sender and a receiver of one session may have one name, two senders may not", async () => {
    const source = new Source();
    await using pair = await startPair({
      sessionEvents: {
        onAttach: (request) => {
          if (request.attach.role === "sender") request.acceptAsReceiver({}, { onDelivery: () => undefined });
          else source.accept(request);
        },
      },
    });
    const session = pair.client.begin({});
    await attachedReceiver(session, { name: "same" }, { onDelivery: () => undefined });
    await attachedSender(session, { name: "same" });
    assert.throws(() => session.openSender({ name: "same" }, {}), /expected a name/);
  });

  test("are no more than the peer allows", async () => {
    await using pair = await startPair({ server: { limits: { linksMax: 2 } }, sessionEvents: { onAttach: (request) => void new Source().accept(request) } });
    const session = pair.client.begin({});
    await attachedReceiver(session, { name: "1" }, { onDelivery: () => undefined });
    await attachedReceiver(session, { name: "2" }, { onDelivery: () => undefined });
    assert.throws(() => session.openReceiver({ name: "3" }, { onDelivery: () => undefined }), /at most 2 links/);
  });
});

describe("at speed", () => {
  const modes: readonly (readonly [SenderSettleMode, ReceiverSettleMode])[] = [["mixed", "first"], ["mixed", "second"]];
  for (const [senderSettleMode, receiverSettleMode] of modes) {
    test(`20 000 mixed outcomes in random order across the wrap of every serial number, settling ${receiverSettleMode}: none is wrong`, async () => {
      const total = 20_000;
      const near = 0xffff_ffff - 5_000;
      const states = [accepted, accepted, accepted, released, modified({ deliveryFailed: true }), rejected({ condition: "x:a" }), rejected({ condition: "x:b" })];
      const wanted = new Map<string, string>();
      const heard = new Map<string, string>();
      let next = 0;
      let answered = 0;
      await using pair = await startPair({
        client: { limits: { incomingWindowFrames: 700 } },
        serverEvents: {
          onOpen: (connection) => {
            // The server begins the session here, so that its ids start near the wrap.
            const session: Session = connection.begin({}, { initialOutgoingId: near });
            session.openSender<string>({ name: "s", senderSettleMode, receiverSettleMode, initialDeliveryCount: near, settles: "owner" }, {
              onSendable: (sender) => {
                while (next < total && sender.send(message(String(next)), String(next)) !== undefined) next++;
              },
              onOutcome: (delivery, state, settled) => {
                assert.ok(!heard.has(delivery.context), "told once");
                heard.set(delivery.context, state?.key ?? "");
                if (!settled) delivery.settle(state);
              },
            });
          },
        },
        clientEvents: {
          onSession: () => ({
            onAttach: (request) => {
              const held: Delivery[] = [];
              let seed = 7;
              const random = (below: number): number => {
                seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
                return (seed >>> 8) % below;
              };
              const settleOne = (): void => {
                const at = random(held.length);
                const delivery = held[at]!;
                held[at] = held.at(-1)!;
                held.pop();
                const state = states[random(states.length)]!;
                wanted.set(textOf(delivery), state.key);
                delivery.settle(state);
              };
              const receiver = request.acceptAsReceiver({ receiverSettleMode }, {
                onDelivery: (delivery) => {
                  held.push(delivery);
                  if (held.length > 300) settleOne();
                },
                onDeliveriesEnd: (link) => {
                  link.addCredit(1_000 - link.credit);
                  if (wanted.size + held.length === total) while (held.length > 0) settleOne();
                },
                onSettled: () => answered++,
              });
              receiver.addCredit(1_000);
            },
          }),
        },
      });
      await eventually("all outcomes", () => heard.size === total && (receiverSettleMode === "first" || answered === total), 30_000);
      assert.deepEqual(heard, wanted);
      assert.equal(pair.client.state.at, "open");
    });
  }

  test("a delivery that is held for long stops nothing", async () => {
    const source = new Source(Array.from({ length: 5_000 }, (_, index) => String(index)));
    await using pair = await pairWith(source, { client: { limits: { incomingWindowFrames: 100 } } });
    const held = new Signal<Delivery>("the first delivery");
    let got = 0;
    const receiver = await attachedReceiver(pair.client.begin({}), { name: "l", receiverSettleMode: "second" }, {
      onDelivery: (delivery) => {
        if (got++ === 0) held.set(delivery);
        else delivery.settle(accepted);
      },
      onDeliveriesEnd: (link) => link.addCredit(100 - link.credit),
    });
    receiver.addCredit(100);
    await eventually("all deliveries", () => got === 5_000);
    (await held.wait()).settle(rejected({ condition: "x:late" }));
    await eventually("the held one's outcome", () => source.heard.at(-1)?.state?.error?.condition === "x:late");
    assert.equal(source.heard.length, 5_000);
  });
});
