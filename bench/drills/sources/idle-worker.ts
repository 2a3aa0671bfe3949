/** A worker whose sources bring nothing: started with its configuration's file, it says what it uses of memory and of the processor, and ends. */
import { setTimeout as pause } from "node:timers/promises";
import { collectGarbage } from "#runtime/adapters/threads/collect-garbage.ts";
import { loadConfig } from "#runtime/cli/load-config.ts";
import { composeWorker } from "#runtime/compose/worker.ts";

/** What it uses while nothing happens. */
export interface Idle {
  readonly residentBytes: number;
  readonly cpuMsPerSecond: number;
}

const settleMs = 3_000;
const measuredMs = 5_000;

const { config, directory } = await loadConfig(process.argv[2]);
const { worker } = await composeWorker(config, directory);
await worker.start();
await pause(settleMs);
// What the start leaves behind is no cost of being there.
collectGarbage("unused");
const before = process.cpuUsage();
await pause(measuredMs);
const { user, system } = process.cpuUsage(before);
const idle: Idle = { residentBytes: process.memoryUsage.rss(), cpuMsPerSecond: (user + system) / measuredMs };
process.send?.(idle);
await worker.stop(settleMs);
process.disconnect();
