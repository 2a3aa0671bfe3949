// The engine against rhea, an implementation of others: our client with its server, our server with its client.
import { strict as assert } from "node:assert";
import type { AddressInfo, Server } from "node:net";
import { describe, test } from "node:test";
import rhea from "rhea";
import type { Connection as RheaConnection, ConnectionOptions as RheaOptions, Container, EventContext } from "rhea";
import type { AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import type { ConnectionEnd } from "#runtime/amqp/connection/connection-options.ts";
import type { Connection } from "#runtime/amqp/connection/connection.ts";
import { accepted, modified, rejected, released } from "#runtime/amqp/message/delivery-state.ts";
import type { DeliveryState } from "#runtime/amqp/message/delivery-state.ts";
import type { Limits } from "#runtime/amqp/codec/limits.ts";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { Delivery, Receiver } from "#runtime/amqp/link/receiver.ts";
import type { SaslCredentials } from "#runtime/amqp/security/sasl.ts";
import { parsePlain } from "#runtime/amqp/security/sasl.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import { dial, listen } from "#runtime/amqp/connection/sockets.ts";
import type { ConnectionEvents } from "#runtime/amqp/connection/connection.ts";
import { eventually } from "../support/eventually.ts";
import { Signal, attachedReceiver, attachedSender } from "./support/loopback.ts";

interface RheaDelivery {
  readonly id: number;
  readonly state?: unknown;
  remote_settled: boolean;
  update(settled: boolean, state?: unknown): void;
}

interface RheaServer extends AsyncDisposable {
  readonly container: Container;
  readonly port: number;
}

/** Runs tasks one a tick: rhea merges outcomes that differ when they share one. */
function onePerTick(): (task: () => void) => void {
  const tasks: (() => void)[] = [];
  const step = (): void => {
    tasks.shift()?.();
    if (tasks.length > 0) setImmediate(step);
  };
  return (task) => {
    tasks.push(task);
    if (tasks.length === 1) setImmediate(step);
  };
}

/** The bytes of a message whose body is data. */
function contentOf(message: EventContext["message"]): Buffer {
  const body: unknown = message?.body;
  return (body as { readonly content: Buffer }).content;
}

async function startRheaServer(options: object = {}): Promise<RheaServer> {
  const container = rhea.create_container();
  container.sasl_server_mechanisms["enable_anonymous"]();
  container.sasl_server_mechanisms["enable_plain"]((user: string, password: string) => user === "user" && password === "secret");
  // rhea answers an attach without source and target unless asked to; without them it refuses.
  container.on("sender_open", ({ sender }: EventContext) => sender?.set_source({ address: sender.source?.address ?? "none" }));
  container.on("receiver_open", ({ receiver }: EventContext) => receiver?.set_target({ address: receiver.target?.address ?? "none" }));
  const server: Server = container.listen({ port: 0, host: "127.0.0.1", ...options } as never);
  const connections: RheaConnection[] = [];
  container.on("connection_open", ({ connection }: EventContext) => connections.push(connection));
  container.on("disconnected", () => undefined);
  container.on("connection_error", () => undefined);
  await eventually("rhea's server", () => server.listening);
  return {
    container,
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const ended = new Promise((resolve) => {
        server.close(resolve);
      });
      for (const connection of connections) connection.close();
      await ended;
    },
  };
}

async function openTo(
  port: number,
  options: { readonly sasl?: SaslCredentials; readonly frameBytesMax?: number } = {},
): Promise<{ readonly connection: Connection; readonly closed: Signal<ConnectionEnd> }> {
  const opened = new Signal<Connection>("the connection to open");
  const closed = new Signal<ConnectionEnd>("the connection to be over");
  dial(
    {
      containerId: "ours",
      host: "127.0.0.1",
      port,
      sasl: options.sasl ?? { mechanism: "ANONYMOUS" },
      ...(options.frameBytesMax !== undefined && { limits: { frameBytesMax: options.frameBytesMax } }),
    },
    { onOpen: opened.set, onClosed: (_connection, end) => closed.set(end) },
  );
  return { connection: await opened.wait(), closed };
}

describe("our client with rhea's server", () => {
  for (const sasl of [{ mechanism: "ANONYMOUS" }, { mechanism: "PLAIN", username: "user", password: "secret" }] as const) {
    test(`opens and closes by ${sasl.mechanism}`, async () => {
      await using server = await startRheaServer({ container_id: "theirs" });
      const { connection, closed } = await openTo(server.port, { sasl });
      assert.equal(connection.remote?.containerId, "theirs");
      connection.close();
      assert.equal((await closed.wait()).by, "local");
    });
  }

  test("is told that its password is wrong", async () => {
    await using server = await startRheaServer();
    const closed = new Signal<ConnectionEnd>("the connection to be over");
    dial(
      { containerId: "ours", host: "127.0.0.1", port: server.port, sasl: { mechanism: "PLAIN", username: "user", password: "wrong" } },
      { onClosed: (_connection, end) => closed.set(end) },
    );
    assert.equal((await closed.wait()).by, "sasl");
  });

  for (const receiverSettleMode of ["first", "second"] as const) {
    test(`receives and settles ${receiverSettleMode}, every outcome its own`, async () => {
      await using server = await startRheaServer();
      const outcomes = new Map<number, string>();
      const sentIds = new Map<RheaDelivery, number>();
      let next = 0;
      server.container.on("sendable", ({ sender }: EventContext) => {
        while (sender?.sendable() === true && next < 200) {
          const sent: unknown = sender.send({ message_id: String(next), application_properties: { n: next }, body: `body ${next}` });
          sentIds.set(sent as RheaDelivery, next);
          next++;
        }
      });
      const note =
        (kind: string) =>
        ({ delivery }: EventContext) => {
          const sent = delivery as unknown as RheaDelivery;
          outcomes.set(sentIds.get(sent) ?? -1, kind);
          if (receiverSettleMode === "second") {
            sent.update(true, (sent as unknown as { remote_state: { described(): unknown } }).remote_state.described());
            sent.remote_settled = true;
          }
        };
      for (const kind of ["accepted", "rejected", "modified", "released"] as const) server.container.on(kind, note(kind));
      const { connection, closed } = await openTo(server.port);
      const states: readonly DeliveryState[] = [accepted, accepted, rejected({ condition: "x:bad" }), modified({ undeliverableHere: true })];
      const kinds = ["accepted", "accepted", "rejected", "modified"];
      const held: Delivery[] = [];
      let answered = 0;
      const receiver = await attachedReceiver(
        connection.begin({}),
        { name: "r", source: { address: "q" }, senderSettleMode: "unsettled", receiverSettleMode },
        {
          onDelivery: (delivery) => held.push(delivery),
          onDeliveriesEnd: () => {
            for (const delivery of held.splice(0).toReversed()) {
              const n = delivery.message.applicationProperties?.number("n") ?? -1;
              assert.equal(delivery.message.text("messageId"), String(n));
              assert.equal(delivery.message.values()[0]?.plain(), `body ${n}`);
              delivery.settle(states[n % 4]!);
            }
          },
          onSettled: () => answered++,
        },
      );
      receiver.addCredit(200);
      // rhea names a modified outcome twice, as modified and as released.
      await eventually("all outcomes", () => outcomes.size === 200 && (receiverSettleMode === "first" || answered === 200));
      for (let n = 0; n < 200; n++) assert.ok(outcomes.get(n) === kinds[n % 4] || (n % 4 === 3 && outcomes.get(n) === "released"), `${n}: ${outcomes.get(n)}`);
      connection.close();
      await closed.wait();
    });
  }

  test("sends messages of many frames and hears their outcomes", async () => {
    await using server = await startRheaServer({ max_frame_size: 1_024, receiver_options: { autoaccept: false } });
    const sizes: number[] = [];
    const settleLater = onePerTick();
    server.container.on("message", ({ message, delivery }: EventContext) => {
      sizes.push(contentOf(message).length);
      const even = sizes.length % 2 === 0;
      settleLater(() => (even ? delivery?.reject({ condition: "x:even", description: "no" }) : delivery?.accept()));
    });
    const { connection, closed } = await openTo(server.port);
    const outcomes: string[] = [];
    const wanted = [0, 10, 900, 950, 1_000, 20_000, 1];
    const queue = wanted.map((size) => encodeMessage({ body: { data: Buffer.alloc(size, "x") } }));
    const pump = (sender: Sender<number>): void => {
      for (let message = queue.shift(); message !== undefined; message = queue.shift()) sender.send(message, message.length);
    };
    await attachedSender<number>(
      connection.begin({}),
      { name: "s", target: { address: "q" } },
      { onSendable: pump, onOutcome: (_delivery, state) => outcomes.push(state?.error?.condition ?? state?.kind ?? "none") },
    );
    await eventually("all outcomes", () => outcomes.length === wanted.length);
    assert.deepEqual(sizes, wanted);
    assert.deepEqual(outcomes, ["accepted", "x:even", "accepted", "x:even", "accepted", "x:even", "accepted"]);
    connection.close();
    await closed.wait();
  });

  test("drains a sender of rhea's", async () => {
    await using server = await startRheaServer({ sender_options: { autosettle: true } });
    server.container.on("sender_open", ({ sender }: EventContext) => void sender?.send({ body: "one" }));
    server.container.on("sender_draining", ({ sender }: EventContext) => sender?.set_drained(true));
    const { connection, closed } = await openTo(server.port);
    const drained = new Signal<Receiver>("the drain");
    let got = 0;
    const receiver = await attachedReceiver(connection.begin({}), { name: "r", source: { address: "q" } }, { onDelivery: () => got++, onDrained: drained.set });
    receiver.addCredit(10);
    await eventually("the one message", () => got === 1);
    receiver.drain();
    assert.equal((await drained.wait()).credit, 0);
    connection.close();
    await closed.wait();
  });

  test("is told why a link or the connection was closed", async () => {
    await using server = await startRheaServer();
    server.container.on("sender_open", ({ sender }: EventContext) => sender?.close({ condition: "amqp:not-found", description: "nothing there" }));
    server.container.on("receiver_open", ({ connection }: EventContext) => connection.close({ condition: "amqp:connection:forced", description: "enough" }));
    const { connection, closed } = await openTo(server.port);
    const ended = new Signal<LinkEnd>("the link to be over");
    const session = connection.begin({});
    session.openReceiver({ name: "r", source: { address: "nothing" } }, { onDelivery: () => undefined, onDetach: (_link, end) => ended.set(end) });
    const end = await ended.wait();
    assert.deepEqual([end.by, end.error?.condition, end.error?.description], ["peer", "amqp:not-found", "nothing there"]);
    session.openSender({ name: "s", target: { address: "x" } }, {});
    assert.equal((await closed.wait()).error?.condition, "amqp:connection:forced");
  });
});

interface OurServer extends AsyncDisposable {
  readonly port: number;
}

/** Our server, where receivers get `count` messages and senders are taken from. */
async function startOurServer(
  onAttach: (request: AttachRequest) => void,
  options: { readonly limits?: Partial<Limits>; readonly idleTimeOutMs?: number } = {},
  events: ConnectionEvents = {},
): Promise<OurServer> {
  const listener = await listen(
    {
      containerId: "ours",
      port: 0,
      idleTimeOutMs: options.idleTimeOutMs,
      limits: options.limits,
      sasl: {
        mechanisms: ["ANONYMOUS", "PLAIN"],
        authenticate: ({ mechanism, response }, decide) => decide(mechanism === "ANONYMOUS" || parsePlain(response)?.password === "secret"),
      },
    },
    { onSession: () => ({ onAttach }), ...events },
  );
  return { port: listener.port, [Symbol.asyncDispose]: () => listener.close() };
}

function connectRhea(port: number, options: Partial<RheaOptions> = {}): RheaConnection {
  const container = rhea.create_container();
  container.on("disconnected", () => undefined);
  container.on("connection_error", () => undefined);
  return container.connect({ port, host: "127.0.0.1", reconnect: false, ...options });
}

async function closeRhea(connection: RheaConnection): Promise<void> {
  const closed = new Signal("rhea's connection to be over");
  connection.on("connection_close", () => closed.set());
  connection.close();
  await closed.wait();
}

describe("our server with rhea's client", () => {
  test("opens and closes, with and without SASL PLAIN", async () => {
    await using server = await startOurServer(() => undefined, { idleTimeOutMs: 1_000 });
    for (const options of [{ username: "user", password: "secret" }, { username: "anonymous" }]) {
      const connection = connectRhea(server.port, { ...options, container_id: "theirs", idle_time_out: 5_000 });
      const opened = new Signal<EventContext>("rhea's connection to open");
      connection.on("connection_open", opened.set);
      assert.equal((await opened.wait()).connection.container_id, "ours");
      await closeRhea(connection);
    }
  });

  test("lets a client know that its password is wrong", async () => {
    await using server = await startOurServer(() => undefined);
    const failed = new Signal<unknown>("rhea to fail");
    const connection = connectRhea(server.port, { username: "user", password: "wrong" });
    connection.on("connection_error", failed.set);
    connection.on("disconnected", failed.set);
    await failed.wait();
  });

  for (const receiverSettleMode of [0, 1] as const) {
    test(`delivers and settles with mode ${receiverSettleMode === 0 ? "first" : "second"}, in many frames`, async () => {
      const outcomes = new Map<number, string>();
      const sizes = [0, 100, 400, 450, 500, 5_000, 30_000, 1];
      const source = (request: AttachRequest): void => {
        let next = 0;
        request.acceptAsSender<number>(
          { settles: "owner" },
          {
            onSendable: (sender) => {
              while (next < sizes.length && sender.capacity() > 0) {
                const body = encodeMessage({
                  properties: { messageId: `m${next}` },
                  applicationProperties: { n: next },
                  body: { data: Buffer.alloc(sizes[next]!, "x") },
                });
                sender.send([body.subarray(0, 7), body.subarray(7)], next, Buffer.from(`tag ${next}`));
                next++;
              }
            },
            onDrain: (sender) => sender.drained(),
            onOutcome: (delivery, state, settled) => {
              outcomes.set(delivery.context, state?.error?.condition ?? state?.kind ?? "none");
              if (!settled) delivery.settle(state);
            },
          },
        );
      };
      await using server = await startOurServer(source);
      const connection = connectRhea(server.port, { username: "anonymous", max_frame_size: 512 });
      const got: [number, number][] = [];
      let settled = 0;
      const receiver = connection.open_receiver({ source: "q", rcv_settle_mode: receiverSettleMode, autoaccept: false, credit_window: 0 });
      receiver.on("receiver_open", () => receiver.add_credit(20));
      const settleLater = onePerTick();
      receiver.on("message", ({ message, delivery }: EventContext) => {
        const n = Number(message?.application_properties?.["n"]);
        got.push([n, contentOf(message).length]);
        settleLater(() => {
          if (n % 3 === 0) delivery?.accept();
          else if (n % 3 === 1) delivery?.reject({ condition: "x:bad", description: "bad" });
          else delivery?.release({ undeliverable_here: true });
        });
      });
      receiver.on("settled", () => settled++);
      await eventually("all outcomes", () => outcomes.size === sizes.length && (receiverSettleMode === 0 || settled === sizes.length));
      assert.deepEqual(
        got,
        sizes.map((size, n) => [n, size]),
      );
      assert.deepEqual(
        [...outcomes].sort(([a], [b]) => a - b).map(([, kind]) => kind),
        sizes.map((_, n) => ["accepted", "x:bad", "modified"][n % 3]),
      );
      const drained = new Signal("rhea to hear of the drain");
      receiver.on("receiver_drained", () => drained.set());
      receiver.drain_credit();
      await drained.wait();
      await closeRhea(connection);
    });
  }

  test("takes messages and tells their outcomes", async () => {
    const texts: string[] = [];
    const sink = (request: AttachRequest): void => {
      const receiver = request.acceptAsReceiver(
        { receiverSettleMode: "first", maxMessageSize: 1_048_576 },
        {
          onDelivery: (delivery) => {
            const plain = delivery.message.values()[0]?.plain();
            const text = typeof plain === "string" ? plain : "";
            texts.push(`${text.length} ${delivery.message.text("subject")}`);
            delivery.settle(text.startsWith("bad") ? rejected({ condition: "x:bad", description: "bad" }) : text.startsWith("later") ? released : accepted);
          },
        },
      );
      receiver.addCredit(10);
    };
    await using server = await startOurServer(sink, { limits: { frameBytesMax: 600 } });
    const connection = connectRhea(server.port, { username: "anonymous" });
    const outcomes: string[] = [];
    const sender = connection.open_sender({ target: "q" });
    for (const kind of ["accepted", "rejected", "released"] as const) {
      sender.on(kind, ({ delivery }: EventContext) => outcomes.push(`${(delivery as unknown as RheaDelivery).id} ${kind}`));
    }
    sender.once("sendable", () => {
      for (const text of ["good", "bad", "later", "good".padEnd(5_000, ".")]) sender.send({ subject: "s", body: text });
    });
    await eventually("all outcomes", () => outcomes.length === 4);
    assert.deepEqual(texts, ["4 s", "3 s", "5 s", "5000 s"]);
    assert.deepEqual(outcomes, ["0 accepted", "1 rejected", "2 released", "3 accepted"]);
    await closeRhea(connection);
  });

  test("tells the owner of a message that is too large, and takes the next", async () => {
    const taken: number[] = [];
    const tooLarge: [length: number, kept: number][] = [];
    const sink = (request: AttachRequest): void => {
      const receiver = request.acceptAsReceiver(
        { receiverSettleMode: "first", maxMessageSize: 1_000 },
        {
          onDelivery: (delivery) => {
            taken.push(delivery.message.bytes.length);
            delivery.settle(accepted);
          },
          onTooLarge: (delivery, length) => {
            tooLarge.push([length, delivery.message.bytes.length]);
            delivery.settle(rejected({ condition: "x:large" }));
          },
        },
      );
      receiver.addCredit(10);
    };
    await using server = await startOurServer(sink, { limits: { partialBytesMax: 100_000 } });
    const connection = connectRhea(server.port, { username: "anonymous" });
    const outcomes: string[] = [];
    const sender = connection.open_sender({ target: "q" });
    for (const kind of ["accepted", "rejected"] as const) sender.on(kind, () => outcomes.push(kind));
    sender.once("sendable", () => {
      for (const size of [100, 2_000, 300_000, 999]) sender.send(Buffer.alloc(size), undefined, 0);
    });
    await eventually("all outcomes", () => outcomes.length === 4);
    assert.deepEqual(outcomes.toSorted(), ["accepted", "accepted", "rejected", "rejected"]);
    assert.deepEqual(taken, [100, 999]);
    assert.deepEqual(tooLarge, [
      [2_000, 0],
      [300_000, 0],
    ]);
    await closeRhea(connection);
  });

  test("refuses and closes links with an error that rhea understands", async () => {
    const accepted = new Signal<Sender>("the link");
    const onAttach = (request: AttachRequest): void => {
      if (request.attach.source?.address === "missing") request.refuse({ condition: "amqp:not-found", description: "no queue" });
      else accepted.set(request.acceptAsSender({}, {}));
    };
    await using server = await startOurServer(onAttach);
    const connection = connectRhea(server.port, { username: "anonymous" });
    for (const address of ["missing", "there"]) {
      const failed = new Signal<EventContext>("rhea to hear of the error");
      const receiver = connection.open_receiver({ source: address });
      receiver.on("receiver_error", failed.set);
      if (address === "there") (await accepted.wait()).close({ condition: "amqp:link:detach-forced", description: "off" });
      const { receiver: ended } = await failed.wait();
      assert.equal(
        (ended?.error as { readonly condition: string } | undefined)?.condition,
        address === "missing" ? "amqp:not-found" : "amqp:link:detach-forced",
      );
    }
    await closeRhea(connection);
  });
});
