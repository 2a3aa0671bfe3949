/**
 * `npm run bench -- quick`: how much of the bare SDK's speed is left when a message also goes through de-duplication,
 * admission, a thread, the done mark and settlement. Both drain a queue that was filled before, in a process of their own,
 * in turns. The runtime uses our own AMQP engine, or the SDK with `--transport sdk`. The broker's account is the only clock, and the first part of each turn is not counted.
 */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import Table from "cli-table3";
import { type BrokerAccount, BrokerControl } from "#load/dev/broker-account.ts";
import { type Child, startChild } from "#load/dev/child.ts";
import { composePublisher } from "#runtime/compose.ts";
import type { ConfigInput } from "#runtime/core/config.ts";
import { eventHeaders } from "#runtime/core/event-headers.ts";
import type { OutgoingMessage } from "#runtime/core/delivery.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import { processCpuMs } from "../support/process-cpu.ts";

const { values } = parseArgs({
  options: { messages: { type: "string", default: "60000" }, rounds: { type: "string", default: "3" }, "ratio-min": { type: "string", default: "0.6" }, transport: { type: "string", default: "amqp" } },
});
const messages = Number(values.messages);
const rounds = Number(values.rounds);
const ratioMin = Number(values["ratio-min"]);
const transport = values.transport === "amqp" ? "amqp" : "sdk";

const queue = "bench";
const bodyBytes = 256;
const batchMessages = 500;
/** Share of a turn that is not counted: connecting, starting threads, compiling. */
const warmUpPart = 1 / 3;
const lookEveryMs = 20;
const turnMaxMs = 120_000;

interface BrokerReady {
  readonly controlPort: number;
  readonly connectionString: string;
}

interface Turn {
  readonly perSecond: number;
  readonly cpuMicroseconds: number | undefined;
}

function makeMessage(): OutgoingMessage {
  const eventId = randomUUID();
  const envelope = {
    eventId,
    eventType: "Nothing",
    traceId: eventId.replaceAll("-", ""),
    correlationId: "bench",
    projectId: "bench",
    originatingAgent: "bench",
    version: "1.0",
    timestamp: "2026-01-01T00:00:00.000Z",
  };
  const bare = JSON.stringify({ ...envelope, payload: "" });
  const body = Buffer.from(JSON.stringify({ ...envelope, payload: "x".repeat(Math.max(0, bodyBytes - bare.length)) }));
  return { messageId: eventId, contentType: "application/json", headers: eventHeaders(envelope), body };
}

async function fill(publisher: Publisher): Promise<void> {
  for (let left = messages; left > 0; left -= batchMessages) {
    await publisher.send(queue, Array.from({ length: Math.min(left, batchMessages) }, makeMessage));
  }
}

/** Lets a consumer drain the queue and measures the part after the warm-up. */
async function drain(control: BrokerControl, start: () => Promise<Child<unknown>>): Promise<Turn> {
  const before = await control.account();
  const consumer = await start();
  const pid = consumer.process.pid ?? 0;
  const reach = async (wanted: number): Promise<{ account: BrokerAccount; atMs: number; cpuMs: number | undefined }> => {
    const endMs = performance.now() + turnMaxMs;
    for (;;) {
      const account = await control.account();
      if (account.completed >= wanted) return { account, atMs: performance.now(), cpuMs: processCpuMs(pid) };
      if (performance.now() > endMs) throw new Error(`expected ${wanted} messages to be completed within ${turnMaxMs} ms, ${account.completed} were`);
      await pause(lookEveryMs);
    }
  };
  const warm = await reach(before.completed + Math.round(messages * warmUpPart));
  const done = await reach(before.completed + messages);
  await consumer.stop();
  const counted = done.account.completed - warm.account.completed;
  return {
    perSecond: counted / ((done.atMs - warm.atMs) / 1_000),
    cpuMicroseconds: warm.cpuMs === undefined || done.cpuMs === undefined ? undefined : ((done.cpuMs - warm.cpuMs) * 1_000) / counted,
  };
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

function workerConfig(connectionString: string, folder: string): ConfigInput {
  const redis = process.env["REDIS_URL"];
  return {
    consumer: { queue },
    serviceBus: { connectionString },
    transport,
    store: redis === undefined ? { kind: "sqlite", path: join(folder, "runs.sqlite") } : { kind: "redis", url: redis, prefix: `holdfast-bench-${randomUUID().slice(0, 8)}` },
    plugins: [resolve(import.meta.dirname, "../plugins/no-op")],
    pluginRoots: [resolve(import.meta.dirname, "../plugins")],
    retentionMs: 600_000,
    // A no-op needs no more, and the broker wants a core too.
    threads: 1,
    logLevel: "error",
  };
}

function report(bare: readonly Turn[], runtime: readonly Turn[]): number {
  const table = new Table({ head: ["", "messages/s, median", "range", "client CPU, µs a message"], style: { head: [], border: [] } });
  for (const [name, turns] of [["bare SDK, receive 500 + complete", bare], ["Holdfast, no-op skill", runtime]] as const) {
    const speeds = turns.map((turn) => turn.perSecond);
    const cpu = turns.flatMap((turn) => turn.cpuMicroseconds ?? []);
    const range = `${Math.round(Math.min(...speeds))}–${Math.round(Math.max(...speeds))}`;
    table.push([name, Math.round(median(speeds)), range, cpu.length === 0 ? "–" : median(cpu).toFixed(1)]);
  }
  process.stdout.write(`${table.toString()}\n`);
  return median(runtime.map((turn, round) => turn.perSecond / (bare[round]?.perSecond ?? Number.NaN)));
}

const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-"));
const broker = await startChild<BrokerReady>("load/broker/main", ["--port", "0", "--control-port", "0", "--entities", JSON.stringify({ queues: [queue] })]);
const { connectionString, controlPort } = broker.ready;
const publisher = await composePublisher({ serviceBus: { connectionString }, transport });
try {
  const control = new BrokerControl(controlPort, queue);
  const configFile = join(folder, "holdfast.config.json");
  writeFileSync(configFile, JSON.stringify(workerConfig(connectionString, folder)));
  await publisher.start();
  const bare: Turn[] = [];
  const runtime: Turn[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    await fill(publisher);
    bare.push(await drain(control, () => startChild("bench/quick/bare-client", [connectionString, queue])));
    await fill(publisher);
    runtime.push(await drain(control, () => startChild("runtime/cli/main", ["start", "--config", configFile])));
    process.stderr.write(`round ${round} of ${rounds}: bare ${Math.round(bare.at(-1)?.perSecond ?? 0)}/s, Holdfast ${Math.round(runtime.at(-1)?.perSecond ?? 0)}/s\n`);
  }
  const ratio = report(bare, runtime);
  const store = process.env["REDIS_URL"] === undefined ? "sqlite" : "redis";
  process.stdout.write(`${JSON.stringify({ bench: "quick", messages, rounds, store, transport, ratio: Math.round(ratio * 100) / 100, ratioExpected: ratioMin })}\n`);
  if (ratio < ratioMin) process.exitCode = 1;
} finally {
  await publisher.stop();
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
}
