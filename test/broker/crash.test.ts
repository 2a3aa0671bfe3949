// The broker's process is killed in the middle of traffic, again and again on the same folder: what it confirmed has to hold.
import { strict as assert } from "node:assert";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { ServiceBusClient, type ServiceBusReceivedMessage, type ServiceBusReceiver } from "@azure/service-bus";
import { startBroker } from "#load/broker/broker.ts";
import { eventually, within } from "../support/eventually.ts";

const program = join(import.meta.dirname, "../support/broker-process.ts");
const entities = { queues: [{ name: "orders", lockDurationMs: 300_000 }, "steps"], topics: [{ name: "news", subscriptions: ["a", "b"] }] };
const rounds = 3;
/** Confirmed in a round before the process is killed. */
const sentMin = 400;
const settledMin = 200;

/** What was asked of the broker, and what it confirmed. */
interface Ledger {
  readonly sent: Set<string>;
  readonly asked: Set<string>;
  readonly completed: Set<string>;
  readonly deadLettered: Set<string>;
  readonly deferred: Set<string>;
  /** Received by receive-and-delete: as good as completed. */
  readonly taken: Set<string>;
}

async function startProcess(t: TestContext, data: string): Promise<{ child: ChildProcess; connectionString: string }> {
  // The file is rewritten every few hundred messages, so that some kills come while it is.
  const child = fork(program, [JSON.stringify({ data, entities, journal: { compactBytesMin: 100_000 } })], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  t.after(() => child.kill("SIGKILL"));
  const [connectionString] = (await within("the broker to be ready", once(child, "message"))) as [string];
  return { child, connectionString };
}

/** Runs until it fails, as everything does when the process is gone. */
async function untilCut(work: () => Promise<void>): Promise<void> {
  try {
    for (;;) await work();
  } catch {
    // The connection is gone.
  }
}

async function send(client: ServiceBusClient, to: string, prefix: string, { sent }: Ledger): Promise<void> {
  const sender = client.createSender(to);
  let count = 0;
  await untilCut(async () => {
    const ids = Array.from({ length: 7 }, () => `${prefix}-${count++}`);
    await sender.sendMessages(ids.map((messageId) => ({ body: messageId, messageId })));
    for (const id of ids) sent.add(id);
  });
}

async function settle(receiver: ServiceBusReceiver, message: ServiceBusReceivedMessage, how: number, ledger: Ledger): Promise<void> {
  const id = String(message.messageId);
  ledger.asked.add(id);
  if (how === 0) await receiver.deadLetterMessage(message).then(() => ledger.deadLettered.add(id));
  else if (how === 1) await receiver.deferMessage(message).then(() => ledger.deferred.add(id));
  else await receiver.completeMessage(message).then(() => ledger.completed.add(id));
}

/** All of a batch in one way: the client gives the second of two settlements of one tick the outcome of the first. */
async function receive(client: ServiceBusClient, from: string, ledger: Ledger): Promise<void> {
  const receiver = client.createReceiver(from);
  let batches = 0;
  await untilCut(async () => {
    const messages = await receiver.receiveMessages(20, { maxWaitTimeInMs: 1000 });
    const how = batches++ % 5;
    await Promise.all(messages.map((message) => settle(receiver, message, how, ledger)));
  });
}

async function take(client: ServiceBusClient, from: string, { taken, asked }: Ledger): Promise<void> {
  const receiver = client.createReceiver(from, { receiveMode: "receiveAndDelete" });
  await untilCut(async () => {
    for (const { messageId } of await receiver.receiveMessages(20, { maxWaitTimeInMs: 1000 })) {
      asked.add(String(messageId));
      taken.add(String(messageId));
    }
  });
}

async function runRound(t: TestContext, data: string, round: number, orders: Ledger, steps: Ledger, news: Ledger): Promise<void> {
  const { child, connectionString } = await startProcess(t, data);
  const client = new ServiceBusClient(connectionString, { retryOptions: { maxRetries: 0, timeoutInMs: 2000 } });
  const before = { sent: orders.sent.size, completed: orders.completed.size, taken: steps.taken.size };
  const traffic = [
    send(client, "orders", `${round}-a`, orders),
    send(client, "orders", `${round}-b`, orders),
    send(client, "steps", `${round}-c`, steps),
    send(client, "news", `${round}-d`, news),
    receive(client, "orders", orders),
    receive(client, "orders", orders),
    take(client, "steps", steps),
  ];
  await eventually(
    "traffic",
    () => orders.sent.size > before.sent + sentMin && orders.completed.size > before.completed + settledMin && steps.taken.size > before.taken,
    60_000,
  );
  child.kill("SIGKILL");
  await once(child, "exit");
  await Promise.all(traffic);
  await client.close();
}

function assertNone(what: string, ids: Iterable<string>): void {
  assert.deepEqual([...ids].slice(0, 10), [], what);
}

test("loses nothing that was confirmed, and brings nothing back that was settled, however often it is killed", async (t) => {
  const data = await mkdtemp(join(tmpdir(), "holdfast-broker-crash-"));
  t.after(() => rm(data, { recursive: true, force: true }));
  const newLedger = (): Ledger => ({ sent: new Set(), asked: new Set(), completed: new Set(), deadLettered: new Set(), deferred: new Set(), taken: new Set() });
  const [orders, steps, news] = [newLedger(), newLedger(), newLedger()];
  for (let round = 0; round < rounds; round++) await runRound(t, data, round, orders, steps, news);

  const broker = await startBroker({ data, entities });
  t.after(() => broker.stop());
  const held = (path: string, state?: "deferred"): Set<string> => {
    const ids: string[] = [];
    for (let from: number | null = 0; from !== null;) {
      const page = broker.inspectMessages(path, { from, top: 1000, ...(state === undefined ? {} : { state }) });
      ids.push(...(page?.messages ?? []).map(({ messageId }) => messageId));
      from = page?.next ?? null;
    }
    assert.equal(new Set(ids).size, ids.length, `${path} holds a message twice`);
    return new Set(ids);
  };
  const letters = held("orders/$DeadLetterQueue");
  const active = held("orders");
  const ended = new Set([...orders.completed, ...orders.deadLettered]);
  assertNone(
    "confirmed and neither held nor settled",
    [...orders.sent].filter((id) => !active.has(id) && !letters.has(id) && !orders.asked.has(id)),
  );
  assertNone(
    "settled and back",
    [...active].filter((id) => ended.has(id)),
  );
  assertNone(
    "dead-lettered and gone",
    [...orders.deadLettered].filter((id) => !letters.has(id)),
  );
  assertNone(
    "in the queue and in its dead-letter queue",
    [...active].filter((id) => letters.has(id)),
  );
  const deferred = held("orders", "deferred");
  assertNone(
    "deferred and not so",
    [...orders.deferred].filter((id) => !deferred.has(id)),
  );
  const rest = held("steps");
  assertNone(
    "received, deleted and back",
    [...rest].filter((id) => steps.taken.has(id)),
  );
  for (const name of ["a", "b"]) {
    const copies = held(`news/Subscriptions/${name}`);
    assertNone(
      `not in ${name}`,
      [...news.sent].filter((id) => !copies.has(id)),
    );
  }
  t.diagnostic(
    `${orders.sent.size} sends and ${ended.size + orders.deferred.size} settlements confirmed, ${steps.taken.size} received and deleted, ${rounds} kills`,
  );
});
