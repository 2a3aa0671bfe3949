// What the engine's client must be able to do at any server that keeps queues: the same checks for each of them.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import type { ConnectionEnd } from "#runtime/amqp/connection/connection-options.ts";
import type { Connection } from "#runtime/amqp/connection/connection.ts";
import { accepted, type DeliveryState, rejected, released } from "#runtime/amqp/message/delivery-state.ts";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { Delivery } from "#runtime/amqp/link/receiver.ts";
import type { SaslCredentials } from "#runtime/amqp/security/sasl.ts";
import type { OutgoingDelivery, Sender } from "#runtime/amqp/link/sender.ts";
import { dial, type DialOptions } from "#runtime/amqp/connection/sockets.ts";
import { attachedReceiver, attachedSender, Signal } from "../amqp/support/loopback.ts";
import { eventually } from "../support/eventually.ts";

export interface Client extends AsyncDisposable {
  readonly connection: Connection;
  readonly closed: Signal<ConnectionEnd>;
}

/** How a server is reached, and what it can do. */
export interface EngineServer {
  /** How to reach it as whoever it lets do everything. */
  readonly dialOptions: () => Partial<DialOptions> & { readonly host: string; readonly port: number };
  /** Other ways to be let in, by name. */
  readonly ways: () => Readonly<Record<string, Partial<DialOptions>>>;
  /** Ways in which nobody is let in, by name. */
  readonly wrongWays: () => Readonly<Record<string, Partial<DialOptions>>>;
  readonly addressOf: (queue: string) => string;
  /** It gives credit back when that is to be drained. */
  readonly drains: boolean;
  /** What was released is redelivered. */
  readonly redelivers: boolean;
}

export async function connectTo(server: EngineServer, options: Partial<DialOptions> = {}): Promise<Client> {
  const opened = new Signal<Connection>("the server to open the connection");
  const closed = new Signal<ConnectionEnd>("the connection to be over");
  const connection = dial(
    { containerId: "holdfast-test", ...server.dialOptions(), ...options },
    { onOpen: opened.set, onClosed: (_connection, end) => closed.set(end) },
  );
  await Promise.race([opened.wait(), closed.wait()]);
  return {
    connection,
    closed,
    [Symbol.asyncDispose]: async () => {
      connection.close();
      await closed.wait();
    },
  };
}

/** Sends messages of the given sizes, as room comes, and waits until all have an outcome. */
export async function sendAll(connection: Connection, address: string, sizes: readonly number[], isSettled = false): Promise<string[]> {
  const outcomes: string[] = [];
  const queue = sizes.map((size, index) =>
    encodeMessage({
      header: { durable: true },
      properties: { messageId: `m${index}`, subject: "foreign" },
      applicationProperties: { index },
      body: { data: Buffer.alloc(size, index) },
    }),
  );
  const pump = (sender: Sender): void => {
    while (queue.length > 0 && sender.capacity() > 0) {
      const next = queue.shift()!;
      if (isSettled) sender.sendSettled(next, undefined);
      else sender.send(next, undefined);
    }
  };
  const ended = new Signal<LinkEnd>("the sender to be over");
  const sender = await attachedSender(
    connection.begin({}),
    { name: `to ${address} ${Math.random()}`, target: { address } },
    {
      onSendable: pump,
      onOutcome: (_delivery: OutgoingDelivery, state) => outcomes.push(state?.kind ?? "none"),
      onDetach: (_sender, end) => ended.set(end),
    },
  );
  await eventually("everything to be sent", () => queue.length === 0 && (isSettled || outcomes.length === sizes.length));
  sender.close();
  await ended.wait();
  return outcomes;
}

/** Takes and accepts messages until there are as many, over one link. */
export async function takeAll(connection: Connection, address: string, count: number): Promise<Delivery[]> {
  const got: Delivery[] = [];
  const receiver = await attachedReceiver(
    connection.begin({}),
    { name: `from ${address} ${Math.random()}`, source: { address } },
    {
      onDelivery: (delivery) => {
        got.push(delivery);
        delivery.settle(accepted);
      },
    },
  );
  receiver.addCredit(count);
  await eventually(`${count} messages`, () => got.length === count);
  receiver.close();
  return got;
}

function sizesOf(deliveries: readonly Delivery[]): number[] {
  return deliveries.map(({ message }) => message.data.length);
}

/** To be called inside a suite, once the server is up or will be by its `before`. */
export function engineChecks(server: EngineServer): void {
  test("lets the client in, and both close in order", async () => {
    const { connection, closed } = await connectTo(server);
    assert.equal(connection.state.at, "open");
    connection.close();
    assert.equal((await closed.wait()).by, "local");
  });

  test("lets the client in by every way that it has", async () => {
    for (const [name, options] of Object.entries(server.ways())) {
      await using client = await connectTo(server, options);
      assert.equal(client.connection.state.at, "open", name);
      const address = server.addressOf("ways");
      assert.deepEqual(await sendAll(client.connection, address, [100_000]), ["accepted"], name);
      assert.deepEqual(sizesOf(await takeAll(client.connection, address, 1)), [100_000], name);
    }
  });

  test("keeps the client out that comes by a wrong way", async () => {
    for (const [name, options] of Object.entries(server.wrongWays())) {
      const { closed } = await connectTo(server, options);
      assert.ok(["sasl", "socket", "peer"].includes((await closed.wait()).by), name);
    }
  });

  for (const frameBytesMax of [65_536, 1_024, 512]) {
    test(`takes and gives messages of any size in frames of ${frameBytesMax} bytes`, async () => {
      await using client = await connectTo(server, { limits: { frameBytesMax } });
      const address = server.addressOf(`sizes-${frameBytesMax}`);
      const sizes = [0, 1, 500, 1_000, 5_000, 70_000, 300_000];
      assert.deepEqual(
        await sendAll(client.connection, address, sizes),
        sizes.map(() => "accepted"),
      );
      const got = await takeAll(client.connection, address, sizes.length);
      assert.deepEqual(sizesOf(got), sizes);
      assert.deepEqual(
        got.map(({ message }) => [message.text("messageId"), message.text("subject"), message.applicationProperties?.number("index")]),
        sizes.map((_, index) => [`m${index}`, "foreign", index]),
      );
    });
  }

  checkFlow(server);
  checkOutcomes(server);
  checkQuiet(server);
}

function checkFlow(server: EngineServer): void {
  test("fills a window of three frames again and again, for two links at once", async () => {
    await using client = await connectTo(server, { limits: { incomingWindowFrames: 3, frameBytesMax: 1_024 } });
    const addresses = ["window-a", "window-b"].map((name) => server.addressOf(name));
    const sizes = Array.from({ length: 40 }, (_, index) => index * 100);
    for (const address of addresses) await sendAll(client.connection, address, sizes);
    const session = client.connection.begin({});
    const got = new Map<string, number[]>(addresses.map((address) => [address, []]));
    for (const [address, found] of got) {
      const receiver = await attachedReceiver(
        session,
        { name: address, source: { address } },
        {
          onDelivery: (delivery) => {
            found.push(delivery.message.data.length);
            delivery.settle(accepted);
          },
        },
      );
      receiver.addCredit(sizes.length);
    }
    await eventually("all messages", () => [...got.values()].every((found) => found.length === sizes.length));
    for (const found of got.values()) assert.deepEqual(found, sizes);
  });

  test("gives no more than it was given credit for", async () => {
    await using client = await connectTo(server);
    const address = server.addressOf("credit");
    await sendAll(
      client.connection,
      address,
      Array.from({ length: 20 }, () => 10),
    );
    const got: Delivery[] = [];
    const receiver = await attachedReceiver(
      client.connection.begin({}),
      { name: "credit", source: { address } },
      { onDelivery: (delivery) => void got.push(delivery) },
    );
    for (const [more, sum] of [
      [1, 1],
      [4, 5],
      [15, 20],
    ] as const) {
      receiver.addCredit(more);
      await eventually(`${sum} messages`, () => got.length === sum);
      assert.equal(receiver.credit, 0);
    }
    for (const delivery of got) delivery.settle(accepted);
    receiver.close();
  });

  if (!server.drains) return;
  test("gives what there is and the rest of the credit back when that is drained", async () => {
    await using client = await connectTo(server);
    const address = server.addressOf("drained");
    await sendAll(client.connection, address, [1, 2, 3]);
    const got: Delivery[] = [];
    const drained = new Signal("the drain to be done");
    const receiver = await attachedReceiver(
      client.connection.begin({}),
      { name: "drained", source: { address } },
      {
        onDelivery: (delivery) => {
          got.push(delivery);
          delivery.settle(accepted);
        },
        onDrained: () => drained.set(),
      },
    );
    receiver.addCredit(50);
    receiver.drain();
    await drained.wait();
    assert.deepEqual([sizesOf(got), receiver.credit, receiver.draining], [[1, 2, 3], 0, false]);
    await sendAll(client.connection, address, [4]);
    receiver.addCredit(1);
    await eventually("one more", () => got.length === 4);
    receiver.close();
  });
}

function checkOutcomes(server: EngineServer): void {
  test("hears each outcome, though all are settled in one tick", async () => {
    await using client = await connectTo(server);
    const address = server.addressOf("outcomes");
    const count = 400;
    await sendAll(
      client.connection,
      address,
      Array.from({ length: count }, () => 256),
    );
    const states: readonly DeliveryState[] = server.redelivers
      ? [accepted, released, rejected({ condition: "x:bad" })]
      : [accepted, rejected({ condition: "x:bad" })];
    const first: Delivery[] = [];
    const again: string[] = [];
    const receiver = await attachedReceiver(
      client.connection.begin({}),
      { name: "mixed", source: { address } },
      {
        onDelivery: (delivery) => {
          if (first.length < count) first.push(delivery);
          else {
            again.push(delivery.message.text("messageId") ?? "");
            delivery.settle(accepted);
          }
        },
      },
    );
    receiver.addCredit(count);
    await eventually("all messages", () => first.length === count);
    for (const [index, delivery] of first.entries()) delivery.settle(states[index % states.length]!);
    receiver.addCredit(count);
    const back = first.filter((_, index) => states[index % states.length] === released).map(({ message }) => message.text("messageId") ?? "");
    await eventually("what was given back", () => again.length === back.length);
    assert.deepEqual(again.toSorted(), back.toSorted());
    receiver.close();
  });
}

/** Three times as long as either side may be silent. */
const quietMs = 3_000;
const idleTimeOutMs = 1_000;

function checkQuiet(server: EngineServer): void {
  test("keeps a quiet connection up by heartbeats", async () => {
    await using client = await connectTo(server, { idleTimeOutMs });
    // Time is what is tried here: there is nothing to wait for.
    await pause(quietMs);
    const address = server.addressOf("quiet");
    assert.deepEqual([client.connection.state.at, await sendAll(client.connection, address, [1])], ["open", ["accepted"]]);
    assert.deepEqual(sizesOf(await takeAll(client.connection, address, 1)), [1]);
  });
}

export const plainLogin = (username: string, password: string): SaslCredentials => ({ mechanism: "PLAIN", username, password });
