import { strict as assert } from "node:assert";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { writeSync } from "node:fs";
import { appendFile, mkdtemp, open, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { ServiceBusClient } from "@azure/service-bus";
import { type Broker, type BrokerOptions, startBroker } from "#load/broker/broker.ts";
import type { BrokerReady } from "#load/broker/flags.ts";
import { administrationOf } from "../support/broker-administration.ts";
import { eventually, within } from "../support/eventually.ts";

const entities = { queues: ["orders", { name: "steps", requiresSession: true }], topics: [{ name: "news", subscriptions: ["s"] }] };

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-broker-data-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a broker on the folder for as long as `work` takes. */
async function withBroker<T>(data: string, work: (client: ServiceBusClient, broker: Broker) => Promise<T>, options: BrokerOptions = { entities }): Promise<T> {
  const broker = await startBroker({ data, ...options });
  const client = new ServiceBusClient(broker.connectionString, { retryOptions: { maxRetries: 0, timeoutInMs: 3000 } });
  try {
    return await work(client, broker);
  } finally {
    await client.close();
    await broker.stop();
  }
}

test("keeps messages in every state over a restart, and what was set of them", async (t) => {
  const data = await folderOf(t);
  const due = new Date(Date.now() + 3_600_000);
  const deferred = await withBroker(data, async (client) => {
    const sender = client.createSender("orders");
    await sender.sendMessages(
      ["done", "abandoned", "deferred", "dead", "locked", "active"].map((body) => ({
        body,
        messageId: body,
        applicationProperties: { from: "test" },
        timeToLive: 3_600_000,
      })),
    );
    await sender.scheduleMessages({ body: "scheduled" }, due);
    await client.createSender("news").scheduleMessages({ body: "later news" }, due);
    await client.createSender("news").sendMessages({ body: "news" });
    await client.createSender("steps").sendMessages({ body: "step", sessionId: "a" });
    const session = await client.acceptSession("steps", "a");
    await session.setSessionState("half");
    const receiver = client.createReceiver("orders");
    const [done, abandoned, later, dead] = await receiver.receiveMessages(5);
    assert.ok(done && abandoned && later?.sequenceNumber && dead);
    await receiver.completeMessage(done);
    await receiver.deferMessage(later, { why: "later" });
    await receiver.deadLetterMessage(dead, { deadLetterReason: "Broken", deadLetterErrorDescription: "why" });
    await receiver.abandonMessage(abandoned);
    return later.sequenceNumber;
  });
  await withBroker(data, async (client, broker) => {
    assert.deepEqual(broker.inspect().queues["orders"]?.states, { active: 3, locked: 0, scheduled: 1, deferred: 1, deadLettered: 1 });
    assert.equal(broker.inspect().topics["news"]?.scheduled, 1);
    assert.deepEqual(
      broker.inspectMessages("orders", { inDoubt: true })?.messages.map(({ messageId }) => messageId),
      ["locked"],
    );
    const receiver = client.createReceiver("orders");
    const messages = await receiver.receiveMessages(3);
    assert.deepEqual(
      messages.map(({ body, deliveryCount, applicationProperties }) => [body as string, deliveryCount, applicationProperties]),
      [
        ["abandoned", 1, { from: "test" }],
        ["locked", 1, { from: "test" }],
        ["active", 0, { from: "test" }],
      ],
    );
    const [later] = await receiver.receiveDeferredMessages(deferred);
    assert.deepEqual([later?.body, later?.applicationProperties], ["deferred", { from: "test", why: "later" }]);
    const [letter] = await client.createReceiver("orders", { subQueueType: "deadLetter" }).receiveMessages(1);
    assert.deepEqual([letter?.body, letter?.deadLetterReason, letter?.deadLetterSource], ["dead", "Broken", undefined]);
    const session = await client.acceptNextSession("steps");
    assert.equal(await session.getSessionState(), "half");
    await client.createSender("orders").sendMessages({ body: "new" });
    const numbers = broker.inspectMessages("orders")?.messages.map(({ sequenceNumber }) => sequenceNumber) ?? [];
    assert.equal(new Set(numbers).size, numbers.length);
    await client.createSender("news").sendMessages({ body: "more news" });
    const enqueued = broker.inspectMessages("news/Subscriptions/s")?.messages.map(({ enqueuedSequenceNumber }) => enqueuedSequenceNumber) ?? [];
    assert.deepEqual([enqueued.length, new Set(enqueued).size], [2, 2]);
  });
});

test("keeps entities and rules that were made while it ran", async (t) => {
  const data = await folderOf(t);
  await withBroker(data, async (client, broker) => {
    const admin = administrationOf(broker);
    await admin.createQueue("made", { lockDuration: "PT7S" });
    await admin.createQueue("gone");
    await client.createSender("gone").sendMessages({ body: "gone" });
    await admin.deleteQueue("gone");
    await client.createSender("made").sendMessages({ body: "kept" });
    await admin.createSubscription("news", "own", { defaultRuleOptions: { name: "big", filter: { sqlExpression: "size > 5" } } });
    await client.createRuleManager("news", "own").createRule("small", { applicationProperties: { size: 1 } });
  });
  await withBroker(data, async (client, broker) => {
    const admin = administrationOf(broker);
    assert.equal((await admin.getQueue("made")).lockDuration, "PT7S");
    assert.equal(await admin.queueExists("gone"), false);
    assert.equal((await client.createReceiver("made").receiveMessages(1))[0]?.body, "kept");
    await client.createSender("news").sendMessages([1, 3, 9].map((size) => ({ body: size, applicationProperties: { size } })));
    assert.equal(broker.inspect().queues["news/Subscriptions/own"]?.states.active, 2);
  });
});

test("loses nothing that was accepted when the process is killed, and bears a torn end", async (t) => {
  const data = await folderOf(t);
  const main = join(import.meta.dirname, "../../load/broker/main.ts");
  const child: ChildProcess = fork(main, ["--port", "0", "--data", data, "--entities", '{ "queues": ["orders"] }'], { stdio: "inherit" });
  t.after(() => child.kill("SIGKILL"));
  const [ready] = (await within("the broker to be ready", once(child, "message"))) as [BrokerReady];
  const client = new ServiceBusClient(ready.connectionString, { retryOptions: { maxRetries: 0 } });
  await client.createSender("orders").sendMessages(Array.from({ length: 500 }, (_, body) => ({ body })));
  child.kill("SIGKILL");
  await once(child, "exit");
  await client.close();
  const file = join(data, "messages.log");
  await appendFile(file, Buffer.from([9, 0, 0, 0, 1, 2, 3, 4, 5]));
  const told: string[] = [];
  await withBroker(
    data,
    async (again, broker) => {
      assert.equal(broker.inspect().queues["orders"]?.states.active, 500);
      await again.createSender("orders").sendMessages({ body: "after" });
    },
    { entities: { queues: ["orders"] }, log: (line) => told.push(line) },
  );
  assert.match(told.join("\n"), /cut off 9 bytes/);
  await truncate(file, (await stat(file)).size - 3);
  await withBroker(data, async (_, broker) => {
    assert.equal(broker.inspect().queues["orders"]?.states.active, 500);
  });
});

test("keeps its file short", async (t) => {
  const data = await folderOf(t);
  const options: BrokerOptions = { entities, journal: { compactBytesMin: 100_000 } };
  await withBroker(
    data,
    async (client) => {
      const sender = client.createSender("orders");
      const receiver = client.createReceiver("orders", { receiveMode: "receiveAndDelete" });
      await sender.sendMessages({ body: "stays for ever", sessionId: "x" });
      for (let round = 0; round < 20; round++) {
        await sender.sendMessages(Array.from({ length: 50 }, () => ({ body: Buffer.alloc(1000) })));
        await receiver.receiveMessages(50);
      }
      await sender.sendMessages({ body: "last" });
    },
    options,
  );
  const { size } = await stat(join(data, "messages.log"));
  assert.ok(size < 200_000, `expected a file of less than 200000 bytes after a million bytes passed, found ${size}`);
  await withBroker(
    data,
    async (_, broker) => {
      assert.equal(broker.inspect().queues["orders"]?.states.active, 2);
    },
    options,
  );
});

test("finds duplicates of what was sent before a restart, also when the file was rewritten", async (t) => {
  const data = await folderOf(t);
  const history = {
    queues: [{ name: "orders", requiresDuplicateDetection: true }],
    topics: [{ name: "news", requiresDuplicateDetection: true, subscriptions: ["s"] }],
  };
  const options: BrokerOptions = { entities: history, journal: { compactBytesMin: 2000 } };
  await withBroker(
    data,
    async (client) => {
      await client.createSender("orders").sendMessages([
        { body: 1, messageId: "a" },
        { body: 2, messageId: "b" },
      ]);
      await client.createReceiver("orders", { receiveMode: "receiveAndDelete" }).receiveMessages(2);
      await client.createSender("news").sendMessages({ body: 1, messageId: "n" });
      await client.createSender("orders").scheduleMessages({ body: 3, messageId: "later" }, new Date(Date.now() + 3_600_000));
      // Makes the file long enough to be rewritten.
      await client.createSender("news").sendMessages({ body: "x".repeat(5000), messageId: "long" });
      await client.createReceiver("news", "s", { receiveMode: "receiveAndDelete" }).receiveMessages(2);
    },
    options,
  );
  await withBroker(
    data,
    async (client, broker) => {
      await client.createSender("orders").sendMessages(["a", "b", "c", "later"].map((messageId) => ({ body: messageId, messageId })));
      await client.createSender("news").sendMessages([
        { body: 1, messageId: "n" },
        { body: 2, messageId: "m" },
      ]);
      assert.deepEqual(
        broker.inspectMessages("orders", { state: "active" })?.messages.map(({ messageId }) => messageId),
        ["c"],
      );
      assert.deepEqual(
        broker.inspectMessages("news/Subscriptions/s")?.messages.map(({ messageId }) => messageId),
        ["m"],
      );
    },
    options,
  );
});

test("keeps what was changed of configured entities, until their configuration changes", async (t) => {
  const data = await folderOf(t);
  const configured = { queues: ["orders", "gone"], topics: [{ name: "news", subscriptions: ["s"] }] };
  await withBroker(
    data,
    async (client, broker) => {
      const admin = administrationOf(broker);
      const orders = await admin.getQueue("orders");
      await admin.updateQueue({ ...orders, maxDeliveryCount: 3 });
      await admin.deleteQueue("gone");
      const rules = client.createRuleManager("news", "s");
      await rules.deleteRule("$Default");
      await rules.createRule("big", { sqlExpression: "size > 5" });
    },
    { entities: configured },
  );
  await withBroker(
    data,
    async (client, broker) => {
      const admin = administrationOf(broker);
      assert.equal((await admin.getQueue("orders")).maxDeliveryCount, 3);
      assert.equal(await admin.queueExists("gone"), false);
      await client.createSender("news").sendMessages([1, 9].map((size) => ({ body: size, applicationProperties: { size } })));
      assert.equal(broker.inspect().queues["news/Subscriptions/s"]?.states.active, 1);
    },
    { entities: configured },
  );
  await withBroker(
    data,
    async (_, broker) => {
      assert.equal((await administrationOf(broker).getQueue("orders")).maxDeliveryCount, 7);
    },
    { entities: { ...configured, queues: [{ name: "orders", deliveryCountMax: 7 }, "gone"] } },
  );
});

test("dead-letters what was locked once too often over restarts, and goes on counting sequence numbers", async (t) => {
  const data = await folderOf(t);
  const options: BrokerOptions = { entities: { queues: [{ name: "orders", deliveryCountMax: 2 }] } };
  let last = 0;
  for (let round = 0; round < 2; round++) {
    await withBroker(
      data,
      async (client) => {
        await client.createSender("orders").sendMessages({ body: round, messageId: `m${round}` });
        const [first] = await client.createReceiver("orders").receiveMessages(1);
        assert.deepEqual([first?.messageId, first?.deliveryCount], ["m0", round]);
        const peeked = await client.createReceiver("orders").peekMessages(10);
        const newest = peeked.at(-1)?.sequenceNumber?.toNumber() ?? 0;
        assert.ok(newest > last, `expected a number above ${last}, found ${newest}`);
        last = newest;
      },
      options,
    );
  }
  await withBroker(
    data,
    async (client) => {
      const [letter] = await client.createReceiver("orders", { subQueueType: "deadLetter" }).receiveMessages(1);
      assert.deepEqual([letter?.messageId, letter?.deadLetterReason], ["m0", "MaxDeliveryCountExceeded"]);
    },
    options,
  );
});

test("takes nothing while the disk is full, says so, and goes on when there is room", async (t) => {
  const data = await folderOf(t);
  let isFull = false;
  const told: string[] = [];
  const write = (fd: number, bytes: Buffer, from: number, length: number): number => {
    if (isFull) throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    return writeSync(fd, bytes, from, length);
  };
  const options: BrokerOptions = { entities, journal: { write }, log: (line) => told.push(line) };
  await withBroker(
    data,
    async (client, broker) => {
      const sender = client.createSender("orders");
      const receiver = client.createReceiver("orders");
      await sender.sendMessages([
        { body: 1, messageId: "first" },
        { body: 2, messageId: "second" },
      ]);
      const [first] = await receiver.receiveMessages(1);
      assert.ok(first);
      isFull = true;
      await assert.rejects(receiver.completeMessage(first));
      await eventually("the connections to be cut", () => broker.inspect().connections === 0);
      await assert.rejects(
        sender.sendMessages({ body: 3, messageId: "refused" }),
        /cannot write to its data folder and takes nothing until it can: ENOSPC: no space left on device/,
      );
      isFull = false;
      await sender.sendMessages({ body: 4, messageId: "third" });
    },
    options,
  );
  assert.match(told.join("\n"), /expected to write, found ENOSPC.*connections are cut[^]*can be written to again/);
  await withBroker(data, async (_, broker) => {
    assert.deepEqual(
      broker.inspectMessages("orders")?.messages.map(({ messageId }) => messageId),
      ["second", "third"],
    );
  });
});

test("lets the file grow while there is no room to rewrite it, and does so later", async (t) => {
  const data = await folderOf(t);
  const told: string[] = [];
  let first: number | undefined;
  let isTight = true;
  // The first file has room for more; another one beside it has not.
  const write = (fd: number, bytes: Buffer, from: number, length: number): number => {
    first ??= fd;
    if (isTight && fd !== first) throw new Error("ENOSPC: no space left on device, write");
    return writeSync(fd, bytes, from, length);
  };
  await withBroker(
    data,
    async (client, broker) => {
      const sender = client.createSender("orders");
      const receiver = client.createReceiver("orders", { receiveMode: "receiveAndDelete" });
      const pass = async (): Promise<void> => {
        await sender.sendMessages(Array.from({ length: 10 }, () => ({ body: Buffer.alloc(1000) })));
        await receiver.receiveMessages(10);
      };
      await sender.sendMessages({ body: "stays" });
      await receiver.receiveMessages(1);
      await sender.sendMessages({ body: "stays", messageId: "stays" });
      for (let round = 0; round < 5; round++) await pass();
      const { size } = await stat(join(data, "messages.log"));
      assert.ok(size > 40_000, `expected the file to have grown, found ${size}`);
      isTight = false;
      await eventually("the file to be rewritten", async () => {
        await pass();
        return (await stat(join(data, "messages.log"))).size < size;
      });
      assert.equal(broker.inspect().connections, 1);
    },
    { entities, journal: { write, compactBytesMin: 10_000 }, log: (line) => told.push(line) },
  );
  assert.match(told.join("\n"), /expected to compact the file, found ENOSPC.*; it keeps growing/);
  await withBroker(data, async () => undefined);
});

test("refuses a folder in use, one of another version, and a damaged file unless it is to be repaired", async (t) => {
  const data = await folderOf(t);
  const file = join(data, "messages.log");
  await withBroker(data, async (client) => {
    const sender = client.createSender("orders");
    for (const messageId of ["a", "b", "c"]) await sender.sendMessages({ body: messageId, messageId });
    await assert.rejects(startBroker({ data }), { code: "FolderInUse", message: new RegExp(`in use by process ${process.pid}`) });
  });
  const whole = await readFile(file);
  const damaged = Buffer.from(whole);
  const at = damaged.indexOf("b", damaged.indexOf("orders"));
  damaged.fill(0xff, at, at + 1);
  await writeFile(file, damaged);
  let refusals = 1;
  // The new file's first write is the broker's second.
  const write = (fd: number, bytes: Buffer, from: number, length: number): number => {
    if (refusals-- > 0) throw new Error("EIO: i/o error, write");
    return writeSync(fd, bytes, from, length);
  };
  await assert.rejects(startBroker({ data, entities }), {
    code: "JournalDamaged",
    message: /expected whole records, found \d+ damaged bytes from byte \d+ on.*start with --repair/,
  });
  const told: string[] = [];
  await withBroker(
    data,
    async (client, broker) => {
      assert.ok((broker.inspectMessages("orders")?.messages.length ?? 0) < 3);
      await client.createSender("orders").sendMessages({ body: "d" });
    },
    { entities, journal: { repairs: true, write }, log: (line) => told.push(line) },
  );
  assert.match(told.join("\n"), /expected to write, found EIO[^]*can be written to again/);
  assert.match(told.join("\n"), /the file as it was is kept as .*messages\.log\.damaged/);
  assert.deepEqual(await readFile(`${file}.damaged`), damaged);
  await withBroker(data, async () => undefined);

  const changed = await open(file, "r+");
  await changed.write(Buffer.from([99, 0, 0, 0]), 0, 4, 12);
  await changed.close();
  await assert.rejects(startBroker({ data }), { code: "RecordFile", message: /expected version 1 of the format, found 99/ });
  await writeFile(join(data, "plain"), "");
  await assert.rejects(startBroker({ data: join(data, "plain") }), { code: "JournalFolder", message: /expected a folder that can be written to, found E/ });
});

test("lets go of its folder when it cannot listen", async (t) => {
  const data = await folderOf(t);
  const other = await startBroker();
  t.after(() => other.stop());
  await assert.rejects(startBroker({ data, port: other.port }), { code: "EADDRINUSE" });
  await withBroker(data, async () => undefined);
});

test("keeps a queue whose name begins with the name of one that is deleted", async (t) => {
  const data = await folderOf(t);
  const options = { entities: { queues: ["orders", "orders/eu"] } };
  await withBroker(
    data,
    async (client, broker) => {
      const sender = client.createSender("orders/eu");
      await sender.sendMessages({ body: "before" });
      await administrationOf(broker).deleteQueue("orders");
      await sender.sendMessages({ body: "after" });
    },
    options,
  );
  await withBroker(data, async (_, broker) => assert.deepEqual(Object.keys(broker.inspect().queues), ["orders/eu", "orders/eu/$DeadLetterQueue"]), options);
  await withBroker(data, async (_, broker) => assert.equal(broker.inspect().queues["orders/eu"]?.states.active, 2), options);
});

test("moves on what was kept where the configuration now forwards it", async (t) => {
  const data = await folderOf(t);
  await withBroker(data, async (client) => client.createSender("from").sendMessages([{ body: 1 }, { body: 2 }]), { entities: { queues: ["from", "to"] } });
  const options = { entities: { queues: [{ name: "from", forwardTo: "to" }, "to"] } };
  const active = (broker: Broker): unknown => ["from", "to"].map((name) => broker.inspect().queues[name]?.states.active);
  await withBroker(data, async (_, broker) => assert.deepEqual(active(broker), [0, 2]), options);
  await withBroker(data, async (_, broker) => assert.deepEqual(active(broker), [0, 2], "expected them to have moved for good"), options);
});
