// Values in requests that are not what they should be, or broken inside: the request is refused, and the broker goes on.
import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { type Encodable, int, Raw, symbol, timestamp, Typed } from "#runtime/amqp/codec/types.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { startBroker } from "#load/broker/broker.ts";
import { attachedSender, Signal } from "../amqp/support/loopback.ts";
import { startBench } from "../support/broker.ts";
import { askForReceiver, connectWire, type Reply, WireNode } from "../support/broker-wire.ts";
import { ManualClock } from "../support/manual-clock.ts";

interface Bench {
  readonly clock: ManualClock;
  readonly activeIn: (path: string) => number | undefined;
  /** Messages of a queue or a topic that wait for their time. */
  readonly scheduledIn: (path: string) => number | undefined;
  readonly node: (address: string) => Promise<WireNode>;
  readonly ask: (entity: string, operation: string, body: Encodable) => Promise<Reply>;
}

async function start(t: TestContext): Promise<Bench> {
  const clock = new ManualClock();
  const broker = await startBroker({ entities: { queues: ["orders", { name: "steps", requiresSession: true }], topics: ["news"] }, clock });
  t.after(() => broker.stop());
  const { connection } = await connectWire(t, broker);
  const nodes = new Map<string, WireNode>();
  return {
    clock,
    activeIn: (path) => broker.inspect().queues[path]?.states.active,
    scheduledIn: (path) => broker.inspect().queues[path]?.states.scheduled ?? broker.inspect().topics[path]?.scheduled,
    node: (address) => WireNode.open(connection.begin({}), address),
    async ask(entity, operation, body) {
      const node = nodes.get(entity) ?? (await WireNode.open(connection.begin({}), `${entity}/$management`));
      nodes.set(entity, node);
      return node.ask(`com.microsoft:${operation}`, body);
    },
  };
}

/** A message for a time, or for whatever stands in its place. */
function scheduledFor(time: Encodable, groupId = "s"): { readonly message: Buffer } {
  return { message: encodeMessage({ messageAnnotations: { "x-opt-scheduled-enqueue-time": time }, properties: { groupId }, body: { data: Buffer.alloc(1) } }) };
}

for (const odd of [0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
  const double = new Typed("double", odd);
  test(`refuses ${odd} where a count or a place is wanted`, async (t) => {
    const { ask, activeIn, clock } = await start(t);
    await ask("steps", "schedule-message", { messages: [scheduledFor(timestamp(clock.now()))] });
    clock.advance(1);
    const late = new Date(8_640_000_000_000_000);
    const answers = [
      await ask("steps", "get-message-sessions", { "last-updated-time": late, skip: double, top: int(10) }),
      await ask("steps", "get-message-sessions", { "last-updated-time": late, skip: int(0), top: double }),
      await ask("steps", "batch-delete-messages", { "message-count": double, "enqueued-time-utc": late }),
      await ask("steps", "peek-message", { "from-sequence-number": int(0), "message-count": double }),
    ];
    assert.deepEqual(
      answers.map(({ code, condition }) => [code, condition]),
      answers.map(() => [400, "amqp:invalid-field"]),
    );
    assert.equal(activeIn("steps"), 1);
  });
}

for (const entity of ["orders", "news"]) {
  test(`keeps no message to ${entity} waiting behind one for a time that is no number`, async (t) => {
    const { ask, clock, scheduledIn } = await start(t);
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY]) await ask(entity, "schedule-message", { messages: [scheduledFor(new Typed("double", odd))] });
    await ask(entity, "schedule-message", { messages: [scheduledFor(timestamp(clock.now() + 1_000))] });
    clock.advance(1_000);
    assert.equal(scheduledIn(entity), 0);
  });
}

/** A symbol, as far as its length goes, but not ASCII. */
const broken = new Raw(Buffer.from([0xa3, 1, 0xff]));
for (const [what, address, operation, body, properties] of [
  ["a token", "$cbs", "put-token", broken, { type: "servicebus.windows.net:sastoken", name: "sb://localhost/orders" }],
  ["a token's place", "$cbs", "put-token", "token", { type: "servicebus.windows.net:sastoken", name: broken }],
  ["an operation", "orders/$management", "com.microsoft:peek-message", {}, { operation: broken }],
  ["a field", "orders/$management", "com.microsoft:peek-message", { "from-sequence-number": broken }, {}],
  ["a tracking id", "orders/$management", "com.microsoft:peek-message", {}, { "com.microsoft:tracking-id": broken }],
] as readonly (readonly [what: string, address: string, operation: string, body: Encodable, properties: Record<string, Encodable>])[]) {
  test(`answers a request of which ${what} is broken inside`, async (t) => {
    const { node } = await start(t);
    const asked = await (await node(address)).ask(operation, body, { properties });
    assert.deepEqual([asked.code, asked.condition], [400, "amqp:decode-error"]);
  });
}

test("a client that waits for a session with odd capabilities is the only one that they concern", async (t) => {
  const { broker } = await startBench(t, { entities: { queues: [{ name: "steps", requiresSession: true }] } });
  const waiting = await connectWire(t, broker);
  // The specification has symbols there, which are ASCII.
  const source = new Raw(
    encodeComposite(descriptor.source, ["steps", ...Array<undefined>(6), new Map([[symbol("com.microsoft:session-filter"), null]]), undefined, ["é"], "ü"]),
  );
  const answer = askForReceiver(waiting.connection.begin({}), { name: "waits", source, receiverSettleMode: "second", senderSettleMode: "unsettled" });
  const sending = await connectWire(t, broker);
  const outcome = new Signal<string | undefined>("an outcome");
  const sender = await attachedSender(
    sending.connection.begin({}),
    { name: "sends", target: { address: "steps" } },
    {
      onSendable: (link) => void link.send(encodeMessage({ properties: { groupId: "s" }, body: { data: Buffer.alloc(1) } }), undefined),
      onOutcome: (_delivery, state) => outcome.set(state?.kind),
    },
  );
  assert.equal(await outcome.wait(), "accepted");
  const { remote } = await answer;
  assert.deepEqual(
    [sender.isAttached, remote?.source?.filter?.get("com.microsoft:session-filter"), remote?.source?.outcomes, remote?.source?.capabilities],
    [true, "s", ["é"], ["ü"]],
  );
});
