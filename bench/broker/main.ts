// What the local broker costs: its CPU for each message that a client sends in batches, and for each that a client receives
// and completes; the memory of what it stores; and how soon a message that is sent while nothing else goes on reaches its
// handler. The broker runs here, the client, which is the SDK, in a process of its own.
import { fork } from "node:child_process";
import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ServiceBusClient } from "@azure/service-bus";
import { type Broker, startBroker } from "#load/broker/broker.ts";

const batchCount = 256;
const bodyBytes = 256;
const queue = "bench";
const storedCount = 391 * batchCount;

interface Order {
  readonly phase: "send" | "receive" | "latency" | "end";
  readonly count: number;
}

interface Figures {
  readonly cpuMicroseconds: number;
  readonly perSecond: number;
}

// --- the client ---

async function runClient(connectionString: string): Promise<void> {
  const client = new ServiceBusClient(connectionString);
  const sender = client.createSender(queue);
  const receiver = client.createReceiver(queue, { skipParsingBodyAsJson: true, maxAutoLockRenewalDurationInMs: 0 });
  const body = Buffer.alloc(bodyBytes, "x");
  let sent = 0;
  const send = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += batchCount) {
      const batch = await sender.createMessageBatch();
      for (let i = 0; i < batchCount; i++) batch.tryAddMessage({ body, messageId: `message-${++sent}` });
      await sender.sendMessages(batch);
    }
  };
  const receive = async (count: number): Promise<void> => {
    for (let done = 0; done < count; ) {
      const messages = await receiver.receiveMessages(batchCount, { maxWaitTimeInMs: 1000 });
      await Promise.all(messages.map((message) => receiver.completeMessage(message)));
      done += messages.length;
    }
  };
  const latency = (count: number): Promise<number> => idleLatency(client, count);
  process.on("message", (order: Order) => {
    const work: Promise<unknown> = { send, receive, latency, end: () => client.close() }[order.phase](order.count);
    void work.then((result) => {
      process.send?.(result ?? "done");
      if (order.phase === "end") process.disconnect();
    });
  });
  process.send?.("ready");
}

/** Sends one message at a time to a handler that waits; the median from send to handler, in milliseconds. */
async function idleLatency(client: ServiceBusClient, count: number): Promise<number> {
  const sender = client.createSender(queue);
  const receiver = client.createReceiver(queue, { maxAutoLockRenewalDurationInMs: 0 });
  let arrived = Promise.withResolvers<void>();
  receiver.subscribe({
    processMessage: () => Promise.resolve(arrived.resolve()),
    processError: ({ error }) => Promise.resolve(arrived.reject(error)),
  });
  const latencies: number[] = [];
  for (let i = 0; i < count; i++) {
    arrived = Promise.withResolvers();
    const startMs = performance.now();
    await Promise.all([sender.sendMessages({ body: "ping" }), arrived.promise.then(() => latencies.push(performance.now() - startMs))]);
  }
  await receiver.close();
  await sender.close();
  return latencies.sort((a, b) => a - b)[Math.floor(count / 2)] ?? NaN;
}

// --- the broker ---

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Bytes in use, on and off the heap. */
async function memoryBytes(): Promise<number> {
  // What is behind buffers is given back a turn after the buffers.
  for (let i = 0; i < 3; i++) {
    collectGarbage();
    await nextTurn();
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

async function measure(count: number, work: () => Promise<unknown>): Promise<Figures> {
  const startMs = performance.now();
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return { cpuMicroseconds: (user + system) / count, perSecond: (count / (performance.now() - startMs)) * 1000 };
}

function account(broker: Broker): string {
  const { states, totals } = broker.inspect().queues[queue] ?? {};
  return `accepted ${totals?.accepted}, completed ${totals?.completed}, left ${(states?.active ?? 0) + (states?.locked ?? 0)}`;
}

function print(name: string, { cpuMicroseconds, perSecond }: Figures): void {
  process.stdout.write(`${name.padEnd(24)} ${cpuMicroseconds.toFixed(2).padStart(7)} µs of broker CPU a message, ${Math.round(perSecond)} messages/s\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { count: { type: "string", default: "51200" }, rounds: { type: "string", default: "3" } } });
  const count = Math.ceil(Number(values.count) / batchCount) * batchCount;
  const broker = await startBroker({ entities: { queues: [{ name: queue, lockDurationMs: 300_000 }] } });
  const client = fork(import.meta.filename, ["client", broker.connectionString]);
  await once(client, "message");
  const ask = async (order: Order): Promise<unknown> => {
    client.send(order);
    const [answer] = (await once(client, "message")) as [unknown];
    return answer;
  };
  await ask({ phase: "send", count: 10_240 });
  await ask({ phase: "receive", count: 10_240 });
  for (let round = 0; round < Number(values.rounds); round++) {
    print("batched send", await measure(count, () => ask({ phase: "send", count })));
    print("received and completed", await measure(count, () => ask({ phase: "receive", count })));
  }
  const emptyBytes = await memoryBytes();
  await ask({ phase: "send", count: storedCount });
  const storedBytes = (await memoryBytes()) - emptyBytes;
  process.stdout.write(`${storedCount} messages stored: ${(storedBytes / 1e6).toFixed(1)} MB, ${Math.round(storedBytes / storedCount)} bytes a message\n`);
  await ask({ phase: "receive", count: storedCount });
  process.stdout.write(`empty again: ${(((await memoryBytes()) - emptyBytes) / 1e6).toFixed(1)} MB more than before\n`);
  process.stdout.write(`idle send to handler: p50 ${Number(await ask({ phase: "latency", count: 200 })).toFixed(2)} ms\n`);
  process.stdout.write(`${account(broker)}\n`);
  await ask({ phase: "end", count: 0 });
  await broker.stop();
}

const [role, connectionString] = process.argv.slice(2);
if (role === "client" && connectionString !== undefined) await runClient(connectionString);
else await main();
