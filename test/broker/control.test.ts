// What people see of a running broker: the control endpoint, and the commands that ask it.
import { strict as assert } from "node:assert";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { isServiceBusError, type ServiceBusClient } from "@azure/service-bus";
import { Command } from "commander";
import { registerControlCommands } from "#load/broker/control/commands.ts";
import { type FaultKind, faultKinds, type FaultReport } from "#load/broker/protocol/faults.ts";
import { startBench } from "../support/broker.ts";

const entities = { queues: ["orders", "others"], topics: [{ name: "news", subscriptions: ["a"] }] };

interface Said {
  readonly out: string;
  readonly err: string;
}

type Run = (...words: string[]) => Promise<Said>;

function runnerOf(url: string, ...flags: readonly string[]): Run {
  return async (...words) => {
    const text = { out: "", err: "" };
    const broker = new Command("broker");
    registerControlCommands(broker, { say: (said) => void (text.out += said), fail: (said) => void (text.err += said) });
    await broker.parseAsync([...words, "--control", url, ...flags], { from: "user" });
    return text;
  };
}

function assertFits(text: string): void {
  const [widest = ""] = text.split("\n").sort((a, b) => b.length - a.length);
  assert.ok(widest.length <= 80, `expected at most 80 columns, found ${widest.length}: ${widest}`);
}

test("faults are steered over HTTP, and a request that is none says why", async (t) => {
  const { broker } = await startBench(t, { entities });
  const url = `http://127.0.0.1:${broker.controlPort}`;
  const post = (body: unknown): Promise<Response> => fetch(`${url}/faults`, { method: "POST", body: JSON.stringify(body) });
  assert.equal((await post({ kind: "throttle", rate: 0.5, seed: 3 })).status, 201);
  for (const [body, message] of [
    [{ kind: "explode" }, /kind: expected one of throttle, .*found "explode"/],
    [{ kind: "throttle", rate: 2 }, /rate: expected a number from 0 to 1, found 2/],
    [{ kind: "throttle", often: 2 }, /often: expected one of kind, target, rate/],
    [[], /expected a fault as a JSON object/],
    [{ kind: "drop", constructor: 1 }, /constructor: expected one of kind, target, rate/],
  ] as const) {
    const response = await post(body);
    assert.equal(response.status, 400);
    assert.match(((await response.json()) as { error: string }).error, message);
  }
});

test("a path of slashes alone, or of none, is one that is not there", async (t) => {
  const { broker } = await startBench(t, { entities });
  for (const path of ["//", "///", "//inspect", "/?x=//"]) {
    const response = await fetch(`http://127.0.0.1:${broker.controlPort}${path}`);
    assert.equal(response.status, 404, path);
    assert.match(((await response.json()) as { error: string }).error, /expected \/health, /);
  }
});

test("faults are added, listed and cleared from the command line, and what is wrong there is said", async (t) => {
  const { broker } = await startBench(t, { entities });
  const run = runnerOf(`http://127.0.0.1:${broker.controlPort}`);
  const added = JSON.parse((await run("fault", "add", "lose-settlements", "--target", "orders", "--count", "5", "--json")).out) as FaultReport;
  assert.deepEqual([added.kind, added.target, added.left], ["loseSettlements", "orders", 5]);
  const slow = await run("fault", "add", "delaySettlements", "--target", "order", "--delay", "50", "--rate", "0.25", "--seed", "9");
  assert.match(slow.out, /delaySettlements +order +0\.25 +9 +0 fault clear\n +by 50 ms\nnote: no entity is at order now; there are orders, others, news/);
  const list = (await run("fault", "list")).out;
  assertFits(list);
  assert.match(list, /1 loseSettlements +orders +1 +1 +0 5 more\n +2 delaySettlements/);
  assert.equal((await run("fault", "clear", "1")).out, "1 cleared");
  assert.match((await run("fault", "clear", "1")).err, /expected the number of a fault, found none numbered 1; `holdfast broker fault list` lists them/);
  assert.equal((await run("fault", "clear")).out, "1 cleared");
  assert.equal((await run("fault", "list")).out, "nothing goes wrong on purpose now");
  assert.match((await run("fault", "add", "boom")).err, /kind: expected one of throttle, .*found "boom"/);
  assert.match((await run("fault", "add", "throttle", "--rate", "often")).err, /--rate: expected a number, found "often"/);
  assert.match((await run("fault", "add", "throttle", "--rate", "3")).err, /rate: expected a number from 0 to 1, found 3/);
  assert.match((await run("fault", "add", "detach", "--target", "orders")).out, /detach: hit 0 at orders, once and for all/);
});

/** Each kind, added from the command line, as a client meets it. */
const kinds: Readonly<Record<FaultKind, (client: ServiceBusClient, fault: Run, hits: () => number) => Promise<void>>> = {
  async throttle(client, fault) {
    await fault("add", "throttle", "--target", "orders", "--count", "1");
    await assert.rejects(client.createSender("orders").sendMessages({ body: 1 }), (error) => isServiceBusError(error) && error.code === "ServiceBusy");
  },
  async detach(client, fault) {
    await client.createSender("orders").sendMessages({ body: 1 });
    assert.match((await fault("add", "detach", "--target", "orders")).out, /hit 1/);
    await client.createSender("orders").sendMessages({ body: 2 });
  },
  async drop(client, fault, hits) {
    await fault("add", "drop", "--rate", "1", "--count", "1");
    await assert.rejects(client.createSender("orders").sendMessages({ body: 1 }));
    assert.equal(hits(), 0);
    await client.createSender("orders").sendMessages({ body: 2 });
  },
  async expireLocks(client, fault) {
    await client.createSender("orders").sendMessages({ body: 1 });
    const receiver = client.createReceiver("orders");
    const [message] = await receiver.receiveMessages(1);
    assert.ok(message);
    assert.match((await fault("add", "expire-locks", "--target", "orders")).out, /hit 1/);
    await assert.rejects(receiver.completeMessage(message), (error) => isServiceBusError(error) && error.code === "MessageLockLost");
  },
  async delaySettlements(client, fault) {
    await client.createSender("orders").sendMessages([{ body: 1 }, { body: 2 }]);
    const receiver = client.createReceiver("orders");
    const [now, later] = await receiver.receiveMessages(2);
    assert.ok(now && later?.sequenceNumber);
    await receiver.deferMessage(later);
    // A deferred message is settled over management.
    const [deferred] = await receiver.receiveDeferredMessages(later.sequenceNumber);
    assert.ok(deferred);
    await fault("add", "delay-settlements", "--delay", "300");
    for (const message of [now, deferred]) {
      const start = performance.now();
      await receiver.completeMessage(message);
      assert.ok(performance.now() - start > 250);
    }
  },
  async loseSettlements(client, fault, hits) {
    await client.createSender("orders").sendMessages({ body: 1 });
    const receiver = client.createReceiver("orders");
    const [message] = await receiver.receiveMessages(1);
    assert.ok(message);
    await fault("add", "lose-settlements", "--count", "5");
    await assert.rejects(receiver.completeMessage(message));
    assert.equal(hits(), 1);
    assert.equal((await receiver.peekMessages(1)).length, 0);
  },
  async deliverTwice(client, fault) {
    await client.createSender("orders").sendMessages({ body: 1, messageId: "twice" });
    await fault("add", "deliver-twice", "--target", "orders", "--count", "1");
    const receiver = client.createReceiver("orders");
    for (let round = 0; round < 2; round++) {
      const [message] = await receiver.receiveMessages(1);
      assert.equal(message?.messageId, "twice");
      assert.ok(message);
      await receiver.completeMessage(message);
    }
    assert.equal((await receiver.peekMessages(1)).length, 0);
  },
  async holdDeliveries(client, fault) {
    await fault("add", "hold-deliveries", "--target", "orders");
    await client.createSender("orders").sendMessages({ body: 1 });
    const receiving = client.createReceiver("orders").receiveMessages(1, { maxWaitTimeInMs: 9000 });
    assert.equal((await client.createReceiver("orders").peekMessages(1)).length, 1);
    await fault("clear");
    assert.equal((await receiving).length, 1);
  },
  async failTokens(client, fault) {
    await fault("add", "fail-tokens", "--rate", "1", "--count", "1");
    await assert.rejects(client.createSender("orders").sendMessages({ body: 1 }), (error) => isServiceBusError(error) && error.code === "UnauthorizedAccess");
    await client.createSender("orders").sendMessages({ body: 2 });
  },
};

for (const kind of Object.keys(faultKinds) as FaultKind[]) {
  test(`${kind}, added from the command line, is what a client meets`, async (t) => {
    const { newClient, broker } = await startBench(t, { entities });
    const client = newClient({ timeoutInMs: 2000 });
    const run = runnerOf(`http://127.0.0.1:${broker.controlPort}`);
    const fault: Run = async (...words) => {
      const said = await run("fault", ...words);
      assert.equal(said.err, "");
      return said;
    };
    await kinds[kind](client, fault, () => broker.faults.list().reduce((sum, { hits }) => sum + hits, 0));
  });
}

test("the same seed spoils the same sends, another one others", async (t) => {
  const spoiltWith = async (seed: string): Promise<string> => {
    const { client, broker } = await startBench(t, { entities });
    await runnerOf(`http://127.0.0.1:${broker.controlPort}`)("fault", "add", "throttle", "--target", "orders", "--rate", "0.3", "--seed", seed);
    const senders = [client.createSender("orders"), client.createSender("others")];
    const results: string[] = [];
    // What happens elsewhere is no occasion of this fault.
    for (let i = 0; i < 40; i++)
      for (const sender of senders)
        results.push(
          await sender.sendMessages({ body: i }).then(
            () => ".",
            () => "x",
          ),
        );
    return results.join("");
  };
  const [first, again, other] = [await spoiltWith("7"), await spoiltWith("7"), await spoiltWith("8")];
  assert.match(first, /x/);
  assert.equal(first, again);
  assert.notEqual(first, other);
});

test("entities, locks, doubts and pages of messages are told in 80 columns, and as JSON", async (t) => {
  const { client, broker } = await startBench(t, { entities: { ...entities, queues: [...entities.queues, { name: "steps", requiresSession: true }] } });
  const run = runnerOf(`http://127.0.0.1:${broker.controlPort}`);
  await client.createSender("orders").sendMessages(Array.from({ length: 30 }, (_, i) => ({ body: i, messageId: `message-${i}-${"x".repeat(40)}` })));
  await client.createSender("orders").scheduleMessages({ body: 1, messageId: "later" }, new Date(Date.now() + 3_600_000));
  await client.createSender("steps").sendMessages({ body: 1, sessionId: "customer-42" });
  const receiver = client.createReceiver("orders");
  const [done, dead, held] = await receiver.receiveMessages(25);
  assert.ok(done && dead && held);
  await receiver.completeMessage(done);
  await receiver.deadLetterMessage(dead, { deadLetterReason: "Broken", deadLetterErrorDescription: "it was in pieces when it came" });
  const session = await client.acceptSession("steps", "customer-42");

  const all = (await run("inspect")).out;
  assertFits(all);
  assert.match(all, /entity +active locked sched dead in done links\norders +5 +23 +1 +1 31 +1 +1\n/);
  assert.match(all, /topic +sched in copied unmatched subs\nnews +0 +0 +0 +0 +1\n\n1 connection$/);
  const orders = (await run("inspect", "orders")).out;
  assertFits(orders);
  assert.match(
    orders,
    /^queue orders\n5 active, 23 locked, 1 scheduled, 0 deferred, 1 dead lettered, 1 receiver\nsince the broker started: 30 accepted, .*1\s+completed/s,
  );
  assert.match(orders, /3 message-2-x+.* in \d+ s +a\n.*… and more: --state locked lists them\na = orders.* of\s.* at 127/s);
  const steps = (await run("inspect", "steps")).out;
  assert.match(steps, /locked session +ends +by\ncustomer-42 +in \d+ s +a\na = steps.* of\s/);
  await session.close();

  broker.faults.add({ kind: "expireLocks", target: "orders" });
  const doubts = (await run("inspect", "orders", "--doubt", "--top", "2")).out;
  assertFits(doubts);
  assert.match(doubts, /in doubt.*\n\nnext: holdfast broker inspect orders --messages --doubt --top 2 --from 5$/s);
  const letters = (await run("inspect", "orders/$DeadLetterQueue", "--messages")).out;
  assertFits(letters);
  assert.match(letters, /Broken: it was in pieces/);
  assert.match((await run("inspect", "orders", "--state", "scheduled")).out, /later +scheduled[^]*due in 60 min/);
  assert.equal((await run("inspect", "others", "--messages")).out, "no messages");
  const told = JSON.parse((await run("inspect", "orders", "--json")).out) as { inDoubt: { sequenceNumber: number }[] };
  assert.equal(told.inDoubt.length, 23);
  const seen: number[] = [];
  for (let from: number | null = 0; from !== null;) {
    const page = JSON.parse((await run("inspect", "orders", "--messages", "--top", "7", "--from", String(from), "--json")).out) as {
      messages: { sequenceNumber: number }[];
      next: number | null;
    };
    seen.push(...page.messages.map(({ sequenceNumber }) => sequenceNumber));
    from = page.next;
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 29 }, (_, i) => i + 3),
  );
});

test("what cannot be told is said with what is there instead", async (t) => {
  const { broker } = await startBench(t, { entities });
  const run = runnerOf(`http://127.0.0.1:${broker.controlPort}`);
  assert.match((await run("inspect", "order")).err, /expected an entity, found none at order; there are orders, others, news\/Subscriptions\/a, news/);
  assert.match((await run("inspect", "order", "--messages")).err, /expected a queue or subscription, found none at order; there are/);
  assert.match((await run("inspect", "orders", "--state", "odd")).err, /expected state to be one of active, locked, scheduled, deferred, found odd/);
  assert.match((await run("inspect", "orders", "--top", "x")).err, /expected top to be a whole number from 1 to 1000, found x/);
  assert.match((await run("inspect", "--messages")).err, /expected an entity whose messages are to be listed, found none/);
  assert.match(
    (await runnerOf("http://127.0.0.1:1")("inspect")).err,
    /expected a broker's control endpoint at http:\/\/127\.0\.0\.1:1, found none \(.*\); start `holdfast broker`, or say where it is with --control/,
  );
  assert.match((await runnerOf("somewhere")("inspect")).err, /--control: expected an address such as http:\/\/127\.0\.0\.1:5672, found somewhere/);
  const other = createServer((_, response) => response.writeHead(404).end("<html>")).listen(0, "127.0.0.1");
  t.after(() => other.close());
  await once(other, "listening");
  assert.match(
    (await runnerOf(`http://127.0.0.1:${(other.address() as AddressInfo).port}`)("fault", "list")).err,
    /found something else, which answered GET \/faults with status 404/,
  );
});

test("a broker with keys is asked with its connection string", async (t) => {
  const { broker } = await startBench(t, { entities, keys: [{ name: "root", key: "c2VjcmV0" }] });
  const url = `http://127.0.0.1:${broker.controlPort}`;
  assert.match(
    (await runnerOf(url)("inspect")).err,
    /expected a token of a key with Manage rights, found none; give the command --connection-string or HOLDFAST_BROKER/,
  );
  assert.match((await runnerOf(url, "--connection-string", broker.connectionString)("inspect")).out, /orders/);
  const forged = broker.connectionString.replace("c2VjcmV0", "d3Jvbmc=");
  assert.match((await runnerOf(url, "--connection-string", forged)("fault", "list")).err, /InvalidSignature/);
  const lacking = (await runnerOf(url, "--connection-string", "Endpoint=sb://localhost;SharedAccessKey=c2VjcmV0")("inspect")).err;
  assert.match(lacking, /--connection-string: expected Endpoint=/);
  assert.ok(!lacking.includes("c2VjcmV0"));
});

test("a list of messages has the type of each event, and bodies when they are asked for, with nothing that moves the cursor", async (t) => {
  const { client, broker } = await startBench(t, { entities });
  const url = `http://127.0.0.1:${broker.controlPort}`;
  const run = runnerOf(url);
  await client.createSender("orders").sendMessages([
    { messageId: "one", body: { name: "Ada" }, applicationProperties: { eventType: "CustomerSignedUp" } },
    { messageId: "two", body: { eventType: "CustomerLeft", note: "x".repeat(5_000) } },
    { messageId: "three", body: Buffer.from("\u001b[2J\u009b1m gone") },
    { messageId: "four\u001b[2J", body: Buffer.from([0xff, 0xfe]) },
  ]);
  const list = (await run("inspect", "orders", "--messages")).out;
  assert.match(list, /one\s.*\n\s+CustomerSignedUp/);
  assert.match(list, /two\s.*\n\s+CustomerLeft/);
  assert.ok(!list.includes("Ada"));
  const bodies = (await run("inspect", "orders", "--bodies")).out;
  assert.match(bodies, /body of 1:\n\{"name":"Ada"\}\n/);
  assert.match(bodies, /body of 2, its beginning \(the message has \d+ bytes\):\n\{"eventType":"CustomerLeft","note":"x{4055}/);
  assert.match(bodies, /body of 3:\n\\u001b\[2J\\u009b1m gone\n/);
  assert.match(bodies, /body of 4, as base64:\n\/\/4=/);
  for (const text of [list, bodies]) assert.ok(!text.includes("\u001b") && !text.includes("\u009b"));
});
