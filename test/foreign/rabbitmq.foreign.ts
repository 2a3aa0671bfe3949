// The engine's client against RabbitMQ and its AMQP 1.0 plugin.
import { strict as assert } from "node:assert";
import { after, before, describe, test } from "node:test";
import type { ConnectionEnd } from "#runtime/amqp/connection-options.ts";
import type { Connection } from "#runtime/amqp/connection.ts";
import { accepted, type DeliveryState, modified, rejected, released } from "#runtime/amqp/delivery-state.ts";
import type { LinkEnd } from "#runtime/amqp/link.ts";
import { encodeMessage } from "#runtime/amqp/message-writer.ts";
import type { Delivery } from "#runtime/amqp/receiver.ts";
import type { SaslCredentials } from "#runtime/amqp/sasl.ts";
import type { OutgoingDelivery, Sender } from "#runtime/amqp/sender.ts";
import { dial } from "#runtime/amqp/sockets.ts";
import { Signal, attachedReceiver, attachedSender } from "../amqp/support/loopback.ts";
import { eventually } from "../support/eventually.ts";
import { type RabbitMq, startRabbitMq } from "./rabbitmq-server.ts";

const guest: SaslCredentials = { mechanism: "PLAIN", username: "guest", password: "guest" };

interface Client extends AsyncDisposable {
  readonly connection: Connection;
  readonly closed: Signal<ConnectionEnd>;
}

let server: RabbitMq;
before(async () => {
  server = await startRabbitMq();
});
after(() => server[Symbol.asyncDispose]());

async function connect(sasl: SaslCredentials = guest, options: { readonly idleTimeOutMs?: number; readonly frameBytesMax?: number } = {}): Promise<Client> {
  const opened = new Signal<Connection>("RabbitMQ to open the connection");
  const closed = new Signal<ConnectionEnd>("the connection to be over");
  const { idleTimeOutMs, frameBytesMax = 65_536 } = options;
  const connection = dial(
    { containerId: "holdfast-test", host: "127.0.0.1", port: server.port, hostname: "vhost:/", sasl, idleTimeOutMs, limits: { frameBytesMax } },
    { onOpen: opened.set, onClosed: (_connection, end) => closed.set(end) },
  );
  const end = async (): Promise<void> => {
    connection.close();
    await closed.wait();
  };
  await Promise.race([opened.wait(), closed.wait()]);
  return { connection, closed, [Symbol.asyncDispose]: end };
}

/** Sends messages of the given sizes, as room comes, and waits until all have an outcome. */
async function sendAll(connection: Connection, address: string, sizes: readonly number[], isSettled = false): Promise<string[]> {
  const outcomes: string[] = [];
  const queue = sizes.map((size, index) => encodeMessage({ header: { durable: true }, properties: { messageId: `m${index}`, subject: "foreign" }, applicationProperties: { index }, body: { data: Buffer.alloc(size, index) } }));
  const pump = (sender: Sender): void => {
    while (queue.length > 0 && sender.capacity() > 0) {
      const next = queue.shift()!;
      if (isSettled) sender.sendSettled(next, undefined);
      else sender.send(next, undefined);
    }
  };
  const ended = new Signal<LinkEnd>("the sender to be over");
  const sender = await attachedSender(connection.begin({}), { name: `to ${address} ${Math.random()}`, target: { address } }, {
    onSendable: pump,
    onOutcome: (_delivery: OutgoingDelivery, state) => outcomes.push(state?.kind ?? "none"),
    onDetach: (_sender, end) => ended.set(end),
  });
  await eventually("everything to be sent", () => queue.length === 0 && (isSettled || outcomes.length === sizes.length));
  sender.close();
  await ended.wait();
  return outcomes;
}

describe("RabbitMQ", () => {
  for (const sasl of [guest, { mechanism: "ANONYMOUS" } as const]) {
    test(`lets the client in by ${sasl.mechanism}, and both close in order`, async () => {
      const { connection, closed } = await connect(sasl);
      assert.equal(connection.state.at, "open");
      connection.close();
      assert.equal((await closed.wait()).by, "local");
    });
  }

  test("keeps the client out with a wrong password", async () => {
    const { closed } = await connect({ mechanism: "PLAIN", username: "guest", password: "wrong" });
    assert.ok(["sasl", "socket", "peer"].includes((await closed.wait()).by));
  });

  for (const frameBytesMax of [65_536, 1_024]) {
    test(`takes and gives messages of any size in frames of ${frameBytesMax} bytes`, async () => {
      await using client = await connect(guest, { frameBytesMax });
      const address = `/queue/sizes-${frameBytesMax}`;
      const sizes = [0, 1, 500, 1_000, 5_000, 70_000, 300_000];
      assert.deepEqual(await sendAll(client.connection, address, sizes), sizes.map(() => "accepted"));
      const got: Delivery[] = [];
      const receiver = await attachedReceiver(client.connection.begin({}), { name: "from", source: { address } }, {
        onDelivery: (delivery) => {
          got.push(delivery);
          delivery.settle(accepted);
        },
      });
      receiver.addCredit(sizes.length + 5);
      await eventually("all messages", () => got.length === sizes.length);
      assert.deepEqual(got.map(({ message }) => [message.property("messageId"), message.text("subject"), message.applicationProperties?.number("index"), message.data.length]), sizes.map((size, index) => [`m${index}`, "foreign", index, size]));
      receiver.close();
    });
  }

  test("hears each outcome, though all are settled in one tick", async () => {
    await using client = await connect();
    const address = "/queue/outcomes";
    const count = 400;
    await sendAll(client.connection, address, Array.from({ length: count }, () => 256));
    const states: readonly DeliveryState[] = [accepted, released, rejected({ condition: "x:bad" })];
    const first: Delivery[] = [];
    const again: string[] = [];
    const receiver = await attachedReceiver(client.connection.begin({}), { name: "mixed", source: { address } }, {
      onDelivery: (delivery) => {
        if (first.length < count) first.push(delivery);
        else {
          again.push(delivery.message.text("messageId") ?? "");
          delivery.settle(accepted);
        }
      },
    });
    receiver.addCredit(count);
    await eventually("all messages", () => first.length === count);
    for (const [index, delivery] of first.entries()) delivery.settle(states[index % states.length]!);
    receiver.addCredit(count);
    const back = first.filter((_, index) => index % states.length === 1).map(({ message }) => message.text("messageId") ?? "");
    await eventually("what was given back", () => again.length === back.length);
    assert.deepEqual(again.toSorted(), back.toSorted());
    receiver.close();
  });

  test("takes settled messages, in the measure of credit", async () => {
    await using client = await connect();
    const address = "/queue/settled";
    const got: boolean[] = [];
    const receiver = await attachedReceiver(client.connection.begin({}), { name: "settled", source: { address }, senderSettleMode: "settled" }, { onDelivery: ({ settled }) => got.push(settled) });
    await sendAll(client.connection, address, [10, 20, 30], true);
    receiver.addCredit(2);
    await eventually("two messages", () => got.length === 2);
    receiver.addCredit(50);
    await eventually("the third", () => got.length === 3);
    assert.deepEqual([got, receiver.credit], [[true, true, true], 49]);
    receiver.close();
  });

  test("outlives a session that RabbitMQ gives up", async () => {
    await using client = await connect();
    const ended = new Signal<LinkEnd>("the link to be over");
    const receiver = await attachedReceiver(client.connection.begin({}), { name: "modified", source: { address: "/queue/given-up" } }, {
      // RabbitMQ does not know `modified` before version 4, and ends the session over one.
      onDelivery: (delivery) => delivery.settle(modified({ deliveryFailed: true })),
      onDetach: (_receiver, end) => ended.set(end),
    });
    await sendAll(client.connection, "/queue/given-up", [10]);
    receiver.addCredit(1);
    const { by, error } = await ended.wait();
    assert.deepEqual([by, error?.condition], ["session", "amqp:invalid-field"]);
    assert.deepEqual(await sendAll(client.connection, "/queue/given-up", [10]), ["accepted"]);
  });

  test("refuses a link to what is not there, and says why", async () => {
    await using client = await connect();
    const ended = new Signal<string | undefined>("the refusal");
    client.connection.begin({ onEnd: (_session, end) => ended.set(end.error?.condition) }).openReceiver({ name: "none", source: { address: "/amq/queue/missing" } }, {
      onDelivery: () => undefined,
      onDetach: (_receiver, end) => ended.set(end.error?.condition),
    });
    assert.equal(await ended.wait(), "amqp:not-found");
  });
});
