import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import type { AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import { conditions } from "#runtime/amqp/codec/errors.ts";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import type { Delivery } from "#runtime/amqp/link/receiver.ts";
import type { MapView } from "#runtime/amqp/codec/views.ts";
import { eventually } from "../support/eventually.ts";
import { Signal, attachedReceiver, attachedSender, startPair } from "./support/loopback.ts";
import { Source, message, pairWith, textOf } from "./support/source.ts";

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
    const receiver = await attachedReceiver(
      pair.client.begin({}),
      { name: "l", source: { address: "queue", filter: { f: "x" } }, receiverSettleMode: "second", properties: { "x:timeout": 5 }, maxMessageSize: 1_000 },
      {
        onDelivery: () => undefined,
        onAttach: (_receiver, attach) => remote.set(attach.source?.filter),
      },
    );
    assert.deepEqual(
      [requests[0]?.attach.role, requests[0]?.attach.source?.address, requests[0]?.attach.properties?.get("x:timeout"), requests[0]?.attach.maxMessageSize],
      ["receiver", "queue", 5, 1_000],
    );
    assert.equal((await remote.wait())?.get("f"), "x", "the source is echoed as it came");
    assert.deepEqual([receiver.remote?.receiverSettleMode, receiver.remote?.source?.address, receiver.isAttached], ["second", "queue", true]);
  });

  test("a refusal is an attach without a terminus and a detach with the error", async () => {
    await using pair = await startPair({
      sessionEvents: { onAttach: (request) => request.refuse({ condition: "amqp:not-found", description: "no such queue" }) },
    });
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

  for (const [how, by] of [
    ["close", "local"],
    ["end", "session"],
    ["abort", "connection"],
  ] as const) {
    test(`what a link leaves unsettled is told when it ends by ${by}`, async () => {
      const source = new Source(["a", "b", "c"]);
      const sourceUnsettled: string[] = [];
      await using pair = await startPair({
        sessionEvents: {
          onAttach: (request) => {
            request.acceptAsSender<string>(
              { settles: "owner" },
              {
                onSendable: (sender) => source.pump(sender),
                onDetach: (_sender, end, unsettled) => {
                  sourceUnsettled.push(...unsettled.map((delivery) => delivery.context));
                  source.ended.set(end);
                },
              },
            );
          },
        },
      });
      const got: Delivery[] = [];
      const ended = new Signal<LinkEnd>("the receiver to be over");
      let left: readonly Delivery[] = [];
      const session = pair.client.begin({});
      const receiver = await attachedReceiver(
        session,
        { name: "l", receiverSettleMode: "second" },
        {
          onDelivery: (delivery) => got.push(delivery),
          onDetach: (_link, end, unsettled) => {
            left = unsettled;
            ended.set(end);
          },
        },
      );
      receiver.addCredit(3);
      await eventually("all deliveries", () => got.length === 3);
      got[1]!.settle(accepted);
      if (how === "close") receiver.close();
      else if (how === "end") session.end();
      else pair.client.abort();
      assert.equal((await ended.wait()).by, by);
      assert.deepEqual(
        left.map((delivery) => [textOf(delivery), delivery.state?.kind]),
        [
          ["a", undefined],
          ["b", "accepted"],
          ["c", undefined],
        ],
      );
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
