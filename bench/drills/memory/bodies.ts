/** A worker with so much memory gets messages with large bodies. */
import { readFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { eventMessage } from "../../support/event-message.ts";
import { Stage } from "../../support/stage.ts";
import { MemoryGroup } from "./group.ts";

const mib = 1024 ** 2;
const lookEveryMs = 200;
const stallMaxMs = 60_000;

interface Shape {
  readonly name: string;
  /** Part of the messages that are asked for. */
  readonly part: number;
  bytes(index: number): number;
}

export const shapes: readonly Shape[] = [
  { name: "200 KB", part: 1, bytes: () => 200_000 },
  { name: "1 MB", part: 1 / 3, bytes: () => 1_000_000 },
  { name: "mixed", part: 1, bytes: (index) => [300, 2_000, 200_000, 1_000_000][index % 4]! },
];

export interface Result {
  /** In a memory cgroup, which takes root; else the limit is a setting, and resident memory is held against it. */
  readonly isBounded: boolean;
  readonly limitMb: number;
  readonly shape: string;
  readonly completed: number;
  readonly again: number;
  readonly seconds: number;
  readonly peakMb: number;
  readonly broken: readonly string[];
}

export async function bodiesWithin(limitMb: number, shape: Shape, messages: number): Promise<Result> {
  const group = MemoryGroup.make(limitMb * mib);
  try {
    return { isBounded: group !== undefined, ...(await drill(shape, messages, limitMb, group)) };
  } finally {
    group?.remove();
  }
}

async function drill(shape: Shape, messages: number, limitMb: number, group: MemoryGroup | undefined): Promise<Omit<Result, "isBounded">> {
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
