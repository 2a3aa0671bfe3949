// What the sources of one worker share: a connection to the broker, a client of Redis, a thread with a file.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Worker } from "node:worker_threads";
import { Redis } from "ioredis";
import { entitySessionsMax } from "#runtime/adapters/amqp/limits.ts";
import { SharedConnection } from "#runtime/adapters/amqp/shared-connection.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { createServiceBusTransport } from "#runtime/adapters/service-bus/transport.ts";
import { createRedisRunStore, sharedClientOf } from "#runtime/adapters/redis/run-store.ts";
import { createThreadedSqliteRunStore, sharedThreadOf } from "#runtime/adapters/sqlite/threaded-run-store.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { TransportError } from "#runtime/core/errors.ts";
import type { RunStore } from "#runtime/ports/run-store.ts";
import type { Transport } from "#runtime/ports/transport.ts";
import { startBroker } from "#load/broker/broker.ts";
import { startBench } from "../support/broker.ts";
import { claimOf } from "../contracts/run-store-fixtures.ts";
import { eventually, within } from "../support/eventually.ts";
import { testOnEach } from "../support/transports.ts";
import { startRedis } from "../support/redis-server.ts";

const retentionMs = 3_600_000;
const consumers = ["orders", "letters"];

/** The same event of each is a run of its own. */
async function assertApart(stores: readonly RunStore[]): Promise<void> {
  for (const store of stores) assert.equal((await store.claim([claimOf("a")], 60_000))[0]?.kind, "acquired");
  const secrets = await Promise.all(stores.map((store) => store.secret()));
  assert.equal(new Set(secrets).size, stores.length);
}

test("run stores of one Redis have one connection, which the last of them closes", async (t) => {
  const server = await startRedis();
  t.after(() => server.stop());
  const other = new Redis(server.url);
  t.after(() => other.disconnect());
  const clients = async (): Promise<number> =>
    String(await other.client("LIST"))
      .trim()
      .split("\n").length - 1;
  const place = { url: server.url, commandTimeoutMs: 1_000 };
  const shared = sharedClientOf(place);
  const stores = consumers.map((consumer) => createRedisRunStore({ consumer, retentionMs, ...place }, shared));
  await Promise.all(stores.map((store) => store.start()));
  assert.equal(await clients(), 1);
  await assertApart(stores);
  await stores[0]?.stop();
  assert.equal(await stores[1]?.ping(), true);
  await stores[1]?.stop();
  await eventually("the connection to close", async () => (await clients()) === 0, 5_000);
});

async function twoOnOneFile(t: TestContext): Promise<{ readonly stores: readonly RunStore[]; readonly thread: Worker }> {
  const folder = await mkdtemp(join(tmpdir(), "holdfast-shared-"));
  const file = { path: join(folder, "runs.sqlite"), retentionMs, clock: systemClock };
  const shared = sharedThreadOf(file, consumers);
  const stores = consumers.map((consumer) => createThreadedSqliteRunStore({ ...file, consumer }, shared));
  t.after(async () => {
    await Promise.all(stores.map((store) => store.stop()));
    await rm(folder, { recursive: true });
  });
  let threads = 0;
  const count = (): void => void (threads += 1);
  process.on("worker", count);
  const made = once(process, "worker");
  await Promise.all(stores.map((store) => store.start()));
  const [thread] = (await made) as [Worker];
  process.off("worker", count);
  assert.equal(threads, 1);
  return { stores, thread };
}

test("run stores of one file have one thread, and serve on when one of them stops", async (t) => {
  const { stores } = await twoOnOneFile(t);
  await assertApart(stores);
  await stores[0]?.stop();
  assert.equal((await stores[1]?.read("a"))?.state, "running");
});

test("run stores of one file are all there again after their thread was lost", async (t) => {
  const { stores, thread } = await twoOnOneFile(t);
  await assertApart(stores);
  await thread.terminate();
  for (const store of stores) {
    await eventually("the store to answer", () => store.ping(), 10_000);
    assert.equal((await store.read("a"))?.state, "running");
  }
});

test("transports of one namespace have one connection, and one that stops leaves it to the others", async (t) => {
  const broker = await startBroker({ entities: { queues: consumers } });
  t.after(() => broker.stop());
  const options = { connectionString: broker.connectionString, clock: systemClock };
  const shared = new SharedConnection(options);
  const transports = consumers.map((queue) => createAmqpTransport({ ...options, entity: { queue } }, shared));
  await Promise.all(transports.map((transport) => transport.start()));
  assert.equal(broker.inspect().connections, 1);
  await transports[0]?.stop();
  assert.equal(await transports[1]?.hasBacklog(), false);
  await within("the other to stop", transports[1]?.stop() ?? Promise.resolve(), 5_000);
  await eventually("the connection to close", () => broker.inspect().connections === 0, 5_000);
});

testOnEach("a transport that is stopped before it has started leaves no connection behind", async (t, kind) => {
  const broker = await startBroker({ entities: { queues: consumers } });
  t.after(() => broker.stop());
  const make = kind === "amqp" ? createAmqpTransport : createServiceBusTransport;
  const transport = make({ connectionString: broker.connectionString, clock: systemClock, entity: { queue: "orders" } });
  const starting = assert.rejects(transport.start(), TransportError);
  await transport.stop();
  await within("the start to end", starting, 10_000);
  await eventually("the connection to close", () => broker.inspect().connections === 0, 5_000);
});

test("a connection holds hundreds of sessions beside each other", async (t) => {
  const bench = await startBench(t, { entities: { queues: [{ name: "orders", requiresSession: true }] } });
  const count = 300;
  await bench.client.createSender("orders").sendMessages(Array.from({ length: count }, (_, index) => ({ sessionId: `s${index}`, body: Buffer.alloc(1) })));
  const transport = createAmqpTransport({ connectionString: bench.broker.connectionString, entity: { queue: "orders" }, clock: systemClock });
  t.after(() => transport.stop());
  await transport.start();
  const lost: unknown[] = [];
  for (let held = 0; held < count; held += 1) {
    const session = await transport.acceptSession(5_000);
    assert.ok(session !== undefined, `expected ${count} sessions, found ${held}`);
    session.listen({ delivery: () => undefined, lost: (error) => lost.push(error) });
  }
  assert.deepEqual([lost, bench.broker.inspect().connections], [[], 2], "expected one connection beside that of the sender");
  await transport.stop();
});

test("transports that may hold more sessions than fit on a connection have a further one, and those that hold none are on the first", async (t) => {
  const broker = await startBroker({ entities: { queues: [...consumers, "mail"] } });
  t.after(() => broker.stop());
  const options = { connectionString: broker.connectionString, clock: systemClock };
  const shared = new SharedConnection(options);
  const start = async (queue: string, sessionsMax?: number): Promise<Transport> => {
    const transport = createAmqpTransport({ ...options, entity: { queue }, sessionsMax }, shared);
    await transport.start();
    return transport;
  };
  const first = await start("orders", entitySessionsMax - 100);
  const second = await start("letters", 101);
  assert.equal(broker.inspect().connections, 2);
  const others = [await start("mail"), await start("mail", 100)];
  assert.equal(broker.inspect().connections, 2);
  await Promise.all([first, ...others].map((transport) => transport.stop()));
  await eventually("the first connection to close", () => broker.inspect().connections === 1, 5_000);
  await second.stop();
  await eventually("the second connection to close", () => broker.inspect().connections === 0, 5_000);
});
