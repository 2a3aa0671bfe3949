/**
 * What receiving and completing costs through our transport, beside the bare SDK: messages a second, and microseconds of this
 * process's CPU a message. The broker runs in a child process. Rounds are interleaved, the first one is dropped; compare
 * within one run only.
 *
 *   node bench/transport/main.ts [--rounds 5] [--messages 20000] [--body 256] [--json]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { ServiceBusClient, type ServiceBusReceivedMessage } from "@azure/service-bus";
import { startBroker } from "#load/broker/broker.ts";
import { createServiceBusPublisher } from "#runtime/adapters/service-bus/publisher.ts";
import { createServiceBusTransport } from "#runtime/adapters/service-bus/transport.ts";
import type { Clock } from "#runtime/core/clock.ts";
import type { Delivery } from "#runtime/core/delivery.ts";

const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, action) => {
    const timer = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (action) => void setImmediate(action),
};

const { values } = parseArgs({
  options: {
    broker: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    messages: { type: "string", default: "20000" },
    body: { type: "string", default: "256" },
    only: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const rounds = Number(values.rounds);
const messages = Number(values.messages);

interface Contender {
  readonly name: string;
  /** Receives and completes `messages` from the queue of its name. */
  run(connectionString: string): Promise<void>;
}

/** The SDK as its documentation has it, with parsing, date conversion and lock renewal off: batches of 500, completed in order. */
const bareBatches: Contender = {
  name: "sdk-batches",
  async run(connectionString) {
    const client = new ServiceBusClient(connectionString);
    const receiver = client.createReceiver(this.name, { skipParsingBodyAsJson: true, skipConvertingDate: true, maxAutoLockRenewalDurationInMs: 0 });
    for (let received = 0; received < messages; ) {
      const batch = await receiver.receiveMessages(Math.min(500, messages - received));
      received += batch.length;
      await Promise.all(batch.map((message) => receiver.completeMessage(message)));
    }
    await client.close();
  },
};

/** The SDK's `subscribe` with 200 calls, each of which completes its message. */
const bareSubscribe: Contender = {
  name: "sdk-subscribe",
  async run(connectionString) {
    const client = new ServiceBusClient(connectionString);
    const receiver = client.createReceiver(this.name, { skipParsingBodyAsJson: true, skipConvertingDate: true, maxAutoLockRenewalDurationInMs: 0 });
    const { promise: done, resolve } = Promise.withResolvers<void>();
    let completed = 0;
    receiver.subscribe(
      {
        processMessage: async (message: ServiceBusReceivedMessage) => {
          await receiver.completeMessage(message);
          completed += 1;
          if (completed === messages) resolve();
        },
        processError: async ({ error }) => {
          throw error;
        },
      },
      { autoCompleteMessages: false, maxConcurrentCalls: 200 },
    );
    await done;
    await client.close();
  },
};

/** Our transport; completes each batch as it comes and grants its credit anew. `shuffled`: in random order. */
function ours(name: string, credit: number, shuffled: boolean): Contender {
  return {
    name,
    async run(connectionString) {
      const transport = createServiceBusTransport({ connectionString, entity: { queue: name }, clock });
      await transport.start();
      const { promise: done, resolve, reject } = Promise.withResolvers<void>();
      let completed = 0;
      const complete = async (batch: readonly Delivery[]): Promise<void> => {
        const deliveries = shuffled ? batch.toSorted(() => Math.random() - 0.5) : batch;
        const results = await transport.settle(deliveries.map((delivery) => ({ verb: "complete", delivery })));
        completed += results.filter((result) => result === "settled").length;
        if (completed === messages) resolve();
        else receiver.addCredit(batch.length);
      };
      const receiver = transport.openReceiver({ deliveries: (batch) => void complete(batch).catch(reject), disturbed: reject });
      receiver.addCredit(credit);
      await done;
      await receiver.stop();
      await transport.stop();
    },
  };
}

/** Our transport with one message in a thousand held for half a second. */
const oursHeld: Contender = {
  name: "ours-held",
  async run(connectionString) {
    const transport = createServiceBusTransport({ connectionString, entity: { queue: this.name }, clock });
    await transport.start();
    const { promise: done, resolve, reject } = Promise.withResolvers<void>();
    let completed = 0;
    let received = 0;
    const complete = async (batch: readonly Delivery[]): Promise<void> => {
      const results = await transport.settle(batch.map((delivery) => ({ verb: "complete", delivery })));
      completed += results.filter((result) => result === "settled").length;
      if (completed === messages) resolve();
      else receiver.addCredit(batch.length);
    };
    const receiver = transport.openReceiver({
      deliveries(batch) {
        const now: Delivery[] = [];
        for (const delivery of batch) {
          received += 1;
          if (received % 1_000 === 0) clock.after(500, () => void complete([delivery]).catch(reject));
          else now.push(delivery);
        }
        void complete(now).catch(reject);
      },
      disturbed: reject,
    });
    receiver.addCredit(1_000);
    await done;
    await receiver.stop();
    await transport.stop();
  },
};

const contenders: readonly Contender[] = [bareBatches, bareSubscribe, ours("ours", 500, false), ours("ours-2000", 2_000, false), ours("ours-shuffled", 500, true), oursHeld].filter(
  ({ name }) => values.only === undefined || values.only.split(",").includes(name),
);

async function brokerProcess(): Promise<void> {
  const broker = await startBroker({ entities: { queues: contenders.map(({ name }) => ({ name })), topics: [] } });
  process.stdout.write(`${broker.connectionString}\n`);
  await once(process, "SIGTERM");
  await broker.stop();
}

interface Figures {
  readonly perSecond: number;
  readonly cpuMicros: number;
}

async function measure(contender: Contender, connectionString: string): Promise<Figures> {
  const publisher = createServiceBusPublisher({ connectionString, clock });
  await publisher.start();
  const body = Buffer.alloc(Number(values.body), 0x61);
  for (let sent = 0; sent < messages; sent += 5_000) {
    const count = Math.min(5_000, messages - sent);
    await publisher.send(
      contender.name,
      Array.from({ length: count }, (_, index) => ({ messageId: `${sent + index}`, body, headers: { eventType: "Measured", eventId: `${sent + index}` } })),
    );
  }
  await publisher.stop();
  const cpu = process.cpuUsage();
  const fromMs = performance.now();
  await contender.run(connectionString);
  const tookMs = performance.now() - fromMs;
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: (messages / tookMs) * 1_000, cpuMicros: (user + system) / messages };
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

function summary(numbers: readonly number[], digits: number): string {
  return `${median(numbers).toFixed(digits)} (${Math.min(...numbers).toFixed(digits)}–${Math.max(...numbers).toFixed(digits)})`;
}

async function main(): Promise<void> {
  const child = spawn(process.execPath, [...process.argv.slice(1), "--broker"], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "close");
  const [connectionString] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  const figures = new Map<string, Figures[]>(contenders.map(({ name }) => [name, []]));
  try {
    for (let round = 0; round <= rounds; round += 1) {
      for (const contender of contenders) {
        const figure = await measure(contender, connectionString);
        if (round > 0) figures.get(contender.name)?.push(figure);
      }
    }
  } finally {
    child.kill("SIGTERM");
    await exited;
  }
  const bare = figures.get(bareBatches.name)?.map(({ cpuMicros }) => cpuMicros);
  for (const [name, rows] of figures) {
    const ratios = rows.map(({ cpuMicros }, index) => cpuMicros / (bare?.[index] ?? Number.NaN));
    const line = { name, perSecond: median(rows.map((row) => row.perSecond)), cpuMicros: median(rows.map((row) => row.cpuMicros)), cpuRatio: median(ratios) };
    const text = `${name.padEnd(14)} ${summary(rows.map((row) => row.perSecond), 0).padStart(24)} messages/s ${summary(rows.map((row) => row.cpuMicros), 1).padStart(20)} µs CPU a message ${summary(ratios, 2).padStart(18)} of ${bareBatches.name}`;
    process.stdout.write(`${values.json ? JSON.stringify(line) : text}\n`);
  }
}

await (values.broker ? brokerProcess() : main());
