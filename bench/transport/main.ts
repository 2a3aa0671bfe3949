/**
 * What receiving and completing costs: through our transports, on our own AMQP (amqp…) and on the SDK (ours…), beside the bare
 * SDK and bare rhea. Messages a second, and microseconds of this process's CPU a message. The broker runs in a child process,
 * and often is what bounds the speed. Rounds are interleaved, the first one is dropped; compare within one run only.
 *
 *   npm run bench -- transport [--rounds 5] [--messages 20000] [--body 256] [--only amqp,rhea] [--json]
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { ServiceBusClient, type ServiceBusReceivedMessage } from "@azure/service-bus";
import rhea from "rhea";
import { startBroker } from "#load/broker/broker.ts";
import { createAmqpPublisher } from "#runtime/adapters/amqp/publisher.ts";
import { createAmqpTransport } from "#runtime/adapters/amqp/transport.ts";
import { createServiceBusTransport } from "#runtime/adapters/service-bus/transport.ts";
import { systemClock } from "#runtime/adapters/system/clock.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import type { Receiver, Transport } from "#runtime/ports/transport.ts";

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
  /**
   * Receives and completes `messages` from the queue of its name. May return when what is measured was done, by
   * `performance.now()`.
   */
  run(connectionString: string): Promise<number | void>;
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

/** rhea alone, without a token and without a session for each link: credit 500, each message accepted as it comes. */
const bareRhea: Contender = {
  name: "rhea",
  async run(connectionString) {
    const [, host = "", port = ""] = /sb:\/\/([^:/;]+):(\d+)/.exec(connectionString) ?? [];
    const container = rhea.create_container();
    const connection = container.connect({ host, port: Number(port), username: "any", reconnect: false });
    const { promise: done, resolve, reject } = Promise.withResolvers<void>();
    const receiver = connection.open_receiver({ source: this.name, autoaccept: false, autosettle: false, credit_window: 0, rcv_settle_mode: 1 });
    let settled = 0;
    receiver.on("message", ({ delivery }) => delivery?.accept());
    receiver.on("settled", ({ delivery }) => {
      delivery?.update(true);
      receiver.add_credit(1);
      settled += 1;
      if (settled === messages) resolve();
    });
    container.on("error", reject);
    await once(receiver, "receiver_open");
    receiver.add_credit(500);
    await done;
    const closed = once(connection, "connection_close");
    connection.close();
    await closed;
  },
};

type Make = (connectionString: string, queue: string) => Transport;

const onSdk: Make = (connectionString, queue) => createServiceBusTransport({ connectionString, entity: { queue }, clock: systemClock });
const onAmqp: Make = (connectionString, queue) => createAmqpTransport({ connectionString, entity: { queue }, clock: systemClock });

interface Way {
  readonly credit: number;
  /** Completes each batch in random order. */
  readonly shuffled?: boolean;
  readonly links?: number;
  /** Reads of each message what routing it needs. */
  readonly routes?: boolean;
  /** Holds one message in a thousand until all others are settled; these are what is measured. */
  readonly holds?: boolean;
}

function route(delivery: Delivery): void {
  const { attempt, lockedUntilMs, body } = delivery;
  if (delivery.header("eventId") === undefined || delivery.header("eventType") === undefined || attempt < 1 || lockedUntilMs === 0 || body.length === 0) {
    throw new Error(`expected a whole message, found ${delivery.messageId} without an event id, a type, a lock or a body`);
  }
}

/** A transport of ours; completes each batch as it comes and grants its credit anew. */
function ours(name: string, make: Make, { credit, shuffled = false, links = 1, routes = false, holds = false }: Way): Contender {
  return {
    name,
    async run(connectionString) {
      const transport = make(connectionString, name);
      await transport.start();
      const { promise: done, resolve, reject } = Promise.withResolvers<void>();
      const held: Delivery[] = [];
      let completed = 0;
      let received = 0;
      const complete = async (batch: readonly Delivery[]): Promise<void> => {
        if (routes) for (const delivery of batch) route(delivery);
        const deliveries = shuffled ? batch.toSorted(() => Math.random() - 0.5) : batch;
        const results = await transport.settle(deliveries.map((delivery) => ({ verb: "complete", delivery })));
        for (const result of results) if (result === "settled") completed += 1;
      };
      const take = async (receiver: Receiver, batch: readonly Delivery[]): Promise<void> => {
        await complete(holds ? batch.filter((delivery) => (received += 1) % 1_000 !== 0 || held.push(delivery) === 0) : batch);
        if (completed + held.length === messages) resolve();
        else receiver.addCredit(batch.length);
      };
      const receivers = Array.from({ length: links }, () => {
        const receiver: Receiver = transport.openReceiver({
          deliveries: (batch) => void take(receiver, batch).catch(reject),
          disturbed: reject,
        });
        receiver.addCredit(Math.ceil(credit / links));
        return receiver;
      });
      await done;
      const doneMs = performance.now();
      await complete(held);
      if (completed !== messages) throw new Error(`expected ${messages} messages to be completed, found ${completed}`);
      await Promise.all(receivers.map((receiver) => receiver.stop()));
      await transport.stop();
      return doneMs;
    },
  };
}

const all: readonly Contender[] = [
  bareBatches,
  bareSubscribe,
  bareRhea,
  ours("ours", onSdk, { credit: 500 }),
  ours("ours-2000", onSdk, { credit: 2_000 }),
  ours("ours-shuffled", onSdk, { credit: 500, shuffled: true }),
  ours("ours-held", onSdk, { credit: 500, holds: true }),
  ours("amqp", onAmqp, { credit: 500 }),
  ours("amqp-2000", onAmqp, { credit: 2_000 }),
  ours("amqp-routed", onAmqp, { credit: 500, routes: true }),
  ours("amqp-shuffled", onAmqp, { credit: 500, shuffled: true }),
  ours("amqp-held", onAmqp, { credit: 500, holds: true }),
  ours("amqp-2-links", onAmqp, { credit: 2_000, links: 2 }),
  ours("amqp-4-links", onAmqp, { credit: 2_000, links: 4 }),
];
const contenders = all.filter(({ name }) => values.only === undefined || values.only.split(",").includes(name));

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
  const publisher = createAmqpPublisher({ connectionString, clock: systemClock });
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
  const doneMs = await contender.run(connectionString);
  const tookMs = (doneMs ?? performance.now()) - fromMs;
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
  const child = spawn(process.execPath, [import.meta.filename, ...process.argv.slice(2), "--broker"], { stdio: ["ignore", "pipe", "inherit"] });
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
