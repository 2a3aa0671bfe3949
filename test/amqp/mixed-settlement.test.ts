import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { accepted, modified, rejected, released } from "#runtime/amqp/message/delivery-state.ts";
import type { ReceiverSettleMode, SenderSettleMode } from "#runtime/amqp/frame/performatives.ts";
import type { Delivery } from "#runtime/amqp/link/receiver.ts";
import type { Session } from "#runtime/amqp/session/session.ts";
import { eventually } from "../support/eventually.ts";
import { Signal, attachedReceiver, startPair } from "./support/loopback.ts";
import { Source, message, pairWith, textOf } from "./support/source.ts";

describe("at speed", () => {
  const modes: readonly (readonly [SenderSettleMode, ReceiverSettleMode])[] = [
    ["mixed", "first"],
    ["mixed", "second"],
  ];
  for (const [senderSettleMode, receiverSettleMode] of modes) {
    test(`20 000 mixed outcomes in random order across the wrap of every serial number, settling ${receiverSettleMode}: none is wrong`, async () => {
      const total = 20_000;
      const near = 0xffff_ffff - 5_000;
      const states = [
        accepted,
        accepted,
        accepted,
        released,
        modified({ deliveryFailed: true }),
        rejected({ condition: "x:a" }),
        rejected({ condition: "x:b" }),
      ];
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
            session.openSender<string>(
              { name: "s", senderSettleMode, receiverSettleMode, initialDeliveryCount: near, settles: "owner" },
              {
                onSendable: (sender) => {
                  while (next < total && sender.send(message(String(next)), String(next)) !== undefined) next++;
                },
                onOutcome: (delivery, state, settled) => {
                  assert.ok(!heard.has(delivery.context), "told once");
                  heard.set(delivery.context, state?.key ?? "");
                  if (!settled) delivery.settle(state);
                },
              },
            );
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
              const receiver = request.acceptAsReceiver(
                { receiverSettleMode },
                {
                  onDelivery: (delivery) => {
                    held.push(delivery);
                    if (held.length > 300) settleOne();
                  },
                  onDeliveriesEnd: (link) => {
                    link.addCredit(1_000 - link.credit);
                    if (wanted.size + held.length === total) while (held.length > 0) settleOne();
                  },
                  onSettled: () => answered++,
                },
              );
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
    const receiver = await attachedReceiver(
      pair.client.begin({}),
      { name: "l", receiverSettleMode: "second" },
      {
        onDelivery: (delivery) => {
          if (got++ === 0) held.set(delivery);
          else delivery.settle(accepted);
        },
        onDeliveriesEnd: (link) => link.addCredit(100 - link.credit),
      },
    );
    receiver.addCredit(100);
    await eventually("all deliveries", () => got === 5_000);
    (await held.wait()).settle(rejected({ condition: "x:late" }));
    await eventually("the held one's outcome", () => source.heard.at(-1)?.state?.error?.condition === "x:late");
    assert.equal(source.heard.length, 5_000);
  });
});
