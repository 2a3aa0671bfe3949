import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import Table from "cli-table3";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { eventMessage } from "../../support/event-message.ts";
import { showProgress } from "../../support/progress.ts";
import { Stage } from "../../support/stage.ts";
import { startRedis } from "../../../test/support/redis-server.ts";
import { MemoryGroup } from "./group.ts";

export interface MemoryOptions {
  readonly messages: number;
  readonly json?: boolean;
}

const mib = 1024 ** 2;
const lookEveryMs = 200;
const stallMaxMs = 60_000;

interface Shape {
  readonly name: string;
  /** Part of the messages that are asked for. */
  readonly part: number;
  bytes(index: number): number;
}

/** In colours where they are seen. */
const style = process.stdout.isTTY ? {} : { style: { head: [], border: [] } };

const shapes: readonly Shape[] = [
  { name: "200 KB", part: 1, bytes: () => 200_000 },
  { name: "1 MB", part: 1 / 3, bytes: () => 1_000_000 },
  { name: "mixed", part: 1, bytes: (index) => [300, 2_000, 200_000, 1_000_000][index % 4]! },
];

interface Result {
  readonly limitMb: number;
  readonly shape: string;
  readonly completed: number;
  readonly again: number;
  readonly seconds: number;
  readonly peakMb: number;
  readonly broken: readonly string[];
}

export async function run({ messages, json }: MemoryOptions): Promise<number> {
  const redis = await startRedis(["--maxmemory-policy", "noeviction"]);
  process.env["REDIS_URL"] = redis.url;
  const results: Result[] = [];
  let isBounded = true;
  try {
    for (const limitMb of [512, 256]) {
      for (const shape of shapes) {
        showProgress(`${shape.name} in ${limitMb} MB`);
        const group = MemoryGroup.make(limitMb * mib);
        isBounded &&= group !== undefined;
        try {
          results.push(await drill(shape, Math.round(messages * shape.part), limitMb, group));
        } finally {
          group?.remove();
        }
      }
    }
  } finally {
    showProgress("");
    await redis.stop();
  }
  report(results, isBounded, json === true);
  return results.every(({ broken }) => broken.length === 0) ? exitCodes.good : exitCodes.failed;
}

async function drill(shape: Shape, messages: number, limitMb: number, group: MemoryGroup | undefined): Promise<Result> {
  const stage = await Stage.start(2_000_000);
  try {
    await stage.fill(messages, (index) => eventMessage("wait", shape.bytes(index)));
    const config = { bodyBytesMax: 2_000_000, ...(group === undefined ? { memoryBytesMax: limitMb * mib } : undefined) };
    const worker = await stage.startWorker({ config, ...(group === undefined ? undefined : { execPath: group.node }) });
    const startedMs = performance.now();
    let completed = 0;
    let movedMs = startedMs;
    let peakBytes = 0;
    while (completed < messages && worker.process.exitCode === null && worker.process.signalCode === null && performance.now() - movedMs < stallMaxMs) {
      const now = await stage.completed();
      if (now !== completed) movedMs = performance.now();
      completed = now;
      peakBytes = Math.max(peakBytes, residentBytes(worker.process.pid ?? 0));
      await pause(lookEveryMs);
    }
    const seconds = (performance.now() - startedMs) / 1_000;
    const { totals } = await stage.queue();
    const again = totals.delivered - totals.completed - totals.released;
    const ended = worker.process.signalCode ?? worker.process.exitCode;
    const broken = [
      ...(ended === null ? [] : [`the worker ended with ${ended}`]),
      ...(completed < messages ? [`${messages - completed} messages did not complete`] : []),
      ...(again > 0 ? [`${again} deliveries were not the first`] : []),
      ...(group === undefined && peakBytes > limitMb * mib ? [`${Math.round(peakBytes / mib)} MB were resident`] : []),
    ];
    return { limitMb, shape: shape.name, completed, again, seconds, peakMb: Math.round(peakBytes / mib), broken };
  } finally {
    await stage.stop();
  }
}

function residentBytes(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1_024;
  } catch {
    return 0;
  }
}

function report(results: readonly Result[], isBounded: boolean, json: boolean): void {
  if (json) {
    console.log(JSON.stringify({ isBounded, results }));
    return;
  }
  const table = new Table({ head: ["limit", "bodies", "completed", "not first", "took", "resident at most", ""], ...style });
  for (const { limitMb, shape, completed, again, seconds, peakMb, broken } of results) {
    table.push([`${limitMb} MB`, shape, completed, again, `${seconds.toFixed(1)} s`, `${peakMb} MB`, broken.length === 0 ? "held" : broken.join("; ")]);
  }
  console.log(table.toString());
  if (!isBounded)
    console.log(
      "no memory cgroup could be made here (that takes root and cgroups of version 1): the worker had its limit by configuration, nothing enforced it",
    );
}
