import { type BenchBroker, fill, startBenchBroker } from "../support/broker.ts";
import { figure, figureText } from "../support/figures.ts";
import type { Memory } from "../support/memory.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { interleave } from "../support/rounds.ts";
import { amqpClient, batchMessages, type Client, pingTimes, sdkClient } from "./clients.ts";
import { bareStartMs, brokerStartMs } from "./start-up.ts";

export interface BrokerOptions extends ReportOptions {
  readonly rounds: number;
  readonly messages: number;
  readonly peerMessages: number;
  readonly stored: number;
  readonly pings: number;
  readonly starts: number;
}

interface Sample {
  readonly sendMicros: number;
  readonly receiveMicros: number;
  readonly sentPerSecond: number;
  readonly receivedPerSecond: number;
}

const queue = "bench";
const megabyte = 1e6;

export async function run(options: BrokerOptions): Promise<number> {
  const report = new Report("broker", options);
  const broker = await startBenchBroker([queue]);
  try {
    await measureCpu(report, broker, options);
    await measurePings(report, broker, options);
    await measureStorage(report, broker, options);
  } finally {
    await broker.peer.stop();
  }
  await measureStartUp(report, options);
  return report.end();
}

async function measureCpu(report: Report, broker: BenchBroker, { rounds, messages, peerMessages }: BrokerOptions): Promise<void> {
  const clients = [sdkClient(broker.connectionString, queue), await amqpClient(broker.connectionString, queue)];
  const whole = (count: number): number => Math.ceil(count / batchMessages) * batchMessages;
  const samples = await interleave(clients, rounds, (client) => turn(broker, client, whole(client.name === "sdk" ? peerMessages : messages)));
  await Promise.all(clients.map((client) => client.stop()));
  const rows = [...samples].map(([name, list]) => ({
    name,
    send: figure(list, ({ sendMicros }) => sendMicros, 2),
    sent: figure(list, ({ sentPerSecond }) => sentPerSecond, 0),
    receive: figure(list, ({ receiveMicros }) => receiveMicros, 2),
    received: figure(list, ({ receivedPerSecond }) => receivedPerSecond, 0),
  }));
  report.table({
    name: "cpu",
    title: `Broker CPU, µs a message of 256 bytes in batches of ${batchMessages}; median (range) of ${rounds} rounds`,
    columns: { name: "client", send: "sent", sent: "messages/s", receive: "received and completed", received: "messages/s" },
    rows,
  });
  for (const { name, send, receive } of rows) {
    report.targets(
      { what: `${name}: a message sent in a batch`, found: send, unit: "µs", bound: { atMost: 6 } },
      { what: `${name}: a message received and completed`, found: receive, unit: "µs", bound: { atMost: 8 }, aim: 4 },
    );
  }
}

async function turn({ peer }: BenchBroker, client: Client, count: number): Promise<Sample> {
  const measured = async (work: () => Promise<void>): Promise<readonly [micros: number, perSecond: number]> => {
    await peer.call("collectGarbage");
    const before = await peer.call("cpuMicros");
    const startMs = performance.now();
    await work();
    const tookMs = performance.now() - startMs;
    return [((await peer.call("cpuMicros")) - before) / count, (count / tookMs) * 1_000];
  };
  const [sendMicros, sentPerSecond] = await measured(() => client.send(count));
  const [receiveMicros, receivedPerSecond] = await measured(() => client.receive(count));
  return { sendMicros, sentPerSecond, receiveMicros, receivedPerSecond };
}

async function measurePings(report: Report, { connectionString }: BenchBroker, { pings }: BrokerOptions): Promise<void> {
  showProgress("sending one by one");
  const warmUp = Math.ceil(pings / 5);
  const times = (await pingTimes(connectionString, queue, warmUp + pings)).slice(warmUp);
  report.targets({
    what: "idle, from send to handler, median (range) of single messages",
    found: { samples: times, digits: 2 },
    unit: "ms",
    bound: { below: 3 },
  });
}

async function measureStorage(report: Report, broker: BenchBroker, { stored }: BrokerOptions): Promise<void> {
  showProgress("storing");
  const body = Buffer.alloc(256, "x");
  const before = await broker.peer.call("memory");
  await fill(broker, queue, stored, (index) => ({ messageId: `message-${index}`, body, headers: {} }));
  const full = await broker.peer.call("memory");
  const client = await amqpClient(broker.connectionString, queue);
  await client.receive(stored);
  await client.stop();
  const after = await broker.peer.call("memory");
  const used = (memory: Memory): number => (memory.heapUsed + memory.external - before.heapUsed - before.external) / megabyte;
  report.remark(
    `${stored.toLocaleString("en")} messages stored take ${((used(full) * megabyte) / stored).toFixed(0)} bytes each (resident memory grew by ${((full.rss - before.rss) / megabyte).toFixed(0)} MB); completed, they leave ${used(after).toFixed(1)} MB.`,
  );
  report.targets({
    what: `memory of ${stored.toLocaleString("en")} stored messages`,
    found: { samples: [used(full)], digits: 1 },
    unit: "MB",
    bound: { below: (200 * stored) / 100_000 },
  });
}

async function measureStartUp(report: Report, { starts }: BrokerOptions): Promise<void> {
  showProgress("starting");
  const samples: number[] = [];
  const bare: number[] = [];
  for (let start = 0; start < starts; start += 1) {
    samples.push(await brokerStartMs());
    bare.push(await bareStartMs());
  }
  showProgress("");
  report.remark(`A Node program that does nothing started in ${figureText({ samples: bare, digits: 0 })} ms, in turns with the broker.`);
  report.targets({ what: "start of `holdfast broker`", found: { samples, digits: 0 }, unit: "ms", bound: { below: 500 } });
}
