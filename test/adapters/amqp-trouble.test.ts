import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import type { AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import { accepted, rejected } from "#runtime/amqp/message/delivery-state.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { MessageView } from "#runtime/amqp/message/message.ts";
import type { Delivery } from "#runtime/amqp/link/receiver.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import { array, long, timestamp } from "#runtime/amqp/codec/types.ts";
import { BrokerConnection, type OpenConnection } from "#runtime/adapters/amqp/broker-connection.ts";
import { parseNamespace } from "#runtime/adapters/amqp/namespace.ts";
import { batchFormat } from "#runtime/adapters/amqp/outgoing.ts";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { SendError } from "#runtime/core/errors.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import type { Transport } from "#runtime/ports/transport.ts";
import { newAwakeClock } from "../support/awake-time.ts";
import { eventually, within } from "../support/eventually.ts";
import { type Script, startScriptedService } from "../support/scripted-service.ts";
import { Inbox } from "../support/transport-bench.ts";

const clock = newAwakeClock();
const answerTimeoutMs = 300;

async function startTransport(t: TestContext, script: Script): Promise<Transport> {
  const { connectionString } = await startScriptedService(t, script);
  const transport = createAmqpTransport({ connectionString, entity: { queue: "input" }, clock, answerTimeoutMs });
  t.after(() => transport.stop());
  await transport.start();
  return transport;
}

async function startPublisher(t: TestContext, script: Script): Promise<Publisher> {
  const { connectionString } = await startScriptedService(t, script);
  const publisher = createAmqpPublisher({ connectionString, clock, answerTimeoutMs });
  t.after(() => publisher.stop());
  await publisher.start();
  return publisher;
}

function message(sequenceNumber: number): Buffer {
  return encodeMessage({
    messageAnnotations: { "x-opt-sequence-number": long(sequenceNumber), "x-opt-locked-until": timestamp(Date.now() + 60_000) },
    properties: { messageId: `m${sequenceNumber}` },
    body: { data: Buffer.from("body") },
  });
}

function tagOf(index: number): Buffer {
  const tag = Buffer.alloc(16);
  tag.writeUInt32LE(index, 0);
  return tag;
}

/** Attaches a receiver and sends it numbered messages, as many as there is credit, `count` at most. */
function deliver(request: AttachRequest, count: number, bytesOf: (index: number) => Buffer = message): Sender {
  let sent = 0;
  return request.acceptAsSender(
    { settles: "owner" },
    {
      onSendable(sender) {
        while (sent < count && sender.send(bytesOf(sent), undefined, tagOf(sent)) !== undefined) sent += 1;
      },
    },
  );
}

test("a connection that is about to end is not open: nobody begins anything on it, and all are told of its end", async (t) => {
  const { connectionString } = await startScriptedService(t, {});
  const broker = new BrokerConnection({ namespace: parseNamespace({ connectionString }), clock, answerTimeoutMs });
  t.after(() => broker.stop());
  const heard: string[] = [];
  const opened = Promise.withResolvers<OpenConnection>();
  const ended = Promise.withResolvers<void>();
  broker.join({
    opened: (connection) => (heard.push("opened"), opened.resolve(connection)),
    closed: () => (heard.push("closed"), ended.resolve()),
    wantsConnection: () => false,
  });
  broker.want();
  const connection = await within("the connection to open", opened.promise);
  assert.equal(broker.open, connection);
  connection.engine.close();
  assert.equal(broker.open, undefined);
  broker.join({ opened: () => heard.push("opened for one that came late"), closed: () => {}, wantsConnection: () => false });
  await within("the connection to end", ended.promise);
  assert.deepEqual(heard, ["opened", "closed"]);
});

test("whoever stops a connection gets what a callback throws that hears of the end", async (t) => {
  const { connectionString } = await startScriptedService(t, {});
  const broker = new BrokerConnection({ namespace: parseNamespace({ connectionString }), clock, answerTimeoutMs });
  const { engine } = await new Promise<OpenConnection>((opened) => {
    broker.join({ wantsConnection: () => true, opened, closed() {} });
    broker.want();
  });
  const bug = new Error("bug");
  engine.begin({
    onEnd() {
      throw bug;
    },
  });
  await assert.rejects(broker.stop(), bug);
});

test("attaches again with what is left of its credit when the broker lets go of an idle link", async (t) => {
  const credits: number[] = [];
  const transport = await startTransport(t, {
    onReceiver(request) {
      request.acceptAsSender(
        {},
        {
          onSendable(sender) {
            credits.push(sender.credit);
            if (credits.length > 1) return;
            for (let index = 0; index < 3; index++) sender.send(message(index), undefined, tagOf(index));
            sender.close({ condition: "amqp:link:detach-forced", description: "idle" });
          },
        },
      );
    },
  });
  const inbox = new Inbox(transport);
  inbox.addCredit(10);
  await eventually("another link", () => credits.length === 2);
  assert.deepEqual([credits, inbox.deliveries.length], [[10, 7], 3]);
  assert.match(inbox.disturbances[0]?.message ?? "", /expected to receive from input, found amqp:link:detach-forced: idle/);
});

test("answers unknown when the broker does not answer", async (t) => {
  const transport = await startTransport(t, {
    onReceiver: (request) => void deliver(request, 2),
    onManagement: (operation) => (operation === "peek-message" ? { code: 204 } : undefined),
  });
  const inbox = new Inbox(transport);
  inbox.addCredit(2);
  const deliveries = await inbox.upTo(2);
  const fromMs = clock.monotonicMs();
  assert.deepEqual(await within("an answer", transport.renew(deliveries)), [{ kind: "unknown" }, { kind: "unknown" }]);
  assert.deepEqual(await within("an answer", transport.settle(deliveries.map((delivery) => ({ verb: "complete", delivery })))), ["unknown", "unknown"]);
  assert.ok(clock.monotonicMs() - fromMs < 10 * answerTimeoutMs);
});

test("makes another link for its requests when the one it has never answers", async (t) => {
  let looks = 0;
  const transport = await startTransport(t, { onManagement: (operation) => (operation === "peek-message" && (looks += 1) !== 2 ? { code: 204 } : undefined) });
  await assert.rejects(transport.hasBacklog(), /expected an answer from input\/\$management within 300 ms, found none/);
  assert.equal(await within("an answer", transport.hasBacklog()), false);
});

test("goes on asking when more requests than may be open have had no answer", async (t) => {
  // One request in two is answered, so that the link itself is good.
  let asked = 0;
  const transport = await startTransport(t, {
    onReceiver: (request) => void deliver(request, 250),
    onManagement: (operation) => (operation === "peek-message" || (asked += 1) % 2 === 0 ? { code: 204 } : undefined),
  });
  const inbox = new Inbox(transport);
  inbox.addCredit(250);
  const deliveries = await inbox.upTo(250);
  for (let from = 0; from < 250; from += 50) await Promise.all(deliveries.slice(from, from + 50).map((delivery) => transport.renew([delivery])));
  assert.equal(asked, 250);
  assert.equal(await within("an answer", transport.hasBacklog()), false);
});

test("takes no second order for a delivery", async (t) => {
  const transport = await startTransport(t, { onReceiver: (request) => void deliver(request, 1) });
  const inbox = new Inbox(transport);
  inbox.addCredit(1);
  const delivery = await inbox.at(0);
  const [, second] = await Promise.all([transport.settle([{ verb: "complete", delivery }]), transport.settle([{ verb: "abandon", delivery }])]);
  assert.deepEqual(second, ["unknown"]);
});

test("renews a thousand locks a request, and finds the one that is lost", async (t) => {
  const count = 2_500;
  const lost = 1_234;
  const sizes: number[] = [];
  const until = Date.UTC(2030, 0, 1);
  const transport = await startTransport(t, {
    onReceiver: (request) => void deliver(request, count),
    onManagement(operation, request) {
      if (operation === "peek-message") return { code: 204 };
      const [body] = request.values();
      const fields = body?.plain();
      const tokens = fields instanceof Map ? (fields as ReadonlyMap<unknown, unknown>).get("lock-tokens") : undefined;
      assert.ok(operation === "renew-lock" && Array.isArray(tokens));
      sizes.push(tokens.length);
      // A token is the tag's GUID in the network's byte order, so that its first group reads as the number.
      const numbers = tokens.map((token) => Number.parseInt(String(token).slice(0, 8), 16));
      if (numbers.includes(lost)) return { code: 410, condition: "com.microsoft:message-lock-lost" };
      return {
        code: 200,
        body: {
          expirations: array(
            "timestamp",
            numbers.map((number) => timestamp(until + number)),
          ),
        },
      };
    },
  });
  const inbox = new Inbox(transport);
  inbox.addCredit(count);
  const deliveries = await inbox.upTo(count);
  const results = await transport.renew(deliveries);
  assert.deepEqual(sizes.slice(0, 3), [1_000, 1_000, 500]);
  assert.ok(sizes.length <= 3 + 2 * 10, `expected one request in halves, found ${sizes.length} requests`);
  results.forEach((result, index) => {
    assert.deepEqual(result, index === lost ? { kind: "lock-lost" } : { kind: "renewed", lockedUntilMs: until + index });
    if (index !== lost) assert.equal(deliveries[index]?.lockedUntilMs, until + index);
  });
});

test("tells what it can of a message that is not well formed", async (t) => {
  const good = message(5);
  const cut = [good.subarray(0, good.length - 3), Buffer.from([0x00, 0x53, 0x75, 0xa0, 0xff]), Buffer.alloc(0), Buffer.from("no AMQP at all")];
  const transport = await startTransport(t, { onReceiver: (request) => void deliver(request, cut.length, (index) => cut[index] ?? good) });
  const inbox = new Inbox(transport);
  inbox.addCredit(cut.length);
  for (const delivery of await inbox.upTo(cut.length)) {
    const { messageId, sequenceNumber, attempt, lockedUntilMs, enqueuedAtMs, contentType, correlationId, subject, body } = delivery;
    assert.deepEqual([messageId, sequenceNumber, attempt, lockedUntilMs, enqueuedAtMs], ["", 0n, 1, 0, 0]);
    assert.deepEqual(
      [contentType, correlationId, subject, body.length, delivery.header("eventId"), delivery.headers()],
      [undefined, undefined, undefined, 0, undefined, {}],
    );
  }
  assert.equal(inbox.disturbances.length, 0);
});

test("sends again, in order and on another connection, what a broker did not answer", async (t) => {
  const received: string[] = [];
  let links = 0;
  const publisher = await startPublisher(t, {
    onSender(request) {
      const answers = (links += 1) > 1;
      request
        .acceptAsReceiver(
          {},
          {
            onDelivery(delivery) {
              if (!answers) return;
              received.push(delivery.message.text("messageId") ?? "");
              delivery.settle(accepted);
            },
          },
        )
        .addCredit(10);
    },
  });
  const sends: Promise<void>[] = [];
  for (let index = 0; index < 5; index++) {
    sends.push(publisher.send("input", [{ messageId: `m${index}`, body: Buffer.alloc(600_000), headers: {} }]));
    await new Promise((resolve) => setImmediate(resolve));
  }
  await within("all to be accepted", Promise.all(sends));
  assert.deepEqual(received, ["m0", "m1", "m2", "m3", "m4"]);
  assert.equal(links, 2);
});

test("goes on when the broker detaches a sender", async (t) => {
  let links = 0;
  const publisher = await startPublisher(t, {
    onSender(request) {
      const first = (links += 1) === 1;
      const receiver = request.acceptAsReceiver(
        {},
        {
          onDelivery(delivery) {
            if (first) receiver.close({ condition: "amqp:link:detach-forced", description: "moved" });
            else delivery.settle(accepted);
          },
        },
      );
      receiver.addCredit(10);
    },
  });
  await within("it to be accepted", publisher.send("input", [{ messageId: "m", body: Buffer.alloc(1), headers: {} }]));
  assert.equal(links, 2);
});

for (const way of ["refuses the batch of", "detaches the link for"] as const) {
  test(`finds the one message that the broker ${way}, and sends all others`, async (t) => {
    const received: string[] = [];
    const isGuilty = (id: string): boolean => id === "guilty";
    const trouble = { condition: "amqp:not-allowed", description: "no such message here" };
    const publisher = await startPublisher(t, {
      onSender(request) {
        const receiver = request.acceptAsReceiver(
          {},
          {
            onDelivery(delivery) {
              const ids = idsOf(delivery);
              if (!ids.some(isGuilty)) {
                received.push(...ids);
                delivery.settle(accepted);
              } else if (way === "refuses the batch of") delivery.settle(rejected(trouble));
              else receiver.close(trouble);
            },
          },
        );
        receiver.addCredit(100);
      },
    });
    const ids = ["a", "b", "guilty", "c", "d"];
    const sent = publisher.send(
      "input",
      ids.map((messageId) => ({ messageId, body: Buffer.alloc(1), headers: {} })),
    );
    const error: unknown = await within("the refusal", sent).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof SendError, String(error));
    assert.deepEqual(
      Array.from(error.failed, ([{ messageId }, { isPermanent }]) => [messageId, isPermanent]),
      [["guilty", true]],
    );
    assert.deepEqual(received.toSorted(), ["a", "b", "c", "d"]);
  });
}

/** Of the message, or of all in a batch. */
function idsOf({ messageFormat, message: view }: Delivery): string[] {
  const views = messageFormat === batchFormat ? view.dataSections().map((bytes) => new MessageView(bytes)) : [view];
  return views.map((each) => each.text("messageId") ?? "");
}
