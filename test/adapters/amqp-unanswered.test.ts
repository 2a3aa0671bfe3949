// What the adapter does where a peer leaves no room for a link, or never answers one.
import { strict as assert } from "node:assert";
import { test, type TestContext } from "node:test";
import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import { checkCanSend } from "#runtime/adapters/amqp/check-sending.ts";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { SendError, TransportError } from "#runtime/core/errors.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import type { Transport } from "#runtime/ports/transport.ts";
import { newAwakeClock } from "../support/awake-time.ts";
import { eventually, within } from "../support/eventually.ts";
import { type Script, startScriptedService } from "../support/scripted-service.ts";
import { Inbox } from "../support/transport-bench.ts";

const clock = newAwakeClock();
/** So long that what is answered is answered within it, on a busy machine, too. */
const answerTimeoutMs = 500;
const message = { messageId: "m", body: Buffer.alloc(1), headers: {} };

interface Bench {
  readonly transport: Transport;
  readonly publisher: Publisher;
}

/** @param sessionsMax that the service takes on one connection */
async function bench(t: TestContext, script: Script, sessionsMax = 256, answersWithinMs = answerTimeoutMs): Promise<Bench> {
  const { connectionString } = await startScriptedService(t, script, { limits: { sessionsMax } });
  const transport = createAmqpTransport({ connectionString, entity: { queue: "input" }, sessionsMax: 10, clock, answerTimeoutMs });
  const publisher = createAmqpPublisher({ connectionString, clock, answerTimeoutMs: answersWithinMs });
  t.after(() => Promise.all([transport.stop(), publisher.stop()]));
  await publisher.start();
  return { transport, publisher };
}

test("a transport does not start where its peer takes one session only", async (t) => {
  const { transport } = await bench(t, {}, 1);
  await assert.rejects(
    within("an end of the start", transport.start()),
    /expected to reach the entity input .*expected at most 1 sessions, as the peer allows/,
  );
});

test("a receiver for which its peer has no session is disturbed, and tries again", async (t) => {
  const { transport } = await bench(t, {}, 2);
  await transport.start();
  const inbox = new Inbox(transport);
  inbox.addCredit(1);
  await eventually("two disturbances", () => inbox.disturbances.length >= 2);
  assert.match(inbox.disturbances[0]?.message ?? "", /expected to receive from input, found .*at most 2 sessions, as the peer allows/);
});

test("a session of an entity for which its peer has none is refused as any other", async (t) => {
  const { transport } = await bench(t, {}, 2);
  await transport.start();
  await assert.rejects(transport.acceptSession(100), (thrown) => thrown instanceof TransportError && /at most 2 sessions/.test(thrown.message));
});

test("a publisher for which its peer has no session tells whoever sends", async (t) => {
  const { publisher } = await bench(t, {}, 1);
  const error: unknown = await within("the refusal", publisher.send("input", [message])).catch((thrown: unknown) => thrown);
  assert.ok(error instanceof SendError && /at most 1 sessions/.test(error.message), String(error));
});

for (const role of ["sender", "receiver"] as const) {
  test(`a transport whose ${role} at the management node gets no answer does not start`, async (t) => {
    const { transport } = await bench(t, { onNode: ({ attach }, address) => address === "$cbs" || attach.role !== role });
    await assert.rejects(
      within("an end of the start", transport.start()),
      /expected to reach the entity input of 127.0.0.1, found that the links to it were not attached within 500 ms/,
    );
  });
}

test("links for tokens that get no answer are opened again", async (t) => {
  let pairs = 0;
  const { publisher } = await bench(t, { onNode: ({ attach }) => (attach.role === "receiver" ? (pairs += 1) : pairs) > 1 });
  await within(
    "a send",
    publisher.send("input", [message]).catch(() => publisher.send("input", [message])),
  );
});

for (const [what, onSender] of [
  ["never attached", (): void => {}],
  ["never given credit", (request) => void request.acceptAsReceiver({}, { onDelivery: () => {} })],
] as readonly (readonly [string, NonNullable<Script["onSender"]>])[]) {
  test(`whoever sends on a link that is ${what} hears of it, and the publisher stops`, async (t) => {
    const { publisher } = await bench(t, { onSender });
    const error: unknown = await within("the refusal", publisher.send("input", [message])).catch((thrown: unknown) => thrown);
    assert.ok(error instanceof SendError && /expected input to take messages within 500 ms/.test(error.message), String(error));
    await within("its stop", publisher.stop());
  });
}

test("a link that is given credit late sends what waited for it", async (t) => {
  let links = 0;
  const script: Script = {
    onSender(request) {
      links += 1;
      const receiver = request.acceptAsReceiver({}, { onDelivery: (delivery) => void delivery.settle(accepted) });
      if (links > 1) receiver.addCredit(1);
    },
  };
  // So long that a link on a busy machine is answered within it: one that is not is made once more, and would get its credit then.
  const { publisher } = await bench(t, script, undefined, 1_000);
  const first: unknown = await publisher.send("input", [message]).catch((thrown: unknown) => thrown);
  assert.ok(first instanceof SendError);
  await within("the second", publisher.send("input", [message]));
  assert.equal(links, 2);
});

test("a check whether messages can be sent ends when the link gets no answer", async (t) => {
  const { connectionString } = await startScriptedService(t, { onSender: () => {} });
  const check = await within("an end of the check", checkCanSend({ connectionString, clock, answerTimeoutMs }, "input"));
  assert.equal(check.kind, "unanswered");
});
