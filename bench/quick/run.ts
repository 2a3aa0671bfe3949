import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Child, startChild } from "#load/dev/child.ts";
import type { TransportKind } from "#runtime/core/config.ts";
import { type BenchBroker, fill, startBenchBroker } from "../support/broker.ts";
import { eventMessage } from "../support/event-message.ts";
import { type Figure, figure, ratio } from "../support/figures.ts";
import { startPeer } from "../support/contenders.ts";
import { processCpuMs } from "../support/process-cpu.ts";
import { showProgress } from "../support/progress.ts";
import { Report, type ReportOptions } from "../support/report.ts";
import { storeName, workerConfig } from "../support/worker-config.ts";

export interface QuickOptions extends ReportOptions {
  readonly rounds: number;
  readonly messages: number;
  readonly transport: TransportKind;
}

const queue = "bench";
const bodyBytes = 256;
/** Share of a turn that is not counted: connecting, starting threads, compiling. */
const warmUpPart = 1 / 3;
const lookEveryMs = 20;
const turnMaxMs = 120_000;
/** What the design asks of each transport in the end. */
const ratioAims: Readonly<Record<TransportKind, number>> = { sdk: 0.75, amqp: 2 };

interface Turn {
  readonly perSecond: number;
  readonly clientMicros: number;
  readonly brokerMicros: number;
}

export async function run(options: QuickOptions): Promise<number> {
  const report = new Report("quick", options);
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
  const broker = await startBenchBroker([queue]);
  const bare: Turn[] = [];
  const worker: Turn[] = [];
  try {
    const place = { connectionString: broker.connectionString, queue };
    const configFile = join(folder, "holdfast.config.json");
    // A no-op needs no more threads than one, and the broker wants a core too.
    writeFileSync(configFile, JSON.stringify({ ...workerConfig({ ...place, folder, plugin: "no-op", threads: 1 }), transport: options.transport }));
    for (let round = 1; round <= options.rounds; round += 1) {
      showProgress(`round ${round} of ${options.rounds}: bare SDK`);
      bare.push(
        await drain(broker, options.messages, () => startPeer("bare-sdk", { ...place, redisUrl: "", prefix: "", dependencies: { sound: "", troubled: "" } })),
      );
      showProgress(`round ${round} of ${options.rounds}: Holdfast`);
      worker.push(await drain(broker, options.messages, () => startChild("runtime/cli/main", ["start", "--config", configFile])));
    }
  } finally {
    showProgress("");
    await broker.peer.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  tell(report, options, bare, worker);
  return report.end();
}

/** Fills the queue, lets a consumer drain it and measures the part after the warm-up. */
async function drain(broker: BenchBroker, messages: number, start: () => Promise<Child<unknown>>): Promise<Turn> {
  await fill(broker, queue, messages, () => eventMessage("Nothing", bodyBytes));
  await broker.peer.call("collectGarbage");
  const completedBefore = await completedBy(broker);
  const consumer = await start();
  const reach = async (
    wanted: number,
  ): Promise<{ readonly completed: number; readonly atMs: number; readonly clientMs: number; readonly brokerMicros: number }> => {
    const endMs = performance.now() + turnMaxMs;
    for (;;) {
      const completed = (await completedBy(broker)) - completedBefore;
      if (completed >= wanted)
        return {
          completed,
          atMs: performance.now(),
          clientMs: processCpuMs(consumer.process.pid ?? 0) ?? Number.NaN,
          brokerMicros: await broker.peer.call("cpuMicros"),
        };
      if (performance.now() > endMs) throw new Error(`expected ${wanted} messages to be completed within ${turnMaxMs} ms, ${completed} were`);
      await pause(lookEveryMs);
    }
  };
  const warm = await reach(Math.round(messages * warmUpPart));
  const done = await reach(messages);
  await consumer.stop();
  const counted = done.completed - warm.completed;
  return {
    perSecond: (counted / (done.atMs - warm.atMs)) * 1_000,
    clientMicros: ((done.clientMs - warm.clientMs) * 1_000) / counted,
    brokerMicros: (done.brokerMicros - warm.brokerMicros) / counted,
  };
}

async function completedBy({ peer }: BenchBroker): Promise<number> {
  return (await peer.call("inspect")).queues[queue]!.totals.completed;
}

function tell(report: Report, { messages, rounds, transport }: QuickOptions, bare: readonly Turn[], worker: readonly Turn[]): void {
  const speed = (turns: readonly Turn[]): Figure => figure(turns, ({ perSecond }) => perSecond, 0);
  const row = (name: string, turns: readonly Turn[]) => ({
    name,
    perSecond: speed(turns),
    client: figure(turns, ({ clientMicros }) => clientMicros, 1),
    broker: figure(turns, ({ brokerMicros }) => brokerMicros, 1),
  });
  report.table({
    name: "sides",
    title: `${messages.toLocaleString("en")} messages a turn, run store ${storeName()}; median (range) of ${rounds} rounds`,
    columns: { name: "", perSecond: "messages/s", client: "client CPU, µs a message", broker: "broker CPU, µs a message" },
    rows: [row("bare SDK: receive 500, complete", bare), row(`Holdfast, no-op skill, transport ${transport}`, worker)],
  });
  report.targets({
    what: "messages/s: Holdfast / bare SDK",
    found: ratio(speed(worker), speed(bare), 2),
    unit: "",
    bound: { atLeast: 0.6 },
    aim: ratioAims[transport],
  });
}
