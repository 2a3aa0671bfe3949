import { fileURLToPath } from "node:url";
import { startBenchBroker } from "../support/broker.ts";
import type { Memory } from "../support/memory.ts";
import { Peer } from "../support/peer.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import type { Target } from "../support/target.ts";
import type { SoakCalls } from "./client.ts";
import { slopeOf } from "./slope.ts";

export interface SoakOptions extends ReportOptions {
  readonly quick?: boolean;
  readonly messages: number;
  readonly readings: number;
  readonly body: number;
}

interface Reading {
  readonly messages: number;
  readonly perSecond: number;
  readonly client: Memory;
  readonly broker: Memory;
}

const quickMessages = 600_000;
const quickReadings = 8;
const queue = "soak";
const clientScript = fileURLToPath(import.meta.resolve("./client.ts"));
const megabyte = 1e6;
/** Part of the readings that is left out: until then caches fill and the heap finds its size. */
const settlingPart = 1 / 5;
/** A reference that is kept of each message would be 4 bytes on the heap; resident memory also moves with the allocator. */
const heapSlopeMax = 0.1;
const rssSlopeMax = 2;

export async function run(asked: SoakOptions): Promise<number> {
  const options = asked.quick === true ? { ...asked, messages: Math.min(asked.messages, quickMessages), readings: quickReadings } : asked;
  const report = new Report("soak", options);
  const broker = await startBenchBroker([queue]);
  const readings: Reading[] = [];
  try {
    const client = await Peer.start<SoakCalls>(clientScript, broker.connectionString, queue, String(options.body));
    try {
      for (let reading = 0; reading <= options.readings; reading += 1) {
        const before = readings.at(-1)?.messages ?? 0;
        const messages = Math.round((options.messages * reading) / options.readings);
        const startMs = performance.now();
        await client.call("pump", messages - before);
        const perSecond = ((messages - before) / (performance.now() - startMs)) * 1_000;
        readings.push({ messages, perSecond, client: await client.call("memory"), broker: await broker.peer.call("memory") });
        showProgress(
          `${messages.toLocaleString("en")} of ${options.messages.toLocaleString("en")} messages, ${Math.round(perSecond).toLocaleString("en")} a second`,
        );
      }
    } finally {
      showProgress("");
      await client.stop();
    }
  } finally {
    await broker.peer.stop();
  }
  tell(report, options, readings);
  return report.end();
}

function tell(report: Report, { messages, body, quick }: SoakOptions, readings: readonly Reading[]): void {
  report.table({
    name: "readings",
    title: `Memory after a garbage collection, MB, while ${messages.toLocaleString("en")} messages of ${body} bytes pass through`,
    columns: {
      messages: "messages",
      perSecond: "messages/s",
      clientHeap: "client heap",
      clientExternal: "external",
      clientRss: "resident",
      brokerHeap: "broker heap",
      brokerExternal: "external",
      brokerRss: "resident",
    },
    rows: readings.map(({ messages, perSecond, client, broker }) => ({
      messages,
      perSecond: messages === 0 ? undefined : Math.round(perSecond),
      clientHeap: inMegabytes(client.heapUsed),
      clientExternal: inMegabytes(client.external),
      clientRss: inMegabytes(client.rss),
      brokerHeap: inMegabytes(broker.heapUsed),
      brokerExternal: inMegabytes(broker.external),
      brokerRss: inMegabytes(broker.rss),
    })),
  });
  const memory = (of: (reading: Reading) => Memory) =>
    readings.map((reading) => [reading.messages, (of(reading).heapUsed + of(reading).external) / megabyte] as const);
  report.chart({
    kind: "lines",
    title: "Memory after a garbage collection, heap and buffers",
    unit: "MB",
    x: { title: "messages" },
    series: [
      { name: "client", points: memory(({ client }) => client) },
      { name: "broker", points: memory(({ broker }) => broker) },
    ],
  });
  if (quick === true) {
    report.remark("So few messages do not tell growth from caches that fill: the slopes are held to their targets in the long form.");
    return;
  }
  const settled = readings.slice(Math.ceil(readings.length * settlingPart));
  for (const process of ["client", "broker"] as const) {
    report.targets(
      growth(
        `${process}: growth of heap and external memory a message`,
        settled,
        (reading) => reading[process].heapUsed + reading[process].external,
        heapSlopeMax,
      ),
      growth(`${process}: growth of resident memory a message`, settled, (reading) => reading[process].rss, rssSlopeMax),
    );
  }
}

function growth(what: string, readings: readonly Reading[], bytesOf: (reading: Reading) => number, atMost: number): Target {
  const slope = slopeOf(readings.map((reading) => [reading.messages, bytesOf(reading)]));
  return { what, found: { samples: [slope], digits: 3 }, unit: "bytes", bound: { atMost } };
}

function inMegabytes(bytes: number): string {
  return (bytes / megabyte).toFixed(2);
}
