/** Reads CPU profiles, and tells which part of the code has spent the time. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string };
}

interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  /** Microseconds, monotonic. */
  readonly startTime: number;
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export const stages = [
  "AMQP",
  "store client",
  "threads and messages between them",
  "pipeline and policy",
  "skills and their host",
  "sockets and timers",
  "garbage collection",
  "native and other",
] as const;
export type Stage = (typeof stages)[number];

const idle = new Set(["(idle)", "(root)"]);

const rules: readonly (readonly [RegExp, Stage])[] = [
  [/\/runtime\/(?:amqp|adapters\/(?:amqp|service-bus))\//, "AMQP"],
  [/\/runtime\/adapters\/(?:redis|sqlite)\/|\/node_modules\/(?:ioredis|@ioredis|redis-parser|cluster-key-slot)\/|node:sqlite/, "store client"],
  [
    /\/runtime\/adapters\/threads\/|\/node_modules\/(?:piscina|msgpackr)|node:internal\/(?:worker|event_target|per_context\/messageport)/,
    "threads and messages between them",
  ],
  [/\/runtime\/(?:pipeline|policy|core|compose|recovery|admin|adapters)\//, "pipeline and policy"],
  [/\/runtime\/skills\/|\/bench\//, "skills and their host"],
  [/^node:/, "sockets and timers"],
];

export function stageOf({ functionName, url }: ProfileNode["callFrame"]): Stage | undefined {
  if (idle.has(functionName)) return undefined;
  if (functionName === "(garbage collector)") return "garbage collection";
  return rules.find(([pattern]) => pattern.test(url))?.[1] ?? "native and other";
}

/** Microseconds by stage, of all profiles of a folder, within a time by the shared clock. */
export function timeByStage(folder: string, fromMs: number, toMs: number): ReadonlyMap<Stage, number> {
  const sums = new Map<Stage, number>(stages.map((stage) => [stage, 0]));
  for (const file of globSync("*.cpuprofile", { cwd: folder })) {
    const { nodes, startTime, samples, timeDeltas } = JSON.parse(readFileSync(join(folder, file), "utf8")) as CpuProfile;
    const stageById = new Map(nodes.map(({ id, callFrame }) => [id, stageOf(callFrame)]));
    let atMicros = startTime;
    samples.forEach((id, index) => {
      const delta = timeDeltas[index] ?? 0;
      atMicros += delta;
      const stage = stageById.get(id);
      if (stage !== undefined && atMicros >= fromMs * 1_000 && atMicros < toMs * 1_000) sums.set(stage, sums.get(stage)! + delta);
    });
  }
  return sums;
}
