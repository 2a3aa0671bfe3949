// `$cbs` over the wire: what is asked, how replies find their link, and of which type a status is. And heartbeats.
import { strict as assert } from "node:assert";
import { createHmac } from "node:crypto";
import { connect as connectTcp } from "node:net";
import { test } from "node:test";
import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { MessageView } from "#runtime/amqp/message/message.ts";
import type { Session } from "#runtime/amqp/session/session.ts";
import { type Fields, int } from "#runtime/amqp/codec/types.ts";
import { attachedReceiver, attachedSender, Signal } from "../amqp/support/loopback.ts";
import { startBench } from "../support/broker.ts";
import { connectWire, type Reply, WireNode } from "../support/broker-wire.ts";
import { eventually } from "../support/eventually.ts";

const entities = { queues: ["orders"] };
const audience = "sb://localhost/orders";

function tokenOf({ key = "SAS_KEY_VALUE", expiresInS = 600, signed = audience }: { key?: string; expiresInS?: number; signed?: string } = {}): string {
  const expiry = Math.floor(Date.now() / 1000) + expiresInS;
  const resource = encodeURIComponent(signed);
  const signature = createHmac("sha256", key).update(`${resource}\n${expiry}`).digest("base64");
  return `SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(signature)}&se=${expiry}&skn=RootManageSharedAccessKey`;
}

const told: Fields = { type: "servicebus.windows.net:sastoken", name: audience };

test("takes a good token with 202, as an int, and a description", async (t) => {
  const { broker } = await startBench(t, { entities });
  const node = await WireNode.open((await connectWire(t, broker)).connection.begin({}), "$cbs");
  const { message } = await node.ask("put-token", tokenOf(), { messageId: "put-1", properties: told });
  assert.equal(message.text("correlationId"), "put-1");
  assert.deepEqual(message.applicationProperties?.view("status-code")?.typed(), int(202));
  assert.equal(message.applicationProperties?.view("status-description")?.typed().type, "string");
});

const refused: readonly (readonly [what: string, code: number, token: string | number, properties: Fields, operation?: string])[] = [
  ["a wrong signature", 401, tokenOf({ key: "other" }), told],
  ["a token that has expired", 401, tokenOf({ expiresInS: -5 }), told],
  ["a token for something else", 401, tokenOf({ signed: "sb://localhost/others" }), told],
  ["text that is no token", 401, "anything", told],
  ["a token that is no text", 400, 7, told],
  ["a token for nothing", 400, tokenOf(), { type: "servicebus.windows.net:sastoken" }],
  ["another operation", 400, tokenOf(), told, "delete-token"],
];
for (const [what, code, token, properties, operation = "put-token"] of refused) {
  test(`refuses ${what} with ${code}`, async (t) => {
    const { broker } = await startBench(t, { entities });
    const node = await WireNode.open((await connectWire(t, broker)).connection.begin({}), "$cbs");
    const reply: Reply = await node.ask(operation, token, { properties });
    assert.equal(reply.code, code);
    assert.ok((reply.message.applicationProperties?.string("status-description") ?? "").length > 10);
    assert.equal((await node.ask("put-token", tokenOf(), { properties: told })).code, 202, "expected the node to go on");
  });
}

/** Opens a link for replies and tells what came on it. */
async function repliesOn(session: Session, name: string, target: string | undefined): Promise<MessageView[]> {
  const got: MessageView[] = [];
  const receiver = await attachedReceiver(
    session,
    { name, source: { address: "$cbs" }, target: target === undefined ? {} : { address: target } },
    {
      onDelivery: (delivery) => {
        delivery.settle(accepted);
        got.push(delivery.message);
      },
    },
  );
  receiver.addCredit(10);
  return got;
}

test("finds the link for a reply by its address, then by its name, then because it is the only one", async (t) => {
  const { broker } = await startBench(t, { entities });
  const { connection } = await connectWire(t, broker);
  const session = connection.begin({});
  const outcomes: string[] = [];
  const openRequests = async (on: Session): Promise<(replyTo: string | undefined) => void> => {
    const ready = new Signal("credit");
    const sender = await attachedSender(
      on,
      { name: "requests", target: { address: "$cbs" } },
      { onSendable: () => ready.set(), onOutcome: (_delivery, state) => outcomes.push(state?.kind ?? "") },
    );
    await ready.wait();
    return (replyTo) =>
      void sender.send(
        encodeMessage({ properties: { messageId: "r", replyTo }, applicationProperties: { operation: "put-token", ...told }, body: { value: tokenOf() } }),
        undefined,
      );
  };
  const ask = await openRequests(session);
  const byAddress = await repliesOn(session, "here", "the address");
  const byName = await repliesOn(session, "the name", undefined);
  ask("the address");
  await eventually("a reply by address", () => byAddress.length === 1);
  ask("the name");
  await eventually("a reply by name", () => byName.length === 1);
  ask("nowhere");
  await eventually("a refusal", () => outcomes.length === 3);
  assert.deepEqual(outcomes, ["accepted", "accepted", "rejected"]);
  assert.deepEqual([byAddress.length, byName.length], [1, 1]);

  const other = connection.begin({});
  const askOther = await openRequests(other);
  const only = await repliesOn(other, "only", undefined);
  askOther("nowhere");
  await eventually("a reply on the only link", () => only.length === 1);
  askOther(undefined);
  await eventually("another", () => only.length === 2);
});

test("sends empty frames to a client that bears silence for a short time only", async (t) => {
  const { broker } = await startBench(t, { entities });
  const socket = connectTcp({ port: broker.port, host: broker.host });
  t.after(() => socket.destroy());
  let got = Buffer.alloc(0);
  socket.on("data", (bytes: Buffer) => (got = Buffer.concat([got, bytes])));
  const header = Buffer.from([0x41, 0x4d, 0x51, 0x50, 0, 1, 0, 0]);
  // An open with the container id "x" and an idle time-out of 100 ms.
  const fields = Buffer.from([0xa1, 1, 0x78, 0x40, 0x40, 0x40, 0x52, 100]);
  const open = Buffer.concat([Buffer.from([0, 0, 0, 8 + 6 + fields.length, 2, 0, 0, 0, 0, 0x53, 0x10, 0xc0, fields.length + 1, 5]), fields]);
  socket.write(Buffer.concat([header, open]));
  const heartbeat = Buffer.from([0, 0, 0, 8, 2, 0, 0, 0]);
  await eventually("three heartbeats", () => got.length >= 24 && got.subarray(-24).equals(Buffer.concat([heartbeat, heartbeat, heartbeat])));
  assert.equal(broker.inspect().connections, 1);
});
